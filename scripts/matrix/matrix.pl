#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# The matrix of matrix.cfg: runs it, reports it, and hands it on to the engines that others have
#
#	matrix.pl run [--cells GLOB]... [-j N] [--out DIR] [--repeat N] [-l]	is run_tests.sh --matrix
#	matrix.pl report [--out DIR] [--run ID] [--against ID]			is make report
#	matrix.pl merge --out DIR FOLDER...	one report of what several have left by --out
#	matrix.pl lava-jobs [--out DIR] [--url URL] [NAME]...			is make lava-jobs (docs/lab.md)
#	matrix.pl ci-files [--check]		is make ci-files; with --check, status 1 if a file is not up to date
#
# Status: 0 nothing failed; 1 something did, or could not be run to its end; 2 the call or matrix.cfg is wrong.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Spec;
use Getopt::Long qw(GetOptionsFromArray :config no_ignore_case bundling no_auto_abbrev);

my $top;

BEGIN {
	$top = dirname(dirname(dirname(abs_path($0))));
	unshift @INC, "$top/scripts/matrix";
}
use IO::Handle;
use Matrix::Ci;
use Matrix::Config;
use Matrix::Lava;
use Matrix::Merge;
use Matrix::Report;
use Matrix::Run;

my $name = ($ARGV[0] // '') eq 'run' ? 'run_tests.sh' : 'matrix.pl';
my %options = (out => "$top/build/matrix", cells => [], repeat => 1);

sub fail {
	print STDERR map { "$name: $_\n" } split(/\n/, join('', @_));
	exit 2;
}

sub number {
	my ($name, $value, $highest) = @_;
	fail("$name takes a number from 1 to $highest, not '$value'") if $value !~ /^[1-9]\d*$/ || $value > $highest;
	return $value;
}

sub take_options {
	my ($action, @specifications) = @_;
	my ($about, $see) = $action eq 'run' ? ('--matrix: ', '; see --help') : ("$action: ", '');
	local $SIG{__WARN__} = sub { fail($about . lcfirst($_[0] =~ s/\n//r) . $see) };
	GetOptionsFromArray(\@ARGV, \%options, @specifications) or exit 2;
	fail("--matrix takes only --cells, -j, --out, --repeat and -l, not '$ARGV[0]'") if @ARGV && $action !~ /^(?:merge|lava-jobs)$/;
	$options{out} = File::Spec->rel2abs($options{out});
	return;
}

sub list {
	printf "%-36s %s\n", $_->{name}, join(' ', Matrix::Run::options_of($_)) for @_;
	return;
}

# The guests and tools are made once, for all cells.
sub prepare {
	my @cells = @_;
	my @tools = ('build', 'run', 'junit', (grep { $_->{axes}{host} =~ /^bochs/ } @cells) ? 'bochs' : ());
	push @tools, 'kernel' if grep { $_->{axes}{kernel} =~ /^patched/ } @cells;
	system("$top/scripts/tools.sh", 'install', @tools) == 0 or exit 1;
	-e "$top/build/config.mk" or system("$top/configure") == 0 or exit 1;
	chomp(my $cpus = `nproc`);
	system('flock', "$top/build", 'make', '-s', '-C', $top, '-j', $cpus, 'all') == 0
		or fail('the build failed (above); no cell was run');
	return;
}

sub run_matrix {
	take_options('run', 'cells=s@', 'jobs|j=s', 'out=s', 'repeat=s', 'list|l');
	chomp($options{jobs} //= `nproc`);
	number('-j', $options{jobs}, 9999);
	number('--repeat', $options{repeat}, 9999);
	my $config = eval { Matrix::Config->new("$top/matrix.cfg") } // fail($@);
	my @cells = eval { $config->select(map { split(' ', $_) } @{ $options{cells} }) };
	fail($@) if $@;
	return list(@cells) if $options{list};
	my $run = eval { Matrix::Run->new(top => $top, %options, cells => \@cells, limit => $config->{limit}) } // fail($@);
	prepare(@cells);
	my @tasks = eval { $run->run };
	fail($@) if $@;
	my $report = eval { Matrix::Report::write_all($top, $options{out}, $run->{run}{id}) };
	print STDERR "run_tests.sh: no report: $@" if $@;
	exit(Matrix::Report::conclude($report, @tasks) ? 0 : 1);
}

sub report {
	take_options('report', 'out=s', 'run=s', 'against=s');
	my $report = eval { Matrix::Report::write_all($top, $options{out}, $options{run}, $options{against}) };
	fail($@) if $@;
	print "$report\n";
	return;
}

sub merge {
	take_options('merge', 'out=s');
	my $report = eval {
		my $id = Matrix::Merge::merge($options{out}, map { File::Spec->rel2abs($_) } @ARGV);
		Matrix::Report::write_all($top, $options{out}, $id);
	};
	fail($@) if $@;
	print "$report\n";
	return;
}

sub ci_files {
	take_options('ci-files', 'check');
	my @stale = eval { Matrix::Ci::files($top, Matrix::Config->new("$top/matrix.cfg"), $options{check}) };
	fail($@) if $@;
	print map { $options{check} ? "$_ is not what matrix.cfg says; run: make ci-files\n" : "$_ is written\n" } @stale;
	exit 1 if @stale && $options{check};
	return;
}

sub lava_jobs {
	$options{out} = "$top/build/lab";
	take_options('lava-jobs', 'out=s', 'url=s');
	my $config = eval { Matrix::Config->new("$top/matrix.cfg") } // fail($@);
	prepare();
	print map { "$_\n" } eval { Matrix::Lava::write_jobs(bless({ top => $top }, 'Matrix::Run'), $config, $options{out},
		$options{url}, @ARGV) };
	fail($@) if $@;
	return;
}

my %actions = (run => \&run_matrix, report => \&report, merge => \&merge, 'ci-files' => \&ci_files, 'lava-jobs' => \&lava_jobs);
my $action = $actions{ shift(@ARGV) // '' } or fail('usage: matrix.pl ' . join('|', sort keys %actions));
$action->();
exit 0;
