# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Runs one guest, or a program in its place, on a host; its TAP goes to stdout. Sourced by each script in
# build/tests, which sets name, elf or program, arch, smp, mem, append, requires, hosts, kernels, timeout,
# known and top.
#
# From the environment: VMABI_ON, VMABI_KERNEL, VMABI_CPU and VMABI_VMM choose as run_tests.sh --on, --kernel,
# --cpu and --vmm do, VMABI_QEMU_CPU as --cpu does on hosts that run in QEMU; VMABI_READY is told by ready().
# VMABI_APPEND is added to the guest's command line, whose last word of a kind is the one that counts, and
# VMABI_TIMEOUT takes the place of the time limit. The log of the kernel under the guest is left in the folder
# VMABI_LOGS, if that is set, as NAME.log.
#
# shellcheck disable=SC2154
set -euo pipefail
source "$top/scripts/hosts.sh"

vmm=${VMABI_VMM-}
program=${program-}
append+=${VMABI_APPEND:+${append:+ }$VMABI_APPEND}
timeout=${VMABI_TIMEOUT:-$timeout}
guest=$top/${program:-build/guests/$arch/${elf-}}
vmrun=$top/build/host/vmrun/vmrun
# The version of Xen that QEMU shows, as XENVER_version has it: 4.17.
qemu_xen=0x40011

skip_all() {
	printf 'TAP version 13\n1..0 # SKIP %s\n' "$1"
	exit 0
}

fail() {
	echo "$name: $1" >&2
	exit 2
}

# The time limit of the guest is vmrun's, which can tell what the guest was at; the whole run is ended
# somewhat later, if not even vmrun answers.
vmrun_options() {
	local need
	options=(--smp "$smp" --mem "$mem" --timeout "$timeout")
	[[ -z $append ]] || options+=(--append "$append")
	for need in $requires; do
		case $need in
		xen-hcall) options+=(--xen) ;;
		xen-hcall=*) options+=("--xen=${need#*=}") ;;
		hyperv) options+=(--hyperv) ;;
		hyperv-synic) options+=(--synic) ;;
		hyperv-hide=*) options+=(--hide-hyperv "${need#*=}") ;;
		hyperv-enforce) options+=(--enforce-cpuid) ;;
		kvm-hide=*) options+=(--hide-kvm "${need#*=}") ;;
		gmem-ram) options+=(--ram gmem) ;;
		private-memory) options+=(--ram private) ;;
		snp | sev-es | snp=* | sev-es=*) options+=("--$need") ;;
		snp-2m) options+=(--gmem-2m) ;;
		force-emulation) options+=(--force-emulation) ;;
		esac
	done
}

domain_options() {
	options=(--smp "$smp" --mem "$mem" --timeout "$timeout")
	[[ -z $append ]] || options+=(--append "$append")
	[[ " $requires " != *" hyperv "* ]] || options+=(--hyperv)
}

qemu_options() { # ACCELERATOR CPU GUEST
	local accelerator=$1 cpu=$2
	[[ " $requires " != *" hyperv "* ]] || cpu+=,hv-passthrough
	[[ " $requires " != *" hyperv-enforce "* ]] || cpu+=,hv-enforce-cpuid
	[[ " $requires " != *" xen-hcall "* ]] || accelerator+=,xen-version=$qemu_xen,kernel-irqchip=split
	# shellcheck disable=SC2054 # commas within QEMU's own options
	options=(-accel "$accelerator" -cpu "$cpu" -M q35 -smp "$smp" -m "$mem" -nodefaults -no-user-config
		-display none -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4
		-chardev stdio,id=console,signal=off -device isa-debugcon,iobase=0xe9,chardev=console
		-kernel "$3")
	[[ -z $append ]] || options+=(-append "$append")
}

qemu_version() {
	"$(qemu_program)" --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9.]*\).*/qemu-\1/p'
}

# Behind that of the machine under L1, the QEMU in L1 where it is the VMM.
nested_version() {
	local version
	version=$(qemu_version)
	[[ $vmm != qemu ]] || version+=/vmm-qemu-$(cat "$cache/qemu/10.0/version")
	echo "$version"
}

# The first of the words that program.sh prints.
bochs_version() {
	echo "${readiness%%$'\037'*}"
}

bochs_kvm_version() {
	cat "$readiness/bochs"
}

