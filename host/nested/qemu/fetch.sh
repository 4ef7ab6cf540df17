#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# fetch.sh: makes sure that the QEMU that runs in L1 is in the cache, and prints its folder
#
# Debian's build of 10.0, from trixie: the same on each machine, and new enough for Xen's ABI (xen-version=, since 8.0).
# The folder, $XDG_CACHE_HOME/vmabi/qemu/10.0, goes to L1 as it is (prepare.sh), and holds
#
#	qemu		the program
#	lib		all shared libraries that it loads, the dynamic loader among them
#	share		the firmware with which the machine q35 boots a PVH kernel
#	version manifest
#
# apt checks the signatures. Messages go to stderr.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=host/kernel/folder.sh
source "$here/../../kernel/folder.sh"
# shellcheck source=scripts/apt.sh
source "$here/../../../scripts/apt.sh"
name=nested
version=10.0
suite=trixie
kernels=$cache/qemu # where folder.sh makes its entries
# shellcheck disable=SC2034 # folder.sh uses it in its words on a full disk
room=300
libraries=usr/lib/x86_64-linux-gnu
firmware=(seabios/bios-256k.bin qemu/{kvmvapic,linuxboot_dma,pvh}.bin)

# To an empty system, apt adds everything that QEMU depends on.
download() { # FOLDER
	private_apt_get -y --no-install-recommends --download-only install qemu-system-x86
	mv "$1/apt/cache/archives" "$1/debs"
}

unpack() { # FOLDER
	local deb
	# As on a system where lib is usr/lib, in which packages of either kind may be unpacked.
	mkdir -p "$1/root/usr/lib" "$1/root/usr/lib64"
	ln -s usr/lib usr/lib64 "$1/root/"
	for deb in "$1"/debs/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$1/root" --no-same-owner --keep-directory-symlink \
			--exclude='./etc' --exclude='./var' --exclude='./usr/share/doc' \
			--exclude='./usr/share/locale' --exclude='./usr/share/man'
	done
}

collect() { # ROOT FOLDER
	local root=$1/$libraries list
	mkdir -p "$2/lib" "$2/share"
	cp "$1/usr/bin/qemu-system-x86_64" "$2/qemu"
	cp -L "$root/ld-linux-x86-64.so.2" "$2/lib/"
	list=$("$2/lib/ld-linux-x86-64.so.2" --library-path "$root" --list "$2/qemu")
	sed -n "s,.*=> \($root/.*\) (0x.*,\1,p" <<<"$list" | sort -u | xargs -d '\n' cp -Lt "$2/lib"
	cp -L "${firmware[@]/#/$1/usr/share/}" "$2/share/"
	"$2/lib/ld-linux-x86-64.so.2" --library-path "$2/lib" "$2/qemu" --version |
		sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p' >"$2/version"
	grep -q . "$2/version"
}

# Another QEMU may have come into trixie: then this is to be looked at again, and not used unseen.
check_version() {
	local offered
	offered=$(apt_version qemu-system-x86)
	[[ $offered == 1:"$version"[.+-]* ]] ||
		die "$suite has QEMU ${offered:-no more}, and this project knows $version"
}

fetch() {
	local mirror
	mirror=$(apt_mirror 2>/dev/null) || true
	[[ $mirror ]] || die "QEMU $version cannot be fetched: apt on this system has no Debian mirror configured"
	[[ -r $apt_keyring ]] ||
		die "QEMU $version cannot be fetched: $apt_keyring is missing; install debian-archive-keyring"
	step "cannot write to $kernels" apt_prepare "$work/apt" "$mirror" "$suite"
	apt_state=$work/apt
	step "QEMU $version is not in the cache and cannot be fetched (connect this machine to its Debian mirror, or \
copy $kernels/$version from one that is)" private_apt_get update
	check_version
	say "fetching QEMU $version of $suite and its libraries, to run in L1 (38 MB, once)"
	step "QEMU $version cannot be fetched" download "$work"
	step "QEMU $version cannot be unpacked" unpack "$work"
	step "QEMU $version cannot be unpacked" collect "$work/root" "$work/kernel"
	finish_folder "$version"
}

if intact "$kernels/$version"; then
	echo "$kernels/$version"
	exit
fi
begin_work "$kernels"
# The other one may have done it.
if ! intact "$kernels/$version"; then
	[[ ! -e $kernels/$version ]] || say "the cache entry $kernels/$version is damaged; it is fetched again"
	begin_folder "$version"
	fetch
fi
echo "$kernels/$version"
