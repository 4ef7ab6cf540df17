# SPDX-License-Identifier: BSD-2-Clause
#
# make crosscheck, where it does not come to a table
#
# A wrong call, a damaged list, selftests that do not build, an interruption while they do: each is told
# in one line, the status is not 0, and nothing half-made is left. The script works in a copy of the tree
# that has in the kernel's place a few files of make.
#
# shellcheck disable=SC2154,SC2030,SC2031 # status, output and stderr are set by run

bats_require_minimum_version 1.5.0

setup() {
	copy=$BATS_TEST_TMPDIR/copy kernel=$BATS_TEST_TMPDIR/kernel
	export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache TMPDIR=$BATS_TEST_TMPDIR/tmp
	selftests=$XDG_CACHE_HOME/vmabi/selftests
	mkdir -p "$copy" "$TMPDIR" "$kernel/tools/testing/selftests/kvm/x86"
	find "$BATS_TEST_DIRNAME/../.." -mindepth 1 -maxdepth 1 ! -name build ! -name '.*' \
		-exec cp -r -t "$copy" {} +
	list=$copy/host/kernel/crosscheck/selftests
	echo "one_test xen-page,coexist" >"$list"
	printf '#!/bin/sh\n' >"$copy/scripts/tools.sh"
	# shellcheck disable=SC2016 # the script that is made expands it
	printf '#!/bin/sh\necho "%s"\n' "$kernel" >"$copy/host/kernel/build.sh"
	touch "$kernel/tools/testing/selftests/kvm/x86/one_test.c"
	echo 'headers:' >"$kernel/Makefile"
}

teardown() {
	[[ -z $(ls -A "$TMPDIR") ]]
	[[ ! -e $selftests || -z $(find "$selftests" -mindepth 1 ! -name .lock) ]]
}

# What make does for the selftests in the place of the kernel's own makefile.
selftests_made_by() { # COMMAND
	printf '%%/x86/one_test:\n\t@%s\n' "$1" >"$kernel/tools/testing/selftests/kvm/Makefile"
}

crosscheck() { # ARGUMENT...
	run --separate-stderr "$copy/host/kernel/crosscheck/run.sh" "$@"
}

# The last line of stderr is the cause; nothing is printed.
fails_with() { # STATUS TEXT
	[[ $status -eq $1 && -z $output && ${stderr##*$'\n'} == *"$2"* ]] || {
		printf 'status %s, output: %s, stderr: %s\n' "$status" "$output" "$stderr"
		return 1
	}
}

@test "a wrong call is answered with the usage" {
	for arguments in --nonsense --tap "one two three"; do
		# shellcheck disable=SC2086 # they are several
		crosscheck $arguments
		fails_with 2 "usage: host/kernel/crosscheck/run.sh"
	done
}

@test "a TAP file that cannot be written is said before anything is built" {
	crosscheck --tap "$BATS_TEST_TMPDIR/no/such/folder/file"
	fails_with 2 "cannot write $BATS_TEST_TMPDIR/no/such/folder/file"
}

@test "a list with anything wrong is named with the line" {
	while IFS='|' read -r line message; do
		printf '# a comment\n%b\n' "$line" >"$list"
		crosscheck
		fails_with 2 "$message"
	done <<-'END'
		x86/one_test -|selftests:2: 'x86/one_test' is no name of a selftest
		one_test|selftests:2: one_test lacks its second word
		one_test nonsense|selftests:2: neither a group nor a test of unittests.cfg is called 'nonsense'
		one_test -\none_test -|selftests:3: one_test is there twice
		# nothing|selftests names no selftest
		other_test -|the kernel's source has no KVM selftest 'other_test'
	END
	rm "$list"
	crosscheck
	fails_with 2 "there is no list $list"
}

@test "a selftest that does not build is told by the compiler's first error" {
	selftests_made_by 'echo "int wrong = ;" | gcc -x c -c -o one.o -'
	crosscheck
	fails_with 2 "the selftests of patched do not build: <stdin>:1:13: error: expected expression"
}

@test "an interrupted build leaves nothing" {
	selftests_made_by "sleep 1000"
	for signal in INT TERM; do
		set -m
		"$copy/host/kernel/crosscheck/run.sh" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
		set +m
		for ((i = 0; i < 200; i++)); do
			[[ -e $(echo "$selftests"/.new.*/tree/Makefile) ]] && break
			sleep 0.05
		done
		kill "-$signal" $!
		result=0
		wait $! || result=$?
		[[ $result -eq $((128 + $(kill -l "$signal"))) ]]
		[[ -z $(find "$selftests" -name '.new.*') ]]
	done
}
