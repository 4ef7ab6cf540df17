#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# kernel.sh KERNEL: makes sure that a kernel for L1 is in the cache, and prints its folder
#
#	stock-7.2 stock-6.12		Debian's (fetch.sh, which says what such a folder holds)
#	patched patched-debug		the project's own (build.sh)
#	a path				one of the user's (take.sh), or such a folder itself
#
# What has a slash is a path. A test that stands alone has its kernel with it (bring.sh). Messages go to
# stderr.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

# Those whose name has a hash stand in their folder as NAME-HASH.
came_along() { # KERNEL
	local folder
	for folder in "$here/../../kernels/$1" "$here/../../kernels/$1"-[0-9a-f]*; do
		[[ ! -e $folder/manifest ]] || basename "$folder"
	done
}

(($# == 1)) || {
	echo "usage: kernel.sh KERNEL" >&2
	exit 2
}
entry=$(came_along "$1")
[[ -z $entry ]] || exec "$here/bring.sh" "$entry"
case $1 in
*/*)
	if [[ -e $1/manifest && -e $1/modules && -e $1/version ]]; then
		readlink -f "$1"
	else
		"$here/../../scripts/tools.sh" install build run || exit 1
		exec "$here/take.sh" "$1"
	fi
	;;
patched | patched-*) exec "$here/build.sh" "$1" ;;
*) exec "$here/fetch.sh" "$1" ;;
esac
