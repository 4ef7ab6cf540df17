# SPDX-License-Identifier: BSD-2-Clause
#
# A real browser without a display: Chromium, over the W3C's WebDriver protocol
package Browser;

use strict;
use warnings;
use File::Temp;
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64;
use Time::HiRes qw(sleep);

# The keys of the WebDriver specification, 17.4.2 (keyboard actions).
our %keys = (Escape => "\x{e00c}", Left => "\x{e012}", Up => "\x{e013}", Right => "\x{e014}", Down => "\x{e015}",
	Enter => "\x{e007}", Tab => "\x{e004}", Home => "\x{e011}");
my $json = JSON::PP->new->utf8;
my $limit = 60; # seconds, for anything

sub free_port {
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "no port is free: $!\n";
	return $socket->sockport;
}

sub new {
	my ($class) = @_;
	my $self = bless { http => HTTP::Tiny->new(timeout => $limit), port => free_port(), home => File::Temp->newdir }, $class;

	$self->{pid} = fork // die "cannot start another process: $!\n";
	if (!$self->{pid}) {
		$ENV{HOME} = "$self->{home}";
		open(STDOUT, '>', "$self->{home}/log");
		open(STDERR, '>&', \*STDOUT);
		exec('setpriv', '--pdeathsig', 'TERM', 'chromedriver', "--port=$self->{port}") or exit 127;
	}
	my $up = 0;
	for (1 .. $limit * 10) {
		last if $up = $self->{http}->get("http://127.0.0.1:$self->{port}/status")->{success};
		sleep 0.1;
	}
	die "chromedriver does not come up within $limit s\n" if !$up;
	my $said = $self->call('POST', '/session', { capabilities => { alwaysMatch => { browserName => 'chrome',
		'goog:chromeOptions' => { args => ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
			'--disable-extensions', '--no-first-run', '--window-size=1280,900'] } } } });
	$self->{session} = "/session/$said->{sessionId}";
	return $self;
}

sub call {
	my ($self, $method, $path, $body) = @_;
	my $response = $self->{http}->request($method, "http://127.0.0.1:$self->{port}$path",
		{ headers => { 'Content-Type' => 'application/json' }, $body ? (content => $json->encode($body)) : () });
	my $said = eval { $json->decode($response->{content}) } // {};
	die "$method $path: " . ($said->{value}{message} // $response->{content}) . "\n" if !$response->{success};
	return $said->{value};
}

sub open_page {
	my ($self, $path) = @_;
	$self->call('POST', "$self->{session}/url", { url => "file://$path" });
	return;
}

# What JavaScript returns.
sub script {
	my ($self, $text) = @_;
	return $self->call('POST', "$self->{session}/execute/sync", { script => $text, args => [] });
}

sub element {
	my ($self, $selector) = @_;
	return (values %{ $self->call('POST', "$self->{session}/element", { using => 'css selector', value => $selector }) })[0];
}

sub click {
	my ($self, $selector) = @_;
	my $element = $self->element($selector);
	$self->call('POST', "$self->{session}/element/$element/click", {});
	return;
}

# Keys as a keyboard would send them: names of %keys, or characters.
sub press {
	my ($self, @names) = @_;
	my @actions = map {
		my $key = $keys{$_} // $_;
		({ type => 'keyDown', value => $key }, { type => 'keyUp', value => $key });
	} @names;
	$self->call('POST', "$self->{session}/actions", { actions => [{ type => 'key', id => 'keyboard', actions => \@actions }] });
	return;
}

sub picture {
	my ($self, $path) = @_;
	open(my $file, '>:raw', $path) or die "cannot write $path: $!\n";
	print {$file} decode_base64($self->call('GET', "$self->{session}/screenshot"));
	close($file) or die "cannot write $path: $!\n";
	return;
}

sub DESTROY {
	my ($self) = @_;
	local ($?, $@);
	eval { $self->call('DELETE', $self->{session}) } if $self->{session};
	kill('TERM', $self->{pid}) if $self->{pid};
	waitpid($self->{pid}, 0) if $self->{pid};
	return;
}

1;
