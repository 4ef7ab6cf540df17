#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# take.sh PATH: makes a kernel folder (folder.sh) of a kernel of the user's own, and prints it
#
# PATH is one of
#
#	a folder	a kernel tree in which a kernel was built, or the one that O= named: its bzImage, or
#			its vmlinux if that is newer or alone
#	a file		a bzImage or vmlinux. Beside .config, or in arch/x86/boot: of that tree. In
#			ROOT/boot, or beside its modules in lib/modules/VERSION: as it is installed
#
# KVM's modules are of the tree, or of ROOT/lib/modules/VERSION or ROOT/usr/lib/modules/VERSION. The
# configuration, which is compared with the file "options", is the one that the tree was last built with,
# the one that is installed, or the one that the kernel holds (CONFIG_IKCONFIG).
#
# The folder, $XDG_CACHE_HOME/vmabi/kernels/own-HASH, holds besides what folder.sh says the file "taken":
# PATH and the files that it was made from. HASH stands for their names, sizes and times, so that a kernel
# that was built anew is taken anew. One that nobody used for two weeks is removed. Messages go to stderr.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=host/kernel/folder.sh
source "$here/folder.sh"
# shellcheck source=host/kernel/image.sh
source "$here/image.sh"
# shellcheck source=host/kernel/options.sh
source "$here/options.sh"

# What a kernel folder was made from, by names, sizes and times; a file that is missing counts as such.
fingerprint() { # TAKEN
	local files
	mapfile -t files <"$1"
	stat -L -c '%n %s %y' -- "${files[@]}" 2>&1 | sha256sum | head -c 16
}

# The folder of this kernel in the cache, if there is one; also says that it is in use.
print_if_taken() {
	local folder first
	for folder in "$kernels"/own-*; do
		{ read -r first <"$folder/taken"; } 2>/dev/null || continue
		[[ $first == "$path" && $folder == */own-$(fingerprint "$folder/taken") ]] || continue
		intact "$folder" || continue
		touch "$folder" 2>/dev/null || true
		echo "$folder"
		return
	done
	return 1
}

# The tree that a file lies in; nothing if in none.
tree_of() { # FILE
	local folder
	for folder in "${1%/arch/x86/boot/*}" "${1%/*}"; do
		if [[ -e $folder/.config ]]; then
			echo "$folder"
			return
		fi
	done
}

# Sets $image, the file to take the kernel from.
find_image_in_tree() {
	local bzimage=$tree/arch/x86/boot/bzImage vmlinux=$tree/vmlinux
	[[ $(ls -A "$tree") ]] || die "the folder is empty; give a kernel tree"
	if [[ -e $bzimage && ! $bzimage -ot $vmlinux ]]; then
		image=$bzimage
	elif [[ -e $vmlinux ]]; then
		image=$vmlinux
	elif [[ -e $tree/.config || -e $tree/Kconfig ]]; then
		die "no kernel was built in this tree; run: make -C $(quoted "$tree")" \
			"(or give the folder that O= named, if it was built in another)"
	else
		die "this is no kernel tree: it has neither .config nor vmlinux; give one in which a kernel was built"
	fi
}

