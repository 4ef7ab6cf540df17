# SPDX-License-Identifier: BSD-2-Clause
#
# Runs cells of the matrix, some at a time, and keeps what comes of them (Results.pm says where)
#
# Each is one run of run_tests.sh. A run that was interrupted is gone on with by the same call: cells that came to
# an end are not run again.
package Matrix::Run;

use strict;
use warnings;
use Fcntl qw(:flock);
use File::Path qw(make_path remove_tree);
use IO::Select;
use Matrix::Config;
use Matrix::Progress;
use Matrix::Results qw(:DEFAULT cell_folder count_points open_folder read_json runs_of tests_of_cell write_json);
use POSIX qw(strftime);
use Time::HiRes qw(time sleep);

# OPTIONS: top, out, jobs, repeat, cells (of Config.pm), limit (minutes)
sub new {
	my ($class, %options) = @_;
	my $self = bless {%options}, $class;

	open_folder($self->{out}, 1);
	open($self->{lock}, '>', "$self->{out}/.lock") or die "cannot write to $self->{out} (--out): $!\n";
	flock($self->{lock}, LOCK_EX | LOCK_NB) or die "another matrix is at work in $self->{out}\n";
	return $self;
}

sub ask {
	my ($self, @words) = @_;
	open(my $pipe, '-|', "$self->{top}/scripts/matrix/cell.sh", @words) or die "cannot run cell.sh: $!\n";
	my @lines = <$pipe>;
	close($pipe) or die "cell.sh @words failed\n";
	chomp @lines;
	return @lines;
}

# How many tests each cell has.
sub plan {
	my ($self) = @_;
	my @tests = map { [split(/\t/, $_)] } $self->ask('tests');

	for my $cell (@{ $self->{cells} }) {
		$cell->{planned} = grep { is_meant($cell, @$_) } @tests;
		die "cell $cell->{name}: none of its tests is in unittests.cfg\n" if !$cell->{planned};
	}
	$self->{groups} = { map { $_->[0] => $_->[1] } @tests };
	return;
}

sub is_meant {
	my ($cell, $name, $groups, $section) = @_;
	my @groups = @{ $cell->{groups} };
	my @patterns = @{ $cell->{patterns} };
	my $in_groups = !@groups || grep { my $group = $_; grep { $_ eq $group } split(' ', $groups) } @groups;
	my $named = !@patterns
		|| grep { Matrix::Config::glob_matches($_, $name) || Matrix::Config::glob_matches($_, $section) } @patterns;
	return $in_groups && $named;
}

# The newest run, if it is one of the same cells of the same vmabi, and did not come to its end; else a new one.
sub begin {
	my ($self) = @_;
	my ($version) = $self->ask('version');
	my @names = map { $_->{name} } @{ $self->{cells} };
	my ($run) = reverse runs_of($self->{out});

	if ($run && !$run->{finished} && $run->{version} eq $version && $run->{repeat} == $self->{repeat}
		&& "@{ $run->{cells} }" eq "@names") {
		$run->{resumed} = 1;
	} else {
		my $id = strftime('%Y%m%dT%H%M%S', gmtime);
		$id .= 'a' while -e "$self->{out}/runs/$id";
		$run = { id => $id, version => $version, repeat => $self->{repeat}, cells => \@names, started => time,
			groups => $self->{groups}, folder => "$self->{out}/runs/$id" };
		$run->{axes} = { map { $_->{name} => $_->{axes} } @{ $self->{cells} } };
		$run->{options} = { map { $_->{name} => [options_of($_)] } @{ $self->{cells} } };
		make_path("$run->{folder}/cells");
		$self->{run} = $run;
		$self->save_run;
	}
	return $self->{run} = $run;
}

sub save_run {
	my ($self) = @_;
	my %run = %{ $self->{run} };
	delete @run{qw(folder resumed)};
	write_json("$self->{run}{folder}/run.json", \%run);
	return;
}

sub options_of {
	my ($cell) = @_;
	return (@{ $cell->{options} }, (map { ('-g', $_) } @{ $cell->{groups} }), @{ $cell->{patterns} });
}

