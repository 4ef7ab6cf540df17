#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# summary.pl FILE.tap...: what a run came to
#
# Prints the failures of all files, each with its diagnostics; then the known bugs apart; then the
# failures once more, each in two lines, for those who see only the end of a long text; and as the last
# line the TAP points in "N passed, N failed, N skipped". A file that is skipped as a whole counts as one
# skipped point, and a planned point that never came as a failed one. Status 1 if anything failed, or
# if there was nothing at all.
use strict;
use warnings;
use File::Basename;
use TAP::Parser;

my ($passed, $failed, $skipped) = (0, 0, 0);
my (@failures, @known, @mended, %skips);

sub read_file {
	my ($path) = @_;
	open(my $file, '<', $path) or die "summary.pl: cannot read $path: $!\n";
	local $/;
	return scalar(<$file>) // '';
}

# Files of more than one folder are told apart by it.
sub name_of {
	my ($path) = @_;
	my $name = basename($path, '.tap');
	my %folders = map { dirname($_) => 1 } @ARGV;
	return keys %folders > 1 ? basename(dirname($path)) . "/$name" : $name;
}

# The points of one file, each with the diagnostics that follow it.
sub points_of {
	my ($parser) = @_;
	my @points;
	while (my $result = $parser->next) {
		if ($result->is_test) {
			push @points, { result => $result, detail => '' };
		} elsif (@points && ($result->is_yaml || $result->is_comment)) {
			$points[-1]{detail} .= $result->raw . "\n";
		}
	}
	return @points;
}

sub take_point {
	my ($test, $point) = @_;
	my $result = $point->{result};
	my $name = $result->description =~ s/^- //r =~ s/\\#/#/gr;
	my $entry = { title => "$test: $name", detail => $point->{detail} };

	if ($result->has_skip) {
		$skipped++;
		$skips{ $result->explanation }++;
	} elsif ($result->has_todo) {
		$entry->{reason} = $result->explanation;
		push @{ $result->todo_passed ? \@mended : \@known }, $entry;
		$passed++ if $result->todo_passed;
	} elsif ($result->is_ok) {
		$passed++;
	} else {
		$failed++;
		push @failures, $entry;
	}
}

sub take_file {
	my ($path) = @_;
	my $test = name_of($path);
	# The parser refuses an empty text; a comment says as little.
	my $parser = TAP::Parser->new({ tap => read_file($path) || "# nothing\n" });
	my @points = points_of($parser);
	my $planned = $parser->tests_planned;

	if (defined $parser->skip_all) {
		$skipped++;
		$skips{ $parser->skip_all }++;
		return;
	}
	take_point($test, $_) for @points;
	if (!defined $planned) {
		$failed++;
		push @failures, { title => "$test: it made no plan, so nothing is known of it", detail => '' };
	} elsif ($planned > @points) {
		my $missing = $planned - @points;
		$failed += $missing;
		push @failures, { title => "$test: $missing of $planned planned points never ran", detail => '' };
	}
}

sub print_by_reason {
	my ($title, @entries) = @_;
	my (%points, @reasons);
	for my $entry (@entries) {
		push @reasons, $entry->{reason} if !$points{ $entry->{reason} };
		push @{ $points{ $entry->{reason} } }, $entry->{title};
	}
	print "\n$title\n" if @entries;
	for my $reason (@reasons) {
		print "  $reason\n";
		print "      $_\n" for @{ $points{$reason} };
	}
}

# The diagnostics in one line, as far as they fit into it.
sub reason_in {
	my ($detail) = @_;
	my @lines = grep { !/^\s*(---|\.\.\.|message: \|)?$/ } split /\n/, $detail;
	my $reason = join '; ', map { s/^[\s#]+//r } @lines;
	return length($reason) > 200 ? substr($reason, 0, 200) . ' ...' : $reason;
}

take_file($_) for @ARGV;

if (@failures) {
	print "\nFailures\n";
	print "\n$_->{title}\n$_->{detail}" for @failures;
}
print_by_reason("Known bugs (knownbugs.cfg)", @known);
print_by_reason("Known bugs that pass here: mended in this kernel, or knownbugs.cfg is out of date", @mended);
if (%skips) {
	print "\nSkipped\n";
	printf "  %4d  %s\n", $skips{$_}, $_ for sort keys %skips;
}
if (@failures) {
	print "\nFailed\n";
	print "  $_->{title}\n      ", reason_in($_->{detail}), "\n" for @failures;
}
print "\n";
print scalar(@known), " known bug point", (@known == 1 ? '' : 's'), " (TODO)\n" if @known;
print "$passed passed, $failed failed, $skipped skipped\n";
exit($failed || !($passed + $skipped + @known) ? 1 : 0);
