# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The machine that L1 runs on: QEMU's command line, while the snapshot is taken and when it is restored.
# Sourced. Both start in the snapshot's folder, and find in their file descriptors
#
#	1 output	the debug console (port 0xe9): what L1's init and its command say
#	3 file		the mailbox (mailbox.h)
#	4 file		L1's kernel log
#	5 socket	QEMU's monitor (restored machine only; else its stdin and stdout, and 1 is a file)
#	6 socket	the machine's state (likewise)
#
# One CPU: with two in two threads, nested SVM in TCG is flaky. A guest may have several all the same.
# No device but what is in use: each costs time whenever QEMU starts. No CMPXCHG16B: QEMU before 8.0
# computes the flags of one from a stale state, which may leave anything in RFLAGS, TF and NT included;
# the allocator of Linux 6.12 uses it, and one boot in three died of that.

# MiB; a restored machine takes only what it writes to. VMABI_L1_MEMORY is for what does not fit in it.
memory=${VMABI_L1_MEMORY:-256}
# A CPU model of QEMU's, with features behind it or without. What it is, SVM has to be there.
cpu_model=${VMABI_QEMU_CPU:-max}

# One word a line. Prints what both have in common.
machine_common() { # QEMU
	printf '%s\n' "$1" -nodefaults -no-user-config -display none -no-reboot \
		-accel tcg,thread=single -cpu "$cpu_model,+svm,+npt,-cx16" \
		-M q35,memory-backend=ram,sata=off,smbus=off,usb=off,vmport=off,hpet=off -m "$memory" \
		-chardev file,id=console,path=/dev/fd/4,append=on -serial chardev:console \
		-device isa-debugcon,iobase=0xe9,chardev=output \
		-device isa-debug-exit,iobase=0xf4,iosize=4 \
		-device ivshmem-plain,memdev=mailbox,master=on,addr=4
}

# The state that is saved says of shared memory only that it is there: it is in its file already.
machine_memory() { # SHARE
	printf '%s\n' -object "memory-backend-file,id=ram,size=${memory}M,mem-path=ram,share=$1" \
		-object "memory-backend-file,id=mailbox,size=32M,mem-path=/dev/fd/3,share=$1"
}

machine_boot() { # QEMU VMLINUX INITRD [WORD-FOR-THE-KERNEL...]
	machine_common "$1"
	machine_memory on
	printf '%s\n' -qmp stdio -chardev file,id=output,path=output \
		-kernel "$2" -initrd "$3" -append "$(kernel_command_line)${4:+ ${*:4}}"
}

machine_restored() { # QEMU
	machine_common "$1"
	machine_memory off
	printf '%s\n' -chardev stdio,id=output,signal=off \
		-chardev socket,id=monitor,fd=5 -mon monitor,mode=control -incoming defer
}

# Nothing here changes what KVM does. Most of it is time: what a restored L1 runs for the first time is
# translated first, so code that need not run had better not.
kernel_command_line() {
	local words=(
		# Nothing on the serial line but what is wrong; where L1 cannot go on, an end at once.
		# The defaults (20 s for a soft lockup, 120 s for a hung task) exceed a test's time
		# limit. A guest that spins is none of this: KVM leaves it on every tick.
		console=ttyS0 8250.nr_uarts=1 quiet loglevel=5 panic=-1 oops=panic
		watchdog_thresh=3 softlockup_panic=1
		sysctl.kernel.hung_task_timeout_secs=6 sysctl.kernel.hung_task_panic=1
		rcupdate.rcu_cpu_stall_timeout=6 sysctl.kernel.panic_on_rcu_stall=1
		# The boot.
		nokaslr tsc=reliable no_timer_check lpj=5000000 random.trust_cpu=on cryptomgr.notests
		raid=noautodetect initcall_blacklist=load_system_certificate_list rodata=off
		# What has no part in a test.
		mitigations=off audit=0 lsm=capability hardened_usercopy=off init_on_alloc=0
		psi=0 cgroup_disable=memory numa_balancing=disable damon_stat.enabled=N cpuidle.off=1
		norandmaps randomize_kstack_offset=off
		# Closing a VM waits for grace periods, of which each would take some ticks.
		rcupdate.rcu_expedited=1
	)
	echo "${words[*]}"
}