# All rounds of a cell, before the next cell: what it has made ready is still there. Those that are done stay so; a
# cell that could not be run to its end is tried again.
sub tasks {
	my ($self) = @_;
	my @tasks;
	for my $cell (@{ $self->{cells} }) {
		for my $round (1 .. $self->{repeat}) {
			my $folder = cell_folder($self->{run}, $cell->{name}, $round);
			my $result = read_json("$folder/cell.json");
			push @tasks, { cell => $cell, round => $round, folder => $folder, done => 0, partial => '',
				result => $result && $result->{state} ne 'broken' ? $result : undef };
		}
	}
	return @tasks;
}

# Whether it can run at all is asked first. Returns whether it was started.
sub start {
	my ($self, $task) = @_;
	my $cell = $task->{cell};
	my $folder = $task->{folder};

	$task->{started} = time;
	my ($why) = $self->ask('why', $cell->{axes}{host}, $cell->{told}{cpu}, $cell->{axes}{guest});
	if (defined $why) {
		$self->finish($task, 'absent', $why);
		return 0;
	}
	remove_tree($folder);
	make_path("$folder/tap", "$folder/logs", { error => \my $errors });
	if (@$errors || !open($task->{log}, '>', "$folder/log")) {
		my ($cause) = @$errors ? values %{ $errors->[0] } : "$!";
		$self->finish($task, 'broken', "cannot write to $folder: $cause");
		return 0;
	}
	$self->spawn($task);
	return 1;
}

sub spawn {
	my ($self, $task) = @_;
	my $folder = $task->{folder};
	my @command = ('setpriv', '--pdeathsig', 'TERM', "$self->{top}/run_tests.sh", '-j', $self->{jobs_each},
		'--tap-dir', "$folder/tap", '--junit', "$folder/junit.xml", options_of($task->{cell}));

	pipe($task->{pipe}, my $end) or die "cannot make a pipe: $!\n";
	my $pid = fork // die "cannot start another process: $!\n";
	if (!$pid) {
		POSIX::setpgid(0, 0);
		$ENV{VMABI_LOGS} = "$folder/logs";
		open(STDIN, '<', '/dev/null');
		POSIX::dup2(fileno($end), $_) for 1, 2;
		exec(@command) or POSIX::_exit(127);
	}
	close($end);
	$task->{pid} = $pid;
	return;
}

# What run_tests.sh says is kept, and tells how far it is. Returns false at its end.
sub take_output {
	my ($self, $task) = @_;
	my $size = sysread($task->{pipe}, my $bytes, 65536);

	return 0 if !$size;
	if (!(print { $task->{log} } $bytes) || !$task->{log}->flush) {
		$task->{unkept} //= "$!";
	}
	$task->{partial} .= $bytes;
	while ($task->{partial} =~ s/^(.*)\n//) {
		my $line = $1;
		$task->{done}++ if $line =~ /^(?:\[[\d:]+\] )?\S+ \.+ (?:ok|skipped|Failed|Dubious|No subtests)/;
		$task->{last} = $line if $line =~ /\S/ && $line !~ /^\S+ \.+ /;
	}
	return 1;
}

