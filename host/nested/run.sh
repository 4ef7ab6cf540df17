#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh KERNEL VMRUN GUEST [VMRUN-OPTION]...: runs a guest by vmrun in a restored L1
#
# prepare.sh KERNEL has been run. What vmrun and the guest write goes to stdout, the status is vmrun's
# (127: L1 broke down), and L1's kernel log goes to $VMABI_SCRATCH/console, if that is set.
set -euo pipefail
top=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
kernel=$1 vmrun=$2 guest=$3
console=/dev/null
[[ -z ${VMABI_SCRATCH-} ]] || console=$VMABI_SCRATCH/console
exec "$top/build/host/nested/restore/restore" --console "$console" \
	--file "$vmrun" --file "$guest" "$top/build/host/nested/$kernel" \
	-- "/${vmrun##*/}" "${@:4}" "/${guest##*/}"
