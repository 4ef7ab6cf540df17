#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# standalone.sh [--all-that-can] TEST...: writes each test as one file, build/standalone/TEST
#
# One that cannot stand alone is an error; with --all-that-can it is left out.
#
# Such a file is a shell script with an archive behind it: the part of this tree that the test needs to
# run, in its place, and the kernel of the nested host, of those that the test may run on the first or
# the one that VMABI_KERNEL names. The machine it is carried to needs QEMU (the file says how to get it),
# and makes its own snapshot in its own cache. A test for which the nested host lacks something, and a CPU of
# Bochs does not, needs Bochs in place of QEMU, which it fetches where the machine has none that serves.
set -euo pipefail
top=$(readlink -f "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..")
# shellcheck source=scripts/hosts.sh
source "$top/scripts/hosts.sh"
asked_kernel=${VMABI_KERNEL-}
[[ $asked_kernel != */* ]] || {
	echo "standalone.sh: a test that stands alone takes a kernel by its name (there are: $all_kernels)" >&2
	exit 2
}
common=(scripts/guest.sh scripts/hosts.sh scripts/cache.sh scripts/tools.sh
	build/host/supervise/supervise build/host/vmrun/vmrun host/kernel/folder.sh)
bochs=(host/bochs/program.sh host/bochs/fetch.sh host/bochs/run.sh scripts/apt.sh build/host/bochs/rom/rom)
nested=(host/nested/machine.sh host/nested/prepare.sh host/nested/run.sh host/nested/snapshot.sh
	scripts/offers.sh scripts/snapshots.sh scripts/snapshots_qemu.sh
	host/kernel/kernel.sh host/kernel/bring.sh host/kernel/vmlinux.sh
	build/host/nested/init/init build/host/nested/restore/restore build/host/nested/tsc/tsc)

write_header() { # NAME HOST KERNEL
	cat <<-END
		#!/usr/bin/env bash
		# The vmabi test $1, by itself: run it. What follows the script is an archive.
		name=$1
	END
	case $2 in
	bochs) echo "tools=bochs; export VMABI_ON=bochs" ;;
	nested) echo "tools=host; export VMABI_KERNEL=$3" ;;
	esac
	cat <<-'END'
		set -euo pipefail
		work=$(mktemp -d) || exit 2
		trap 'rm -rf "$work"' EXIT
		end() {
			trap '' INT TERM HUP
			kill -TERM -- "-$child" 2>/dev/null
			wait "$child" || true
			exit "$1"
		}
		lines=$(sed '/^#ARCHIVE$/q' "$0" | wc -l)
		tail -n "+$((lines + 1))" "$0" | tar -x -C "$work" || {
			echo "$name: the archive in this file is damaged, or there is no space in $work" >&2
			exit 2
		}
		"$work/scripts/tools.sh" install "$tools" || exit 2
		set -m
		"$work/build/tests/$name" &
		child=$!
		set +m
		trap 'end 130' INT
		trap 'end 143' TERM
		trap 'end 129' HUP
		status=0
		wait "$child" || status=$?
		exit "$status"
		#ARCHIVE
	END
}

# The value of one variable of a test's script, which may be quoted.
setting() { # NAME VARIABLE
	sed -n "s/^$2=//p" "$top/build/tests/$1" | head -n 1 | xargs
}

# What a test brings along of its kernel; prints tar's words for it, one a line.
bundle_kernel() { # KERNEL
	local folder
	folder=$("$top/host/kernel/kernel.sh" "${1%+snp}") || return
	printf '%s\n' --transform "s,^\./,kernels/${folder##*/}/," -C "$folder"
	(cd "$folder" && find . -type f ! -name vmlinux | sort)
}

# Sets $host, and $kernel where that has one; or $why.
can_stand_alone() { # NAME
	local requires
	requires=$(setting "$1" requires)
	host=nested
	choose_kernel nested "$requires" "$(setting "$1" kernels)" "$asked_kernel" vmrun
	[[ -z $kernel ]] || return 0
	host=bochs
	[[ -z $(lacking "$requires" "$(offers_of bochs)") ]]
}

write_test() { # NAME
	local guest words bundle=("${bochs[@]}")
	guest=$(setting "$1" program)
	[[ $guest ]] || guest=build/guests/$(setting "$1" arch)/$(setting "$1" elf)
	if [[ $host == nested ]]; then
		words=$(bundle_kernel "$kernel")
		mapfile -t bundle < <(printf '%s\n' "${nested[@]}" && echo "$words")
	fi
	write_header "$1" "$host" "$kernel"
	tar -c -C "$top" --owner=0 --group=0 "${common[@]}" "build/tests/$1" "$guest" \
		"${bundle[@]}"
}

all_that_can=
if [[ ${1-} == --all-that-can ]]; then
	all_that_can=yes
	shift
fi
((!$#)) || rm -rf "$top/build/standalone"
mkdir -p "$top/build/standalone"
trap 'rm -f "$top"/build/standalone/*.new' EXIT
written=0
for test; do
	why=
	file=$top/build/standalone/$test
	if ! can_stand_alone "$test"; then
		echo "standalone.sh: $test is left out: $why; the host bochs-kvm cannot be carried along" >&2
		[[ $all_that_can ]] || exit 1
		continue
	fi
	write_test "$test" >"$file.new"
	chmod +x "$file.new"
	mv "$file.new" "$file"
	written=$((written + 1))
done
echo "build/standalone: $written tests, $(du -sh "$top/build/standalone" | cut -f 1)"