# This machine may itself be QEMU's, in TCG (docs/lab.md): the machine type tells the version.
local_emulator() {
	[[ $(</proc/cpuinfo) != *'QEMU TCG CPU'* ]] ||
		sed -n 's/^pc-q35-/qemu-/p' /sys/class/dmi/id/product_version 2>/dev/null
}

# The known bugs of this host, as options of supervise. Reads $known, sets $known_options.
known_bugs() { # HOST/KERNEL-OR-CPU EMULATOR-VERSION-COMMAND
	local place=$1 bug where point reason pattern
	known_options=()
	((${#known[@]})) || return 0
	place+=/$("$2")
	for bug in "${known[@]}"; do
		IFS=$'\037' read -r where point reason <<<"$bug"
		for pattern in $where; do
			# shellcheck disable=SC2053 # the pattern is meant as one
			[[ $place != $pattern ]] || known_options+=(--known "$point=$reason")
		done
	done
}

# QEMU as nested/qemu/fetch.sh packs it; sets run and watch.
in_qemu_of_l1() {
	qemu_options kvm host "/${guest##*/}"
	watch+=(--qemu-status)
	run=("$guest" --run /vmm/lib/ld-linux-x86-64.so.2 --library-path /vmm/lib /vmm/qemu -L /vmm/share "${options[@]}")
}

# What a host with a KVM of its own runs there; a program has no VMM, and no options.
in_kvm() {
	if [[ $program ]]; then
		run=("$guest")
	else
		vmrun_options
		run=("$vmrun" "$guest" "${options[@]}")
	fi
}

make_ready() { # HOST KERNEL-OR-CPU
	local text
	text=$(prepare_host "$1" "$2") || exit 2
	remember_ready "$1" "$2" "$text"
}

choose_ready_host "$requires" "$hosts" "$kernels" "${VMABI_ON-}" "${VMABI_KERNEL-}" "$vmm" "${VMABI_CPU-}"
[[ $host ]] || skip_all "$why"
[[ -r $guest ]] || fail "there is no guest $guest; run make"
# A kernel that checks itself is slower; by up to ten times in what works most in KVM (snp-psc-large).
[[ ${kernel-} != patched-debug* || ${VMABI_TIMEOUT-} ]] || timeout=$((timeout * 10))

case $host in
nested)
	known_bugs "nested/$(kernel_place nested "$kernel")" nested_version
	watch=(--kernel-log)
	if [[ $vmm == qemu && -z $program ]]; then
		in_qemu_of_l1
	else
		in_kvm
	fi
	command=("$top/host/nested/run.sh" "$readiness" "${run[@]}")
	;;
bochs-kvm)
	known_bugs "bochs-kvm/$(kernel_place bochs-kvm "$kernel")" bochs_kvm_version
	in_kvm
	watch=(--kernel-log)
	command=("$top/host/bochs-kvm/run.sh" "$readiness" "${run[@]}")
	;;
xen)
	known_bugs "xen/$(kernel_place xen "$xen_choice")" qemu_version
	domain_options
	watch=(--kernel-log)
	command=("$top/host/xen/run.sh" "$readiness" "$guest" "${options[@]}")
	;;
bochs)
	known_bugs "bochs/${VMABI_CPU:-$default_cpu}" bochs_version
	watch=()
	command=("$top/host/bochs/run.sh" "${VMABI_CPU:-$default_cpu}" "$readiness" "$guest" "$smp" "$mem" "$timeout"
		"$append")
	;;
local)
	known_bugs "local/$(uname -r)" local_emulator
	watch=()
	if [[ $program ]]; then
		command=("$guest")
	elif [[ $vmm == qemu ]]; then
		qemu_options kvm host "$guest"
		watch=(--qemu-status)
		command=("$(qemu_program)" "${options[@]}")
	else
		vmrun_options
		command=("$vmrun" "${options[@]}" "$guest")
	fi
	;;
tcg)
	known_bugs tcg/- qemu_version
	qemu_options tcg "${VMABI_QEMU_CPU:-max}" "$guest"
	watch=(--qemu-status)
	command=("$(qemu_program)" "${options[@]}")
	;;
esac
if [[ ${VMABI_LOGS-} && " ${watch[*]-} " == *" --kernel-log "* ]]; then
	watch+=(--keep-log "$VMABI_LOGS/$name.log")
fi
exec "$top/build/host/supervise/supervise" --timeout $((timeout + 5)) "${watch[@]}" "${known_options[@]}" -- \
	"${command[@]}"
