# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The hosts: what each offers a test, and which one a test gets. Sourced; needs $top.
#
# A test declares what it needs in words (requires = xen-hcall hyperv); a need may carry a value
# (xen-hcall=0x40000000: the MSR index of the Xen page), which does not matter for the choice.
#
#	kvm		the hypervisor under the guest is KVM
#	xen-hcall	Xen hypercalls are intercepted, and answered by vmrun's table (lib/vmrun/abi.h)
#	hyperv		Hyper-V's CPUID leaves, MSRs and hypercalls
#	hyperv-enforce	what Hyper-V's CPUID leaves do not offer is refused

# The nested host runs on one of several kernels (host/kernel/kernel.sh), of which a test may admit only
# some (kernel = patched). One that is the user's own (run_tests.sh --kernel PATH) is admitted by all tests:
# it is what the user wants to know about.

# In the order of preference; shellcheck cannot see who reads these.
# shellcheck disable=SC2034
all_hosts="local nested tcg"
# shellcheck disable=SC2034
all_kernels="stock-7.2 stock-6.12 patched patched-lockdep"
# Those that a test gets where none was asked for.
default_kernels="stock-7.2 patched"
# shellcheck disable=SC2034
all_needs="kvm xen-hcall hyperv hyperv-enforce"
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

# The words that a host offers, from a vmrun --probe; before there is one, all of them.
offers_of() { # HOST KERNEL VMM
	case $1 in
	tcg) ;;
	nested)
		local probe
		probe=$(nested_probe "$2")
		if [[ $probe ]]; then
			offered_by_probe "$probe"
		else
			echo "$all_needs"
		fi
		;;
	local)
		local offers=$all_needs vmrun=$top/build/host/vmrun/vmrun
		[[ ! -x $vmrun ]] || offers=$(offered_by_probe "$("$vmrun" --probe 2>/dev/null)")
		# QEMU answers Xen hypercalls itself, in place of vmrun's table.
		[[ $3 == qemu ]] && offers=" $offers " && offers=${offers/ xen-hcall / }
		echo "$offers"
		;;
	esac
}

# What a kernel is called in the cache: its name, or something in place of its path.
kernel_key() { # KERNEL
	case $1 in
	*/*) echo "own-$(realpath -m -- "$1" | cksum | tr ' ' -)" ;;
	*) echo "$1" ;;
	esac
}

# What vmrun --probe said when the nested host was booted with this kernel; empty: not yet booted.
nested_probe() { # KERNEL
	cat "$cache/offers/$(kernel_key "$1")" 2>/dev/null || true
}

# What knownbugs.cfg calls a kernel, and its version: what prepare.sh found them to be.
kernel_place() { # KERNEL
	cat "$cache/offers/$(kernel_key "$1").place"
}

kernel_version() { # KERNEL
	cat "$cache/offers/$(kernel_key "$1").version" 2>/dev/null || true
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

# Chooses the kernel of the nested host: the one asked for, or the first of the default ones; if the test
# admits it, and it offers what the test needs. Sets $kernel, or leaves it empty and adds to $why.
choose_kernel() { # NEEDS KERNELS ASKED
	local candidate candidates lacks
	kernel=''
	read -ra candidates <<<"$default_kernels"
	[[ -z $3 ]] || candidates=("$3")
	for candidate in "${candidates[@]}"; do
		if [[ $candidate != */* && " $2 " != *" $candidate "* ]]; then
			[[ -z $3 ]] || why+="${why:+; }it does not run on the kernel $candidate (only on: $2)"
			continue
		fi
		lacks=$(lacking "$1" "$(offers_of nested "$candidate" vmrun)")
		if [[ -z $lacks ]]; then
			kernel=$candidate
			return
		fi
		why+="${why:+; }the host nested ($candidate) lacks: $lacks"
	done
}

# Whether this machine's own KVM may be taken: it is faithful, and the test admits any kernel.
local_serves() { # KERNELS
	[[ $1 == "$all_kernels" && -z $(local_reason) ]]
}

# Chooses a host: the first that the test admits, that is faithful, and that offers what it needs.
# Sets $host, and for the nested one $kernel; or leaves $host empty and sets $why.
choose_host() { # NEEDS HOSTS KERNELS ON ASKED-KERNEL VMM
	local candidate lacks
	host='' why='' kernel=''
	for candidate in ${4:-$2}; do
		if [[ " $2 " != *" $candidate "* ]]; then
			why+="${why:+; }it does not run on the host $candidate"
		elif [[ $candidate == nested ]]; then
			choose_kernel "$1" "$3" "$5"
			[[ -z $kernel ]] || host=nested
		elif [[ $candidate != local || $4 ]] || local_serves "$3"; then
			lacks=$(lacking "$1" "$(offers_of "$candidate" "" "$6")")
			[[ $lacks ]] || host=$candidate
			[[ $host ]] || why+="${why:+; }the host $candidate lacks: $lacks"
		fi
		[[ -z $host ]] || return 0
	done
}

# The snapshot of the nested host on a kernel, if it is known to be there: VMABI_SNAPSHOTS has a line KERNEL,
# tab, FOLDER for each, which run_tests.sh hands on to the tests.
ready_snapshot() { # KERNEL
	local name folder
	while IFS=$'\t' read -r name folder; do
		[[ $name != "$1" ]] || echo "$folder"
	done <<<"${VMABI_SNAPSHOTS-}"
}

remember_snapshot() { # KERNEL FOLDER
	VMABI_SNAPSHOTS="${VMABI_SNAPSHOTS-}$1"$'\t'"$2"$'\n'
}

# The same as choose_host, and sees to it that the nested host is there: sets $snapshot. What a kernel offers
# is known for sure when it has been booted, and may send a test to another one. The script that calls this
# defines make_ready(), which prepares a kernel and remembers its snapshot, or ends.
choose_ready_host() { # as choose_host
	while :; do
		choose_host "$@"
		[[ $host == nested ]] || return 0
		snapshot=$(ready_snapshot "$kernel")
		[[ -z $snapshot ]] || return 0
		make_ready "$kernel"
	done
}
