# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# How a kernel folder is made: what its makers (fetch.sh, build.sh, take.sh) have in common. Sets $kernels
# and $cache. Sourced.
#
# A kernel folder, $XDG_CACHE_HOME/vmabi/kernels/ENTRY, holds
#
#	vmlinux bzImage	the kernel, to boot and as it came. One that has no PVH entry (CONFIG_PVH) has no
#			vmlinux here, and is booted as a bzImage; one that came as a vmlinux has no bzImage
#	*.ko modules	KVM's modules, and their names in the order to load them. kvm-amd.ko is for the
#			nested host, kvm-intel.ko for bochs-kvm
#	config version	the configuration (empty: not known), and the version in one line
#	manifest	a checksum of each of these; a folder that does not match is made again
#
# A maker sets $name, under which it speaks, and goes through
#
#	begin_work	from here on it is alone in a folder of the cache, may use step, and is cleared
#			up after
#	begin_folder	makes $work, a folder in which it makes the folder "kernel"
#	step		for all that takes time, or that a full disk may end
#	add_module	a module and what it depends on
#	finish_folder	makes $work/kernel an entry of the cache
#
# In a step, die says the cause alone; who speaks is added once.

# shellcheck source=scripts/cache.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../scripts/cache.sh"
# shellcheck disable=SC2154 # cache.sh sets it
kernels=$cache/kernels

say() {
	# shellcheck disable=SC2154 # the script that sources this sets name
	echo "${speaker-$name: }$*" >&2
}

# A path as a shell takes it, for a command that a message names.
quoted() {
	printf %q "$1"
}

begin_work() { # [FOLDER], else that of the kernels
	child='' work='' log=''
	lock_cache "${1:-$kernels}"
	log=$(mktemp) ||
		die "there is no room for a temporary file; point TMPDIR at a place that has it"
}

# Sets $work; removes what one that was killed has left.
begin_folder() { # ENTRY
	rm -rf "$kernels/.new.$1".*
	work=$(mktemp -d "$kernels/.new.$1.XXXXXX" 2>"$log") || die "$(cause "$log")"
}

finish_folder() { # ENTRY
	step "cannot write to $kernels" write_manifest "$work/kernel"
	rm -rf "${kernels:?}/$1"
	mv "$work/kernel" "$kernels/$1"
}

write_manifest() { # FOLDER
	checksums "$1" >"$1/manifest"
}

# One line of what a step said: the cause.
cause() { # LOG
	if is_no_space "$(cat "$1")"; then
		no_space "$cache" "${room:-200}"
	else
		{ grep -m 1 '^E: ' "$1" || tail -n 1 "$1"; } | sed 's/^E: //'
	fi
}

# Runs a step, which may be interrupted at any time. What it says is shown only as the cause of a
# failure, after WHAT-IF-NOT, if that is not empty.
step() { # WHAT-IF-NOT COMMAND...
	local failure=$1
	shift
	# A group of its own: what a step starts is to end with it.
	set -m
	{
		speaker=''
		"$@"
	} >"$log" 2>&1 9>&- &
	child=$!
	set +m
	wait "$child" || die "${failure:+$failure: }$(cause "$log")"
	child=
}

clear_up() {
	if [[ $child ]]; then
		kill -KILL -- "-$child" 2>/dev/null || true
		wait "$child" 2>/dev/null || true
	fi
	rm -rf "$work" "$log"
}

# The file of a module, which has - or _ in its name where others name it with either. A tree may hold
# it more than once: packages are made there, others are built in it. Its own is the least deep.
find_module() { # ROOT NAME
	find "$1" -name .git -prune -o -type f -name "${2//[-_]/[-_]}.ko*" \
		-regex '.*\.ko\(\.xz\|\.zst\|\.gz\)?' -printf '%d %p\n' |
		sort -n | sed -n '1s/^[0-9]* //p'
}

# Adds a module after those it depends on, each once, and prints the files that they come from.
add_module() { # ROOT NAME FOLDER
	local file depends dependency
	[[ ! -e $3/$2.ko ]] || return 0
	file=$(find_module "$1" "$2")
	[[ $file ]] || die "there is no module $2.ko in $1"
	case $file in
	*.ko.xz) xz -dc "$file" ;;
	*.ko.zst) zstd -dcq "$file" ;;
	*.ko.gz) gzip -dc "$file" ;;
	*.ko) cat "$file" ;;
	esac >"$3/$2.ko"
	depends=$(module_says depends "$3/$2.ko")
	for dependency in ${depends//,/ }; do
		add_module "$1" "$dependency" "$3"
	done
	echo "$2.ko" >>"$3/modules"
	echo "$file"
}

# A field of a module's .modinfo section.
module_says() { # FIELD MODULE
	tr '\0' '\n' <"$2" | sed -n "s/^$1=//p"
}
