#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh SNAPSHOT VMRUN GUEST [VMRUN-OPTION]...: runs a guest by vmrun in a restored L1
# run.sh SNAPSHOT PROGRAM: runs a program there
# run.sh SNAPSHOT GUEST --run COMMAND...: gives L1 the guest, and runs a command that is there already
#
# SNAPSHOT is the folder that prepare.sh prints. What is written there goes to stdout, the status is the
# program's (127: L1 broke down), and L1's kernel log goes to $VMABI_SCRATCH/console, if that is set.
set -euo pipefail
snapshot=$1 program=$2 guest=${3-}
console=/dev/null
[[ -z ${VMABI_SCRATCH-} ]] || console=$VMABI_SCRATCH/console
command=("/${program##*/}" "${@:4}" ${guest:+"/${guest##*/}"})
if [[ $guest == --run ]]; then
	guest='' command=("${@:4}")
fi
exec "${BASH_SOURCE[0]%/*}/../../build/host/nested/restore/restore" --console "$console" \
	--file "$program" ${guest:+--file "$guest"} "$snapshot" \
	-- "${command[@]}"
