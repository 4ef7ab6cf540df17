# SPDX-License-Identifier: BSD-2-Clause
#
# How far a matrix is: a line for each cell that has ended, and one below them that says what is going on; where
# nobody looks on (no terminal), that one once a minute.
package Matrix::Progress;

use strict;
use warnings;
use Matrix::Results qw(read_json cell_folder);
use Time::HiRes qw(time);

my %words = (passed => 'passed', failed => 'FAILED', absent => 'cannot run here', broken => 'BROKEN');

# EARLIER: the runs that there are; what a cell took in the last of them it is expected to take again.
sub new {
	my ($class, $tasks, $at_once, $earlier, $run) = @_;
	my $self = bless { tasks => $tasks, at_once => $at_once || 1, started => time, shown => time }, $class;

	for my $task (@$tasks) {
		for my $other (reverse grep { $_->{id} ne $run->{id} } @$earlier) {
			my $result = read_json(cell_folder($other, $task->{cell}{name}, 1) . '/cell.json') or next;
			next if $result->{state} !~ /passed|failed/;
			$task->{expected} = $result->{seconds};
			last;
		}
	}
	$self->{terminal} = -t STDOUT;
	local $| = 1;
	printf "%d cells, %d tests%s\n", scalar(@$tasks), $self->tests_of(@$tasks),
		$run->{resumed} ? sprintf('; going on with the run %s, of which %d cells are done', $run->{id},
			scalar(grep { $_->{result} } @$tasks)) : '';
	return $self;
}

sub tests_of {
	my ($self, @tasks) = @_;
	my $tests = 0;
	$tests += $_->{cell}{planned} for @tasks;
	return $tests;
}

sub clear {
	my ($self) = @_;
	print "\r\e[K" if $self->{terminal};
	STDOUT->flush;
	return;
}

sub duration {
	my ($seconds) = @_;
	return $seconds >= 60 ? sprintf('%d min %02d s', $seconds / 60, $seconds % 60) : sprintf('%.0f s', $seconds);
}

sub ended {
	my ($self, $task) = @_;
	my $result = $task->{result};
	my $count = $result->{count};
	my $text = $words{ $result->{state} };

	$task->{done} = $task->{cell}{planned};
	$text .= sprintf(': %d passed, %d failed, %d known, %d skipped', $count->{pass} + $count->{mended}, $count->{fail},
		$count->{known}, $count->{skip}) if %$count;
	$text .= ": $result->{why}" if $result->{state} =~ /absent|broken/;
	my $round = grep { $_->{cell}{name} eq $task->{cell}{name} } @{ $self->{tasks} };
	my $name = $task->{cell}{name} . ($round > 1 ? " ($task->{round}/$round)" : '');
	$self->clear;
	printf "%-32s %s (%s)\n", $name, $text, duration($result->{seconds});
	STDOUT->flush;
	return;
}

# Seconds: what the cells took earlier, or else as long for each test as those did that have run.
sub left {
	my ($self) = @_;
	my ($seconds, $tests) = (0, 0);
	for my $task (grep { $_->{started} } @{ $self->{tasks} }) {
		$seconds += $task->{result} ? $task->{result}{seconds} : time - $task->{started};
		$tests += $task->{done};
	}
	my $each = $tests ? $seconds / $tests : 1;
	my $left = 0;
	for my $task (grep { !$_->{result} } @{ $self->{tasks} }) {
		my $planned = $task->{cell}{planned};
		my $share = $planned ? 1 - $task->{done} / $planned : 0;
		$left += $share * ($task->{expected} // $each * $planned);
	}
	return $left / $self->{at_once};
}

sub show {
	my ($self) = @_;
	my @tasks = @{ $self->{tasks} };
	my $now = time;

	return if $now - $self->{shown} < ($self->{terminal} ? 0.5 : 60);
	$self->{shown} = $now;
	my $tests = 0;
	$tests += $_->{result} ? $_->{cell}{planned} : $_->{done} for @tasks;
	my @running = map { $_->{cell}{name} } grep { $_->{pid} } @tasks;
	$self->clear;
	printf '%d of %d cells, %d of %d tests, about %s left: %s', scalar(grep { $_->{result} } @tasks), scalar(@tasks),
		$tests, $self->tests_of(@tasks), duration($self->left), substr(join(', ', @running), 0, 60);
	print "\n" if !$self->{terminal};
	STDOUT->flush;
	return;
}

1;
