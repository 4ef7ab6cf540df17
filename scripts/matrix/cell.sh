#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the matrix (matrix.pl) has to know of the tests and the hosts, a line each
#
#	cell.sh tests			NAME, tab, GROUPS, tab, SECTION for each test there is
#	cell.sh why HOST CPU GUEST	why such a cell cannot run on this machine; nothing: it can
#	cell.sh versions HOST KERNEL CPU	WHAT, tab, VERSION, of all that a cell that has run consisted of
#	cell.sh version			of vmabi itself
#
# CPU is a model, as run_tests.sh --cpu takes it, or nothing; KERNEL as --kernel does, +qemu behind it where QEMU is in L1.
set -euo pipefail
top=$(readlink -f "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..")
# shellcheck source=scripts/hosts.sh
source "$top/scripts/hosts.sh"
# shellcheck source=scripts/selection.sh
source "$top/scripts/selection.sh"

tests() {
	local archs
	archs=$(configured ARCHS "x86_64 i386")
	read_config tests unittests.cfg |
		awk -F '\037' -v OFS='\t' -v archs=" $archs " 'index(archs, " " $5 " ") { print $1, $4, $2 }'
}

# QEMU is asked itself: a machine with that CPU, which ends before it starts.
why_not_qemu() { # CPU
	local said
	# Of a model by name, TCG lacks features as a matter of course; one that is asked for has to be there.
	said=$("$(qemu_program)" -accel tcg -M q35 -nodefaults -no-user-config -display none -S -monitor stdio \
		-cpu "$1$([[ $1 != *,* ]] || echo ,enforce)" 2>&1 >/dev/null <<<quit) || {
		echo "this QEMU does not have the CPU $1: $(sed 's/^qemu[^ ]*: //; s/^warning: //' <<<"$said" | head -n 1)"
	}
}

why() { # HOST CPU GUEST
	case $1 in
	local)
		local reason
		reason=$(local_reason)
		if [[ $reason ]]; then
			echo "$reason"
		elif [[ $3 == snp && $(cat /sys/module/kvm_amd/parameters/sev_snp 2>/dev/null) != Y ]]; then
			echo "this machine's KVM has no SNP guests (kvm_amd: sev_snp is not Y)"
		fi
		;;
	nested | xen | tcg) [[ -z $2 ]] || why_not_qemu "$2" ;;
	esac
}

# What has been changed since the last commit, as another word for each state of it; nothing: nothing has. New files
# do not count: they may be results.
changes() {
	git -C "$top" diff --quiet HEAD || git -C "$top" diff --binary HEAD | sha256sum | sed 's/^\(.\{7\}\).*/-\1/'
}

version() {
	local version
	version=$(sed -n 's/^VERSION := //p' "$top/Makefile")
	if git -C "$top" rev-parse --git-dir >/dev/null 2>&1; then
		version+=" ($(git -C "$top" describe --always --dirty)$(changes))"
	fi
	echo "$version"
}

bochs_version() { # MODEL
	"$top/host/bochs/program.sh" "$1" | sed -n '1s/bochs-//p'
}

versions() { # HOST KERNEL CPU
	local qemu
	printf 'vmabi\t%s\n' "$(version)"
	qemu=$("$(qemu_program)" --version 2>/dev/null | sed -n 's/^QEMU emulator version //p')
	case $1 in
	nested)
		printf 'kernel\t%s\nQEMU\t%s\nCPU\t%s\n' "$(kernel_version nested "$2")" "$qemu" "${3:-max}"
		[[ $2 != *+qemu ]] || printf 'VMM\tQEMU %s\n' "$(cat "$cache"/qemu/10.0/version)"
		;;
	xen) printf 'Xen\t%s\nQEMU\t%s\nCPU\t%s\n' "$(kernel_version xen "$xen_choice")" "$qemu" "${3:-max}" ;;
	tcg) printf 'QEMU\t%s\nCPU\t%s\n' "$qemu" "${3:-max}" ;;
	bochs) printf 'Bochs\t%s\nCPU\t%s\n' "$(bochs_version "$3")" "$3" ;;
	bochs-kvm)
		printf 'kernel\t%s\nBochs\t%s\nCPU\t%s\n' "$(kernel_version bochs-kvm "$2")" "$(bochs_version arrow_lake)" \
			arrow_lake
		;;
	local)
		printf 'kernel\t%s\nCPU\t%s\n' "$(uname -r)" "$(sed -n 's/^model name\t: //p' /proc/cpuinfo | head -n 1)"
		;;
	esac
}

case ${1-} in
tests) tests ;;
why) why "$2" "$3" "$4" ;;
versions)
	VMABI_QEMU_CPU=$([[ " $qemu_hosts " != *" $2 "* ]] || echo "$4")
	versions "$2" "$3" "$4"
	;;
version) version ;;
*)
	echo "usage: cell.sh tests|why HOST CPU GUEST|versions HOST KERNEL CPU|version" >&2
	exit 2
	;;
esac
