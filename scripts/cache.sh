# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Where kernels, snapshots and what is known of them are kept: sets $cache. Sourced.

if [[ -z ${XDG_CACHE_HOME-} && -z ${HOME-} ]]; then
	echo "there is no place for the cache: set HOME, or XDG_CACHE_HOME" >&2
	exit 2
fi
# shellcheck disable=SC2034 # for the script that sources this
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vmabi
