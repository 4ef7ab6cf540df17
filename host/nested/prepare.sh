#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# prepare.sh KERNEL: makes the nested host ready for tests, whatever that takes
#
# Fetches the kernel, makes the snapshot, asks vmrun in L1 what KVM offers there; prints the folder of
# the snapshot, for run.sh. What vmrun --probe said is left in $XDG_CACHE_HOME/vmabi/offers/KERNEL.
#
# Takes a fraction of a second when all is there. Messages go to stderr.
set -euo pipefail
top=$(readlink -f "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..")
# shellcheck source=scripts/hosts.sh
source "$top/scripts/hosts.sh"
vmrun=$top/build/host/vmrun/vmrun
nested=$top/build/host/nested

# What L1 offers depends on the snapshot and on the vmrun that is asked.
probe() { # KERNEL SNAPSHOT
	local offers=$cache/offers/$1 asked text
	asked="$2 $(cksum <"$vmrun")"
	[[ ! -e $offers || $(cat "$offers.asked" 2>/dev/null) != "$asked" ]] || return 0
	if ! text=$(timeout 60 "$nested/restore/restore" --file "$vmrun" "$2" -- /vmrun --probe 2>&1); then
		echo "nested: vmrun in L1 does not say what KVM offers: ${text##*$'\n'}" >&2
		return
	fi
	mkdir -p "$cache/offers"
	echo "$text" >"$offers.new.$$"
	mv "$offers.new.$$" "$offers"
	echo "$asked" >"$offers.asked"
}

(($# == 1)) || {
	echo "usage: prepare.sh KERNEL" >&2
	exit 2
}
kernel=$("$top/host/kernel/fetch.sh" "$1")
snapshot=$("$top/host/nested/snapshot.sh" "$(qemu_program)" "$nested/init/init" "$kernel")
probe "$1" "$snapshot"
echo "$snapshot"
