#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bring.sh ENTRY: makes sure that the kernel that came with a test is in the cache, and prints its folder
#
# A test that stands alone (scripts/standalone.sh) brings its kernel along, in kernels/ENTRY beside host/:
# the folder as it was in the cache that it comes from, but for vmlinux, which can be made again. Messages
# go to stderr.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=host/kernel/folder.sh
source "$here/folder.sh"

(($# == 1)) || {
	echo "usage: bring.sh ENTRY" >&2
	exit 2
}
name=$1
brought=$here/../../kernels/$name
if ! intact "$kernels/$name"; then
	begin_work "$kernels"
	if ! intact "$kernels/$name"; then
		begin_folder "$name"
		step "cannot take the kernel that came with this test" cp -r "$brought" "$work/kernel"
		step "cannot unpack the kernel that came with this test" \
			"$here/vmlinux.sh" "$work/kernel/bzImage" "$work/kernel/vmlinux"
		intact "$work/kernel" || die "the kernel that came with this test is damaged; copy the test again"
		rm -rf "${kernels:?}/$name"
		mv "$work/kernel" "$kernels/$name"
	fi
fi
echo "$kernels/$name"
