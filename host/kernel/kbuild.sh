# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# How the kernel is made: kbuild's command line, the same for a whole kernel and for one module, and what
# of its output says why it failed. Sourced, after scripts/cache.sh; sets nothing but these functions.
#
# Nothing of the build depends on where, when and by whom it is done, so that ccache knows each file again
# in whatever folder it is compiled; nor on the environment, where who builds kernels has KBUILD_OUTPUT,
# ARCH and the like. ccache's own cache lies beside the others.

kbuild() { # TREE TARGET-OR-VARIABLE...
	# shellcheck disable=SC2154 # scripts/cache.sh sets it
	env -i PATH="$PATH" HOME="${HOME-/}" TMPDIR="${TMPDIR-/tmp}" LC_ALL=C \
		${CCACHE_STATSLOG:+CCACHE_STATSLOG="$CCACHE_STATSLOG"} \
		CCACHE_DIR="$cache/ccache" CCACHE_MAXSIZE=2G CCACHE_BASEDIR="$1" CCACHE_NOHASHDIR=1 \
		KBUILD_BUILD_TIMESTAMP=2026-01-01 KBUILD_BUILD_USER=vmabi KBUILD_BUILD_HOST=vmabi \
		make --no-print-directory -C "$1" -j "$(($(nproc) + 1))" \
		CC="ccache gcc" HOSTCC="ccache gcc" "${@:2}" </dev/null
}

# The line of a build's output that says what went wrong: the first of those that the compiler, the linker
# or modpost wrote, else make's own first.
first_error() { # LOG
	grep -m 1 -E '(^|[: ])(fatal )?error: |undefined reference|^ERROR: |multiple definition' "$1" ||
		grep -m 1 -E '\*\*\*|not found' "$1" || tail -n 1 "$1"
}

# Applies a patch exactly; where it does not, prints the first file that it does not fit, or nothing if the
# disk is full.
apply_patch() { # TREE PATCH
	local said
	said=$(patch -p1 --fuzz=0 --force --reject-file=- --no-backup-if-mismatch -d "$1" <"$2" 2>&1) || {
		is_no_space "$said" || awk '/^patching file/ { file = $3 }
			/^\|\+\+\+/ { sub(/^b\//, "", $2); file = $2 }
			/FAILED|ignored|No file|Skipping|malformed|Only garbage/ { exit }
			END { print file ? file : "anything (it is no patch)" }' <<<"$said"
		return 1
	}
}

# A copy of a built tree, to build modules or programs in. Made of hard links, but for what such a build
# writes in place, and with it the tree itself: what kbuild redirects into, the compiler's own assembly,
# and KVM. Chained by &&, because `set -e` does nothing in a function whose failure is looked at.
copy_tree() { # TREE COPY
	cp -al "$1" "$2" &&
		(cd "$1" &&
			find . -type f \( -name '*.cmd' -o -name '*.mod' -o -name '*.s' -o -name modules.order \
				-o -name '*.symvers' -o -path './include/config/*' -o -path './include/generated/*' \
				-o -path './arch/x86/kvm/*' -o -path './virt/*' -o -path './tools/objtool/*' \
				\) -print0 |
			xargs -0 -r cp -a --parents --remove-destination -t "$2")
}
