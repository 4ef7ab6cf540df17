# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# How a snapshot of L1 comes into the cache, whatever machine L1 runs on. Sourced, after cache.sh.
#
# A script that makes them sets $snapshots, a folder of the cache, $kernel, $init and $memory (MiB), and defines
# say(); l1_modules FOLDER, which prints the modules of a kernel folder to load, with their parameters; and
# fill_snapshot, which makes all that the snapshot consists of in the folder $work. A process of its own that is
# to end with it has its number in $pid. A folder that L1 is to find as /vmm is named by $l1_folder.
#
# shellcheck disable=SC2154

# Chained by &&, because `set -e` does nothing in a function whose failure is looked at.
pack_initrd() { # FOLDER
	local root=$1/root
	mkdir -p "$root"/{dev,proc,sys,modules} &&
		cp "$init" "$root/init" &&
		{ [[ -z ${l1_folder-} ]] || cp -r "$l1_folder" "$root/vmm"; } &&
		l1_modules "$kernel" >"$root/modules/order" &&
		(cd "$kernel" && cut -d ' ' -f 1 "$root/modules/order" | xargs -r cp -t "$root/modules") &&
		(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$1/initrd" &&
		rm -r "$root"
}

# The kernel's log is part of each result, so it must be seen to come out on the serial line.
check_console() { # FOLDER
	grep -qs l1-ready "$1/console" ||
		die "the log of $(cat "$kernel/version") does not come out on the serial line, so that its faults" \
			"would not be seen; build it with CONFIG_SERIAL_8250_CONSOLE"
	if grep -qE 'WARNING: |BUG: ' "$1/console"; then
		say "warning: the kernel finds fault with itself while it boots:" \
			"$(grep -E -m 1 -o '(WARNING|BUG): .*' "$1/console" | tr -d '\r')"
	fi
}

no_room() { # MESSAGE
	! is_no_space "$1" || die "$(no_space "$snapshots" $((memory + 50)))"
	die "cannot make a snapshot in $snapshots: ${1##*$'\n'}"
}

clear_up() {
	# The shell would report the end of the process in words of its own.
	{
		[[ -z $pid ]] || kill -KILL "$pid" || true
		wait
	} 2>/dev/null
	[[ -z $work ]] || rm -rf "$work"
}

make_snapshot() { # NAME
	work=$(mktemp -d "$snapshots/.new.XXXXXX" 2>&1) || no_room "$work"
	fill_snapshot
	checksums "$work" >"$work/manifest"
	chmod 755 "$work"
	rm -rf "${snapshots:?}/$1"
	mv "$work" "$snapshots/$1"
}

# Prints the folder of the snapshot that is made from this, and makes it if need be.
ensure_snapshot() { # INGREDIENTS, as text
	local name
	name=$(sha256sum <<<"$1" | head -c 16)
	if ! intact "$snapshots/$name"; then
		pid='' work=''
		lock_cache "$snapshots"
		if ! intact "$snapshots/$name"; then
			[[ ! -e $snapshots/$name ]] || say "the snapshot $snapshots/$name is damaged; it is made again"
			# What one that was killed has left, and what nobody has used for two days: each
			# build of a kernel makes one, in seconds.
			find "$snapshots" -mindepth 1 -maxdepth 1 -type d \
				\( -name '.new.*' -o -mtime +2 \) -exec rm -rf {} +
			make_snapshot "$name"
		fi
	fi
	touch "$snapshots/$name" 2>/dev/null || true # it is in use
	echo "$snapshots/$name"
}
