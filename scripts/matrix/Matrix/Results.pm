# SPDX-License-Identifier: BSD-2-Clause
#
# The results that a matrix leaves behind, and what they say
#
#	OUT/format			which version of this the folder is
#	OUT/runs/ID/run.json		a run: when, which cells, of what; and whether it came to its end
#	OUT/runs/ID/cells/NAME/N/	the Nth time of a cell (N > 1 with --repeat)
#		cell.json		what came of it: state, why, versions, counts, seconds
#		log			what run_tests.sh said
#		tap/TEST.tap logs/TEST.log	each test's TAP, and the log of the kernel under it
#		junit.xml
#
# A cell's state: passed; failed (a point did); absent (it cannot run on this machine); broken (it could not be run to
# its end). Only the first counts as passed.
package Matrix::Results;

use strict;
use warnings;
use Encode qw(decode encode);
use Exporter 'import';
use File::Path qw(make_path);
use JSON::PP;
use TAP::Parser;

our @EXPORT_OK = qw(read_text write_text read_json write_json open_folder runs_of read_tap count_points tests_of_cell
	seconds_of_tests cell_folder);

my $format = 1;

sub read_text {
	my ($path) = @_;
	open(my $file, '<', $path) or return;
	local $/;
	return decode('UTF-8', scalar(<$file>) // '');
}

sub read_json {
	my ($path) = @_;
	my $text = read_text($path);
	return defined $text && $text ne '' ? eval { JSON::PP->new->decode($text) } : undef;
}

# Whole or not at all. Dies with the cause.
sub write_text {
	my ($path, $text) = @_;
	open(my $file, '>', "$path.new") or die "cannot write $path: $!\n";
	my $good = print {$file} encode('UTF-8', $text);
	$good = close($file) && $good;
	die "cannot write $path: $!\n" if !$good;
	rename("$path.new", $path) or die "cannot write $path: $!\n";
	return;
}

sub write_json {
	my ($path, $value) = @_;
	write_text($path, JSON::PP->new->canonical->pretty->encode($value));
	return;
}

# The folder of results, made if need be.
sub open_folder {
	my ($out, $make) = @_;
	my $said = read_text("$out/format");

	if (!defined $said) {
		die "there are no results in $out; ./run_tests.sh --matrix --out DIR leaves some\n" if !$make;
		die "$out holds something else than results of a matrix; give another --out\n" if glob("\Q$out\E/*");
		eval { make_path("$out/runs"); 1 } or die "cannot make the folder $out (--out): $!\n";
		write_text("$out/format", "vmabi matrix $format\n");
		return;
	}
	chomp $said;
	die "$out is of another version ('$said', this one writes 'vmabi matrix $format'); give another --out\n"
		if $said ne "vmabi matrix $format";
	return;
}

# Each run's run.json, the oldest first.
sub runs_of {
	my ($out) = @_;
	return map {
		my $run = read_json("$_/run.json");
		$run ? { %$run, folder => $_ } : ();
	} sort glob("\Q$out\E/runs/*");
}

sub cell_folder {
	my ($run, $cell, $round) = @_;
	return "$run->{folder}/cells/$cell/$round";
}

sub status_of {
	my ($point) = @_;
	return 'skip' if $point->has_skip;
	return $point->todo_passed ? 'mended' : 'known' if $point->has_todo;
	return $point->is_ok ? 'pass' : 'fail';
}

# A test's points: name, status (pass, fail, known, mended, skip), why, detail. Those that never came are one that
# counts as so many (times).
sub read_tap {
	my ($path) = @_;
	my $text = read_text($path) || "# nothing\n";
	my $parser = TAP::Parser->new({ tap => $text });
	my @points;

	while (my $result = $parser->next) {
		if ($result->is_test) {
			push @points, { name => $result->description =~ s/^- //r =~ s/\\#/#/gr, status => status_of($result),
				why => $result->explanation // '', detail => '' };
		} elsif (@points && ($result->is_yaml || $result->is_comment)) {
			$points[-1]{detail} .= $result->raw . "\n";
		}
	}
	return [{ name => 'the whole test', status => 'skip', why => $parser->skip_all, detail => '' }]
		if defined $parser->skip_all;
	my $planned = $parser->tests_planned;
	push @points, { name => 'it made no plan, so nothing is known of it', status => 'fail', why => '', detail => $text }
		if !defined $planned;
	push @points, { name => ($planned - @points) . " of $planned planned points never ran", status => 'fail', why => '',
		detail => '', times => $planned - @points } if defined $planned && $planned > @points;
	return \@points;
}

# TEST => points.
sub tests_of_cell {
	my ($folder) = @_;
	return { map { m{([^/]+)\.tap$} ? ($1 => read_tap($_)) : () } glob("\Q$folder\E/tap/*.tap") };
}

sub count_points {
	my ($tests) = @_;
	my %count = (pass => 0, fail => 0, known => 0, mended => 0, skip => 0);
	for my $points (values %$tests) {
		$count{ $_->{status} } += $_->{times} // 1 for @$points;
	}
	return \%count;
}

# TEST => seconds, of what prove --timer said.
sub seconds_of_tests {
	my ($folder) = @_;
	my %seconds;
	for my $line (split(/\n/, read_text("$folder/log") // '')) {
		$seconds{$1} = $2 / 1000 if $line =~ /^(?:\[[\d:]+\] )?(\S+) \.+ .*?\s(\d+) ms\b/;
	}
	return \%seconds;
}

1;
