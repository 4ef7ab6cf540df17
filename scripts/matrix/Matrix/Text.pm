# SPDX-License-Identifier: BSD-2-Clause
#
# The report as text: Markdown for people, TAP and JUnit for machines
package Matrix::Text;

use strict;
use warnings;
use Matrix::Results qw(cell_folder read_text);

sub escaped {
	my ($text) = @_;
	return $text =~ s/([|\\`*_<>])/\\$1/gr =~ s/\n/ /gr;
}

sub table {
	my ($columns, @rows) = @_;
	return join('', map { '| ' . join(' | ', @$_) . " |\n" } $columns, [map { '---' } @$columns], @rows) . "\n";
}

sub duration {
	my ($seconds) = @_;
	return sprintf('%d:%02d', $seconds / 60, $seconds % 60);
}

sub failures_of {
	my ($run) = @_;
	my @failures;
	for my $cell (map { $_->{name} } @{ $run->{cells} }) {
		for my $test (sort keys %{ $run->{tests}{$cell} // {} }) {
			push @failures, map { [$cell, $test, escaped($_->{name}) . ($_->{often} ? " ($_->{often})" : '')] }
				grep { $_->{status} =~ /fail|flaky/ } @{ $run->{tests}{$cell}{$test}{points} };
		}
	}
	return @failures;
}

sub markdown {
	my ($run, $compare, $flakes) = @_;
	my $total = $run->{total};
	my $text = "# vmabi: the matrix\n\nvmabi $run->{version}, run $run->{id}: " . ($total->{pass} + $total->{mended})
		. " passed, $total->{fail} failed, $total->{flaky} failed sometimes, $total->{known} known, $total->{skip} skipped\n\n";

	$text .= table([qw(cell state passed failed known skipped min:s versions)], map {
		my ($cell, $count) = ($_, $_->{count});
		[$cell->{name}, escaped($cell->{state} . ($cell->{why} ne '' ? ": $cell->{why}" : '')), $count->{pass} + $count->{mended},
			$count->{fail} + $count->{flaky}, $count->{known}, $count->{skip}, duration($cell->{seconds}),
			escaped(join(', ', map { "$_ $cell->{versions}{$_}" } sort keys %{ $cell->{versions} }))]
	} @{ $run->{cells} });
	my @failures = failures_of($run);
	$text .= "## Failed\n\n" . table([qw(cell test point)], @failures) if @failures;
	$text .= "## Flakes\n\n" . table([qw(cell test point failed)], map { [$_->[0], $_->[1], escaped($_->[2]), $_->[3]] } @$flakes)
		if @$flakes;
	for my $what (qw(broke mended)) {
		my @points = $compare ? @{ $compare->{$what} } : ();
		$text .= '## ' . ucfirst($what) . " since $compare->{id}\n\n"
			. table([qw(cell test point)], map { [$_->[0], $_->[1], escaped($_->[2])] } @points) if @points;
	}
	$text .= "## Slower than in $compare->{id}\n\n" . table([qw(cell test then now)],
		map { [$_->[0], $_->[1], sprintf('%.1f s', $_->[2]), sprintf('%.1f s', $_->[3])] } @{ $compare->{slower} })
		if $compare && @{ $compare->{slower} };
	return $text;
}

# A cell that did not run is a skipped or a failed point.
sub tap {
	my ($run) = @_;
	my (@lines, $number);
	my $point = sub {
		my ($good, $name, $directive) = @_;
		push @lines, ($good ? 'ok ' : 'not ok ') . ++$number . ' - ' . ($name =~ s/#/\\#/gr)
			. ($directive ? " # $directive" : '');
	};
	for my $cell (@{ $run->{cells} }) {
		my $name = $cell->{name};
		$point->($cell->{state} eq 'absent', "$name: the cell runs to its end",
			$cell->{state} eq 'absent' ? "SKIP $cell->{why}" : '') if $cell->{state} =~ /absent|broken/;
		push @lines, "# $cell->{why}" if $cell->{state} eq 'broken';
		for my $test (sort keys %{ $run->{tests}{$name} // {} }) {
			for my $result (@{ $run->{tests}{$name}{$test}{points} }) {
				my $status = $result->{status};
				my $directive = $status eq 'skip' ? "SKIP $result->{why}"
					: $status =~ /known|mended/ ? "TODO $result->{why}" : '';
				$point->($status =~ /pass|skip|mended/, "$name/$test: $result->{name}", $directive);
				push @lines, map { "# $_" } split(/\n/, $result->{detail}) if $status =~ /fail|flaky/;
			}
		}
	}
	return join("\n", 'TAP version 13', '1..' . ($number // 0), @lines) . "\n";
}

sub xml_escaped {
	my ($text) = @_;
	my %names = ('<' => '&lt;', '>' => '&gt;', '&' => '&amp;', '"' => '&quot;');
	return $text =~ s/([<>&"])/$names{$1}/gr =~ s/[^\t\n\r\x20-\x{d7ff}\x{e000}-\x{fffd}]/?/gr;
}

sub junit_of_round {
	my ($run, $cell, $round) = @_;
	my $text = read_text(cell_folder($run, $cell, $round) . '/junit.xml') // return '';
	my $name = xml_escaped($cell) . ($run->{repeat} > 1 ? "/$round" : '');

	# What a full disk has cut off would spoil the rest.
	return '' if $text !~ /<\/testsuites>\s*$/;
	$text =~ s/^.*?<testsuites>\s*|<\/testsuites>.*$//gs;
	return $text =~ s/(<testsuite\b[^>]*?\bname=")(?:_*)/$1$name\//gr;
}

# Each cell's, as prove's formatter wrote it, under the cell's name, with the round behind it if it is not the only one;
# a cell that has none is an error or skipped.
sub junit {
	my ($run) = @_;
	my $text = qq(<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n);

	for my $cell (@{ $run->{cells} }) {
		my $name = xml_escaped($cell->{name});
		my $suites = join('', map { junit_of_round($run, $cell->{name}, $_) } 1 .. $run->{repeat});
		$text .= $suites;
		if ($suites eq '' || $cell->{state} eq 'broken') {
			my $why = xml_escaped($cell->{why});
			my $verdict = $cell->{state} eq 'absent' ? qq(<skipped message="$why"/>) : qq(<error message="$why"/>);
			my $errors = $cell->{state} eq 'absent' ? 0 : 1;
			$text .= qq(<testsuite name="$name" tests="1" errors="$errors" failures="0">)
				. qq(<testcase name="the cell runs to its end">$verdict</testcase></testsuite>\n);
		}
	}
	return "$text</testsuites>\n";
}

1;
