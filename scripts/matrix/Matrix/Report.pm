# SPDX-License-Identifier: BSD-2-Clause
#
# What a run of the matrix came to, for people and for machines: report.html, report.md, report.tap and report.xml (JUnit)
# in the folder of results
#
# The page has its data in it, as JSON: run, cells, tests, results (by cell and test), strings (what is long or
# comes often, by number; 0 is nothing), total, flakes, compare (with an earlier run), runs (the last ones).
package Matrix::Report;

use strict;
use warnings;
use JSON::PP;
use List::Util qw(min sum0);
use Matrix::Compare;
use Matrix::Config;
use Matrix::Results qw(:DEFAULT cell_folder open_folder read_json read_text runs_of seconds_of_tests tests_of_cell write_text);
use Matrix::Text;

# The worst first: what is said of a test is what is said of its worst point.
my @order = qw(fail flaky known mended pass skip);
my %rank = map { $order[$_] => $_ } 0 .. $#order;
my $console_limit = 60_000; # characters of one test, from its end
my $runs_shown = 30;

# All rounds of a point as one: failed now and then is a state of its own.
sub merge_points {
	my (@rounds) = @_;
	my (%merged, @names);

	for my $points (@rounds) {
		my %seen;
		for my $point (@$points) {
			# Of two points with one name, the second is another one.
			my $key = $point->{name} . ("\0" x $seen{ $point->{name} }++);
			push @names, $key if !$merged{$key};
			push @{ $merged{$key} }, $point;
		}
	}
	return [map { merge_point(scalar(@rounds), @{ $merged{$_} }) } @names];
}

sub merge_point {
	my ($rounds, @points) = @_;
	my ($worst) = sort { $rank{ $a->{status} } <=> $rank{ $b->{status} } } @points;
	my $bad = grep { $_->{status} eq 'fail' } @points;

	return $worst if !$bad || $rounds == 1;
	# What came in some rounds only, because the others ended before it, is as good as failed there.
	return { %$worst, status => $bad < $rounds ? 'flaky' : 'fail', often => "$bad of $rounds" };
}

sub status_of_test {
	my ($points) = @_;
	# A test of which some points passed and others were skipped is one that passed.
	my ($worst) = sort { $rank{$a} <=> $rank{$b} } map { $_->{status} } @$points;
	return $worst // 'skip';
}

