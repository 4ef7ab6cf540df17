#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# snapshot.sh QEMU INIT KERNEL-FOLDER [FOLDER]: makes sure that there is a snapshot of L1, prints its folder
#
# Boots the kernel (a folder as host/kernel/fetch.sh makes it) with INIT in QEMU, waits until KVM is
# up and INIT waits for something to do, and saves the machine. The snapshot, a folder as described in
# restore/machine.h, lies in $XDG_CACHE_HOME/vmabi/snapshots, under a name that stands for all that it
# was made from: another kernel, init, QEMU or command line is another snapshot. VMABI_L1_KVM_AMD has parameters
# for kvm-amd.ko; one that the module does not know it ignores. FOLDER, one of the cache with a manifest, is there in L1
# as /vmm.
#
# Messages go to stderr.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=scripts/cache.sh
source "$here/../../scripts/cache.sh"
# shellcheck source=scripts/snapshots.sh
source "$here/../../scripts/snapshots.sh"
# shellcheck source=scripts/snapshots_qemu.sh
source "$here/../../scripts/snapshots_qemu.sh"
# shellcheck source=host/nested/machine.sh
source "$here/machine.sh"
snapshots=$cache/snapshots
# shellcheck disable=SC2034 # snapshots_qemu.sh uses it
boot_limit=120 # seconds; an idle machine takes 5

say() {
	echo "nested: $*" >&2
}

# All that goes into a snapshot, as text.
ingredients() {
	"$qemu" --version | head -n 1
	machine_restored "$qemu"
	machine_boot "$qemu" "$boot" initrd
	cat "$kernel/manifest"
	l1_modules "$kernel"
	[[ -z $l1_folder ]] || cat "$l1_folder/manifest"
	cat "$init" "$tsc" | cksum
}

# Without what is for the other vendor's CPUs (host/bochs-kvm).
l1_modules() { # KERNEL-FOLDER
	sed "/kvm-intel/d; s/^kvm-amd\.ko.*/&${VMABI_L1_KVM_AMD:+ $VMABI_L1_KVM_AMD}/" "$1/modules"
}

boot_command() {
	machine_boot "$qemu" "$kernel/$boot" initrd "tsc_early_khz=$("$tsc")"
}

# The line that tells best why L1 is not ready, of what its kernel, its init and QEMU said.
boot_cause() { # FOLDER
	{
		grep -s -h -o -m 1 'Kernel panic.*' "$1/console"
		grep -s -h -m 1 '^nested: ' "$1/output" | cut -d ' ' -f 2-
		# What TCG lacks of the CPU model, it lacks wherever that is one of the names.
		grep -s -h -v "warning: TCG doesn't support" "$1/errors" | head -n 1
		[[ -s $1/console || -s $1/output ]] || echo "it printed nothing at all"
		tail -q -n 1 "$1/console"
	} 2>/dev/null | tr -d '\r' | head -n 1
}

# In one line; what was said besides stays in a file.
boot_failure() { # FOLDER WHAT
	local said=$snapshots/failed-boot.log
	tail -q -n +1 "$1"/{errors,output,console} 2>/dev/null | tr -d '\r' >"$said" || true
	die "L1 does not come up on $(cat "$kernel/version"): $2: $(boot_cause "$1");" \
		"is it a kernel with what host/kernel/options names, and QEMU whole? (all that it said: $said)"
}

fill_snapshot() {
	local said
	said=$(make_room "$work" 2>&1) || no_room "$said"
	said=$(pack_initrd "$work" 2>&1) || no_room "$said"
	say "booting L1 on $(cat "$kernel/version") for a snapshot (once)"
	start_qemu "$work"
	wait_until_ready "$work"
	check_console "$work"
	save_machine "$work"
	machine_restored "$qemu" >"$work/machine"
	rm -f "$work"/{initrd,mailbox,errors,output,console}
}

(($# == 3 || $# == 4)) || {
	echo "usage: snapshot.sh QEMU INIT KERNEL-FOLDER [FOLDER]" >&2
	exit 2
}
qemu=$(command -v "$1") || die "there is no QEMU $1; install qemu-system-x86, or configure with --qemu"
init=$2 kernel=$3 l1_folder=${4-} tsc=${2%/init/init}/tsc/tsc
for program in "$init" "$tsc"; do
	[[ -x $program ]] || die "there is no $program; run make"
done
[[ -r $kernel/manifest ]] || die "there is no kernel in $kernel"
# By PVH a vmlinux boots two seconds faster; a kernel without CONFIG_PVH has only a bzImage here.
boot=vmlinux
[[ -e $kernel/$boot ]] || boot=bzImage
# Not in the pipe: a QEMU that does not run is to end this.
text=$(ingredients)
ensure_snapshot "$text"
