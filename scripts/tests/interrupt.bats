# SPDX-License-Identifier: BSD-2-Clause
#
# ^C and SIGTERM in the middle
#
# Whenever run_tests.sh is interrupted, it says so in one line, its status is 128 + the signal, and no
# process of it, no temporary file and no half-written cache entry is left. SIGKILL, which nobody can
# clear up after, leaves at least no process that runs on.
#
# shellcheck disable=SC2154,SC2030,SC2031 # status and output are set by run

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || exit
	export TMPDIR=$BATS_TEST_TMPDIR/tmp
	mkdir -p "$TMPDIR"
	# What is started from here is found again by this word in its environment.
	export VMABI_MARK=$BATS_TEST_TMPDIR
	cache=${XDG_CACHE_HOME:-$HOME/.cache}/vmabi
}

marked_processes() { # NAME-PATTERN: pids of this test's processes of that name
	local file comm
	# shellcheck disable=SC2013 # these paths have no blanks
	for file in $(grep -lszx "VMABI_MARK=$VMABI_MARK" /proc/[0-9]*/environ); do
		{ read -r comm <"${file%environ}comm"; } 2>/dev/null || continue
		# shellcheck disable=SC2053 # the pattern is meant as one
		[[ $comm == $1 ]] && basename "${file%/environ}"
	done
}

wait_for_processes() { # NAME-PATTERN COUNT
	local i
	for ((i = 0; i < 600; i++)); do
		(($(marked_processes "$1" | wc -l) >= $2)) && return
		sleep 0.05
	done
	return 1
}

# Neither QEMU nor supervise, nor a file of theirs; the bats that runs this is marked as well.
nothing_left() {
	local i
	for ((i = 0; i < 100; i++)); do
		[[ -z $(marked_processes 'qemu*')$(marked_processes supervise)$(marked_processes prove) ]] &&
			break
		sleep 0.05
	done
	[[ -z $(marked_processes 'qemu*')$(marked_processes supervise)$(marked_processes prove) ]]
}

# Starts a run in the background as a terminal would, in a process group of its own, so that it does
# not inherit an ignored SIGINT.
start_run() {
	set -m
	./run_tests.sh "$@" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	run_pid=$!
	set +m
}

interrupted_by() { # SIGNAL STATUS
	local result=0
	kill "-$1" "$run_pid"
	wait "$run_pid" || result=$?
	cat "$BATS_TEST_TMPDIR/out"
	[[ $result -eq $2 ]]
	[[ $(tail -n 1 "$BATS_TEST_TMPDIR/out") == *"run_tests.sh: interrupted by SIG$1; no result" ]]
	! grep -q Terminated "$BATS_TEST_TMPDIR/out"
	nothing_left
	[[ -z $(ls -A "$TMPDIR") ]]
}

@test "SIGINT with -j 4 ends everything" {
	start_run -j 4
	wait_for_processes supervise 3
	interrupted_by INT 130
}

@test "SIGTERM with -j 4 ends everything" {
	start_run -j 4
	wait_for_processes supervise 3
	interrupted_by TERM 143
}

@test "SIGTERM before any test runs is told as well" {
	start_run -j 4
	wait_for_processes tools.sh 1
	interrupted_by TERM 143
}

@test "SIGTERM while raw TAP is printed ends everything" {
	start_run -t
	wait_for_processes supervise 1
	interrupted_by TERM 143
}

@test "SIGTERM while the nested host is made leaves no half-made cache entry" {
	export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache
	mkdir -p "$XDG_CACHE_HOME/vmabi"
	cp -r "$cache/kernels" "$XDG_CACHE_HOME/vmabi/"
	start_run -j 4 -g coexist
	wait_for_processes 'qemu*' 1
	interrupted_by TERM 143
	# Locks stay: they are empty files.
	[[ -z $(find "$XDG_CACHE_HOME/vmabi/snapshots" -mindepth 1 ! -name .lock) ]]
}

@test "SIGKILL of a test leaves no machine running" {
	set -m
	VMABI_ON=nested "build/tests/$(basename "$(find build/tests -name 'runtime-*' | sort | head -n 1)")" \
		>/dev/null 2>&1 3>&- &
	run_pid=$!
	set +m
	wait_for_processes 'qemu*' 1
	kill -KILL "$run_pid"
	wait "$run_pid" || true
	nothing_left
}
