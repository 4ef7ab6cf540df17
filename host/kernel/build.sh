#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# build.sh [--tree] KERNEL: makes sure that a kernel of the project's own is built, and prints its folder
#
#	patched		Debian's source of 7.2 (host/kernel/fetch.sh), configured by config/l1, with all of
#			patches/7.2
#	patched-debug	the same with config/debug
#
# The folder, $XDG_CACHE_HOME/vmabi/kernels/KERNEL-HASH, is as fetch.sh makes it; the hash stands for the
# source, the configuration and the patches, so that what has not changed is not built again. With --tree
# it is the source that the kernel was built in, $XDG_CACHE_HOME/vmabi/trees/KERNEL-HASH, that is printed:
# a module can be built anew in seconds in a copy of it (kbuild.sh, copy_tree).
#
# Takes some minutes and 1.5 GB the first time. Messages go to stderr.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=host/kernel/folder.sh
source "$here/folder.sh"
# shellcheck source=host/kernel/kbuild.sh
source "$here/kbuild.sh"
trees=$cache/trees
# shellcheck disable=SC2034 # folder.sh reads it
room=1500 # MB: the source, what comes of it, and its packed form
series=7.2

# All that goes into the kernel, as text.
ingredients() {
	cat "$source/version" "${config[@]}" "${patches[@]}"
	declare -f kbuild unpack_source configure_tree collect add_module
	gcc --version 2>&1 | head -n 1
}

# Sets $id, the name of the kernel's folder and of its tree.
identify() {
	local text
	text=$(ingredients)
	id=$name-$(sha256sum <<<"$text" | head -c 16)
}

# Of the source only what may be built here: the rest is most of it. Kconfig and make's files stay, for
# they are read all together.
unpack_source() { # FOLDER
	local left_out
	mkdir "$1"
	mapfile -t left_out < <(
		printf '%s\n' '*/arch/[!x]*/*.[chS]' '*/boot/dts/*' '*/sound/*.[chS]' \
			'*/Documentation/*.rst' '*/Documentation/*.svg' '*/Documentation/devicetree/*'
		printf '*/drivers/%s/*.[chS]\n' clk gpu hwmon iio infiniband media net pinctrl scsi \
			staging usb
	)
	tar -x -C "$1" --strip-components=1 --no-same-owner -f "$source/linux.tar.xz" \
		"${left_out[@]/#/--exclude=}"
}

configure_tree() { # TREE
	cat "${config[@]}" >"$1/.vmabi.config"
	kbuild "$1" KCONFIG_ALLCONFIG=.vmabi.config allnoconfig
}

# kbuild drops an option without a word if something that it depends on is off.
check_configuration() { # TREE
	local line option is
	while IFS= read -r line; do
		option=${line%%=*}
		is=$(sed -n "s/^$option=//p" "$1/.config")
		[[ ${is:-n} == "${line#*=}" ]] ||
			die "the configuration asks for $line (config/), and kbuild makes it ${is:-n};" \
				"see what $option depends on"
	done < <(grep -h '^CONFIG_' "${config[@]}")
}

compiled_files() {
	grep -cE '^  (CC|AS) ' "$log" || true
}

# What is there to see of a build that goes on: on a terminal each second, else twice a minute.
show_progress() {
	local text
	text="$name: $(compiled_files) files compiled, $((SECONDS - started)) s"
	if [[ -t 2 ]]; then
		printf '\r%s' "$text" >&2
	elif ((SECONDS >= shown + 30)); then
		shown=$SECONDS
		echo "$text" >&2
	fi
}

# The log is kept where the build fails: it has more errors than the first.
compile() { # TREE
	local started=$SECONDS shown=$SECONDS hits
	export CCACHE_STATSLOG=$work/ccache.log
	set -m
	# It keeps the lock: if this script is killed at once, the next one waits for what still runs.
	kbuild "$1" bzImage modules >"$log" 2>&1 &
	child=$!
	set +m
	while kill -0 "$child" 2>/dev/null; do
		sleep 1
		show_progress
	done
	[[ ! -t 2 ]] || echo >&2
	wait "$child" || build_failure
	child=
	hits=$(grep -cE '^(direct|preprocessed)_cache_hit' "$work/ccache.log") || true
	echo "$((SECONDS - started)) s on $(nproc) CPUs; $hits of $(compiled_files) files from ccache" \
		>"$1/.vmabi.time"
}

