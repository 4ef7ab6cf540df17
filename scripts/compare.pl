#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# compare.pl PLACE=FOLDER...: the points on which runs of the same tests differ
#
# Each folder holds TEST.tap files. A point that passed in one place and failed in another is shown with what each
# place says of it; so is one that never came, although its test ran there. What a place skips it says nothing of. A
# known bug is a failure like any other, and is shown with its reason. Prints nothing else. Status 1 if any differs.
use strict;
use warnings;
use TAP::Parser;

my (@places, %points, %order, %ran);

sub read_file {
	my ($path) = @_;
	open(my $file, '<', $path) or die "compare.pl: cannot read $path: $!\n";
	local $/;
	return scalar(<$file>) // '';
}

# Of a diagnostic block what tells, in its own words.
sub diagnostics {
	my ($raw) = @_;
	return grep { !/^\s*(?:---|\.\.\.|failures:)\s*$/ } split(/\n/, $raw);
}

sub take_point {
	my ($place, $test, $result) = @_;
	my $name = $result->description =~ s/^- //r =~ s/\\#/#/gr;
	my $point = { verdict => $result->is_actual_ok ? 'ok' : 'not ok', details => [] };

	$point->{verdict} = 'skip' if $result->has_skip;
	$point->{verdict} .= ' (known: ' . $result->explanation . ')' if $result->has_todo;
	push @{ $order{$test} }, $name if !grep { $_->{$name} } values %{ $points{$test} };
	return $points{$test}{$place}{$name} = $point;
}

sub take_file {
	my ($place, $path) = @_;
	my ($test) = $path =~ m{([^/]+)\.tap$};
	my $parser = TAP::Parser->new({ tap => read_file($path) || "# nothing\n" });
	my $point;

	while (my $result = $parser->next) {
		if ($result->is_test) {
			$point = take_point($place, $test, $result);
		} elsif ($point && $result->is_yaml) {
			push @{ $point->{details} }, diagnostics($result->raw);
		}
	}
	$ran{$test}{$place} = !defined $parser->skip_all;
}

# What a place says of a point that never came there. Those of the host (host/supervise) come where it has something to
# say.
sub unsaid {
	my ($name) = @_;
	return $name =~ /^the guest runs to its end$|^the host's kernel log shows no fault$/ ? 'ok' : 'never came';
}

# Whether what the places say is not the same.
sub differs {
	my ($test, $name) = @_;
	my %verdicts;
	for my $place (grep { $ran{$test}{$_} } @places) {
		my $point = $points{$test}{$place}{$name};
		my $verdict = $point ? $point->{verdict} =~ s/ \(.*//r : unsaid($name);
		$verdicts{$verdict}++ if $verdict ne 'skip';
	}
	return keys %verdicts > 1;
}

sub show {
	my ($test, $name, $width) = @_;
	print "$test: $name\n";
	for my $place (grep { $ran{$test}{$_} } @places) {
		my $point = $points{$test}{$place}{$name} // { verdict => unsaid($name), details => [] };
		printf "  %-*s  %s\n", $width, $place, $point->{verdict};
		print ' ' x ($width + 2), "$_\n" for @{ $point->{details} };
	}
	print "\n";
}

for my $argument (@ARGV) {
	my ($place, $folder) = $argument =~ /^(.*)=(.*)$/ or die "usage: compare.pl PLACE=FOLDER...\n";
	push @places, $place;
	take_file($place, $_) for sort glob("\Q$folder\E/*.tap");
}
my ($width) = sort { $b <=> $a } map { length } @places;
my $differing = 0;
for my $test (sort keys %order) {
	for my $name (@{ $order{$test} }) {
		next if !differs($test, $name);
		$differing++;
		show($test, $name, $width);
	}
}
exit($differing ? 1 : 0);
