# SPDX-License-Identifier: BSD-2-Clause
#
# matrix.cfg, whose head explains it: reads it, and makes the cells of it
#
# A cell is a hash: name, axes (AXIS => VALUE), options (of run_tests.sh), groups and patterns (of tests), told
# (AXIS => ARGUMENT).
package Matrix::Config;

use strict;
use warnings;

our @axes = qw(host cpu kernel vmm guest);

my %keys = (
	matrix => { silent => 1, limit => 1 },
	rule => { for => 1, only => 1, never => 1, why => 1 },
	tests => { for => 1, groups => 1, tests => 1 },
	set => { cells => 1 },
	lab => { cell => 1, kernel => 1, groups => 1, tests => 1, tags => 1, device => 1 },
);

# Everything that is wrong is said, one line each, before this dies.
sub new {
	my ($class, $path) = @_;
	my $self = bless { path => $path, sections => [], errors => [] }, $class;

	$self->read_file;
	$self->take_axes;
	$self->take_rules if !@{ $self->{errors} };
	$self->make_cells if !@{ $self->{errors} };
	$self->take_sets if !@{ $self->{errors} };
	die join('', map { "$_\n" } @{ $self->{errors} }) if @{ $self->{errors} };
	return $self;
}

sub complain {
	my ($self, $line, $text) = @_;
	push @{ $self->{errors} }, ($self->{path} =~ s{.*/}{}r) . ":$line: $text";
	return;
}

