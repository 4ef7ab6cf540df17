package Matrix::Report;
sub write_all { return "x" }
sub conclude { return 1 }
1;
