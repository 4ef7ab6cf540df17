#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# snapshot.sh QEMU CC INIT XEN-FOLDER: makes sure that there is a snapshot of Xen, prints its folder
#
# Builds host/xen/domain against the libraries of XEN-FOLDER (fetch.sh), boots Xen with a dom0 of these and
# INIT in QEMU, waits until the toolstack is up and INIT waits for something to do, and saves the machine. The
# snapshot is as on the nested host (host/nested/snapshot.sh), and lies beside its snapshots.
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
# shellcheck source=host/xen/machine.sh
source "$here/machine.sh"
snapshots=$cache/snapshots
# shellcheck disable=SC2034 # snapshots_qemu.sh uses it
boot_limit=120 # seconds; an idle machine takes 12

say() {
	echo "xen: $*" >&2
}

# All that goes into a snapshot, as text.
ingredients() {
	"$qemu" --version | head -n 1
	machine_restored "$qemu"
	machine_boot "$qemu" xen vmlinux initrd
	cat "$xen/manifest"
	cksum <"$init"
	cat "$here"/domain/*.[ch] "$here/../../lib/xen/status.h" | cksum
}

boot_command() {
	machine_boot "$qemu" "$xen/xen" vmlinux initrd
}

build_domain() { # PROGRAM
	local words
	words=("$xen"/lib/libxen{light,ctrl,store,evtchn,foreignmemory,toollog}.so)
	"$cc" -std=gnu11 -O2 -Wall -D_GNU_SOURCE -I"$here/../../lib" -isystem "$xen/include" "$here"/domain/*.c \
		"${words[@]}" -Wl,--allow-shlib-undefined -Wl,-z,now -s -o "$1"
}

# Chained by &&, because `set -e` does nothing in a function whose failure is looked at.
pack_dom0() { # FOLDER
	local root=$1/root
	mkdir -p "$root"/{dev,proc,sys,run,modules,xen} &&
		cp "$init" "$root/init" &&
		build_domain "$root/domain" &&
		cp "$xen"/xen{stored,-init-dom0} "$root/xen/" &&
		cp -r "$xen/lib" "$root/lib" &&
		rm "$root"/lib/*.so &&
		ln -s lib "$root/lib64" &&
		cp "$xen/modules" "$root/modules/order" &&
		cp "$xen"/*.ko "$root/modules/" &&
		(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$1/initrd" &&
		rm -r "$root" &&
		"$here/../kernel/vmlinux.sh" "$xen/bzImage" "$1/vmlinux"
}

# The line that tells best why Xen is not ready, of what it, dom0's kernel and init, and QEMU said.
boot_cause() { # FOLDER
	{
		grep -s -h -A 1 -m 1 '^(XEN) Panic on CPU' "$1/console" | tail -n 1
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
	die "$(cat "$xen/version") does not come up: $2: $(boot_cause "$1"); is QEMU whole? (all that it said: $said)"
}

fill_snapshot() {
	local said
	said=$(make_room "$work" 2>&1) || no_room "$said"
	said=$(pack_dom0 "$work" 2>&1) || no_room "$said"
	say "booting $(cat "$xen/version") for a snapshot (once)"
	start_qemu "$work"
	wait_until_ready "$work"
	check_console "$work"
	save_machine "$work"
	machine_restored "$qemu" >"$work/machine"
	rm -f "$work"/{vmlinux,initrd,mailbox,errors,output,console}
}

(($# == 4)) || {
	echo "usage: snapshot.sh QEMU CC INIT XEN-FOLDER" >&2
	exit 2
}
qemu=$(command -v "$1") || die "there is no QEMU $1; install qemu-system-x86, or configure with --qemu"
cc=$2 init=$3 xen=$4
[[ -r $init ]] || die "there is no $init; run make"
[[ -r $xen/manifest ]] || die "there is no Xen in $xen"
# shellcheck disable=SC2034 # snapshots.sh names it in its words
kernel=$xen
# Not in the pipe: a QEMU that does not run is to end this.
text=$(ingredients)
ensure_snapshot "$text"