sub read_file {
	my ($self) = @_;
	my ($section, %seen);

	open(my $file, '<', $self->{path}) or die "cannot read $self->{path}: $!\n";
	while (defined(my $text = <$file>)) {
		$text =~ s/^\s+|\s+$//g;
		next if $text =~ /^(?:[#;]|$)/;
		if ($text =~ /^\[(\S+)(?: (\S+))?\]$/) {
			$section = { kind => $1, name => $2 // '', line => $., values => {}, order => [] };
			$self->complain($., "section $text is here twice") if $seen{$text}++;
			$self->complain($., "unknown section $text (there are: [axis AXIS] ["
				. join('] [', map { $_ eq 'matrix' ? $_ : "$_ NAME" } sort keys %keys) . '])')
				if ($1 ne 'axis' && !$keys{$1}) || ($1 eq 'matrix') == defined $2;
			push @{ $self->{sections} }, $section;
		} elsif ($section && $text =~ /^([^=\s]+)\s*=\s*(.*)$/) {
			$self->take_key($section, $1, $2);
		} else {
			$self->complain($., "neither a section, nor KEY = VALUE in one, nor a comment: $text");
		}
	}
	return;
}

sub take_key {
	my ($self, $section, $key, $value) = @_;
	my $kind = $section->{kind};

	if ($kind ne 'axis' && $keys{$kind} && !$keys{$kind}{$key}) {
		$self->complain($., "unknown key '$key' (there are: " . join(' ', sort keys %{ $keys{$kind} }) . ')');
	} elsif ($value eq '') {
		$self->complain($., "key '$key' has no value");
	} elsif ($kind eq 'axis' && $key !~ /^[A-Za-z0-9][A-Za-z0-9.-]*$/) {
		$self->complain($., "a value is made of letters, digits, '.' and '-', not '$key'");
	} elsif (exists $section->{values}{$key} && "$kind $key" ne 'set cells') {
		$self->complain($., "'$key' is in this section twice");
	} else {
		push @{ $section->{order} }, $key if !exists $section->{values}{$key};
		$section->{values}{$key} = join(' ', grep { defined } $section->{values}{$key}, $value);
	}
	return;
}

sub sections {
	my ($self, $kind) = @_;
	return grep { $_->{kind} eq $kind } @{ $self->{sections} };
}

sub take_axes {
	my ($self) = @_;
	my ($matrix) = $self->sections('matrix');

	for my $section ($self->sections('axis')) {
		my $name = $section->{name};
		$self->complain($section->{line}, "unknown axis '$name' (there are: @axes)")
			if !grep { $_ eq $name } @axes;
		$self->{axis}{$name} = $section;
	}
	for my $name (@axes) {
		$self->complain(1, "there is no section [axis $name]") if !$self->{axis}{$name};
	}
	$self->{silent} = { map { $_ => 1 } split(' ', $matrix->{values}{silent} // '-') };
	$self->{limit} = $matrix->{values}{limit} // 60;
	$self->complain($matrix->{line}, "limit takes a number of minutes from 1, not '$self->{limit}'")
		if $self->{limit} !~ /^[1-9]\d{0,4}$/;
	return;
}

sub glob_matches {
	my ($glob, $text) = @_;
	my $pattern = join('', map { $_ eq '*' ? '.*' : $_ eq '?' ? '.' : quotemeta } split(//, $glob));
	return $text =~ /^$pattern$/;
}

sub values_of {
	my ($self, $axis) = @_;
	return ($axis eq 'host' ? () : '-', @{ $self->{axis}{$axis}{order} });
}

# Words AXIS:VALUE,VALUE... as pairs of the axis and a hash of its values that are meant.
sub conditions {
	my ($self, $section, $key) = @_;
	my @conditions;

	for my $word (split(' ', $section->{values}{$key} // '')) {
		my ($axis, $globs) = split(/:/, $word, 2);
		my %meant;
		if (!$self->{axis}{$axis}) {
			$self->complain($section->{line}, "[$section->{kind} $section->{name}] $key: unknown axis '$axis'"
				. " (there are: @axes)");
			next;
		}
		for my $glob (split(/,/, $globs // '', -1)) {
			my @values = grep { glob_matches($glob, $_) } $self->values_of($axis);
			$self->complain($section->{line}, "[$section->{kind} $section->{name}] $key: unknown value '$glob' of"
				. " the axis $axis (there are: " . join(' ', $self->values_of($axis)) . ')') if !@values;
			$meant{$_} = 1 for @values;
		}
		$self->complain($section->{line}, "[$section->{kind} $section->{name}] $key: '$word' is not AXIS:VALUE,VALUE...")
			if !defined $globs || $globs eq '';
		push @conditions, [$axis, \%meant];
	}
	return \@conditions;
}

sub holds {
	my ($conditions, $values) = @_;
	for my $condition (@$conditions) {
		my ($axis, $meant) = @$condition;
		return 0 if !$meant->{ $values->{$axis} };
	}
	return 1;
}

sub take_rules {
	my ($self) = @_;
	for my $section ($self->sections('rule'), $self->sections('tests')) {
		$section->{$_} = $self->conditions($section, $_) for qw(for only never);
		$self->complain($section->{line}, "[rule $section->{name}] has neither 'only' nor 'never'")
			if $section->{kind} eq 'rule' && !@{ $section->{only} } && !@{ $section->{never} };
	}
	return;
}

sub leaves_out {
	my ($rule, $values) = @_;
	return holds($rule->{for}, $values)
		&& ((@{ $rule->{only} } && !holds($rule->{only}, $values))
			|| (@{ $rule->{never} } && holds($rule->{never}, $values)));
}

sub combinations {
	my ($self) = @_;
	my @combinations = ({});
	for my $axis (@axes) {
		@combinations = map {
			my $one = $_;
			map { { %$one, $axis => $_ } } $self->values_of($axis)
		} @combinations;
	}
	return @combinations;
}

sub make_cells {
	my ($self) = @_;
	my (%left_out, %names, @cells, @same);
	my @rules = $self->sections('rule');

	for my $values ($self->combinations) {
		my @by = grep { leaves_out($_, $values) } @rules;
		$left_out{ $_->{name} }++ for @by;
		next if @by;
		my $cell = $self->cell($values);
		push @same, [$names{ $cell->{name} }, $cell] if $names{ $cell->{name} };
		$names{ $cell->{name} } //= $cell;
		push @cells, $cell;
	}
	for my $rule (@rules) {
		$self->complain($rule->{line}, "[rule $rule->{name}] matches nothing: it leaves no cell out")
			if !$left_out{ $rule->{name} };
	}
	$self->complain(1, 'the rules leave no cell') if !@cells;
	$self->complain_of_names(@same) if @same;
	$self->{cells} = \@cells;
	return;
}

# One value that is silent by mistake gives many pairs: the first stands for all.
sub complain_of_names {
	my ($self, $pair, @others) = @_;
	my ($one, $other) = @$pair;
	my ($matrix) = $self->sections('matrix');

	$self->complain($matrix->{values}{silent} ? $matrix->{line} : 1, "two cells have the name $one->{name}: "
		. describe($one) . ', and ' . describe($other) . (@others ? ' (and ' . @others . ' pairs more)' : '')
		. "; take the value out of 'silent'");
	return;
}

sub describe {
	my ($cell) = @_;
	return join(' ', map { "$_:$cell->{axes}{$_}" } @axes);
}

sub argument {
	my ($self, $axis, $value) = @_;
	my $argument = $value eq '-' ? '-' : $self->{axis}{$axis}{values}{$value};
	return $argument eq '-' ? '' : $argument;
}

sub cell {
	my ($self, $values) = @_;
	my %told = map { $_ => $self->argument($_, $values->{$_}) } @axes;
	my ($tests) = grep { holds($_->{for}, $values) } $self->sections('tests');
	my @options = ('--on', $told{host});

	push @options, '--kernel', $told{kernel} . $told{guest} if $told{kernel} ne '';
	push @options, '--cpu', $told{cpu} if $told{cpu} ne '';
	push @options, '--vmm', $told{vmm} if $told{vmm} ne '';
	return {
		name => join('_', $values->{host}, grep { !$self->{silent}{$_} } map { $values->{$_} } @axes[1 .. $#axes]),
		axes => $values,
		told => \%told,
		options => \@options,
		groups => [split(' ', $tests ? $tests->{values}{groups} // '' : '')],
		patterns => [split(' ', $tests ? $tests->{values}{tests} // '' : '')],
	};
}

sub take_sets {
	my ($self) = @_;
	for my $section ($self->sections('set')) {
		my @globs = split(' ', $section->{values}{cells} // '');
		for my $glob (@globs) {
			$self->complain($section->{line}, "[set $section->{name}]: there is no cell '$glob'"
				. ' (./run_tests.sh --matrix -l --cells "*" lists them)') if !$self->matching($glob);
		}
		$self->{set}{ $section->{name} } = \@globs;
	}
	$self->complain(1, 'there is no section [set default]') if !$self->{set}{default};
	$self->take_lab($_) for $self->sections('lab');
	return;
}

sub take_lab {
	my ($self, $section) = @_;
	my $values = $section->{values};
	my ($cell) = $self->matching($values->{cell} // '');
	my @kernels = @{ $self->{axis}{kernel}{order} };

	$self->complain($section->{line}, "[lab $section->{name}]: there is no cell '" . ($values->{cell} // '')
		. "' of the host local") if !$cell || $cell->{axes}{host} ne 'local';
	$self->complain($section->{line}, "[lab $section->{name}]: unknown kernel '" . ($values->{kernel} // '')
		. "' (there are: @kernels)") if !grep { $_ eq ($values->{kernel} // '') } @kernels;
	$section->{tests} = { groups => [split(' ', $values->{groups} // '')], patterns => [split(' ', $values->{tests} // '')] }
		if $values->{groups} || $values->{tests};
	return;
}

sub matching {
	my ($self, @globs) = @_;
	return grep { my $cell = $_; grep { glob_matches($_, $cell->{name}) } @globs } @{ $self->{cells} };
}

# The cells that are meant by globs and @SET, in the file's order.
sub select {
	my ($self, @words) = @_;
	my @globs;

	for my $word (@words ? @words : '@default') {
		if ($word =~ /^@(.*)/) {
			die "matrix.cfg has no [set $1] (there are: " . join(' ', sort keys %{ $self->{set} }) . ")\n"
				if !$self->{set}{$1};
			push @globs, @{ $self->{set}{$1} };
		} else {
			die "there is no cell '$word'; ./run_tests.sh --matrix -l --cells '*' lists them\n"
				if !$self->matching($word);
			push @globs, $word;
		}
	}
	return $self->matching(@globs);
}

1;
