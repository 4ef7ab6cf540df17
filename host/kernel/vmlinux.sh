#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# vmlinux.sh BZIMAGE VMLINUX: takes the kernel out of a bzImage
#
# QEMU boots the ELF file itself by PVH, two seconds faster under TCG than a bzImage, which would have
# the guest's CPU decompress it. Where it lies is said by the header (Documentation/arch/x86/boot.rst):
# payload_offset counts from the protected-mode code, which begins after setup_sects + 1 sectors.
set -euo pipefail

die() {
	echo "vmlinux.sh: $image: $*" >&2
	exit 1
}

number() { # OFFSET SIZE: of the file, little-endian as this machine is
	od -A n -t "u$2" -j "$1" -N "$2" "$image" | tr -d ' '
}

(($# == 2)) || {
	echo "usage: vmlinux.sh BZIMAGE VMLINUX" >&2
	exit 2
}
image=$1 out=$2
[[ $(number 514 4) == $((0x53726448)) ]] || die "this is no bzImage (no HdrS in its header)"
(($(number 518 2) >= 0x208)) || die "its boot protocol is older than 2.08 and names no payload"
start=$(((($(number 497 1)) + 1) * 512 + $(number 584 4)))
length=$(number 588 4)
(($(stat -c %s "$image") >= start + length)) || die "the file is cut off"

# The last four bytes are the size of what comes out. gzip has written them itself; after the others
# the kernel's build has put them.
size=$(number $((start + length - 4)) 4)
magic=$(od -A n -t x1 -j "$start" -N 6 "$image" | tr -d ' ')
rest=4
case $magic in
28b52ffd*) unpack="zstd -dc" package=zstd ;;
fd377a585a00) unpack="xz -dc" package=xz-utils ;;
5d0000*) unpack="xz --format=lzma -dc" package=xz-utils ;;
02214c18*) unpack="lz4 -dc" package=lz4 ;;
425a68*) unpack="bzip2 -dc" package=bzip2 ;;
894c5a4f*) unpack="lzop -dc" package=lzop ;;
1f8b*) unpack="gzip -dc" package=gzip rest=0 ;;
*) die "its payload is compressed in a way that is not known here (it begins with $magic)" ;;
esac
command -v "${unpack%% *}" >/dev/null ||
	die "it is compressed with ${unpack%% *}, which is not here; install the Debian package $package"
# shellcheck disable=SC2086 # a command and its options
head -c $((start + length - rest)) "$image" | tail -c $((length - rest)) | $unpack >"$out"
[[ $(stat -c %s "$out") == "$size" ]] ||
	die "it holds $(stat -c %s "$out") bytes and says $size"
[[ $(head -c 4 "$out") == $'\x7fELF' ]] || die "what it holds is no ELF file"
