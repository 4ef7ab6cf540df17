#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# fetch.sh: makes sure that Bochs 3.0 is in the cache, and prints its folder
#
# Debian's build of it, from trixie. The folder, $XDG_CACHE_HOME/vmabi/bochs/3.0, holds
#
#	bochs-bin	the program
#	lib		all shared libraries that it loads, the dynamic loader and bochs/plugins among them
#	share		its BIOS, and vgabios
#	version manifest
#
# apt checks the signatures. Messages go to stderr.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=host/kernel/folder.sh
source "$here/../kernel/folder.sh"
# shellcheck source=scripts/apt.sh
source "$here/../../scripts/apt.sh"
name=bochs
version=3.0
suite=trixie
kernels=$cache/bochs # where folder.sh makes its entries
# shellcheck disable=SC2034 # folder.sh uses it in its words on a full disk
room=500
libraries=usr/lib/x86_64-linux-gnu

# To an empty system, apt adds everything that Bochs depends on.
download() { # FOLDER
	private_apt_get -y --no-install-recommends --download-only install bochs bochs-term bochsbios vgabios
	mv "$1/apt/cache/archives" "$1/debs"
}

unpack() { # FOLDER
	local deb
	# The folders of a system where lib is usr/lib, in which packages of either kind may be unpacked.
	mkdir -p "$1/root/usr/lib" "$1/root/usr/lib64"
	ln -s usr/lib usr/lib64 "$1/root/"
	for deb in "$1"/debs/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$1/root" --no-same-owner --keep-directory-symlink \
			--exclude='./etc' --exclude='./var' --exclude='./usr/share/doc' \
			--exclude='./usr/share/locale' --exclude='./usr/share/icons' --exclude='./usr/share/man'
	done
}

# Of the plugins for display and sound those that need nothing: nobody looks or listens.
collect() { # ROOT FOLDER
	local root=$1/$libraries file
	mkdir -p "$2/lib/bochs/plugins" "$2/share"
	cp "$1/usr/bin/bochs-bin" "$2/"
	for file in "$root"/bochs/plugins/*.so; do
		case ${file##*/} in
		libbx_rfb_gui.so | libbx_sounddummy.so) ;;
		*_gui.so | libbx_sound*) continue ;;
		esac
		cp -L "$file" "$2/lib/bochs/plugins/"
	done
	cp -rL "$1"/usr/share/bochs/. "$1"/usr/share/vgabios/. "$2/share/"
	cp -L "$root/ld-linux-x86-64.so.2" "$2/lib/"
	for file in "$2/bochs-bin" "$2"/lib/bochs/plugins/*; do
		"$2/lib/ld-linux-x86-64.so.2" --library-path "$root:$root/pulseaudio" --list "$file"
	done | sed -n "s,.*=> \($root/.*\) (0x.*,\1,p" | sort -u | xargs -d '\n' cp -Lt "$2/lib"
	echo "$version" >"$2/version"
}

# Another Bochs than 3.0 may have come into trixie: then this is to be looked at again, and not used unseen.
check_version() {
	local offered
	offered=$(apt_version bochs)
	[[ $offered == "$version"[.+-]* ]] ||
		die "$suite has Bochs ${offered:-no more}, and this project knows $version"
}

fetch() {
	local mirror
	mirror=$(apt_mirror 2>/dev/null) || true
	[[ $mirror ]] || die "cannot be fetched: apt on this system has no Debian mirror configured"
	[[ -r $apt_keyring ]] ||
		die "cannot be fetched: $apt_keyring is missing; install debian-archive-keyring"
	step "cannot write to $kernels" apt_prepare "$work/apt" "$mirror" "$suite"
	apt_state=$work/apt
	step "is not in the cache and cannot be fetched (connect this machine to its Debian mirror, or \
copy $kernels/$version from one that is)" private_apt_get update
	check_version
	say "fetching Bochs $version and its libraries of $suite (90 MB)"
	step "cannot be fetched" download "$work"
	step "cannot be unpacked" unpack "$work"
	step "cannot be unpacked" collect "$work/root" "$work/kernel"
	finish_folder "$version"
	say "Bochs $version is in $kernels/$version"
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
