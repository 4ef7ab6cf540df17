#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Runs the tests of unittests.cfg and says what they came to. See --help.
set -euo pipefail
top=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=scripts/group.sh
source "$top/scripts/group.sh"
heed_interrupts "$@"
# shellcheck source=scripts/hosts.sh
source "$top/scripts/hosts.sh"
# shellcheck source=scripts/selection.sh
source "$top/scripts/selection.sh"
# shellcheck source=scripts/session.sh
source "$top/scripts/session.sh"
# shellcheck source=scripts/compare.sh
source "$top/scripts/compare.sh"

usage() {
	cat <<END
usage: ./run_tests.sh [options] [TEST]...
Runs the tests (all of them, or those named; a TEST is a name or a glob, with or without the
architecture: xen-page, xen-page-i386, 'xen-*'), each in a fresh machine.

  -g GROUP          only tests of this group (repeatable)
  -j N              so many at a time (default: one for each CPU)
  -l                list the tests: groups, needs, and the host that would run each
  -v                show each point as it comes
  -t                print the raw TAP, of one test after the other, to stdout, and the summary to
                    stderr
  --tap-dir DIR     leave one TEST.tap for each test in DIR (what was there stays)
  --junit FILE      write the results in JUnit's format too
  --on HOST         run on this host: $all_hosts (default: the first that serves)
  --kernel KERNEL   the nested host (or the one that --on names), with this kernel:
                    $all_kernels;
                    or a path: a kernel tree of your own, built, or a bzImage or vmlinux;
                    with +snp behind it, the software SNP platform is in force (docs/snp.md)
                    (default: $(default_kernels nested | sed 's/ /, and /') where a test needs it)
  --cpu MODEL       the host bochs, with this CPU model: $all_cpus
                    (default: $default_cpu);
                    with --on $(sed 's/ /, /; s/ \([a-z]*\)$/ or \1/' <<<"$qemu_hosts"), one of QEMU's in TCG, with features behind it or
                    without: EPYC, max,-pdpe1gb,-la57 (default: max)
  --vmm VMM         vmrun or qemu (qemu on the hosts nested, tcg and local only; on nested it is 10.0, in L1)
  --compare A,B...  run the tests in each of these places, and print the points that pass in one and
                    fail in another, each with what was said of it, and nothing else. A place is a
                    host, a kernel, a CPU model, HOST:KERNEL, or vmrun or qemu (on the host local)
  --matrix          run the cells of matrix.cfg: many hosts, kernels and CPUs; with --cells GLOB, -j N, --out DIR,
                    --repeat N, or -l alone (matrix.cfg and docs/matrix.md have more)
  --list-hosts      what each host offers and lacks, and why
  --help            show this

The last line counts TAP points: N passed, N failed, N skipped. Status: 0 nothing failed; 1 something
did, or with --compare some point differs; 2 the call or the configuration is wrong; 128 + signal if
interrupted.
END
}

die() {
	echo "run_tests.sh: $*" >&2
	exit 2
}

one_of() { # WHAT WORD SET
	[[ " $3 " == *" $2 "* && $2 != *' '* && $2 ]] || die "unknown $1 '$2' (there are: $3)"
}

check_combination() {
	[[ $vmm != vmrun || $on != tcg ]] ||
		die "the host tcg has no /dev/kvm for vmrun; leave out --vmm, or say --vmm qemu"
	[[ -z $vmm || ($on != bochs && -z $cpu) ]] ||
		die "the host bochs has neither /dev/kvm for vmrun nor QEMU; leave out --vmm"
	[[ -z $vmm || $on != xen ]] ||
		die "the host xen has Xen's own toolstack in place of a VMM; leave out --vmm"
	[[ $vmm != qemu || $on == @(nested|tcg|local) || (-z $on && $asked_kernel) ]] ||
		die "--vmm qemu serves on the hosts nested, tcg and local only; add --on nested, --on tcg or --on local"
	[[ -z $asked_kernel || -z $on ]] || has_kernel "$on" ||
		die "--kernel chooses the kernel of the hosts nested and bochs-kvm; the host $on has none to choose"
	[[ -z $cpu || -z $on || $on == bochs ]] ||
		die "--cpu chooses the CPU model of the hosts bochs, ${qemu_hosts// /, }; the host $on has none to choose"
	[[ -z $cpu || -z $asked_kernel ]] ||
		die "--cpu is for the host bochs, and --kernel for others; leave one of them out, or add --on nested"
}

