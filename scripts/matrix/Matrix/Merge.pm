# SPDX-License-Identifier: BSD-2-Clause
#
# The last runs of several folders of results, of other cells each (another job's, another machine's), as one run
package Matrix::Merge;

use strict;
use warnings;
use File::Path qw(make_path);
use Matrix::Results qw(open_folder runs_of write_json);

# Returns the run's ID: that of the first to have begun.
sub merge {
	my ($out, @folders) = @_;
	my %all = (cells => [], axes => {}, options => {}, groups => {}, repeat => 1);
	my %from;

	open_folder($out, 1);
	for my $folder (@folders) {
		open_folder($folder, 0);
		my ($run) = reverse runs_of($folder) or die "there is no run in $folder\n";
		for my $cell (@{ $run->{cells} }) {
			die "the cell $cell is in $from{$cell} and in $folder\n" if $from{$cell};
			$from{$cell} = $folder;
			push @{ $all{cells} }, $cell;
			$all{$_}{$cell} = $run->{$_}{$cell} for qw(axes options);
		}
		$all{groups} = { %{ $all{groups} }, %{ $run->{groups} } };
		$all{repeat} = $run->{repeat} if $run->{repeat} > $all{repeat};
		$all{version} //= $run->{version};
		$all{id} = $run->{id} if !$all{id} || $run->{id} lt $all{id};
		$all{started} = $run->{started} if !$all{started} || $run->{started} < $all{started};
		$all{finished} = $run->{finished} if ($run->{finished} // 0) > ($all{finished} // 0);
		copy_cells("$run->{folder}/cells", "$out/runs/.new");
	}
	die "there are no results to put together\n" if !$all{id};
	make_path("$out/runs/$all{id}");
	rename("$out/runs/.new", "$out/runs/$all{id}/cells")
		or die "cannot write $out/runs/$all{id}: $! (is that run in $out already?)\n";
	write_json("$out/runs/$all{id}/run.json", \%all);
	return $all{id};
}

sub copy_cells {
	my ($from, $to) = @_;
	make_path($to);
	system('cp', '-r', "$from/.", $to) == 0 or die "cannot copy $from to $to\n";
	return;
}

1;
