#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# prepare.sh: makes the host xen ready for tests, whatever that takes
#
# Gets Xen and its dom0 (fetch.sh), makes the snapshot, asks Xen what it offers; prints the folder of the snapshot,
# for run.sh. What domain --probe said is left in $XDG_CACHE_HOME/vmabi/offers, for scripts/hosts.sh.
#
# Takes a fraction of a second when all is there. Messages go to stderr.
set -euo pipefail
top=$(readlink -f "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..")
# shellcheck source=scripts/hosts.sh
source "$top/scripts/hosts.sh"
# shellcheck source=scripts/offers.sh
source "$top/scripts/offers.sh"
init=$top/build/host/xen/init/init

xen=$("$top/host/xen/fetch.sh")
snapshot=$("$top/host/xen/snapshot.sh" "$(qemu_program)" "$(configured CC gcc)" "$init" "$xen")
describe_kernel xen "$xen_choice" "$xen"
learn_offers xen "$xen_choice" "$snapshot" "$init" \
	"$top/build/host/nested/restore/restore" "$snapshot" -- /domain --probe
echo "$snapshot"
