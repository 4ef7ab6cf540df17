# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What a kernel image, a vmlinux or a bzImage, says of itself. Sourced.
#
# The header of a bzImage is described in Documentation/arch/x86/boot.rst, the one of other architectures'
# images in Documentation/arch/{arm64/booting,riscv/boot-image-header}.rst and
# arch/loongarch/kernel/head.S, the note in include/xen/interface/elfnote.h.

number() { # FILE OFFSET SIZE [little|big]: 0 where the file has ended
	local digits
	digits=$(od -A n -t "u$3" -j "$2" -N "$3" --endian="${4-little}" "$1" 2>/dev/null) || true
	echo $((digits))
}

is_elf() { # FILE
	(($(number "$1" 0 4) == 0x464c457f))
}

is_bzimage() { # FILE
	(($(number "$1" 514 4) == 0x53726448))
}

# The architecture that an ELF file is for, as far as it is not this one.
foreign_elf() { # FILE
	local order=little machine word_size
	(($(number "$1" 5 1) == 1)) || order=big
	machine=$(number "$1" 18 2 $order) word_size=$(($(number "$1" 4 1) * 32))
	case $machine in
	3) machine=x86 ;;
	62) ((word_size != 64)) || return 0 ;;&
	62) machine=x86 ;;
	8) machine=MIPS ;;
	20 | 21) machine=PowerPC ;;
	22) machine=s390 ;;
	40) machine=ARM ;;
	183) machine=arm64 ;;
	243) machine=RISC-V ;;
	258) machine=LoongArch ;;
	*) machine="ELF machine $machine" ;;
	esac
	echo "$word_size-bit $machine, $order-endian"
}

# The same of an image that is no ELF file.
foreign_image() { # FILE
	if is_bzimage "$1"; then
		# xloadflags, XLF_KERNEL_64; what is cut off before that names no version either.
		(($(number "$1" 566 2) & 1)) || [[ -z $(image_version "$1") ]] || echo "32-bit x86"
		return
	fi
	case $(printf %x "$(number "$1" 56 4)") in
	644d5241) echo arm64 ;;
	5435352) echo RISC-V ;;
	818223cd) echo LoongArch ;;
	esac
}

# Ends if this is no kernel image for x86-64.
check_image() { # FILE
	local foreign
	[[ -f $1 ]] || die "$1 is neither a file nor a folder; give a kernel tree, a bzImage or a vmlinux"
	[[ -r $1 ]] || die "$1 cannot be read; run: sudo chmod a+r $(quoted "$1")"
	if is_elf "$1"; then
		foreign=$(foreign_elf "$1")
	else
		foreign=$(foreign_image "$1")
	fi
	[[ -z $foreign ]] || die "$1 is a program or kernel for another architecture ($foreign); build one for x86-64"
	is_elf "$1" || is_bzimage "$1" ||
		die "$1 is no kernel (neither a bzImage nor an ELF file); give a kernel tree, a bzImage or a vmlinux"
	[[ $(image_version "$1") ]] ||
		die "$1 is no kernel, or cut off (it names no version); give a kernel tree, a bzImage or a vmlinux"
}

# The release, as uname -r prints it; nothing if there is none.
image_version() { # FILE
	if is_elf "$1"; then
		LC_ALL=C grep -a -m 1 -o 'Linux version [0-9][^ ]*' "$1" | LC_ALL=C sed -n '1s/.* //p' || true
	else
		tail -c "+$(($(number "$1" 526 2) + 512 + 1))" "$1" | head -c 200 | tr '\0' '\n' |
			LC_ALL=C sed -n '1s/^\([0-9][^ ]*\) .*/\1/p' || true
	fi
}

# Whether QEMU can boot a vmlinux: by the entry in an ELF note of Xen's, type 18, of 4 or 8 bytes.
has_pvh() { # VMLINUX
	LC_ALL=C grep -qaP '\x04\x00\x00\x00[\x04\x08]\x00\x00\x00\x12\x00\x00\x00Xen\x00' "$1"
}

# The configuration that a kernel with CONFIG_IKCONFIG holds; nothing if it does not.
built_in_config() { # VMLINUX
	local begin
	begin=$(LC_ALL=C grep -a -b -o -m 1 $'IKCFG_ST\x1f\x8b' "$1" | LC_ALL=C sed -n '1s/:.*//p') || true
	[[ $begin ]] || return 0
	# gzip ends with a complaint about what follows.
	tail -c "+$((begin + 8 + 1))" "$1" | gzip -dc 2>/dev/null || true
}
