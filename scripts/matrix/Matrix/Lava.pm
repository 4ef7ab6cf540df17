# SPDX-License-Identifier: BSD-2-Clause
#
# Jobs for a lab that LAVA runs, one for each section [lab ...] of matrix.cfg, and what their machines boot (docs/lab.md)
package Matrix::Lava;

use strict;
use warnings;
use File::Path qw(make_path);
use Matrix::Results qw(write_text);
use Matrix::Run;

# As on the nested host: nothing here changes what KVM does.
my $command_line = 'console=ttyS0,115200 panic=-1 oops=panic mitigations=off';
my $emulated = 'nokaslr tsc=reliable no_timer_check lpj=5000000 random.trust_cpu=on cryptomgr.notests';

# Each point is a test case of LAVA's. It has no word for a known bug: that is neither passed nor failed.
sub test_action {
	my ($job) = @_;
	return <<"END";
- test:
    timeout:
      minutes: $job->{limit}
    monitors:
    - name: vmabi
      start: "vmabi: begin"
      end: "vmabi: end"
      pattern: 'vmabi-point (?P<result>pass|fail|skip|known) (?P<test_case_id>[-_.a-zA-Z0-9]+)[\\r\\n]'
      fixupdict:
        pass: pass
        fail: fail
        skip: skip
        known: unknown
END
}

sub emulated_actions {
	my ($job) = @_;
	return <<"END";
- deploy:
    timeout:
      minutes: 10
    to: tmpfs
    images:
      kernel:
        image_arg: -kernel {kernel} -append "$command_line $emulated"
        url: $job->{url}/kernel
      initramfs:
        image_arg: -initrd {initramfs}
        url: $job->{url}/initramfs
- boot:
    timeout:
      minutes: 10
    method: qemu
    media: tmpfs
    prompts: ["vmabi: ready"]
END
}

# LAVA is to leave the initramfs as it is: it has no shell that would wait for one of LAVA's.
sub machine_actions {
	my ($job) = @_;
	return <<"END";
- deploy:
    timeout:
      minutes: 10
    to: tftp
    kernel:
      url: $job->{url}/kernel
      type: zimage
    ramdisk:
      url: $job->{url}/initramfs
      compression: gz
      install_modules: false
      install_overlay: false
- boot:
    timeout:
      minutes: 15
    method: ipxe
    commands: ramdisk
    parameters:
      extra_kernel_args: $command_line
    prompts: ["vmabi: ready"]
END
}

sub definition {
	my ($job) = @_;
	my $tags = join(', ', @{ $job->{tags} });
	my $device = $job->{device};
	my $text = <<"END";
# Made from [lab $job->{name}] of matrix.cfg by make lava-jobs.
job_name: vmabi $job->{name} ($job->{cell}, kernel $job->{kernel})
device_type: $device
visibility: public
priority: medium
timeouts:
  job:
    minutes: @{[ $job->{limit} + 40 ]}
  action:
    minutes: 10
  connection:
    minutes: 5
END
	$text .= "tags: [$tags]\n" if $tags ne '';
	$text .= "context:\n  arch: amd64\n" if $device eq 'qemu';
	$text .= "metadata:\n  vmabi: \"$job->{version}\"\n  cell: $job->{cell}\n  kernel: $job->{kernel}\nactions:\n";
	return $text . ($device eq 'qemu' ? emulated_actions($job) : machine_actions($job)) . test_action($job);
}

# Writes OUT/jobs/NAME.yaml and OUT/NAME/{kernel,initramfs}; URL is where LAVA finds OUT. Returns the jobs' paths.
sub write_jobs {
	my ($run, $config, $out, $url, @names) = @_;
	my @tests = map { [split(/\t/, $_)] } $run->ask('tests');
	my ($version) = $run->ask('version');
	my @paths;

	make_path("$out/jobs");
	for my $section ($config->sections('lab')) {
		my $values = $section->{values};
		next if @names && !grep { Matrix::Config::glob_matches($_, $section->{name}) } @names;
		my ($cell) = $config->matching($values->{cell});
		my @meant = map { $_->[0] } grep { Matrix::Run::is_meant($section->{tests} // $cell, @$_) } @tests;
		my %job = (name => $section->{name}, cell => $values->{cell}, kernel => $values->{kernel}, version => $version,
			device => $values->{device} // 'x86', tags => [split(' ', $values->{tags} // '')], limit => $config->{limit},
			url => ($url // "file://$out") . "/$section->{name}");
		system("$run->{top}/scripts/matrix/lab/image.sh", $config->argument('kernel', $values->{kernel}), "$out/$job{name}",
			@meant) == 0 or die "there is nothing to boot for [lab $job{name}] (above)\n";
		write_text("$out/jobs/$job{name}.yaml", definition(\%job));
		push @paths, "$out/jobs/$job{name}.yaml";
	}
	die "no section [lab ...] of matrix.cfg is one of: @names\n" if !@paths;
	return @paths;
}

1;
