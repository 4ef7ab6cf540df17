# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The cache: where it is, and how an entry comes into it whole or not at all. Sets $cache. Sourced.
#
# An entry is a folder with a file "manifest" that holds a checksum of each other file. A script that
# makes entries defines say(), which prints a line under its name, and clear_up(), which is called at
# its end, however that comes; and makes an entry under a name that begins with .new., to rename it when
# it is done.

if [[ -z ${XDG_CACHE_HOME-} && -z ${HOME-} ]]; then
	echo "there is no place for the cache: set HOME, or XDG_CACHE_HOME" >&2
	exit 2
fi
# shellcheck disable=SC2034 # for the script that sources this
cache=$(realpath -m -- "${XDG_CACHE_HOME:-$HOME/.cache}")/vmabi

die() {
	say "$@"
	exit 1
}

checksums() { # ENTRY
	(cd "$1" && find . -type f ! -name manifest | LC_ALL=C sort | xargs -d '\n' cksum --)
}

intact() { # ENTRY
	[[ -e $1/manifest ]] && cmp -s "$1/manifest" <(checksums "$1" 2>&1)
}

# To be called before anything is made in a folder of the cache: one process at a time does.
lock_cache() { # FOLDER
	trap clear_up EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	mkdir -p "$1" 2>/dev/null || true
	[[ -w $1 ]] || die "cannot write to $1; point XDG_CACHE_HOME at a folder that can be written to"
	exec 9>"$1/.lock"
	flock -n 9 || {
		say "another process is at work in $1; waiting for it"
		flock 9
	}
}

# Whether what a program said is of a lack of space. tar says "Wrote only" of the file in which it came.
is_no_space() { # TEXT
	grep -qE "No space left|enough free space|[Qq]uota exceeded|Wrote only" <<<"$1"
}

no_space() { # FOLDER MEGABYTES
	echo "there is no space in $1 ($2 MB are needed); make room, or point XDG_CACHE_HOME at a place" \
		"that has it"
}
