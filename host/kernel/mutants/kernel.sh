# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The kernel of a mutant: KVM's modules built anew, and the rest of the unmutated kernel. Sourced by
# run.sh.
#
# All are built in one tree, the cache's mutants/tree, which stays where it is: kbuild's own tools are
# built anew wherever it finds itself in another folder, and all of KVM after them. From one mutant to the
# next only what the two change is compiled.
#
# shellcheck disable=SC2154,SC2034 # what is not set here is run.sh's, which reads $detail

room=300 # MB: the tree, of which most is shared, a kernel's modules, a snapshot
mutable=(kvm kvm-amd kvm-intel)

# Sets $base and $base_tree; removes what one that was killed has left, and what nobody used for two weeks.
begin_kernels() {
	run_group "$top/host/kernel/build.sh" patched >"$work/base" || exit 2
	run_group "$top/host/kernel/build.sh" --tree patched >"$work/base_tree" || exit 2
	base=$(cat "$work/base") base_tree=$(cat "$work/base_tree")
	store=$cache/mutants tree=$cache/mutants/tree
	find "$store" -mindepth 1 -maxdepth 1 -type d \
		\( -name '.new.*' -o -name 'patched-*' -mtime +14 \) -exec rm -rf {} +
}

# Sets $folder; or $detail to the reason why there is no such kernel.
make_kernel() { # NAME
	local patch=$mutants/$1.patch
	folder=$store/patched-$(cat "$base/manifest" "$patch" | sha256sum | head -c 16)
	if ! intact "$folder"; then
		[[ $(cat "$tree/.vmabi.base" 2>/dev/null) == "$base_tree" ]] || prepare_tree
		progress "$1: building"
		restore_tree
		mutate "$1" || return
		rm -rf "$folder"
		collect "$1" || return
	fi
	touch "$folder"
}

# A step that a full disk may end.
step() { # WHAT-IF-NOT COMMAND...
	run_group "${@:2}" >"$log" 2>&1 && return
	! is_no_space "$(cat "$log")" || die "$1: $(no_space "$store" "$room")"
	die "$1: $(last_line "$log")"
}

# Makes $tree, which takes little room (kbuild.sh, copy_tree).
prepare_tree() {
	progress "making a tree to build in (once; about a minute)"
	step "cannot make $tree" make_tree
}

# Chained by &&, because `set -e` does nothing in a function whose failure is looked at.
make_tree() {
	rm -f "$tree/.vmabi.base" &&
		rm -rf "$tree" &&
		copy_tree "$base_tree" "$tree" &&
		targets >"$tree/.vmabi.targets" &&
		echo "$base_tree" >"$tree/.vmabi.base"
}

# The modules to build: those that L1 loads, since modpost looks for the symbols of one in the others.
targets() {
	local module
	while read -r module; do
		grep -m 1 -E "(^|/)${module%.ko}\.o$" "$base_tree/modules.order" || {
			echo "$base_tree has no ${module%.ko}.o in its modules.order"
			return 1
		}
	done <"$base/modules" | sed 's/\.o$/.ko/'
}

# Takes back what the last mutant changed. With new times, so that make sees it.
restore_tree() {
	local file
	[[ -e $tree/.vmabi.mutated ]] || return 0
	while read -r file; do
		rm -f "$tree/$file"
		[[ ! -e $base_tree/$file ]] || step "cannot write to $tree" cp "$base_tree/$file" "$tree/$file"
	done <"$tree/.vmabi.mutated"
	rm "$tree/.vmabi.mutated"
}

# Builds the modules in $tree.
mutate() { # NAME
	local targets said
	tr ' ' '\n' <<<"${files_of[$1]}" >"$tree/.vmabi.mutated" || die "$1: $(no_space "$store" "$room")"
	said=$(apply_patch "$tree" "$mutants/$1.patch") || {
		[[ $said ]] || die "$1: $(no_space "$store" "$room")"
		detail="does not apply to $said of $(cat "$base/version"); adapt $1.patch"
		return 1
	}
	mapfile -t targets <"$tree/.vmabi.targets"
	run_group kbuild "$tree" "${targets[@]}" >"$log" 2>&1 || {
		! is_no_space "$(grep -v '^  ' "$log")" || die "$1: $(no_space "$store" "$room")"
		detail="does not compile: $(first_error "$log" | sed "s|$tree/||g")"
		return 1
	}
}

# Makes $folder. A mutant of what is not compiled, or not loaded here, cannot be caught.
collect() { # NAME
	new=$(mktemp -d "$store/.new.XXXXXX") || die "$1: $(no_space "$store" "$room")"
	step "cannot write to $store" collect_files
	if are_unchanged; then
		rm -rf "$new"
		detail="changes none of ${mutable[*]/%/.ko}; is what it changes compiled?"
		return 1
	fi
	echo "$(cat "$base/version"), mutant $1" >"$new/kernel/version"
	checksums "$new/kernel" >"$new/manifest"
	mv "$new/manifest" "$new/kernel/"
	mv "$new/kernel" "$folder"
	rm -rf "$new"
}

are_unchanged() {
	local module
	for module in "${mutable[@]}"; do
		cmp -s "$new/kernel/$module.ko" "$base/$module.ko" || return
	done
}

# What is written anew must not be a link.
collect_files() {
	local module
	cp -al "$base" "$new/kernel" &&
		rm "$new/kernel"/{manifest,version} &&
		(cd "$new/kernel" && rm "${mutable[@]/%/.ko}") &&
		for module in "${mutable[@]}"; do
			strip --strip-debug -o "$new/kernel/$module.ko" "$tree/arch/x86/kvm/$module.ko" || return
		done
}
