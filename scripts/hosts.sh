# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The hosts: what each offers a test, and which one a test gets. Sourced; needs $top.
#
# A test declares what it needs in words (requires = xen-hcall hyperv); a need may carry a value
# (xen-hcall=0x40000000: the MSR index of the Xen page), which does not matter for the choice.
#
#	kvm		the hypervisor under the guest is KVM
#	xen		the hypervisor under the guest is Xen
#	xen-hcall	Xen's CPUID leaves, hypercall page and hypercalls: Xen's own; or KVM's, intercepted, and answered by
#			vmrun's table (lib/vmrun/abi.h)
#	xen-shared-info	Xen's shared_info, vcpu_info and time, where the guest places them: by Xen's hypercalls, or vmrun's
#			requests (lib/vmrun/xen.h)
#	xen-runstate	likewise the states of its vCPUs
#	xen-evtchn	likewise event channels, timers and polling
#	hyperv		Hyper-V's CPUID leaves, MSRs and hypercalls
#	hyperv-enforce	what Hyper-V's CPUID leaves do not offer is refused
#	hyperv-synic	its synthetic interrupt controller is active, with vmrun's connections (lib/vmrun/abi.h)
#	hyperv-hide	its CPUID leaves do not show what hyperv-hide=LEAF:REG:BITS[,...] names
#	cet		the CPU has shadow stacks, and may have indirect branch tracking
#	requests	vmrun is the VMM, and does what the guest asks it for (lib/vmrun/vmm.h)
#	gmem		a VM of the default type has guest_memfd
#	gmem-ram	RAM is a guest_memfd that vmrun maps, too
#	private-memory	pages of RAM can be private: a VM of the type KVM_X86_SW_PROTECTED_VM, with memory attributes
#	force-emulation	KVM executes an instruction in its emulator where the guest says so
#	userfaultfd	pages of RAM are made absent where the guest says so (lib/vmrun/vmm.h)
#	swap		the host's kernel swaps pages of RAM out where the guest says so, to where reading takes time
#	snp		the guest is an SEV-SNP guest, on a CPU that has SEV-SNP or on the software SNP platform (docs/snp.md)
#	snp-2m		private memory of the guest comes by pages of 2 MiB where it can (kvm.gmem_2m, docs/snp.md)
#	sev-es		the guest is an SEV-ES guest, on a CPU that has SEV-ES or on that platform
#	kvm-hide	KVM refuses those of its features whose CPUID bits (kvm-hide=0x4010) are not shown

# The hosts with a kernel (nested, bochs-kvm) run on one of several (host/kernel/kernel.sh), of which a test may
# admit only some (kernel = patched). One that is the user's own (run_tests.sh --kernel PATH) is admitted by all
# tests: it is what the user wants to know about.
#
# KERNEL+snp is KERNEL with the software SNP platform in force, in a snapshot of its own. A test that requires snp or sev-es
# gets that of its kernel; for others it is in force only where --kernel asks for it. KERNEL+qemu is the same with a QEMU
# in L1, for --vmm qemu.

# In the order of preference; shellcheck cannot see who reads these.
# shellcheck disable=SC2034
all_hosts="local nested bochs tcg xen bochs-kvm"
# One that takes half a minute to boot is never chosen but by --on.
default_hosts="local nested bochs tcg xen"
# shellcheck disable=SC2034
all_kernels="stock-7.2 stock-6.12 patched patched-debug"
# CPU models of Bochs (host/bochs/program.sh), and the one that a test gets where none was asked for.
# shellcheck disable=SC2034
all_cpus="tigerlake sapphire_rapids arrow_lake"
default_cpu=tigerlake
# What QEMU has no switch for, where it is the VMM.
qemu_lacks="requests gmem-ram private-memory force-emulation userfaultfd swap snp snp-2m sev-es kvm-hide hyperv-synic"
qemu_lacks+=" hyperv-hide xen-shared-info xen-runstate xen-evtchn"
# The hosts whose CPU is QEMU's, in TCG; any model of it will do, with SVM added where a hypervisor runs on it.
# shellcheck disable=SC2034
qemu_hosts="nested xen tcg"
# What there is of Xen, in place of a kernel: Debian's.
xen_choice=debian
# shellcheck disable=SC2034
all_needs="kvm xen xen-hcall hyperv hyperv-enforce hyperv-synic hyperv-hide cet requests gmem gmem-ram private-memory"
all_needs+=" force-emulation userfaultfd swap snp snp-2m sev-es kvm-hide xen-shared-info xen-runstate xen-evtchn"
: "${top:?is to be set by the script that sources this one}"
# shellcheck source=scripts/cache.sh
source "$top/scripts/cache.sh"

