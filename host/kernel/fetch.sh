#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# fetch.sh KERNEL: makes sure that a kernel for L1 is in the cache, and prints its folder
#
#	stock-7.2	the newest Debian cloud kernel 7.2 (else 7.3) of trixie-backports
#	stock-6.12	the newest Debian cloud kernel 6.12 of bookworm-backports
#
# The folder, $XDG_CACHE_HOME/vmabi/kernels/KERNEL, holds
#
#	vmlinux bzImage	the kernel, to boot and as it came
#	*.ko modules	KVM's modules, and their names in the order to load them
#	config version	the configuration, and the version in one line
#	manifest	a checksum of each of these; a folder that does not match is fetched again
#
# apt checks the signatures. A kernel that is there stays, whatever newer one there may be by now:
# remove its folder to have it fetched anew. Messages go to stderr.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=scripts/cache.sh
source "$here/../../scripts/cache.sh"
# shellcheck source=scripts/apt.sh
source "$here/../../scripts/apt.sh"
kernels=$cache/kernels
# A test that stands alone (scripts/standalone.sh) brings its kernel along; this tree has none.
brought=$here/../../kernels
modules="kvm-amd"

say() {
	echo "$name: $*" >&2
}

# One line of what a step said: the cause.
cause() { # LOG
	if is_no_space "$(cat "$1")"; then
		no_space "$kernels" 200
	else
		{ grep -m 1 '^E: ' "$1" || tail -n 1 "$1"; } | sed 's/^E: //'
	fi
}

# Runs a step, which may be interrupted at any time. Its output is shown only as the cause of a failure.
step() { # WHAT-IF-NOT COMMAND...
	local failure=$1
	shift
	# A group of its own: what a step starts is to end with it.
	set -m
	"$@" >"$log" 2>&1 9>&- &
	child=$!
	set +m
	wait "$child" || die "$failure: $(cause "$log")"
	child=
}

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
	esac
	[[ $package ]] || die "$suite has no such kernel any more; the kernels it has:" \
		"$(private_apt_cache pkgnames linux-image- | grep -- '-cloud-amd64$' | xargs)"
}

download() { # FOLDER PACKAGE
	cd "$1" && private_apt_get download "$2"
}

# Of a package only what may be wanted: drivers and the like are most of it.
unpack() { # DEB FOLDER
	mkdir -p "$2"
	dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --no-same-owner \
		--exclude='*/kernel/drivers' --exclude='*/kernel/fs' --exclude='*/kernel/net' \
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

# A module after those it depends on; each once.
add_module() { # ROOT NAME FOLDER
	local file depends dependency
	[[ ! -e $3/$2.ko ]] || return 0
	# A module's file has - or _ in its name where others name it with either.
	file=$(find_one "$1" "${2//[-_]/[-_]}.ko*")
	case $file in
	*.ko.xz) xz -dc "$file" ;;
	*.ko.zst) zstd -dcq "$file" ;;
	*.ko.gz) gzip -dc "$file" ;;
	*.ko) cat "$file" ;;
	esac >"$3/$2.ko"
	depends=$(tr '\0' '\n' <"$3/$2.ko" | sed -n 's/^depends=//p')
	for dependency in ${depends//,/ }; do
		add_module "$1" "$dependency" "$3"
	done
	echo "$2.ko" >>"$3/modules"
}

collect() { # ROOT FOLDER
	local module
	mkdir "$2"
	cp "$(find_one "$1" vmlinuz 'vmlinuz-*')" "$2/bzImage"
	cp "$(find_one "$1" config 'config-*')" "$2/config"
	echo "$version" >"$2/version"
	"$here/vmlinux.sh" "$2/bzImage" "$2/vmlinux"
	for module in $modules; do
		add_module "$1" "$module" "$2"
	done
	checksums "$2" >"$2/manifest"
}

# The folder as it was in the cache that it comes from, but for what can be made again.
take_brought() {
	version=$(cat "$brought/$name/version")
	step "cannot take the kernel that came with this test" cp -r "$brought/$name" "$work/kernel"
	step "cannot unpack the kernel that came with this test" \
		"$here/vmlinux.sh" "$work/kernel/bzImage" "$work/kernel/vmlinux"
	intact "$work/kernel" || die "the kernel that came with this test is damaged; copy the test again"
	mv "$work/kernel" "$kernels/$name"
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
	mv "$work/kernel" "$kernels/$name"
	say "$version is in $kernels/$name"
}

clear_up() {
	if [[ $child ]]; then
		kill -KILL -- "-$child" 2>/dev/null || true
		wait "$child" 2>/dev/null || true
	fi
	rm -rf "$work" "$log"
}

(($# == 1)) || {
	echo "usage: fetch.sh stock-7.2|stock-6.12" >&2
	exit 2
}
name=$1
case $name in
stock-7.2) suite=trixie-backports ;;
stock-6.12) suite=bookworm-backports ;;
*)
	echo "fetch.sh: unknown kernel '$name' (there are: stock-7.2 stock-6.12)" >&2
	exit 2
	;;
esac

if intact "$kernels/$name"; then
	echo "$kernels/$name"
	exit
fi

child='' work='' log=''
lock_cache "$kernels"
log=$(mktemp) || die "there is no room for a temporary file; point TMPDIR at a place that has it"
# The other one may have done it, and one that was killed may have left something.
if ! intact "$kernels/$name"; then
	[[ ! -e $kernels/$name ]] ||
		say "the cache entry $kernels/$name is damaged; it is fetched again"
	rm -rf "${kernels:?}/$name"
	rm -rf "$kernels/.new.$name".*
	work=$(mktemp -d "$kernels/.new.$name.XXXXXX" 2>"$log") || die "$(cause "$log")"
	if [[ -e $brought/$name ]]; then
		take_brought
	else
		fetch
	fi
fi
echo "$kernels/$name"
