#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# fixture.pl OUT RUNS: results as a matrix leaves them, made up, for the tests of the report
#
# Three runs have a cell of each state, a point of each status, and two rounds. In the last, one point of "nested" broke
# and one was mended since the run before, a test became slower, and a point failed in one of two rounds.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use lib dirname(dirname(abs_path($0)));
use Matrix::Results qw(open_folder write_json write_text);

my %axes = (nested => 'nested', xen => 'xen', broken => 'bochs', absent => 'local');
my @cells = sort keys %axes;
my ($out, $runs) = @ARGV;

# A line of TAP for each word NAME:STATUS.
sub tap {
	my @words = @_;
	my $number = 0;
	return join("\n", 'TAP version 13', '1..' . @words, map {
		my ($name, $status) = split(/:/, $_);
		my $line = ($status =~ /fail|known/ ? 'not ok ' : 'ok ') . ++$number . " - $name";
		$line .= ' # SKIP no <such> thing' if $status eq 'skip';
		$line .= ' # TODO a bug that is known' if $status =~ /known|mended/;
		$line .= "\n  ---\n  message: \"</script><b id='injected'>1 < 2</b>\"\n  expected: 0x1\n  ..." if $status eq 'fail';
		$line;
	} @words) . "\n";
}

sub cell {
	my ($folder, $state, $why, %tests) = @_;
	make_path("$folder/tap", "$folder/logs");
	write_json("$folder/cell.json", { state => $state, why => $why, count => {}, seconds => 30,
		versions => { vmabi => '0.1', kernel => '7.2.0', QEMU => '7.2', CPU => 'max' } });
	my $log = '';
	for my $test (sort keys %tests) {
		my ($milliseconds, @points) = @{ $tests{$test} };
		write_text("$folder/tap/$test.tap", tap(@points));
		write_text("$folder/logs/$test.log", "the kernel's log of $test\n");
		$log .= "[00:00:00] $test .. ok $milliseconds ms ( 0.00 usr )\n";
	}
	write_text("$folder/log", $log);
	return;
}

open_folder($out, 1);
for my $run (1 .. $runs) {
	my $last = $run == $runs;
	my $folder = "$out/runs/2026010${run}T000000";
	make_path($folder);
	write_json("$folder/run.json", { id => "2026010${run}T000000", version => '0.1', repeat => 2, cells => \@cells,
		started => 1000, finished => 1060 + $run, groups => { 'xen-page-x86_64' => 'xen', 'async-pf-x86_64' => 'asyncpf' },
		axes => { map { $_ => { host => $axes{$_} } } @cells },
		options => { map { $_ => ['--on', $axes{$_}, '-g', 'xen'] } @cells } });
	for my $round (1, 2) {
		cell("$folder/cells/nested/$round", 'failed', '1 failed',
			'xen-page-x86_64' => [$last ? 9000 : 500, 'it breaks:' . ($last ? 'fail' : 'pass'),
				'it is mended:' . ($last ? 'pass' : 'fail'), 'it is known:known', 'it is skipped:skip'],
			'async-pf-x86_64' => [400, 'it is flaky:' . ($last && $round == 2 ? 'fail' : 'pass')]);
		cell("$folder/cells/xen/$round", 'passed', '', 'xen-page-x86_64' => [500, 'it breaks:pass', 'it is known:mended']);
		cell("$folder/cells/absent/$round", 'absent', 'there is no /dev/kvm');
		cell("$folder/cells/broken/$round", 'broken', 'it died');
	}
}
