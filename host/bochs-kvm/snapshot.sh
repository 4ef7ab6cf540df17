#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# snapshot.sh KERNEL-FOLDER: makes sure that there is a snapshot of L1 in Bochs, prints its folder
#
# Boots the kernel (a folder as host/kernel/fetch.sh makes it) with L1's init, host/nested/init, in Bochs; when
# KVM is up and init waits for something to do, the plugin saves the machine. The snapshot, a folder as
# described in restore/bochs.h, lies in $XDG_CACHE_HOME/vmabi/snapshots-bochs, under a name that stands for all
# that it was made from: another kernel, init, Bochs or command line is another snapshot.
#
# Messages go to stderr.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
build=$here/../../build/host
# shellcheck source=scripts/cache.sh
source "$here/../../scripts/cache.sh"
# shellcheck source=scripts/snapshots.sh
source "$here/../../scripts/snapshots.sh"
# shellcheck source=host/bochs-kvm/machine.sh
source "$here/machine.sh"
snapshots=$cache/snapshots-bochs
boot_limit=180 # seconds; an idle machine takes 2 with a small kernel, 15 with Debian's
init=$build/nested/init/init
plugin=$build/bochs-kvm/plugin/libbx_l1.so
pack=$build/bochs-kvm/pack/pack

say() {
	echo "bochs-kvm: $*" >&2
}

# All that goes into a snapshot, as text.
ingredients() {
	echo "$start"
	machine_configuration
	l1_modules "$kernel"
	kernel_command_line
	cat "$kernel/manifest"
	cksum <"$init"
	cksum <"$plugin"
	cksum <"$pack"
}

# All that Bochs is started with. It opens what it writes into by name, where a full disk is an error; but
# saves without looking whether there is room, so that is tried out before.
fill_folder() { # FOLDER
	local said
	said=$(fallocate -l "${memory}M" "$1/room" 2>&1) || ! is_no_space "$said" || {
		echo "$said"
		return 1
	}
	rm -f "$1/room" &&
		pack_initrd "$1" &&
		"$pack" "$memory" "$kernel/vmlinux" "$1/initrd" "$(kernel_command_line)" "$1/loader.rom" "$1/input" &&
		machine_configuration >"$1/bochsrc" &&
		cp "$plugin" "$1/"
}

# The line that tells best why L1 is not ready, of what its kernel, its init and Bochs said.
boot_cause() { # FOLDER
	{
		grep -s -h -o -m 1 'Kernel panic.*' "$1/console"
		grep -s -h -m 1 '^nested: ' "$1/output" | cut -d ' ' -f 2-
		grep -s -h -o -m 1 '>>PANIC<<.*' "$1/log"
		[[ -s $1/console || -s $1/output ]] || echo "it printed nothing at all"
		tail -q -n 1 "$1/console"
	} 2>/dev/null | tr -d '\r' | head -n 1
}

# In one line; what was said besides stays in a file.
boot_failure() { # FOLDER WHAT
	local said=$snapshots/failed-boot.log
	tail -q -n +1 "$1"/{log,output,console} 2>/dev/null | tr -d '\r' >"$said" || true
	die "L1 does not come up on $(cat "$kernel/version"): $2: $(boot_cause "$1");" \
		"is it a kernel with what host/kernel/options names? (all that it said: $said)"
}

# Bochs starts in the folder, does not outlive this script, and ends when the machine is saved.
boot() { # FOLDER
	local command status=0 began=${EPOCHREALTIME/[.,]/}
	mapfile -t command <<<"${start#*$'\n'}"
	(
		cd "$1"
		exec setpriv --pdeathsig KILL timeout -s KILL "$boot_limit" "${command[@]}" \
			</dev/null >/dev/null 2>log 3<input 4>output 5>console 9>&-
	) &
	pid=$!
	wait "$pid" || status=$?
	pid=
	case $status in
	0) ;;
	2) boot_failure "$1" "it was reset" ;;
	4) die "Bochs cannot save the machine in $snapshots; is there space for $((memory + 50)) MB?" ;;
	10) boot_failure "$1" "it gave up" ;;
	137) boot_failure "$1" "it is not ready after $boot_limit s" ;;
	*) boot_failure "$1" "Bochs ended" ;;
	esac
	[[ -s $1/memory.ram ]] || boot_failure "$1" "Bochs did not save it"
	say "KVM is up and saved after $(((${EPOCHREALTIME/[.,]/} - began) / 1000)) ms"
}

fill_snapshot() {
	local said
	said=$(fill_folder "$work" 2>&1) || no_room "$said"
	say "booting L1 on $(cat "$kernel/version") for a snapshot (once)"
	boot "$work"
	check_console "$work"
	# In the configuration that Bochs itself has saved the plugins have another order.
	mv "$work/bochsrc" "$work/config"
	printf '%s\n' "${start#*$'\n'}" -r . >"$work/machine"
	echo "${start%%$'\n'*}" >"$work/bochs"
	rm -f "$work"/{initrd,input,log,output,console}
}

(($# == 1)) || {
	echo "usage: snapshot.sh KERNEL-FOLDER" >&2
	exit 2
}
kernel=$1
[[ -r $kernel/manifest ]] || die "there is no kernel in $kernel"
for file in "$init" "$plugin" "$pack"; do
	[[ -r $file ]] || die "there is no $file; run make"
done
[[ -e $kernel/vmlinux ]] || die "$(cat "$kernel/version") cannot be booted here; build it with CONFIG_PVH"
grep -qx kvm-intel.ko "$kernel/modules" || [[ ! -s $kernel/modules ]] ||
	die "$(cat "$kernel/version") has no module kvm-intel.ko; build it with CONFIG_KVM_INTEL=m"
start=$(machine_words) || exit 1
# Not in the pipe: what cannot be read is to end this.
text=$(ingredients)
ensure_snapshot "$text"
