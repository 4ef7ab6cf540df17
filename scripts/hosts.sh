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

# In the order of preference; shellcheck cannot see who reads these.
# shellcheck disable=SC2034
all_hosts="local nested tcg"
# shellcheck disable=SC2034
all_kernels="stock-7.2 stock-6.12"
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

# What vmrun --probe said when the nested host was booted with this kernel; empty: not yet booted.
nested_probe() { # KERNEL
	cat "$cache/offers/$1" 2>/dev/null || true
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

# Chooses a host: the first that the test admits, that is faithful, and that offers what it needs.
# Sets $host, or leaves it empty and sets $why.
choose_host() { # NEEDS HOSTS KERNEL VMM ON
	local candidate lacks
	host='' why=''
	for candidate in ${5:-$2}; do
		if [[ " $2 " != *" $candidate "* ]]; then
			why+="${why:+; }it does not run on the host $candidate"
			continue
		fi
		if [[ $candidate == local && -z $5 ]]; then
			[[ -z $(local_reason) ]] || continue
		fi
		lacks=$(lacking "$1" "$(offers_of "$candidate" "$3" "$4")")
		if [[ -z $lacks ]]; then
			host=$candidate
			return
		fi
		why+="${why:+; }the host $candidate lacks: $lacks"
	done
}
