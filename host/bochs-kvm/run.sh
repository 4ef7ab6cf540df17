#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh SNAPSHOT VMRUN GUEST [VMRUN-OPTION]...: runs a guest by vmrun in an L1 that Bochs restores
#
# SNAPSHOT is the folder that prepare.sh prints. What vmrun and the guest write goes to stdout, the status is
# vmrun's (127: L1 broke down), and L1's kernel log goes to $VMABI_SCRATCH/console, if that is set.
set -euo pipefail
snapshot=$1 vmrun=$2 guest=$3
console=/dev/null
[[ -z ${VMABI_SCRATCH-} ]] || console=$VMABI_SCRATCH/console
exec "${BASH_SOURCE[0]%/*}/../../build/host/bochs-kvm/restore/restore" "$snapshot" "$console" \
	"$vmrun" "$guest" -- "/${vmrun##*/}" "${@:4}" "/${guest##*/}"