# What configure wrote; before that, and in a test that stands alone, the default.
configured() { # NAME DEFAULT
	local value
	value=$(sed -n "s/^$1 := //p" "$top/build/config.mk" 2>/dev/null) || true
	echo "${value:-$2}"
}

qemu_program() {
	configured QEMU qemu-system-x86_64
}

# Why this machine's /dev/kvm is not to be used on its own accord; empty: it is faithful.
local_reason() {
	if [[ ! -e /dev/kvm ]]; then
		echo "there is no /dev/kvm"
	elif [[ ! -r /dev/kvm || ! -w /dev/kvm ]]; then
		echo "no permission for /dev/kvm (be in its group: $(stat -c %G /dev/kvm))"
	elif [[ ! -e /sys/module/kvm_intel && ! -e /sys/module/kvm_amd ]]; then
		echo "/dev/kvm is backed by $(local_module), neither kvm_intel nor kvm_amd"
	fi
}

local_module() {
	local module name=
	for module in /sys/module/kvm_*; do
		[[ -e $module ]] && name+="${name:+ }${module##*/}"
	done
	echo "${name:-an unknown module}"
}

# The words that a host offers, from a vmrun --probe; before there is one, all that it may come to. QEMU's TCG
# has no CET.
offers_of() { # HOST KERNEL VMM
	case $1 in
	tcg) ;;
	bochs) echo cet ;;
	nested | bochs-kvm)
		local probe
		probe=$(probe_of "$1" "$2")
		if [[ $3 == qemu ]]; then
			lacking "$(offers_of "$1" "$2" vmrun)" "$qemu_lacks"
		elif [[ $probe ]]; then
			offered_by_probe "$probe"
		elif [[ $1 == nested && $2 == *+snp* && $2 != stock-* ]]; then
			lacking "$all_needs" "cet xen"
		elif [[ $1 == nested ]]; then
			lacking "$all_needs" "cet xen snp snp-2m sev-es"
		else
			lacking "$all_needs" "xen snp snp-2m sev-es"
		fi
		;;
	xen)
		local probe
		probe=$(probe_of xen "$xen_choice")
		if [[ $probe ]]; then
			offered_by_probe "$probe"
		else
			echo "xen xen-hcall xen-shared-info xen-runstate xen-evtchn hyperv"
		fi
		;;
	local)
		local offers vmrun=$top/build/host/vmrun/vmrun
		offers=$(lacking "$all_needs" xen)
		[[ ! -x $vmrun ]] || offers=$(offered_by_probe "$("$vmrun" --probe 2>/dev/null)")
		# This machine's QEMU may be older than Xen's ABI in it (8.0).
		if [[ $3 == qemu ]]; then
			lacking "$offers" "xen-hcall $qemu_lacks"
		else
			echo "$offers"
		fi
		;;
	esac
}

# Whether a host boots a Linux of which a test may be particular.
has_kernel() { # HOST
	[[ $1 == nested || $1 == bochs-kvm ]]
}

# The kernels that a test gets on a host where none was asked for, in the order of preference.
default_kernels() { # HOST
	case $1 in
	nested) echo stock-7.2 patched ;;
	bochs-kvm) echo patched ;;
	esac
}

