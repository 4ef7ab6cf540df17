#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# prepare.sh KERNEL: makes the nested host ready for tests, whatever that takes
#
# Gets the kernel (host/kernel/kernel.sh), makes the snapshot, asks vmrun in L1 what KVM offers there;
# prints the folder of the snapshot, for run.sh. Of KERNEL+snp the software SNP platform is in force; of KERNEL+qemu
# there is a QEMU in L1 (qemu/fetch.sh). What vmrun --probe said is left in $XDG_CACHE_HOME/vmabi/offers, for
# scripts/hosts.sh.
#
# Takes a fraction of a second when all is there. Messages go to stderr.
set -euo pipefail
top=$(readlink -f "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..")
# shellcheck source=scripts/hosts.sh
source "$top/scripts/hosts.sh"
# shellcheck source=scripts/offers.sh
source "$top/scripts/offers.sh"
vmrun=$top/build/host/vmrun/vmrun
nested=$top/build/host/nested

(($# == 1)) || {
	echo "usage: prepare.sh KERNEL" >&2
	exit 2
}
plain=${1%+qemu}
kernel=$("$top/host/kernel/kernel.sh" "${plain%+snp}")
[[ $plain != *+snp ]] || export VMABI_L1_KVM_AMD=snp_sw=insecure
qemu=
if [[ $1 == *+qemu ]]; then
	qemu=$("$top/host/nested/qemu/fetch.sh")
	# The initramfs holds it twice while it is unpacked.
	export VMABI_L1_MEMORY=${VMABI_L1_MEMORY:-512}
fi
snapshot=$("$top/host/nested/snapshot.sh" "$(qemu_program)" "$nested/init/init" "$kernel" ${qemu:+"$qemu"})
describe_kernel nested "$1" "$kernel"
learn_offers nested "$1" "$snapshot" "$vmrun" \
	"$nested/restore/restore" --file "$vmrun" "$snapshot" -- /vmrun --probe
echo "$snapshot"
