#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# image.sh KERNEL FOLDER TEST...: what a machine of a lab boots to run these tests
#
# Leaves in FOLDER kernel, a bzImage, and initramfs, gzipped: KVM's modules, vmrun, the tests, as they run on the host
# local, and init.sh, which runs them. They have all that they need with them, and touch no disk. Messages go to stderr.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
top=$(readlink -f "$here/../../..")
# What init.sh and the scripts of a test call.
programs=(bash cat cksum cut dirname dmesg env head insmod ln mkdir mktemp mount readlink realpath rm sed sleep stat tr uname)

# With the libraries that it loads, in the places where it looks for them.
add_program() { # ROOT NAME
	local path library
	path=$(command -v "$2") || {
		echo "lab: there is no program $2 on this machine" >&2
		return 1
	}
	install -D "$(readlink -f "$path")" "$1/bin/$2"
	{ ldd "$path" 2>/dev/null || true; } | grep -o '/[^ ]*' | while read -r library; do
		[[ -e $1$library ]] || install -D "$(readlink -f "$library")" "$1$library"
	done
}

add_file() { # ROOT PATH-IN-THE-TREE
	install -D "$top/$2" "$1/vmabi/$2"
}

# The value of one variable of a test's script, which may be quoted.
setting() { # NAME VARIABLE
	sed -n "s/^$2=//p" "$top/build/tests/$1" | head -n 1 | xargs
}

add_test() { # ROOT NAME
	local guest
	guest=$(setting "$2" program)
	[[ $guest ]] || guest=build/guests/$(setting "$2" arch)/$(setting "$2" elf)
	add_file "$1" "build/tests/$2"
	[[ -e $1/vmabi/$guest ]] || add_file "$1" "$guest"
	echo "$2" >>"$1/vmabi/order"
}

(($# >= 3)) || {
	echo "usage: image.sh KERNEL FOLDER TEST..." >&2
	exit 2
}
"$top/scripts/tools.sh" install lab
kernel=$("$top/host/kernel/kernel.sh" "$1")
folder=$2
shift 2
mkdir -p "$folder"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{dev,proc,sys,tmp,root,modules}
cp "$kernel/modules" "$root/modules/order"
while read -r module _; do
	cp "$kernel/$module" "$root/modules/"
done <"$kernel/modules"
for program in "${programs[@]}"; do
	add_program "$root" "$program"
done
for file in scripts/{guest,hosts,cache}.sh build/host/supervise/supervise build/host/vmrun/vmrun; do
	add_file "$root" "$file"
done
mkdir -p "$root/usr"
ln -s ../bin "$root/usr/bin"
for test; do
	add_test "$root" "$test"
done
install "$here/init.sh" "$root/init"
cp "$kernel/bzImage" "$folder/kernel.new"
(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) | gzip -1 >"$folder/initramfs.new"
mv "$folder/kernel.new" "$folder/kernel"
mv "$folder/initramfs.new" "$folder/initramfs"