# What a kernel is called in the cache: its name, or something in place of its path.
kernel_key() { # KERNEL
	case $1 in
	*/*) echo "own-$(realpath -m -- "$1" | cksum | tr ' ' -)" ;;
	*) echo "$1" ;;
	esac
}

# Where prepare.sh of a host leaves what it found there, as files FILE.place and so on; of each CPU model of QEMU's
# for itself.
offers_file() { # HOST KERNEL
	local model=${VMABI_QEMU_CPU:+-cpu-$(cksum <<<"$VMABI_QEMU_CPU" | cut -d ' ' -f 1)}
	[[ $1 != bochs-kvm ]] || model=
	echo "$cache/offers/$1-$(kernel_key "$2")$model"
}

# The file with what this vmrun said; another one, of another checkout, may say less or more.
probe_file() { # HOST KERNEL VMRUN
	echo "$(offers_file "$1" "$2").probe-$(cksum 2>/dev/null <"$3" | tr ' ' -)"
}

# What vmrun --probe said when the host was booted with this kernel; empty: not yet booted, or asked by
# another vmrun than this one. On the host xen nothing is vmrun's.
probe_of() { # HOST KERNEL
	local prober=$top/build/host/vmrun/vmrun
	[[ $1 != xen ]] || prober=$top/build/host/xen/init/init
	cat "$(probe_file "$1" "$2" "$prober")" 2>/dev/null || true
}

# What knownbugs.cfg calls a kernel, and its version: what prepare.sh found them to be.
kernel_place() { # HOST KERNEL
	cat "$(offers_file "$1" "$2").place"
}

kernel_version() { # HOST KERNEL
	cat "$(offers_file "$1" "$2").version" 2>/dev/null || true
}

offered_by_probe() { # TEXT: lines "NAME yes|no DETAIL"
	local name answer rest offers=
	while read -r name answer rest; do
		[[ $answer == yes ]] && offers+="${offers:+ }$name"
	done <<<"$1"
	echo "$offers"
}

# What of its needs a test does not find in the offers; empty: nothing.
lacking() { # NEEDS OFFERS
	local need lacks=
	for need in $1; do
		[[ " $2 " == *" ${need%%=*} "* ]] || lacks+="${lacks:+ }${need%%=*}"
	done
	echo "$lacks"
}

# Whether a kernel alone does not do, but for a CPU that has it all.
needs_platform() { # NEEDS
	[[ " $1" == *" "@(snp|sev-es)@(| *|=*) ]]
}

# Chooses the kernel of a host: the one asked for, or the first of its default ones; if the test admits it,
# and it offers what the test needs. Sets $kernel, or leaves it empty and adds to $why.
choose_kernel() { # HOST NEEDS KERNELS ASKED VMM
	local candidate candidates lacks
	kernel=''
	if [[ $5 == qemu && $1 != nested ]]; then
		why+="${why:+; }there is no QEMU on the host $1"
		return
	fi
	read -ra candidates <<<"$(default_kernels "$1")"
	[[ -z $4 ]] || candidates=("$4")
	for candidate in "${candidates[@]}"; do
		if [[ $candidate != */* && " $3 " != *" ${candidate%+snp} "* ]]; then
			[[ -z $4 ]] || why+="${why:+; }it does not run on the kernel $candidate (only on: $3)"
			continue
		fi
		! needs_platform "$2" || candidate=${candidate%+snp}+snp
		candidate=$(kernel_for_vmm "$candidate" "$5")
		lacks=$(lacking "$2" "$(offers_of "$1" "$candidate" "${5:-vmrun}")")
		# QEMU chooses the MSR of the Xen page itself.
		[[ $5 != qemu || " $2 " != *" xen-hcall="* ]] || lacks+="${lacks:+ }xen-hcall=MSR"
		if [[ -z $lacks ]]; then
			kernel=$candidate
			return
		fi
		why+="${why:+; }the host $1 ($candidate) lacks: $lacks"
	done
}

