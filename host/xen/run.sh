#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh SNAPSHOT GUEST [DOMAIN-OPTION]...: runs a guest as a domain of a restored Xen
#
# SNAPSHOT is the folder that prepare.sh prints. What the guest writes goes to stdout, the status is the guest's, or
# 126 if it gave none, or 127 if Xen or dom0 broke down. Xen's log, which has dom0's in it, goes to
# $VMABI_SCRATCH/console, if that is set.
set -euo pipefail
snapshot=$1 guest=$2
console=/dev/null
[[ -z ${VMABI_SCRATCH-} ]] || console=$VMABI_SCRATCH/console
exec "${BASH_SOURCE[0]%/*}/../../build/host/nested/restore/restore" --console "$console" \
	--file "$guest" "$snapshot" -- /domain "${@:3}" "/${guest##*/}"
