#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# fetch.sh: makes sure that Xen and what its dom0 consists of are in the cache, and prints their folder
#
# All of it is Debian's, of the suite that this machine is of. The folder, $XDG_CACHE_HOME/vmabi/xen/SUITE, holds
#
#	xen		the hypervisor, to boot
#	bzImage *.ko modules	dom0's kernel, Xen's modules for it, and their names in the order to load them
#	xenstored xen-init-dom0	Xen's programs that run in dom0
#	lib		all shared libraries that these and libxl load, the dynamic loader among them
#	include		the headers of Xen's libraries, which host/xen/domain is built with
#	version		which these are, in one line: Xen's version, then the kernel's
#	manifest
#
# VMABI_XEN_SUITE names another suite of Debian's, to try its Xen: its folder is made, and printed, in place of that one.
#
# apt checks the signatures. What is there stays, whatever newer there may be by now: remove the folder to have it
# fetched anew. Messages go to stderr.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=host/kernel/folder.sh
source "$here/../kernel/folder.sh"
# shellcheck source=scripts/apt.sh
source "$here/../../scripts/apt.sh"
name=xen
kernels=$cache/xen # where folder.sh makes its entries
# shellcheck disable=SC2034 # folder.sh uses it in its words on a full disk
room=400
modules="xen-evtchn xen-privcmd xen-gntdev xen-gntalloc xenfs"
# What domain is linked with; the others come with these.
libraries=(libxen{light,ctrl,store,evtchn,foreignmemory,toollog})

# The suites whose Xen was seen to serve; where this machine is of none, the older.
system_suite() {
	local VERSION_CODENAME=''
	# shellcheck source=/dev/null
	source /etc/os-release 2>/dev/null || true
	case $VERSION_CODENAME in
	trixie) echo trixie ;;
	*) echo bookworm ;;
	esac
}

# Sets $xen, a version as packages have it in their names, and $kernel.
choose() {
	xen=$(apt_newest xen-hypervisor- 'xen-hypervisor-[0-9.]+-amd64') || true
	xen=${xen#xen-hypervisor-} xen=${xen%-amd64}
	kernel=$(private_apt_cache depends linux-image-amd64 | sed -n 's/^ *Depends: linux-image-//p' | head -n 1)
	[[ $xen && $kernel ]] || die "$suite has no xen-hypervisor, or no linux-image-amd64, any more"
}

# To an empty system, apt adds all libraries. Of the other packages, a part of each is wanted, and nothing of what
# they depend on.
download() { # FOLDER
	private_apt_get -y --no-install-recommends --download-only install libxen-dev
	(cd "$1/apt/cache/archives" && private_apt_get download \
		"xen-hypervisor-$xen-amd64" "xen-utils-$xen" "linux-image-$kernel")
	mv "$1/apt/cache/archives" "$1/debs"
}

# Of drivers and the like, which are most of it, only Xen's.
unpack() { # FOLDER
	local deb
	# The folders of a system where lib is usr/lib, in which packages of either kind may be unpacked.
	mkdir -p "$1"/root/usr/lib{,64}
	ln -s usr/lib usr/lib64 "$1/root/"
	for deb in "$1"/debs/*.deb; do
		case ${deb##*/} in
		gcc-* | perl* | python* | linux-libc-dev* | libc6-dev*) continue ;;
		esac
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$1/root" --no-same-owner --keep-directory-symlink \
			--exclude='./etc' --exclude='./var' --exclude='./usr/share' --exclude='*/kernel/[!d]*' \
			--exclude='*/kernel/drivers/[!x]*' --exclude='*/gconv' --exclude='*.a'
	done
}

find_one() { # FOLDER NAME-PATTERN
	local found
	found=$(find "$1" -type f -name "$2" -print -quit)
	[[ $found ]] || die "the packages of Xen $xen and Linux $kernel hold no $2"
	echo "$found"
}

collect() { # ROOT FOLDER
	local libs=$1/usr/lib/x86_64-linux-gnu module file
	mkdir -p "$2/lib"
	gzip -dc "$(find_one "$1/boot" 'xen-*.gz')" >"$2/xen"
	cp "$(find_one "$1/boot" 'vmlinuz-*')" "$2/bzImage"
	for module in $modules; do
		add_module "$1/usr/lib/modules" "$module" "$2"
	done
	cp "$(find_one "$1" xenstored)" "$(find_one "$1" xen-init-dom0)" "$2/"
	cp -r "$1/usr/include" "$2/include"
	cp -L "$libs/ld-linux-x86-64.so.2" "$2/lib/"
	for file in "$2"/xen{stored,-init-dom0} "${libraries[@]/#/$libs/}"; do
		[[ -x $file ]] || file+=.so
		"$2/lib/ld-linux-x86-64.so.2" --library-path "$libs" --list "$file"
	done | sed -n "s,.*=> \($libs/.*\) (0x.*,\1,p" | sort -u | xargs -d '\n' cp -Lt "$2/lib"
	for file in "${libraries[@]}"; do
		cp -L "$libs/$file.so" "$2/lib/"
	done
	echo "Xen $(apt_version "xen-hypervisor-$xen-amd64"), dom0 Linux $kernel" >"$2/version"
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
copy $kernels/$suite from one that is)" private_apt_get update
	choose
	say "fetching Xen $xen and Linux $kernel of $suite (100 MB)"
	step "cannot be fetched" download "$work"
	step "cannot be unpacked" unpack "$work"
	step "cannot be unpacked" collect "$work/root" "$work/kernel"
	finish_folder "$suite"
	say "$(cat "$kernels/$suite/version") is in $kernels/$suite"
}

suite=${VMABI_XEN_SUITE:-$(system_suite)}
if intact "$kernels/$suite"; then
	echo "$kernels/$suite"
	exit
fi
begin_work "$kernels"
# The other one may have done it.
if ! intact "$kernels/$suite"; then
	[[ ! -e $kernels/$suite ]] || say "the cache entry $kernels/$suite is damaged; it is fetched again"
	begin_folder "$suite"
	fetch
fi
echo "$kernels/$suite"