# A run as a hash: what run.json has, cells (name, state, why, count, seconds, versions, axes, where), and
# tests (CELL => TEST => { status, points, seconds, folder }).
sub load_run {
	my ($run) = @_;
	my %loaded = (%$run, tests => {}, cells => []);

	for my $name (@{ $run->{cells} }) {
		my (%rounds, @results, %seconds, %folder);
		for my $round (1 .. $run->{repeat}) {
			my $folder = cell_folder($run, $name, $round);
			my $result = read_json("$folder/cell.json") or next;
			push @results, $result;
			my $tests = tests_of_cell($folder);
			my $took = seconds_of_tests($folder);
			for my $test (keys %$tests) {
				push @{ $rounds{$test} }, $tests->{$test};
				$seconds{$test} = min(grep { defined } $seconds{$test}, $took->{$test});
				# What went wrong is what one wants to see.
				$folder{$test} = $folder if !$folder{$test} || grep { $_->{status} eq 'fail' } @{ $tests->{$test} };
			}
		}
		for my $test (keys %rounds) {
			my $points = merge_points(@{ $rounds{$test} });
			$loaded{tests}{$name}{$test} = { points => $points, status => status_of_test($points),
				seconds => $seconds{$test}, folder => $folder{$test} };
		}
		push @{ $loaded{cells} }, { summary_of_cell($name, \@results, $loaded{tests}{$name} // {}),
			name => $name, axes => $run->{axes}{$name}, where => where_of($run->{options}{$name}) };
	}
	$loaded{total} = { map { my $what = $_; $what => sum0(map { $_->{count}{$what} } @{ $loaded{cells} }) } @order };
	$loaded{seconds} = ($run->{finished} // time) - $run->{started};
	return \%loaded;
}

# run_tests.sh's options without those that choose tests.
sub where_of {
	my ($options) = @_;
	my @words = @$options;
	my @where;
	push @where, splice(@words, 0, 2) while @words && $words[0] =~ /^--/;
	return join(' ', @where);
}

sub summary_of_cell {
	my ($name, $results, $tests) = @_;
	my %count = map { $_ => 0 } @order;
	my %states = map { $_->{state} => $_ } @$results;
	my ($state) = grep { $states{$_} } qw(broken failed absent passed);

	for my $test (values %$tests) {
		$count{ $_->{status} } += $_->{times} // 1 for @{ $test->{points} };
	}
	return (state => $state // 'broken', why => $state ? $states{$state}{why} : 'it was not run', count => \%count,
		seconds => sum0(map { $_->{seconds} } @$results), versions => $state ? $states{$state}{versions} // {} : {});
}

sub flakes_of {
	my ($run) = @_;
	my @flakes;
	for my $cell (map { $_->{name} } @{ $run->{cells} }) {
		for my $test (sort keys %{ $run->{tests}{$cell} // {} }) {
			push @flakes, map { [$cell, $test, $_->{name}, $_->{often}] }
				grep { $_->{status} eq 'flaky' } @{ $run->{tests}{$cell}{$test}{points} };
		}
	}
	return \@flakes;
}

sub shortened {
	my ($text) = @_;
	return $text if length($text) <= $console_limit;
	return '[the beginning is left out: ' . (length($text) - $console_limit) . " characters]\n"
		. substr($text, -$console_limit);
}

# The page's data.
sub page_data {
	my ($run, $compare, $runs) = @_;
	my (@strings, %numbers, @results, %groups);
	my $number = sub {
		my ($text) = @_;
		$numbers{$text} //= push(@strings, $text) - 1;
		return $numbers{$text};
	};
	$number->('');
	my %names = map { $_ => 1 } map { keys %$_ } values %{ $run->{tests} };
	my @tests = map { { name => $_, groups => [split(' ', $run->{groups}{$_} // 'other')] } } sort keys %names;
	@tests = sort { $a->{groups}[0] cmp $b->{groups}[0] || $a->{name} cmp $b->{name} } @tests;
	for my $cell (@{ $run->{cells} }) {
		my %row;
		for my $index (0 .. $#tests) {
			my $name = $tests[$index]{name};
			my $test = $run->{tests}{ $cell->{name} }{$name} or next;
			$row{$index} = { status => $test->{status}, seconds => $test->{seconds},
				points => [map { page_point($_, $number) } @{ $test->{points} }],
				tap => $number->(shortened(read_text("$test->{folder}/tap/$name.tap") // '')),
				log => $number->(shortened(read_text("$test->{folder}/logs/$name.log") // '')) };
		}
		push @results, \%row;
	}
	return { run => { map { $_ => $run->{$_} } qw(id version repeat seconds) }, cells => $run->{cells}, tests => \@tests,
		results => \@results, strings => \@strings, total => $run->{total}, flakes => flakes_of($run),
		compare => $compare, runs => $runs };
}

sub page_point {
	my ($point, $number) = @_;
	my %page = (name => $number->($point->{name}), status => $point->{status});
	$page{why} = $number->($point->{why}) if $point->{why} ne '';
	$page{detail} = $number->($point->{detail}) if $point->{detail} ne '' && $point->{status} !~ /pass|skip/;
	$page{often} = $point->{often} if $point->{often};
	return \%page;
}

sub write_page {
	my ($top, $path, $data) = @_;
	my $page = read_text("$top/scripts/matrix/report/report.html");
	my %parts = (CSS => read_text("$top/scripts/matrix/report/report.css"), JS => read_text("$top/scripts/matrix/report/report.js"),
		# In a script element, nothing but "<" could end it.
		DATA => JSON::PP->new->canonical->ascii->encode($data) =~ s/</\\u003c/gr);
	$page =~ s/\@(CSS|JS|DATA)\@/$parts{$1}/g;
	write_text($path, $page);
	return;
}

# The points that passed and failed, and the time, of the last runs of the same cells that came to their end.
sub history {
	my ($run, @runs) = @_;
	my @same = grep { $_->{finished} && "@{ $_->{cells} }" eq join(' ', map { $_->{name} } @{ $run->{cells} })
		&& $_->{id} le $run->{id} } @runs;
	splice(@same, 0, @same - $runs_shown) if @same > $runs_shown;
	return [map {
		my $one = $_->{id} eq $run->{id} ? $run : load_run($_);
		{ id => $one->{id}, pass => $one->{total}{pass} + $one->{total}{mended}, fail => $one->{total}{fail} + $one->{total}{flaky},
			seconds => sum0(map { $_->{seconds} } @{ $one->{cells} }) };
	} @same];
}

sub pick {
	my ($what, $id, @runs) = @_;
	my ($run) = grep { $_->{id} eq $id } @runs;
	die "$what: there is no run '$id' (there are: " . join(' ', map { $_->{id} } @runs) . ")\n" if !$run;
	return $run;
}

# Of the run ID (default: the last), against an earlier one (default: the one before that had a cell of it). Returns
# the path of the page.
sub write_all {
	my ($top, $out, $id, $against) = @_;
	open_folder($out, 0);
	my @runs = runs_of($out);
	die "there is no run in $out yet; ./run_tests.sh --matrix makes one\n" if !@runs;
	my $chosen = defined $id ? pick('--run', $id, @runs) : $runs[-1];
	my $run = load_run($chosen);
	my %cells = map { $_ => 1 } @{ $chosen->{cells} };
	my ($before) = defined $against ? pick('--against', $against, @runs)
		: reverse grep { $_->{id} lt $run->{id} && $_->{finished} && grep { $cells{$_} } @{ $_->{cells} } } @runs;
	my $compare = $before ? Matrix::Compare::compare(load_run($before), $run) : undef;

	write_page($top, "$out/report.html", page_data($run, $compare, history($run, @runs)));
	write_text("$out/report.md", Matrix::Text::markdown($run, $compare, flakes_of($run)));
	write_text("$out/report.tap", Matrix::Text::tap($run));
	write_text("$out/report.xml", Matrix::Text::junit($run));
	return "$out/report.html";
}

# The last lines of a matrix; returns whether all is well.
sub conclude {
	my ($report, @tasks) = @_;
	my %count = map { $_ => 0 } qw(pass fail known mended skip);
	my %states = map { $_ => 0 } qw(passed failed absent broken);

	for my $result (map { $_->{result} } @tasks) {
		$states{ $result->{state} }++;
		$count{$_} += $result->{count}{$_} for keys %{ $result->{count} };
	}
	print "report: $report\n" if $report;
	printf "cells: %d passed, %d failed, %d could not be run to their end, %d cannot run here\n",
		@states{qw(passed failed broken absent)};
	printf "%d known bug points (TODO)\n", $count{known} if $count{known};
	printf "%d passed, %d failed, %d skipped\n", $count{pass} + $count{mended}, $count{fail}, $count{skip};
	return $states{passed} && !$states{failed} && !$states{broken};
}

1;