build_failure() {
	! is_no_space "$(grep -v "^  " "$log")" || die "cannot be built: $(no_space "$trees" "$room")"
	cp "$log" "$trees/$name.log"
	die "cannot be built: $(first_error "$log") (all of it: $trees/$name.log)"
}

apply_patches() { # TREE
	local patch
	for patch in "${patches[@]}"; do
		apply_patch "$1" "$patch" >"$log" || {
			[[ -s $log ]] || die "$(no_space "$trees" "$room")"
			die "patches/$series/${patch##*/} does not apply to $(cat "$log") of" \
				"$(cat "$source/version"); adapt the patch"
		}
	done
}

make_tree() {
	local free
	free=$(df -m --output=avail "$trees" | tail -n 1)
	((free >= room)) || die "$(no_space "$trees" "$room")"
	find "$trees" -mindepth 1 -maxdepth 1 \( -name '.new.*' -o -name "$name-*" -mtime +14 \) -exec rm -rf {} +
	work=$(mktemp -d "$trees/.new.$name.XXXXXX")
	say "building $(cat "$source/version") with ${#patches[@]} patch(es) (once; some minutes)"
	step "cannot unpack the source" unpack_source "$work/tree"
	apply_patches "$work/tree"
	configure_tree "$work/tree" >"$log" 2>&1 || build_failure
	check_configuration "$work/tree"
	compile "$work/tree"
	rm -rf "${trees:?}/$id"
	mv "$work/tree" "$trees/$id"
	say "built in $(cat "$trees/$id/.vmabi.time")"
}

collect() { # TREE FOLDER
	mkdir "$2"
	cp "$1/arch/x86/boot/bzImage" "$2/"
	# As a test that stands alone makes it (bring.sh).
	"$here/vmlinux.sh" "$2/bzImage" "$2/vmlinux"
	cp "$1/.config" "$2/config"
	echo "$(cat "$1/include/config/kernel.release") ($name: $(cat "$source/version"))" >"$2/version"
	add_module "$1" kvm-amd "$2"
	add_module "$1" kvm-intel "$2"
	strip --strip-debug "$2"/*.ko
}

make_folder() {
	mkdir -p "$kernels"
	find "$kernels" -mindepth 1 -maxdepth 1 -name "$name-*" -mtime +14 -exec rm -rf {} +
	rm -rf "$work"
	begin_folder "$id"
	step "cannot be collected" collect "$trees/$id" "$work/kernel"
	finish_folder "$id"
}

wanted=kernel
[[ ${1-} != --tree ]] || {
	wanted=tree
	shift
}
name=${1-}
[[ $trees != *[[:space:]:]* ]] ||
	die "a kernel cannot be built in $trees, since kbuild takes no blank or colon in a path;" \
		"point XDG_CACHE_HOME at a folder without"
config=("$here/config/l1")
case $name in
patched) ;;
patched-debug) config+=("$here/config/debug") ;;
*)
	echo "usage: build.sh [--tree] patched|patched-debug" >&2
	exit 2
	;;
esac
mapfile -t patches < <(find "$here/patches/$series" -name '*.patch' | LC_ALL=C sort)
source=$kernels/source-$series
[[ -e $source/version ]] || "$here/fetch.sh" "source-$series" >/dev/null
identify

if [[ ! -d $trees/$id && $wanted == tree ]] || ! intact "$kernels/$id"; then
	"$here/../../scripts/tools.sh" install build kernel || exit 1
	# A damaged source is fetched again, and may be another one by now, as the compiler may.
	"$here/fetch.sh" "source-$series" >/dev/null
	identify
	begin_work "$trees"
	[[ -d $trees/$id ]] || make_tree
	intact "$kernels/$id" || make_folder
fi
touch -c "$kernels/$id" "$trees/$id" 2>/dev/null || true # they are in use
case $wanted in
tree) echo "$trees/$id" ;;
kernel) echo "$kernels/$id" ;;
esac
