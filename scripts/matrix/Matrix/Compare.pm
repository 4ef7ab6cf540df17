# SPDX-License-Identifier: BSD-2-Clause
#
# What is not as it was in an earlier run: broke, mended (points), slower (tests)
package Matrix::Compare;

use strict;
use warnings;

# Less is noise, on a machine that does other things too.
my $slower_factor = 1.5;
my $slower_seconds = 1;

sub good {
	my ($point) = @_;
	return $point->{status} =~ /^(?:pass|mended)$/;
}

sub bad {
	my ($point) = @_;
	return $point->{status} =~ /^(?:fail|flaky)$/;
}

# Both as Report.pm's load_run() gives them. A point that was skipped, or is new, neither breaks nor is mended; one that
# is new and fails broke.
sub compare {
	my ($before, $now) = @_;
	my %found = (id => $before->{id}, broke => [], mended => [], slower => []);

	for my $cell (map { $_->{name} } @{ $now->{cells} }) {
		my $earlier = $before->{tests}{$cell} or next;
		for my $test (sort keys %{ $now->{tests}{$cell} // {} }) {
			my ($then, $new) = ($earlier->{$test}, $now->{tests}{$cell}{$test});
			my %points = map { $_->{name} => $_ } @{ $then ? $then->{points} : [] };
			for my $point (@{ $new->{points} }) {
				my $old = $points{ $point->{name} };
				push @{ $found{broke} }, [$cell, $test, $point->{name}] if bad($point) && !($old && bad($old));
				push @{ $found{mended} }, [$cell, $test, $point->{name}] if good($point) && $old && bad($old);
			}
			push @{ $found{slower} }, [$cell, $test, $then->{seconds}, $new->{seconds}]
				if $then && $then->{seconds} && $new->{seconds}
				&& $new->{seconds} > $then->{seconds} * $slower_factor
				&& $new->{seconds} > $then->{seconds} + $slower_seconds;
		}
	}
	return \%found;
}

1;