# The kernel that serves this VMM.
kernel_for_vmm() { # KERNEL VMM
	local suffix=
	[[ $2 != qemu ]] || suffix=+qemu
	echo "$1$suffix"
}

# Whether this machine's own KVM may be taken: it is faithful, and the test admits any kernel.
local_serves() { # KERNELS
	[[ $1 == "$all_kernels" && -z $(local_reason) ]]
}

# The hosts to look at, of those that a test admits.
candidates() { # HOSTS ON
	local candidate
	for candidate in ${2:-$1}; do
		[[ -z $2 && " $default_hosts " != *" $candidate "* ]] || echo "$candidate"
	done
}

# Chooses a host: the first that the test admits, that is faithful, and that offers what it needs.
# Sets $host, and where it has one $kernel; or leaves $host empty and sets $why.
choose_host() { # NEEDS HOSTS KERNELS ON ASKED-KERNEL VMM
	local candidate lacks by
	host='' why='' kernel=''
	for candidate in $(candidates "$2" "$4"); do
		if [[ " $2 " != *" $candidate "* ]]; then
			why+="${why:+; }it does not run on the host $candidate"
		elif has_kernel "$candidate"; then
			choose_kernel "$candidate" "$1" "$3" "$5" "$6"
			[[ -z $kernel ]] || host=$candidate
		elif [[ $candidate != local || $4 ]] || local_serves "$3"; then
			lacks=$(lacking "$1" "$(offers_of "$candidate" "" "$6")")
			[[ $lacks ]] || host=$candidate
			by=
			[[ $candidate != local || $6 != qemu ]] || by=" (qemu)"
			[[ $host ]] || why+="${why:+; }the host $candidate$by lacks: $lacks"
		fi
		[[ -z $host ]] || return 0
	done
	[[ $4 ]] || for candidate in $2; do
		[[ " $default_hosts " == *" $candidate "* ]] || why+="${why:+; }not tried: --on $candidate"
	done
}

# What makes a host ready is done once for many tests, and handed on to them: VMABI_READY has a line HOST,
# tab, KERNEL or CPU model, tab, TEXT for each, where TEXT is the folder of a snapshot, or what program.sh of
# Bochs prints, with \037 in place of each newline.
ready() { # HOST KERNEL-OR-CPU
	local host_name choice text
	while IFS=$'\t' read -r host_name choice text; do
		[[ $host_name != "$1" || $choice != "$2" ]] || echo "$text"
	done <<<"${VMABI_READY-}"
}

remember_ready() { # HOST KERNEL-OR-CPU TEXT
	VMABI_READY="${VMABI_READY-}$1"$'\t'"$2"$'\t'"$3"$'\n'
}

# The kernel, or CPU model, that a test gets on the chosen host; empty: the host has no choice.
host_choice() { # HOST KERNEL CPU
	case $1 in
	nested | bochs-kvm) echo "$2" ;;
	bochs) echo "${3:-$default_cpu}" ;;
	xen) echo "$xen_choice" ;;
	esac
}

# The same as choose_host, and sees to it that the host is there: sets $readiness, what ready() says of it. What
# a kernel offers is known for sure when it has been booted, and may send a test to another one. The script that
# calls this defines make_ready(), which prepares a host and remembers it, or ends.
choose_ready_host() { # as choose_host, then CPU
	local choice
	while :; do
		choose_host "$@"
		choice=$(host_choice "$host" "$kernel" "$7")
		readiness=''
		[[ $choice ]] || return 0
		readiness=$(ready "$host" "$choice")
		[[ -z $readiness ]] || return 0
		make_ready "$host" "$choice"
	done
}

# Makes such a host ready; prints what ready() is to say of it.
prepare_host() { # HOST KERNEL-OR-CPU
	case $1 in
	bochs) "$top/host/bochs/program.sh" "$2" | tr '\n' '\037' ;;
	xen) "$top/host/xen/prepare.sh" ;;
	*) "$top/host/$1/prepare.sh" "$2" ;;
	esac
}
