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
# shellcheck source=scripts/offers.sh
source "$top/scripts/offers.sh"
vmrun=$top/build/host/vmrun/vmrun

(($# == 1)) || {
	echo "usage: prepare.sh KERNEL" >&2
	exit 2
}
kernel=$("$top/host/kernel/kernel.sh" "$1")
snapshot=$("$top/host/bochs-kvm/snapshot.sh" "$kernel")
describe_kernel bochs-kvm "$1" "$kernel"
learn_offers bochs-kvm "$1" "$snapshot" "$vmrun" \
	"$top/build/host/bochs-kvm/restore/restore" "$snapshot" /dev/null "$vmrun" -- /vmrun --probe
echo "$snapshot"
