#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# prepare.sh KERNEL: makes the host bochs-kvm ready for tests, whatever that takes
#
# Gets the kernel (host/kernel/kernel.sh), makes the snapshot, asks vmrun in L1 what KVM offers there;
# prints the folder of the snapshot, for run.sh. What vmrun --probe said is left in
# $XDG_CACHE_HOME/vmabi/offers, for scripts/hosts.sh.
#
# Takes a fraction of a second when all is there. Messages go to stderr.
set -euo pipefail
top=$(readlink -f "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..")
# shellcheck source=scripts/hosts.sh
source "$top/scripts/hosts.sh"
vmrun=$top/build/host/vmrun/vmrun
restore=$top/build/host/bochs-kvm/restore/restore

# What L1 offers depends on the snapshot and on the vmrun that is asked.
probe() { # KERNEL SNAPSHOT
	local offers asked text
	offers=$(offers_file bochs-kvm "$1")
	asked="$2 $(cksum <"$vmrun")"
	[[ ! -e $offers || $(cat "$offers.asked" 2>/dev/null) != "$asked" ]] || return 0
	rm -f "$offers" "$offers.asked"
	if ! text=$(timeout 60 "$restore" "$2" /dev/null "$vmrun" -- /vmrun --probe 2>&1); then
		echo "bochs-kvm: vmrun in L1 does not say what KVM offers: ${text##*$'\n'}" >&2
		exit 1
	fi
	echo "$text" >"$offers.new.$$"
	mv "$offers.new.$$" "$offers"
	echo "$asked" >"$offers.asked"
}

# As in host/nested/prepare.sh: what a kernel is, and what knownbugs.cfg calls it.
describe() { # KERNEL KERNEL-FOLDER
	local file name=${2##*/}
	file=$(offers_file bochs-kvm "$1")
	cp "$2/version" "$file.version"
	case $name in
	own-*) name=own-$(cut -d ' ' -f 1 "$2/version") ;;
	stock-*) ;;
	*) name=${name%-*} ;;
	esac
	echo "$name" >"$file.place"
}

(($# == 1)) || {
	echo "usage: prepare.sh KERNEL" >&2
	exit 2
}
kernel=$("$top/host/kernel/kernel.sh" "$1")
snapshot=$("$top/host/bochs-kvm/snapshot.sh" "$kernel")
mkdir -p "$cache/offers"
# Of kernels that were once asked for by their path there may be many.
find "$cache/offers" -name '*-own-*' -mtime +14 -delete
describe "$1" "$kernel"
probe "$1" "$snapshot"
echo "$snapshot"
