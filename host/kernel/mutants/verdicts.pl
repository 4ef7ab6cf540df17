#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# verdicts.pl: what the tests came to on mutants, from the TAP that they left as FOLDER/TEST.tap
#
#	judge FOLDER TEST...	on one mutant: "caught", a tab, and by what; or "SURVIVED", a tab, which
#				tests did not see it and why, a tab, and their names alone
#	unfit FOLDER TEST...	those that do not pass, one line each: nothing if all of them do
#	never UNMUTATED FOLDER... -- TEST...
#				the tests that no mutant failed, and for the others the points that none did
#
# A test fails if a point does, but for those that are known to (TODO), or if it ended before its plan was
# done.
use strict;
use warnings;
use TAP::Parser;

# The host's own points: their failure says most in its message, and the second one stands in every test.
my $ended = 'the guest runs to its end';
my $healthy = "the host's kernel log shows no fault";

sub read_file {
	my ($path) = @_;
	open(my $file, '<', $path) or return '';
	local $/;
	return scalar(<$file>) // '';
}

# Of a test: result (passed, failed, skipped), failed and passed (names of points), and, unless all
# passed, why in words.
sub outcome {
	my ($folder, $test) = @_;
	my %out = (failed => [], passed => []);
	my (%message, $last);
	# The parser refuses an empty text; a comment says as little.
	my $parser = TAP::Parser->new({ tap => read_file("$folder/$test.tap") || "# nothing\n" });
	my $seen = 0;
	while (my $result = $parser->next) {
		if ($result->is_test) {
			$seen++;
			$last = $result->description =~ s/^- //r;
			push @{ $out{failed} }, $last if !$result->is_ok;
			push @{ $out{passed} }, $last if $result->is_ok && !$result->directive;
		} elsif ($result->is_yaml && defined $last) {
			my $data = eval { $result->data };
			$message{$last} = $data->{message} if ref $data eq 'HASH' && !ref $data->{message};
		}
	}
	my $planned = $parser->tests_planned;
	if (my ($point) = @{ $out{failed} }) {
		$out{why} = $point;
		my ($line) = split(/\n/, $message{$point} // '');
		$out{why} .= " ($line)" if $line && ($point eq $ended || $point eq $healthy);
	} elsif (defined $parser->skip_all) {
		$out{why} = 'skipped: ' . $parser->skip_all;
		return { %out, result => 'skipped' };
	} elsif (!defined $planned) {
		$out{why} = 'ended without a plan' . ($seen ? " after $seen points" : '');
	} elsif ($planned > $seen) {
		$out{why} = "ended after $seen of $planned points";
	} else {
		return { %out, result => 'passed' };
	}
	return { %out, result => 'failed' };
}

sub count {
	my ($number, $what) = @_;
	return $number ? ("$number more $what" . ($number == 1 ? '' : 's')) : ();
}

sub judge {
	my ($folder, @tests) = @_;
	my (@failed, @blind, @names, $points);
	for my $test (@tests) {
		my $out = outcome($folder, $test);
		if ($out->{result} eq 'failed') {
			push @failed, "$test: $out->{why}";
			$points += @{ $out->{failed} } || 1;
		} else {
			push @names, $test;
			push @blind, $out->{result} eq 'passed' ? $test : "$test ($out->{why})";
		}
	}
	if (@blind) {
		my $others = @tests - @blind;
		print "SURVIVED\tnot seen by ", join(', ', @blind),
			($others ? "; the other $others failed" : ''), "\t@names\n";
		return;
	}
	my @more = (count($points - 1, 'point'), count(@failed - 1, 'test'));
	print "caught\t$failed[0]", (@more ? ' (and ' . join(', ', @more) . ')' : ''), "\n";
}

sub unfit {
	my ($folder, @tests) = @_;
	for my $test (@tests) {
		my $out = outcome($folder, $test);
		print "$test: $out->{why}\n" if $out->{result} ne 'passed';
	}
}

# The names of some of all tests, a section in place of its tests if all of them are meant.
sub short_names {
	my ($some, $all) = @_;
	my (%of_section, %names, %seen);
	my $section = sub { $_[0] =~ s/-(x86_64|i386)$//r };
	$of_section{ $section->($_) }++ for @$all;
	push @{ $names{ $section->($_) } }, $_ for @$some;
	my @sections = grep { !$seen{$_}++ } map { $section->($_) } @$some;
	return map { @{ $names{$_} } == $of_section{$_} ? $_ : @{ $names{$_} } } @sections;
}

sub never {
	my ($unmutated, @rest) = @_;
	my (@folders, %failed, %fails, @never, %tests_with, @order);
	push @folders, shift @rest while $rest[0] ne '--';
	shift @rest;
	for my $folder (@folders) {
		for my $path (glob("\Q$folder\E/*.tap")) {
			my ($test) = $path =~ m{([^/]+)\.tap$};
			my $out = outcome($folder, $test);
			$fails{$test} = 1 if $out->{result} eq 'failed';
			$failed{$test}{$_} = 1 for @{ $out->{failed} };
		}
	}
	my ($all, $left) = (0, 0);
	for my $test (@rest) {
		if (!$fails{$test}) {
			push @never, $test;
			next;
		}
		my @points = grep { $_ ne $healthy } @{ outcome($unmutated, $test)->{passed} };
		my @missed = grep { !$failed{$test}{$_} } @points;
		$all += @points;
		$left += @missed;
		next if !@missed;
		my $key = join("\n", map { "    $_" } @missed);
		push @order, $key if !$tests_with{$key};
		push @{ $tests_with{$key} }, $test;
	}
	print "Tests that no mutant fails, ", scalar(@never), " of ", scalar(@rest), ":\n";
	print "    $_\n" for short_names(\@never, \@rest);
	print "\nPoints of the other tests that no mutant fails, $left of $all:\n";
	print "  ", join(' ', short_names($tests_with{$_}, \@rest)), "\n$_\n" for @order;
}

my %commands = (judge => \&judge, unfit => \&unfit, never => \&never);
my $command = $commands{ shift(@ARGV) // '' } or die "usage: verdicts.pl judge|unfit|never ...\n";
$command->(@ARGV);
