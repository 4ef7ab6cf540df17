#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# What vmabi needs on a machine, and how to get it
#
#	tools.sh check GROUP...		names what is missing and the one command that installs it
#	tools.sh install GROUP...	installs what is missing, as root or by sudo
#
# Groups: build (guests and host programs), run (the suite), host (a single test), bochs, kernel (kernels
# that are built here), lint, junit, lab, browser, check (make check). What is looked for is what was configured; CC, QEMU and
# I386 (yes or no) in the environment go before that.
# Status: 0 nothing is missing (any more), 1 something is.
set -eu

# What configure wrote, or this.
configured() { # NAME DEFAULT
	value=$(sed -n "s/^$1 := //p" "$(dirname "$0")/../build/config.mk" 2>/dev/null) || true
	echo "${value:-$2}"
}

CC=${CC:-$(configured CC gcc)}
QEMU=${QEMU:-$(configured QEMU qemu-system-x86_64)}
if [ -z "${I386-}" ]; then
	case $(configured ARCHS i386) in
	*i386*) I386=yes ;;
	*) I386=no ;;
	esac
fi
qemu_minimum=7.2

# shellcheck disable=SC2317 # these are called as the TEST of need()
has() {
	command -v "$1" >/dev/null 2>&1
}

# shellcheck disable=SC2317
links() { # CC-OPTION...: whether the compiler makes programs so
	probe=$(mktemp)
	echo 'int main(void) { return 0; }' | "$CC" "$@" -x c - -o "$probe" >/dev/null 2>&1 || {
		rm -f "$probe"
		return 1
	}
	rm -f "$probe"
}

# shellcheck disable=SC2317
has_header() { # NAME
	echo "#include <$1>" | "$CC" -E -x c - >/dev/null 2>&1
}

qemu_version() {
	"$QEMU" --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\.[0-9]*\).*/\1/p'
}

# shellcheck disable=SC2317
qemu_serves() {
	version=$(qemu_version)
	[ -n "$version" ] &&
		[ "$(printf '%s\n%s\n' "$qemu_minimum" "$version" | sort -V | head -n 1)" = "$qemu_minimum" ]
}

# One line a need: the package, what for, then whether it is there.
need() { # PACKAGE WHAT-FOR TEST...
	package=$1 purpose=$2
	shift 2
	"$@" && return
	missing="$missing $package"
	echo "missing: $purpose (Debian package $package)" >&2
}

needs_of() {
	case $1 in
	build)
		need gcc "the C compiler $CC" has "$CC"
		need binutils "the linker and its tools, ld, nm, objcopy" has objcopy
		need make "make" has make
		if has "$CC"; then
			need libc6-dev "a C library to link with (static)" links -static
			[ "$I386" = no ] || need gcc-multilib "32-bit code, $CC -m32" links -m32
		else
			missing="$missing libc6-dev"
			[ "$I386" = no ] || missing="$missing gcc-multilib"
		fi
		;;
	run)
		need perl "prove, which runs the tests" has prove
		need xz-utils "xz, which unpacks kernel modules" has xz
		needs_of host
		;;
	host)
		if has "$QEMU"; then
			need qemu-system-x86 "QEMU $qemu_minimum or newer ($QEMU is $(qemu_version))" qemu_serves
		else
			need qemu-system-x86 "QEMU, $QEMU" has "$QEMU"
		fi
		need zstd "zstd, which unpacks kernels" has zstd
		need cpio "cpio, which packs the initramfs" has cpio
		need util-linux "flock and setpriv" has setpriv
		;;
	bochs)
		if [ -z "$(configured BOCHS "")" ]; then
			need bochs "Bochs, CPUs with CET" has bochs-bin
			# Bochs depends on one display or another; this one brings the fewest libraries.
			has bochs-bin || missing="$missing bochs-term"
			need bochsbios "the BIOS of Bochs" test -e /usr/share/bochs/BIOS-bochs-latest
		fi
		;;
	lint)
		need clang-format "clang-format" has clang-format
		need shellcheck "shellcheck" has shellcheck
		need cppcheck "cppcheck" has cppcheck
		;;
	kernel)
		need gcc "gcc, which builds the kernel" has gcc
		need flex "flex, which kbuild needs" has flex
		need bison "bison, which kbuild needs" has bison
		need bc "bc, which kbuild needs" has bc
		need libelf-dev "libelf, which the kernel's objtool needs" has_header gelf.h
		need ccache "ccache, which keeps what was compiled" has ccache
		need patch "patch" has patch
		need perl "perl, which kbuild needs" has perl
		need xz-utils "xz, which unpacks the kernel's source" has xz
		;;
	junit)
		need libtap-formatter-junit-perl "prove's JUnit formatter" \
			perl -MTAP::Formatter::JUnit -e1 2>/dev/null
		;;
	lab)
		need kmod "insmod, for a machine of a lab" has insmod
		need mount "mount, for one" has mount
		need cpio "cpio, which packs the initramfs" has cpio
		;;
	browser)
		need chromium "Chromium, which the report is tested in" has chromium
		need chromium-driver "chromedriver, which drives it" has chromedriver
		;;
	check)
		need bats "bats, which runs the tests of the scripts" has bats
		;;
	*)
		echo "tools.sh: there is no group '$1' (there are: build run host bochs kernel lint junit lab browser check)" >&2
		exit 2
		;;
	esac
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif [ -t 0 ]; then
		sudo "$@"
	else
		sudo -n "$@"
	fi
}

install_missing() {
	log=$(mktemp)
	echo "installing:$missing" >&2
	# shellcheck disable=SC2086 # a list of package names
	if as_root apt-get update -q >"$log" 2>&1 &&
		as_root env DEBIAN_FRONTEND=noninteractive \
			apt-get install -q -y --no-install-recommends $missing >>"$log" 2>&1; then
		rm -f "$log"
		return
	fi
	grep -E '^(E|sudo):|not found' "$log" | head -n 3 >&2 || tail -n 3 "$log" >&2
	rm -f "$log"
	echo "cannot install what is missing; run: $command_line" >&2
	exit 1
}

[ $# -ge 2 ] || {
	echo "usage: tools.sh check|install GROUP..." >&2
	exit 2
}
action=$1
shift
missing=
for group; do
	needs_of "$group"
done
[ -n "$missing" ] || exit 0
command_line="apt-get install --no-install-recommends$missing"
[ "$(id -u)" = 0 ] || command_line="sudo $command_line"
if [ "$action" = install ]; then
	install_missing
	missing=
	for group; do
		needs_of "$group"
	done
	[ -z "$missing" ] && exit 0
	echo "these are installed and yet do not serve:$missing" >&2
else
	echo "to install it: $command_line" >&2
fi
exit 1
