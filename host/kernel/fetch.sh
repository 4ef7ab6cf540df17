#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# fetch.sh KERNEL: makes sure that a kernel for L1 is in the cache, and prints its folder
#
#	stock-7.2	the newest Debian cloud kernel 7.2 (else 7.3) of trixie-backports
#	stock-6.12	the newest Debian cloud kernel 6.12 of bookworm-backports
#	source-7.2	the source of 7.2, or where that is gone of the next newer 7.x, of
#			trixie-backports, for build.sh
#
# The folder, $XDG_CACHE_HOME/vmabi/kernels/KERNEL, is as described in folder.sh; that of a source holds
# linux.tar.xz, as Debian patched it, version and manifest.
#
# apt checks the signatures. A kernel that is there stays, whatever newer one there may be by now:
# remove its folder to have it fetched anew. Messages go to stderr.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=host/kernel/folder.sh
source "$here/folder.sh"
# shellcheck source=scripts/apt.sh
source "$here/../../scripts/apt.sh"
modules="kvm-amd kvm-intel loop"

# Sets $packages (the first one names the kernel) and $version.
choose() {
	local series package
	case $name in
	stock-7.2)
		for series in 7.2 7.3; do
			package=$(apt_newest "linux-binary-$series" "linux-binary-${series}[.0-9]*[^ ]*-cloud-amd64") && break
		done
		version=${package#linux-binary-}
		packages=("$package" "linux-modules-$version" "linux-base-$version")
		;;
	stock-6.12)
		package=$(apt_newest linux-image-6.12 'linux-image-6\.12[.0-9]*[^ ]*-cloud-amd64') || true
		version=${package#linux-image-}
		packages=("$package")
		;;
	source-7.2)
		package=$(private_apt_cache pkgnames linux-source-7 | grep -Ex 'linux-source-7\.([2-9]|[1-9][0-9]+)' |
			sort -V | head -n 1) || true
		version="$package $([[ -z $package ]] || apt_version "$package")"
		packages=("$package")
		;;
	esac
	[[ $package ]] || die "$suite has no such kernel any more; the kernels and sources it has:" \
		"$(private_apt_cache pkgnames linux- | grep -E -- '^linux-image.*-cloud-amd64$|^linux-source-' | xargs)"
}

download() { # FOLDER PACKAGE
	cd "$1" && private_apt_get download "$2"
}

# Of a package only what may be wanted: drivers, but those of block devices, and the like are most of it.
unpack() { # DEB FOLDER
	mkdir -p "$2"
	dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --no-same-owner \
		--exclude='*/kernel/drivers/[!b]*' --exclude='*/kernel/drivers/b[!l]*' --exclude='*/kernel/drivers/bl[!o]*' \
		--exclude='*/kernel/fs' --exclude='*/kernel/net' \
		--exclude='*/kernel/sound' --exclude='*/usr/share'
}

fetch_packages() { # WORK-FOLDER
	local package
	for package in "${packages[@]}"; do
		say "fetching $package ($(apt_download_size "$package"))"
		step "cannot fetch $package" download "$1" "$package"
		step "cannot unpack $package" unpack "$1/$package"_*.deb "$1/root"
		rm -f "$1"/*.deb
	done
}

find_one() { # FOLDER NAME-PATTERN...
	local pattern found
	for pattern in "${@:2}"; do
		found=$(find "$1" -type f -name "$pattern" -print -quit)
		[[ -z $found ]] || break
	done
	[[ $found ]] || die "the packages of $version hold no $2"
	echo "$found"
}

collect() { # ROOT FOLDER
	mkdir "$2"
	echo "$version" >"$2/version"
	case $name in
	source-*) mv "$(find_one "$1" 'linux-source-*.tar.xz')" "$2/linux.tar.xz" ;;
	*) collect_kernel "$@" ;;
	esac
}

collect_kernel() { # ROOT FOLDER
	local module
	cp "$(find_one "$1" vmlinuz 'vmlinuz-*')" "$2/bzImage"
	cp "$(find_one "$1" config 'config-*')" "$2/config"
	"$here/vmlinux.sh" "$2/bzImage" "$2/vmlinux"
	for module in $modules; do
		add_module "$1" "$module" "$2"
	done
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
copy $kernels/$name from one that is)" private_apt_get update
	choose
	say "$suite has $version"
	fetch_packages "$work"
	step "cannot be unpacked" collect "$work/root" "$work/kernel"
	finish_folder "$name"
	say "$version is in $kernels/$name"
}

(($# == 1)) || {
	echo "usage: fetch.sh stock-7.2|stock-6.12|source-7.2" >&2
	exit 2
}
name=$1
case $name in
stock-7.2 | source-7.2) suite=trixie-backports ;;
stock-6.12) suite=bookworm-backports ;;
*)
	echo "fetch.sh: unknown kernel '$name' (there are: stock-7.2 stock-6.12 source-7.2)" >&2
	exit 2
	;;
esac

# A kernel that was fetched when fewer modules were wanted lacks one.
lacking_module() {
	local module
	[[ $name != source-* ]] || return 0
	for module in $modules; do
		[[ -e $kernels/$name/$module.ko ]] || echo "$module.ko"
	done
}

is_there() {
	[[ -z $(lacking_module) ]] && intact "$kernels/$name"
}

if is_there; then
	echo "$kernels/$name"
	exit
fi

begin_work "$kernels"
# The other one may have done it.
if ! is_there; then
	if intact "$kernels/$name"; then
		say "the cache entry $kernels/$name lacks $(lacking_module | head -n 1); it is fetched again"
	elif [[ -e $kernels/$name ]]; then
		say "the cache entry $kernels/$name is damaged; it is fetched again"
	fi
	begin_folder "$name"
	fetch
fi
echo "$kernels/$name"