# Whether QEMU has the model, and TCG its features, QEMU says.
check_qemu_cpu() {
	[[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9_.-]*(,[+-]?[a-z0-9_.-]+)*$ ]] ||
		die "--cpu takes a CPU model, with +FEATURE or -FEATURE behind it after commas, not '$1'"
	[[ " $all_cpus " != *" $1 "* ]] ||
		die "'$1' is a CPU of Bochs; the host $on has those of QEMU ($(qemu_program) -cpu help)"
}

# A file or folder is meant where it is written as a path, or where it is one and no kernel's name.
check_kernel() {
	if [[ $asked_kernel != */* && " $all_kernels " != *" ${asked_kernel%+snp} "* && -e $asked_kernel ]]; then
		asked_kernel=./$asked_kernel
	fi
	if [[ $asked_kernel == */* ]]; then
		asked_kernel=$(realpath -m -- "$asked_kernel")
	elif [[ " $all_kernels " != *" ${asked_kernel%+snp} "* ]]; then
		die "unknown kernel '$asked_kernel' (there are: $all_kernels; or give a path)"
	fi
}

# The matrix has options of its own, but for --help.
matrix='' help='' arguments=()
for argument; do
	case $argument in
	--matrix) matrix=yes ;;
	-h | --help) help=yes ;;&
	*) arguments+=("$argument") ;;
	esac
done
if [[ $matrix && $help ]]; then
	set -- --help
elif [[ $matrix ]]; then
	exec "$top/scripts/matrix/matrix.pl" run "${arguments[@]}"
fi
patterns=() groups=() jobs=$(nproc) action=run verbose='' raw='' tap_dir='' junit='' on='' asked_kernel='' cpu='' vmm='' compared=''
while (($#)); do
	# -j4 and --on=tcg mean -j 4 and --on tcg.
	case $1 in
	-[gj]?*) set -- "${1:0:2}" "${1:2}" "${@:2}" ;;
	--*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
	esac
	case $1 in
	-g | -j | --tap-dir | --junit | --on | --kernel | --cpu | --vmm | --compare)
		(($# >= 2)) || die "$1 needs a value; see --help"
		case $1 in
		-g) groups+=("$2") ;;
		-j) jobs=$2 ;;
		--tap-dir) tap_dir=$2 ;;
		--junit) junit=$2 ;;
		--on) on=$2 ;;
		--kernel) asked_kernel=$2 ;;
		--cpu) cpu=$2 ;;
		--vmm) vmm=$2 ;;
		--compare) action=compare compared=$2 ;;
		esac
		shift
		;;
	-l) action=list ;;
	-v) verbose=yes ;;
	-t) raw=yes ;;
	--list-hosts) action=list-hosts ;;
	--)
		patterns+=("${@:2}")
		break
		;;
	-h | --help)
		usage
		exit
		;;
	--cells | --out | --repeat) die "$1 is an option of --matrix; see --help" ;;
	-*) die "unknown option '$1'; see --help" ;;
	'') die "a test's name is empty" ;;
	*) patterns+=("$1") ;;
	esac
	shift
done
[[ $jobs =~ ^[1-9][0-9]{0,3}$ ]] || die "-j takes a number from 1, not '$jobs'"
[[ -z $on ]] || one_of host "$on" "$all_hosts"
[[ -z $asked_kernel ]] || check_kernel
qemu_cpu=''
if [[ $cpu && " $qemu_hosts " == *" $on "* && $on ]]; then
	check_qemu_cpu "$cpu"
	qemu_cpu=$cpu cpu=''
fi
[[ -z $cpu ]] || one_of "CPU model" "$cpu" "$all_cpus"
[[ -z $vmm ]] || one_of vmm "$vmm" "vmrun qemu"
check_combination
if [[ $action == compare ]]; then
	[[ -z $on$asked_kernel$cpu$qemu_cpu$vmm$raw$verbose$tap_dir$junit ]] ||
		die "--compare names the places itself, and prints one table; leave out --on, --kernel, --cpu, --vmm," \
			"-t, -v, --tap-dir and --junit"
	read_places "$compared"
fi
# Whoever asks for a kernel, or a CPU, is not to be answered by this machine's own.
[[ -z $asked_kernel ]] || on=${on:-nested}
[[ -z $cpu ]] || on=bochs
# Later steps change the folder.
[[ -z $tap_dir ]] || tap_dir=$(realpath -m -- "$tap_dir")
[[ -z $junit ]] || junit=$(realpath -m -- "$junit")
export VMABI_ON=$on VMABI_KERNEL=$asked_kernel VMABI_CPU=$cpu VMABI_VMM=$vmm VMABI_QEMU_CPU=$qemu_cpu

take_signals
case $action in
list-hosts) list_hosts ;;
list)
	select_tests
	list_tests
	;;
compare)
	select_tests
	compare
	;;
run)
	select_tests
	prepare
	run_selected
	;;
esac
