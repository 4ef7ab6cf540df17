#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# report.pl: the page of a report in a real browser, Chromium: what it shows, by mouse and by keyboard alone
# report.pl --picture PAGE FILE: a picture of a page
#
# The results are made up (fixture.pl); the page is read from a file, and asks the network for nothing.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

my ($here, $top);

BEGIN {
	$here = dirname(abs_path($0));
	$top = dirname(dirname(dirname($here)));
}
use lib $here;
use Browser;

if (@ARGV == 3 && $ARGV[0] eq '--picture') {
	my $browser = Browser->new;
	$browser->open_page(abs_path($ARGV[1]));
	$browser->picture($ARGV[2]);
	exit 0;
}
die "usage: report.pl [--picture PAGE FILE]\n" if @ARGV;

my $out = tempdir(CLEANUP => 1) . '/out';
system("$here/fixture.pl", $out, 3) == 0 or die "fixture.pl failed\n";
system("$top/scripts/matrix/matrix.pl report --out $out >/dev/null") == 0 or die "there is no report\n";
my $browser = Browser->new;

sub asks {
	my ($script) = @_;
	return $browser->script("return $script");
}

sub text_of {
	my ($selector) = @_;
	return asks("document.querySelector(\"$selector\").innerText");
}

sub square {
	my ($test, $cell) = @_;
	return "#matrix td[aria-label^='$test in $cell:']";
}

$browser->open_page("$out/report.html");
is(asks('document.body.dataset.ready'), 'yes', 'the page draws itself without an error');
is(asks("performance.getEntriesByType('resource').length"), 0, 'it loads nothing');
is(asks("document.getElementById('injected')"), undef, 'what a guest said is text, never HTML');
like(text_of('#summary'), qr/2 of 4 cells ran: .* 1 failed, 1 failed sometimes, 1 known/, 'the head counts cells and points');
is(text_of(square('xen-page-x86_64', 'nested')), "\x{2717}", 'a test with a failed point has its sign');
is(text_of(square('async-pf-x86_64', 'nested')), "\x{2248}", 'a test that failed in one of two rounds has another one');
is(text_of(square('xen-page-x86_64', 'xen')), '+', 'a known bug that passes has its sign');
is(text_of(square('xen-page-x86_64', 'absent')), "\x{b7}", 'a cell that cannot run here shows no result');
unlike(text_of('#cells'), qr/absent.*passed/, 'nor does it count as passed');
like(text_of('#compare'), qr/Broke since 20260102T000000 \(2\).*it is flaky.*it breaks.*Mended.*\(1\).*it is mended.*Slower.*0\.5 s\s+9\.0 s/s,
	'against the run before it shows what broke, was mended and became slower');
is(asks("document.querySelectorAll('#plot svg').length"), 3, 'three runs make a plot');
like(text_of('#flakes') . text_of('#cells'), qr/it is flaky\s+1 of 2/, 'a flake is listed with how often it failed');

$browser->click(square('xen-page-x86_64', 'nested'));
like(text_of('#panel'), qr/it breaks.*expected: 0x1/s, 'a click shows the diagnostics, the failed point first');
$browser->press('Right');
like(text_of('#panel'), qr/TAP version 13/, 'then the console');
$browser->press('Right');
like(text_of('#panel'), qr/the kernel's log of xen-page-x86_64/, 'then the log of the kernel');
$browser->press('Right');
like(text_of('#panel'), qr/run_tests\.sh --on nested xen-page-x86_64/, 'then how to run this test alone');
$browser->press('Escape');
ok(asks("document.getElementById('details').hidden"), 'Escape closes it');
is(asks("document.activeElement.getAttribute('aria-label')"), 'xen-page-x86_64 in nested: failed', 'and leads back to where one was');

$browser->press('Up');
like(asks("document.activeElement.getAttribute('aria-label')"), qr/^async-pf-x86_64 in nested/, 'an arrow key moves on the table');
$browser->press('Enter');
ok(!asks("document.getElementById('details').hidden"), 'Enter opens what a click does');
$browser->press('Escape', '/', split(//, 'page'));
like(text_of('#shown'), qr/^1 of 2 tests/, 'the slash leads to the search, which leaves the other tests out');
$browser->script("document.getElementById('text').value = ''");
for my $case (['group', 'asyncpf', '1 of 2 tests, 4 of 4 cells'], ['host', 'xen', '1 of 2 tests, 1 of 4 cells'],
	['status', 'flaky', '1 of 2 tests, 4 of 4 cells']) {
	my ($id, $value, $shown) = @$case;
	my $choose = "const s = document.getElementById('$id'); s.value = '%s'; s.dispatchEvent(new Event('input'));";
	$browser->script(sprintf($choose, $value));
	is(text_of('#shown'), $shown, "the filter by $id leaves the others out");
	$browser->script(sprintf($choose, ''));
}
my $colours = asks("new Set([...document.querySelectorAll('#legend .sign')].map((e) => getComputedStyle(e).backgroundColor)).size");
my $marks = asks("new Set([...document.querySelectorAll('#legend .sign')].map((e) => e.textContent)).size");
is("$colours $marks", '7 7', 'each status has a colour of its own and a sign of its own');
done_testing();
