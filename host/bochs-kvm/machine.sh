# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The machine that L1 runs on: Bochs's configuration, while the snapshot is taken and when it is restored.
# Sourced; needs $here. Both start in the snapshot's folder, and find in their file descriptors
#
#	2 file		what Bochs itself has to say
#	3 file		the input of the plugin (plugin/plugin.c): the kernel, or the mailbox
#	4 output	what L1's init and its command say
#	5 file		L1's kernel log
#
# One CPU: a guest may have several all the same.

cpu_model=arrow_lake # of Bochs's Intel models, the one with VMX and with CET in XSS
memory=160           # MiB; a restored machine copies it

# A second of the machine's time is so many instructions. Bochs runs 60 million (an empty loop) to 100 million
# in a real one, so that L1's clock is ahead of ours: time limits in L1 end before those outside.
instructions_per_second=50000000

# Of the PC what the kernel needs, and what Bochs does not leave out. Bochs restores timers by their numbers,
# which are given in the order in which plugins are loaded: so they are all named here, in one order for
# both. The BIOS calls the loader where it looks for the VGA BIOS. MSRs that Bochs does not know read as 0: Linux
# reads IA32_MISC_ENABLE before it can take a #GP (arch/x86/kernel/verify_cpu.S). A panic of the CPU is told and
# passed over: 3.0 panics where a guest with CR0.WP = 0 writes to a read-only page (cpu/paging.cc,
# update_access_dirty_PAE). Errors are left out, since a guest can cause any number of them.
machine_configuration() {
	cat <<-END
		config_interface: textconfig
		display_library: rfb, options="timeout=0"
		plugin_ctrl: unmapped=0, biosdev=0, speaker=0, extfpuirq=0, parallel=0, gameport=0, iodebug=0
		plugin_ctrl: serial=1, usb_uhci=1, l1=1
		cpu: model=$cpu_model, ips=$instructions_per_second, ignore_bad_msrs=1
		memory: guest=$memory, host=$memory
		romimage: file=\$BXSHARE/BIOS-bochs-latest
		vgaromimage: file=loader.rom
		vga: extension=none
		ata0: enabled=0
		ata1: enabled=0
		clock: sync=none
		sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
		com1: enabled=1, mode=file, dev=/dev/fd/5
		log: -
		panic: action=fatal, cpu0=report
		error: action=ignore
		info: action=ignore
		debug: action=ignore
	END
}

# Prints "bochs-VERSION", then the words that start Bochs, one a line. The plugin lies in the folder where it is
# started, Bochs's own ones where the words say, else where Bochs itself says.
machine_words() {
	local said words plugins
	# shellcheck disable=SC2154 # snapshot.sh sets here
	said=$("$here/../bochs/program.sh" "$cpu_model") || return
	mapfile -t words < <(tail -n +2 <<<"$said")
	plugins=$(printf '%s\n' "${words[@]}" | sed -n 's/^LTDL_LIBRARY_PATH=//p')
	: "${plugins:=$(env -u LTDL_LIBRARY_PATH "${words[@]}" --help 2>&1 |
		sed -n "s/.*LTDL_LIBRARY_PATH not set.*'\(.*\)'.*/\1/p")}"
	plugins=LTDL_LIBRARY_PATH=$plugins:.
	printf '%s\n' "${said%%$'\n'*}" env "$plugins" "${words[@]/#LTDL_LIBRARY_PATH=*/"$plugins"}"
}

# The modules, one a line, with their parameters. What is built in has them from the command line. Without apicv:
# Bochs wants the posted interrupt descriptor at a page's begin (cpu/vmx.cc, VMenterLoadCheckVmControls), where
# the SDM demands 64 bytes, and KVM keeps to that.
l1_modules() { # KERNEL-FOLDER
	sed -e '/^ccp\.ko$/d' -e '/^kvm-amd\.ko$/d' -e 's/^kvm-intel\.ko$/& enable_apicv=0/' "$1/modules"
}

# As host/nested/machine.sh has it, where the reasons are, but for what differs here. nopku: Bochs's XRSTORS has
# wrong offsets in the compacted format where it restores a part of what was saved; with PKRU beside it, KVM would
# lose CET's state. tsc_early_khz: CPUID promises 4 GHz.
kernel_command_line() {
	local words=(
		"console=ttyS0,115200" 8250.nr_uarts=1 quiet loglevel=5 panic=-1 oops=panic
		watchdog_thresh=3 softlockup_panic=1
		sysctl.kernel.hung_task_timeout_secs=6 sysctl.kernel.hung_task_panic=1
		rcupdate.rcu_cpu_stall_timeout=6 sysctl.kernel.panic_on_rcu_stall=1
		nopku kvm_intel.enable_apicv=0 tsc_early_khz=$((instructions_per_second / 1000))
		nokaslr tsc=reliable no_timer_check lpj=1000000 random.trust_cpu=on cryptomgr.notests
		raid=noautodetect initcall_blacklist=load_system_certificate_list rodata=off
		mitigations=off audit=0 lsm=capability hardened_usercopy=off init_on_alloc=0
		psi=0 cgroup_disable=memory numa_balancing=disable damon_stat.enabled=N cpuidle.off=1
		norandmaps randomize_kstack_offset=off
		rcupdate.rcu_expedited=1
	)
	echo "${words[*]}"
}
