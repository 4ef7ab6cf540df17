# SPDX-License-Identifier: BSD-2-Clause
#
# The cache of kernels and snapshots, when things go wrong around it
#
# No network, no space, a damaged entry, a fetch that is killed: each is told in one line that names the
# cause and the cure, ends with a status other than 0, and leaves no half-written entry. Where an entry
# can be made again, it is, and that is said.
#
# The tests work on a cache of their own. The network and the space are taken away for real: by a
# network namespace, and by a small tmpfs in a mount namespace, which both take root.
#
# shellcheck disable=SC2154 # status, output and stderr are set by run

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || exit
	real=${XDG_CACHE_HOME:-$HOME/.cache}/vmabi
	export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache TMPDIR=$BATS_TEST_TMPDIR/tmp
	own=$XDG_CACHE_HOME/vmabi
	qemu=$(sed -n 's/^QEMU := //p' build/config.mk)
	mkdir -p "$own/kernels" "$TMPDIR"
}

teardown() {
	[[ -z $(ls -A "$BATS_TEST_TMPDIR/tmp") ]]
	[[ -z $(find "$BATS_TEST_TMPDIR/cache" -name '.new*' -o -name '*.new*') ]]
}

as_root() {
	[[ $(id -u) -eq 0 ]] || skip "takes root, to take away the network or the space"
}

own_kernel() {
	cp -r "$real/kernels/stock-7.2" "$own/kernels/"
}

one_line_with() { # STREAM TEXT...
	local text
	[[ $(grep -c . <<<"$1") -eq 1 ]] || {
		printf 'more or less than one line: %s\n' "$1"
		return 1
	}
	for text in "${@:2}"; do
		[[ $1 == *"$text"* ]] || {
			printf 'not found: %s; in: %s\n' "$text" "$1"
			return 1
		}
	done
}

@test "without network and with nothing cached, the cause and the cure are named" {
	as_root
	run --separate-stderr unshare -n host/kernel/fetch.sh stock-7.2
	[[ $status -ne 0 && -z $output ]]
	one_line_with "$stderr" "stock-7.2: is not in the cache and cannot be fetched" "connect this machine"
}

@test "run_tests.sh says so too, and runs no test" {
	as_root
	run --separate-stderr unshare -n ./run_tests.sh --on nested xen-page
	[[ $status -ne 0 && -z $output ]]
	one_line_with "$stderr" "cannot be fetched"
}

@test "without network, what is cached serves" {
	as_root
	own_kernel
	run --separate-stderr unshare -n host/kernel/fetch.sh stock-7.2
	[[ $status -eq 0 && $output == "$own/kernels/stock-7.2" && -z $stderr ]]
}

@test "a damaged kernel is said to be damaged and fetched again" {
	own_kernel
	printf 'x' | dd of="$own/kernels/stock-7.2/vmlinux" bs=1 seek=4000 conv=notrunc status=none
	run --separate-stderr host/kernel/fetch.sh stock-7.2
	[[ $status -eq 0 ]]
	[[ $stderr == *"the cache entry $own/kernels/stock-7.2 is damaged; it is fetched again"* ]]
	cmp "$own/kernels/stock-7.2/vmlinux" "$real/kernels/stock-7.2/vmlinux"
}

@test "an entry that lacks a file is fetched again" {
	as_root
	own_kernel
	rm "$own/kernels/stock-7.2/kvm.ko"
	run --separate-stderr unshare -n host/kernel/fetch.sh stock-7.2
	[[ $status -ne 0 && $stderr == *"is damaged; it is fetched again"*"cannot be fetched"* ]]
}

@test "a damaged snapshot is said to be damaged and made again" {
	own_kernel
	host/nested/snapshot.sh "$qemu" build/host/nested/init/init \
		"$own/kernels/stock-7.2" 2>/dev/null
	printf 'x' | dd of="$(echo "$own"/snapshots/*/state)" bs=1 seek=4000 conv=notrunc status=none
	run --separate-stderr host/nested/snapshot.sh "$qemu" build/host/nested/init/init \
		"$own/kernels/stock-7.2"
	[[ $status -eq 0 && $stderr == *"is damaged; it is made again"* ]]
	# It is as good as new.
	run --separate-stderr host/nested/snapshot.sh "$qemu" build/host/nested/init/init \
		"$own/kernels/stock-7.2"
	[[ $status -eq 0 && -z $stderr ]]
}

# Runs a command with the cache on a tmpfs of so many MB, which goes away with the command.
with_space() { # MEGABYTES COMMAND...
	# shellcheck disable=SC2016 # the inner shell expands these
	run --separate-stderr unshare -m bash -c '
		size=$1 cache=$2
		shift 2
		mount -t tmpfs -o "size=${size}M" none "$cache" && "$@"
		status=$?
		find "$cache" -name "*.new*"
		exit $status' space "$1" "$XDG_CACHE_HOME" "${@:2}"
}

@test "no space for a kernel is told as that" {
	as_root
	with_space 30 host/kernel/fetch.sh stock-7.2
	[[ $status -ne 0 && -z $output ]]
	[[ ${stderr##*$'\n'} == *"no space"* && ${stderr##*$'\n'} == *XDG_CACHE_HOME* ]]
}

@test "no space for a snapshot is told as that" {
	as_root
	with_space 100 host/nested/snapshot.sh "$qemu" build/host/nested/init/init \
		"$real/kernels/stock-7.2"
	[[ $status -ne 0 && -z $output ]]
	one_line_with "$stderr" "no space" "XDG_CACHE_HOME"
}

@test "a cache that cannot be written to is told as that" {
	run --separate-stderr env XDG_CACHE_HOME=/proc host/kernel/fetch.sh stock-7.2
	[[ $status -ne 0 && -z $output ]]
	one_line_with "$stderr" "cannot write to /proc/vmabi/kernels" "XDG_CACHE_HOME"
}

@test "two processes that need the same kernel fetch it once" {
	host/kernel/fetch.sh stock-6.12 2>"$BATS_TEST_TMPDIR/first" >/dev/null 3>&- &
	first=$!
	sleep 0.3
	host/kernel/fetch.sh stock-6.12 2>"$BATS_TEST_TMPDIR/second" >/dev/null
	wait $first
	[[ $(cat "$BATS_TEST_TMPDIR"/{first,second} | grep -c 'fetching linux-') -eq 1 ]]
}

@test "SIGTERM while a kernel is fetched leaves nothing" {
	host/kernel/fetch.sh stock-6.12 2>"$BATS_TEST_TMPDIR/out" >/dev/null 3>&- &
	pid=$!
	until grep -q 'fetching linux-' "$BATS_TEST_TMPDIR/out"; do
		kill -0 $pid
		sleep 0.05
	done
	kill -TERM $pid
	status=0
	wait $pid || status=$?
	echo "status $status: $(ls "$own/kernels")"
	[[ $status -eq 143 && -z $(ls "$own/kernels") ]]
}

@test "a QEMU that is not there, or does not run, is named" {
	run --separate-stderr host/nested/snapshot.sh no-such-qemu build/host/nested/init/init \
		"$real/kernels/stock-7.2"
	[[ $status -ne 0 && -z $output ]]
	one_line_with "$stderr" "there is no QEMU no-such-qemu" "install"
}