# Sets $root, the folder that holds the modules, and $config, as far as there are such.
find_installed() { # VERSION
	local folder=${path%/*} prefix candidate
	prefix=${folder%/boot}
	for candidate in "$folder" "$prefix"/{lib,usr/lib}/modules/"$1"; do
		[[ $candidate == */lib/modules/* && -d $candidate ]] || continue
		root=$candidate
		break
	done
	for candidate in "$folder/config-$1" "$root/config"; do
		[[ -f $candidate ]] || continue
		config=$candidate
		break
	done
}

# Sets $tree, $image, $root, $config and $version; $tree, $root and $config may be empty.
locate() {
	tree='' image=$path root='' config=''
	if [[ -d $path ]]; then
		tree=$path
		find_image_in_tree
	else
		tree=$(tree_of "$path")
	fi
	check_image "$image"
	version=$(image_version "$image")
	if [[ $tree ]]; then
		root=$tree config=$tree/include/config/auto.conf
		[[ -f $config ]] || config=$tree/.config
		[[ -f $config ]] || config=
	else
		find_installed "$version"
	fi
}

# How the user makes what is missing; PATH need not be a tree.
make_again() { # TARGET...
	if [[ $tree ]]; then
		echo "run: make -C $(quoted "$tree")${1:+ $*}"
	else
		echo "build and install it again"
	fi
}

# What is looked at in order to see whether it is all the same still.
list_image() {
	echo "$path"
	if [[ $tree ]]; then
		printf '%s\n' "$tree/arch/x86/boot/bzImage" "$tree/vmlinux"
	fi
	echo "$image"
	[[ -z $config ]] || echo "$config"
}

# The kernel, as vmlinux if that can be booted; $work/vmlinux is there in any case.
take_image() { # FOLDER
	local said
	if is_elf "$image"; then
		strip --strip-all -o "$work/vmlinux" "$image" ||
			die "$image is damaged or cut off; $(make_again)"
		has_pvh "$work/vmlinux" || die "a vmlinux without CONFIG_PVH cannot be booted;" \
			"give ${tree:-its tree}/arch/x86/boot/bzImage (make bzImage), or build it with CONFIG_PVH"
	else
		cp "$image" "$1/bzImage"
		said=$("$here/vmlinux.sh" "$1/bzImage" "$work/vmlinux" 2>&1) ||
			die "$said"$'\n'"$image cannot be unpacked: ${said##*"/bzImage: "}"
	fi
	! has_pvh "$work/vmlinux" || ln "$work/vmlinux" "$1/vmlinux"
}

take_config() { # FOLDER
	if [[ $config ]]; then
		cp "$config" "$1/config"
	else
		built_in_config "$work/vmlinux" >"$1/config"
	fi
	if [[ -s $1/config ]]; then
		check_options "$1/config"
	else
		warn "its configuration is not known (no .config or config-$version with it, no CONFIG_IKCONFIG in it):" \
			"whether it has what L1 needs, only the boot will tell"
	fi
}

take_modules() { # FOLDER
	local module says
	touch "$1/modules"
	! has_kvm_built_in "$1/config" || return 0
	[[ $root ]] || die "there are no modules with it; give the tree that it was built in, or put it" \
		"into ROOT/boot and its modules into ROOT/lib/modules/$version"
	[[ $(find_module "$root" kvm-amd) ]] ||
		die "there is no module kvm-amd.ko in $root; $(make_again modules)"
	add_module "$root" kvm-amd "$1" >>"$1/taken"
	# The host bochs-kvm says that it lacks this one, where it is asked for.
	[[ -z $(find_module "$root" kvm-intel) ]] || add_module "$root" kvm-intel "$1" >>"$1/taken"
	[[ -z $(find_module "$root" loop) ]] || add_module "$root" loop "$1" >>"$1/taken"
	for module in "$1"/*.ko; do
		says=$(module_says vermagic "$module")
		[[ ${says%% *} == "$version" ]] || die "${module##*/} is of ${says%% *}, the kernel of $version;" \
			"$(make_again)"
	done
	strip --strip-debug "$1"/*.ko
}

has_kvm_built_in() { # CONFIG
	grep -qx CONFIG_KVM_AMD=y "$1" || grep -qs '/kvm-amd\.ko$' "$root/modules.builtin"
}

# One step, in which a file that changes meanwhile is found out.
take() {
	local folder=$work/kernel
	mkdir "$folder"
	touch "$work/begin"
	list_image >"$folder/taken"
	echo "$version (own: $path)" >"$folder/version"
	take_image "$folder"
	take_config "$folder"
	take_modules "$folder"
	touch "$work/end"
	[[ -z $(tail -n +2 "$folder/taken" | xargs -d '\n' -I '{}' find '{}' -newer "$work/begin" \
		! -newer "$work/end" 2>/dev/null) ]] ||
		die "its files change while they are taken; wait until make has ended"
}

# A step's own words are shown only if it fails; these are shown at once.
warn() {
	echo "$name: warning: $*" >&8
}

# Kernels that nobody used for two weeks; and of this path, what it was an hour ago: a suite that is still at
# work on that has begun since.
forget_others() {
	local folder first
	find "$kernels" -mindepth 1 -maxdepth 1 -type d -name 'own-*' -mtime +14 -exec rm -rf {} +
	while IFS= read -r folder; do
		{ read -r first <"$folder/taken"; } 2>/dev/null || continue
		[[ $first != "$path" ]] || rm -rf "$folder"
	done < <(find "$kernels" -mindepth 1 -maxdepth 1 -type d -name 'own-*' -mmin +60)
}

(($# == 1)) || {
	echo "usage: take.sh KERNEL-TREE|BZIMAGE|VMLINUX" >&2
	exit 2
}
name=$1
exec 8>&2
path=$(realpath -e -- "$1" 2>/dev/null) || die "there is no such file or folder"
[[ -r $path ]] || die "it cannot be read; run: sudo chmod a+r $(quoted "$path")"
if print_if_taken; then
	exit
fi
locate
begin_work "$kernels"
# Another one may have done it.
if print_if_taken; then
	exit
fi
begin_folder own
step "" take
entry=own-$(fingerprint "$work/kernel/taken")
[[ ! -e $kernels/$entry ]] || say "the cache entry $kernels/$entry is damaged; it is taken again"
forget_others
finish_folder "$entry"
echo "$kernels/$entry"