# What a cell came to, once run_tests.sh has ended.
sub judge {
	my ($self, $task) = @_;
	close($task->{pipe});
	close($task->{log}) or $task->{unkept} //= "$!";
	waitpid($task->{pid}, 0);
	my $status = $?;
	delete $task->{pid};
	my $tests = tests_of_cell($task->{folder});
	my $count = count_points($tests);
	my $said = ($task->{last} // 'it said nothing') =~ s/^run_tests\.sh: //r;

	return $self->finish($task, 'broken', "the results cannot be kept: $task->{unkept}") if $task->{unkept};
	return $self->finish($task, 'broken', "given up after $self->{limit} minutes, at test $task->{done} of"
		. " $task->{cell}{planned}") if $task->{given_up};
	return $self->finish($task, 'broken', sprintf('run_tests.sh was killed by signal %d after %d of %d tests',
		$status & 127 || ($status >> 8) - 128, $task->{done}, $task->{cell}{planned}))
		if $status & 127 || $status >> 8 > 128;
	return $self->finish($task, 'broken', $said) if $status >> 8 > 1 || !%$tests;
	return $self->finish($task, 'failed', "$count->{fail} failed", $count) if $count->{fail} || $status;
	return $self->finish($task, 'absent', 'none of its tests could run here', $count)
		if !$count->{pass} && !$count->{mended} && !$count->{known};
	return $self->finish($task, 'passed', '', $count);
}

sub finish {
	my ($self, $task, $state, $why, $count) = @_;
	my $cell = $task->{cell};
	my $result = { state => $state, why => $why, count => $count // {}, seconds => time - $task->{started} };

	if ($state =~ /passed|failed/) {
		my $kernel = $cell->{told}{kernel} . $cell->{told}{guest};

		# As scripts/hosts.sh calls it.
		$kernel .= '+qemu' if $cell->{axes}{host} eq 'nested' && $cell->{axes}{vmm} eq 'qemu';
		$result->{versions} = { map { split(/\t/, $_, 2) }
			$self->ask('versions', $cell->{axes}{host}, $kernel, $cell->{told}{cpu}) };
	}
	eval {
		make_path($task->{folder});
		write_json("$task->{folder}/cell.json", $result);
		1;
	} or do {
		chomp(my $cause = $@);
		@$result{qw(state why)} = ('broken', "the results cannot be kept: " . $cause =~ s/ at \S+ line \d+.*//r);
	};
	$task->{result} = $result;
	$self->{progress}->ended($task);
	return;
}

sub end_all {
	my ($self) = @_;
	my @running = grep { $_->{pid} } @{ $self->{tasks} };
	kill('TERM', map { $_->{pid} } @running) if @running;
	for (1 .. 150) {
		@running = grep { waitpid($_->{pid}, POSIX::WNOHANG) == 0 } @running;
		last if !@running;
		sleep 0.1;
	}
	kill('KILL', map { -$_->{pid} } @running) if @running;
	return;
}

sub interrupted {
	my ($self, $signal) = @_;
	$SIG{$_} = 'IGNORE' for qw(INT TERM HUP);
	$self->{progress}->clear;
	$self->end_all;
	my $done = grep { $_->{result} } @{ $self->{tasks} };
	printf STDERR "run_tests.sh: interrupted by SIG%s; %d of %d cells are done, and the same command goes on\n", $signal,
		$done, scalar(@{ $self->{tasks} });
	exit({ INT => 130, TERM => 143, HUP => 129 }->{$signal});
}

sub give_up_late_ones {
	my ($self) = @_;
	for my $task (grep { $_->{pid} && !$_->{given_up} } @{ $self->{tasks} }) {
		next if time - $task->{started} < $self->{limit} * 60;
		$task->{given_up} = 1;
		kill('TERM', $task->{pid});
	}
	return;
}

# Runs what is left; returns the results.
sub run {
	my ($self) = @_;
	my $select = IO::Select->new;
	my %by_pipe;

	$self->plan;
	$self->begin;
	$self->{tasks} = [$self->tasks];
	my @left = grep { !$_->{result} } @{ $self->{tasks} };
	my $at_once = @left < $self->{jobs} ? @left : $self->{jobs};
	$self->{jobs_each} = $at_once ? int($self->{jobs} / $at_once) : 1;
	$self->{progress} = Matrix::Progress->new($self->{tasks}, $at_once, [runs_of($self->{out})], $self->{run});
	for my $signal (qw(INT TERM HUP)) {
		$SIG{$signal} = sub { $self->interrupted($signal) };
	}
	while (@left || $select->count) {
		while (@left && $select->count < $at_once) {
			my $task = shift @left;
			next if !$self->start($task);
			$select->add($task->{pipe});
			$by_pipe{ $task->{pipe} } = $task;
		}
		for my $pipe ($select->can_read(1)) {
			next if $self->take_output($by_pipe{$pipe});
			$select->remove($pipe);
			$self->judge(delete $by_pipe{$pipe});
		}
		$self->give_up_late_ones;
		$self->{progress}->show;
	}
	$self->{run}{finished} = time;
	$self->save_run if !grep { $_->{result}{state} eq 'broken' && $_->{result}{why} =~ /cannot be kept/ } @{ $self->{tasks} };
	return @{ $self->{tasks} };
}

1;
