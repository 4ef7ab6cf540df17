# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The machine that Xen runs on: the nested host's (host/nested/machine.sh), with Xen and its dom0 in place of the
# kernel. Sourced.

# shellcheck source=host/nested/machine.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../nested/machine.sh"

# MiB. Xen itself has 60 of it, and the guest what dom0 leaves.
# shellcheck disable=SC2034 # machine_common uses it
memory=448
dom0_memory=144

# QEMU's multiboot loader hands over dom0's kernel and its initramfs as modules.
machine_boot() { # QEMU XEN VMLINUX INITRD
	machine_common "$1"
	machine_memory on
	printf '%s\n' -qmp stdio -chardev file,id=output,path=output \
		-kernel "$2" -append "$(xen_command_line)" -initrd "$3 $(dom0_command_line),$4"
}

xen_command_line() {
	# shellcheck disable=SC2054 # commas within Xen's own options
	local words=(
		# What it says is part of each result (host/supervise/klog.c). Where it cannot go on, an end at once.
		console=com1 com1=115200,8n1 loglvl=warning guest_loglvl=warning noreboot=0 reboot=t,k nmi=fatal
		# The CPU is one; what dom0 does not take is the guest's.
		dom0_mem="${dom0_memory}M,max:${dom0_memory}M" dom0_max_vcpus=1
		# A vCPU that waits for another one keeps the only CPU no longer than a millisecond; and one that was
		# woken goes first. The default, credit2, takes its time.
		sched=credit sched_credit_tslice_ms=1 sched_ratelimit_us=0
		# Memory that is zero need not be written to: what is written is the snapshot's size.
		bootscrub=0
		# QEMU before 9.1 pops IRET's frame at CPL 3 with the rights of CPL 0 (target/i386/tcg/seg_helper.c,
		# helper_ret_protected), which SMAP forbids: dom0 dies of its first IRET. Guests keep it.
		smap=hvm
		# What has no part in a test.
		spec-ctrl=0 xpti=0 watchdog=0 cpufreq=none
	)
	echo "${words[*]}"
}

# As on the nested host, but for the watchdogs: how long dom0 has to wait for the CPU is Xen's affair, and the guest's.
dom0_command_line() {
	local words=(
		console=hvc0 quiet loglevel=5 panic=-1 oops=panic
		nosoftlockup rcupdate.rcu_cpu_stall_suppress=1
		nokaslr tsc=reliable random.trust_cpu=on cryptomgr.notests raid=noautodetect
		initcall_blacklist=load_system_certificate_list initcall_blacklist=jent_mod_init rodata=off
		mitigations=off audit=0 lsm=capability hardened_usercopy=off init_on_alloc=0
		psi=0 cgroup_disable=memory numa_balancing=disable cpuidle.off=1
		norandmaps randomize_kstack_offset=off rcupdate.rcu_expedited=1
	)
	echo "${words[*]}"
}
