# SPDX-License-Identifier: BSD-2-Clause
#
# make mutants: what it says of a mutant that is caught, that survives, or that is none
#
# The mutants here are made by the tests, out of the source that the kernel `patched` was built from.
#
# shellcheck disable=SC2154 # status, output, stderr and lines are set by run

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || exit
	export VMABI_MUTANTS=$BATS_TEST_TMPDIR/mutants TMPDIR=$BATS_TEST_TMPDIR/tmp
	mkdir -p "$VMABI_MUTANTS" "$TMPDIR"
	# What is started from here is found again by this word in its environment.
	export VMABI_MARK=$BATS_TEST_TMPDIR
	cache=${XDG_CACHE_HOME:-$HOME/.cache}/vmabi
}

# Nothing temporary is left, wherever a test ends.
teardown() {
	[[ -z $(ls -A "$BATS_TEST_TMPDIR/tmp") ]]
	[[ -z $(find "$cache/mutants" -maxdepth 1 -name '.new.*' 2>/dev/null) ]]
}

# A mutant that needs no kernel, since its header is wrong.
write_mutant() { # NAME HEADER-LINE...
	printf '%s\n' "${@:2}" --- '--- a/arch/x86/kvm/xen.c' '+++ b/arch/x86/kvm/xen.c' \
		'@@ -1 +1 @@' '--- a/init/main.c' '+++ b/init/main.c' >"$VMABI_MUTANTS/$1.patch"
}

# A mutant out of KVM's source; does not apply where BEFORE is given.
make_mutant() { # NAME TESTS FILE CHANGE [BEFORE]
	local tree text
	tree=$(host/kernel/build.sh --tree patched)
	mkdir -p "$BATS_TEST_TMPDIR"/{a,b}
	sed "${5-}" "$tree/$3" >"$BATS_TEST_TMPDIR/a/file.c"
	sed "$4" "$BATS_TEST_TMPDIR/a/file.c" >"$BATS_TEST_TMPDIR/b/file.c"
	text=$(diff -u --label "a/$3" --label "b/$3" "$BATS_TEST_TMPDIR"/{a,b}/file.c) || [[ $? -eq 1 ]]
	printf 'Subject: [PATCH] mutant: %s\n\nCaught-by: %s\n---\n%s\n' "$1" "$2" "$text" \
		>"$VMABI_MUTANTS/$1.patch"
}

make_caught() { # NAME TESTS
	make_mutant "$1" "$2" arch/x86/kvm/hyperv.c \
		'/orl .0x80000000, %eax/,/ret/s/= 0x80;/= 0x40;/'
}

says() { # STREAM TEXT...
	local text
	for text in "${@:2}"; do
		[[ $1 == *"$text"* ]] || {
			printf 'not found: %s; in: %s\n' "$text" "$1"
			return 1
		}
	done
}

@test "what a mutant's header lacks is said, of each, before anything is done" {
	write_mutant no-subject 'Caught-by: xen-page'
	write_mutant no-test 'Subject: [PATCH] mutant: x'
	write_mutant other-test 'Subject: x' 'Caught-by: xen-page no-such-test'
	: >"$VMABI_MUTANTS/empty.patch"
	run --separate-stderr host/kernel/mutants/run.sh
	[[ $status -eq 2 && -z $output ]]
	says "$stderr" "no-subject.patch: it has no subject; add" "no-test.patch: it names no test; add" \
		"other-test.patch: there is no test 'no-such-test' (Caught-by)" "empty.patch: it is empty"
}

@test "a mutant changes KVM alone; what a hunk holds is no file's name" {
	write_mutant outside 'Subject: x' 'Caught-by: no-such-test'
	run --separate-stderr host/kernel/mutants/run.sh
	[[ $status -eq 2 && $stderr != *init/main.c* ]]
	sed -i '/^@@/,$d' "$VMABI_MUTANTS/outside.patch"
	printf '%s\n' '--- a/init/main.c' '+++ b/init/main.c' '@@ -1 +1 @@' -a +b >>"$VMABI_MUTANTS/outside.patch"
	run --separate-stderr host/kernel/mutants/run.sh
	[[ $status -eq 2 ]]
	says "$stderr" "outside.patch: it changes a/init/main.c; a mutant changes only files of"
}

@test "a glob that no mutant has, and no mutants at all, are told" {
	run --separate-stderr host/kernel/mutants/run.sh
	[[ $status -eq 2 && $stderr == "mutants: there are no mutants (*.patch) in $VMABI_MUTANTS" ]]
	write_mutant one 'Caught-by: xen-page'
	run --separate-stderr host/kernel/mutants/run.sh 'one*' two
	[[ $status -eq 2 && $stderr == "mutants: there is no mutant 'two' in $VMABI_MUTANTS" ]]
}

@test "an option without its value, or with a wrong one, is told" {
	run --separate-stderr host/kernel/mutants/run.sh --sample
	[[ $status -eq 2 && $stderr == usage:* ]]
	run --separate-stderr host/kernel/mutants/run.sh --sample none
	[[ $status -eq 2 && $stderr == "mutants: --sample takes a number from 1, not 'none'" ]]
	run --separate-stderr host/kernel/mutants/run.sh --tap /proc/no/file
	[[ $status -eq 2 && $stderr == "mutants: cannot write /proc/no/file (--tap)" ]]
}

# Those that a sample takes on a day are named by the complaints.
sample_on() { # DAY
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\necho %d\n' $(($1 * 86400 + 7)) >"$BATS_TEST_TMPDIR/bin/date"
	chmod +x "$BATS_TEST_TMPDIR/bin/date"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH host/kernel/mutants/run.sh --sample 3 2>&1 | sed 's/\.patch:.*//' | xargs
}

@test "a sample is the same all day, and in turn takes all of them" {
	for name in a b c d e f g; do
		write_mutant $name 'Subject: x'
	done
	[[ $(sample_on 7) == "a b c" && $(sample_on 8) == "d e f" && $(sample_on 9) == "g a b" ]]
	[[ $(sample_on 9) == "g a b" ]]
}

tap_of() { # TEST LINE...
	printf '%s\n' 'TAP version 13' "${@:2}" >"$BATS_TEST_TMPDIR/$1.tap"
}

@test "a point that fails, and an end before the plan, is a failure; a known bug and a skip are none" {
	tap_of failed 1..2 'ok 1 - a' 'not ok 2 - b'
	tap_of died 1..3 'ok 1 - a'
	tap_of silent
	tap_of passed 1..1 'ok 1 - a'
	tap_of known 1..1 'not ok 1 - a # TODO known'
	tap_of skipped '1..0 # SKIP nothing there'
	run host/kernel/mutants/verdicts.pl judge "$BATS_TEST_TMPDIR" failed died silent
	[[ $output == $'caught\tfailed: b (and 2 more points, 2 more tests)' ]]
	run host/kernel/mutants/verdicts.pl judge "$BATS_TEST_TMPDIR" died
	[[ $output == $'caught\tdied: ended after 1 of 3 points' ]]
	run host/kernel/mutants/verdicts.pl judge "$BATS_TEST_TMPDIR" silent
	[[ $output == $'caught\tsilent: ended without a plan' ]]
	run host/kernel/mutants/verdicts.pl judge "$BATS_TEST_TMPDIR" failed passed known skipped
	[[ $output == $'SURVIVED\tnot seen by passed, known, skipped (skipped: nothing there); the other 1 failed\t'* ]]
	run host/kernel/mutants/verdicts.pl unfit "$BATS_TEST_TMPDIR" passed known failed skipped
	[[ $output == $'failed: b\nskipped: skipped: nothing there' ]]
}

@test "what no mutant fails is listed, by tests and by points" {
	mkdir "$BATS_TEST_TMPDIR"/{unmutated,one}
	tap_of unmutated/a-i386 1..2 'ok 1 - x' 'ok 2 - y'
	tap_of unmutated/a-x86_64 1..2 'ok 1 - x' 'ok 2 - y'
	tap_of one/a-i386 1..2 'ok 1 - x' 'not ok 2 - y'
	tap_of one/a-x86_64 1..2 'ok 1 - x' 'not ok 2 - y'
	run host/kernel/mutants/verdicts.pl never "$BATS_TEST_TMPDIR"/{unmutated,one} -- a-i386 a-x86_64 b-i386 b-x86_64 c-i386
	diff <(echo "$output") - <<-END
		Tests that no mutant fails, 3 of 5:
		    b
		    c

		Points of the other tests that no mutant fails, 2 of 4:
		  a
		    x
	END
}

@test "a mutant that is caught, by which point; the second time it is not built" {
	make_caught wrong-orl coexist-page-i386
	run --separate-stderr host/kernel/mutants/run.sh --tap "$BATS_TEST_TMPDIR/out.tap" 'wrong*'
	[[ $status -eq 0 ]]
	[[ ${lines[0]} =~ ^wrong-orl\ +caught\ +[0-9]+\ s\ +coexist-page-i386:\ .+ ]]
	[[ ${lines[-1]} == "1 mutants, 1 caught, 0 survived ("* ]]
	[[ $(<"$BATS_TEST_TMPDIR/out.tap") == $'TAP version 13\n1..1\nok 1 - wrong-orl is caught' ]]
	before=$(find "$cache/snapshots" -mindepth 1 -maxdepth 1)
	run --separate-stderr host/kernel/mutants/run.sh wrong-orl.patch
	[[ $status -eq 0 && $stderr != *building* ]]
	[[ $(find "$cache/snapshots" -mindepth 1 -maxdepth 1) == "$before" ]]
}

@test "a mutant survives if one of its tests passes, and that one is named" {
	make_caught survivor 'coexist-page-i386 xen-page-i386'
	run --separate-stderr host/kernel/mutants/run.sh --tap "$BATS_TEST_TMPDIR/out.tap"
	[[ $status -eq 1 ]]
	[[ ${lines[0]} =~ ^survivor\ +SURVIVED\ +[0-9]+\ s\ +not\ seen\ by\ xen-page-i386\;\ the\ other\ 1\ failed$ ]]
	says "$output" "1 mutants, 0 caught, 1 survived" "Tests that no mutant fails, " "    xen-page"
	grep -qx 'not ok 1 - survivor is caught' "$BATS_TEST_TMPDIR/out.tap"
}

@test "what is no mutant has no result, and the others are run all the same" {
	make_caught wrong-orl coexist-page-i386
	make_mutant a-build-error xen-page arch/x86/kvm/xen.c '/^int kvm_xen_hypercall(/s/vcpu/vcpo/'
	make_mutant a-misfit xen-page arch/x86/kvm/xen.c 's/^int kvm_xen_hypercall(/int x(/' \
		's/^int kvm_xen_hypercall(struct/int kvm_xen_hypercall( struct/; s/bool longmode;/bool  longmode;/'
	make_mutant a-comment xen-page arch/x86/kvm/xen.c '/Hyper-V hypercalls get bit 31/s/get/have/'
	run --separate-stderr host/kernel/mutants/run.sh
	[[ $status -eq 2 ]]
	[[ ${lines[0]} =~ ^a-build-error\ +no\ result\ .*\ does\ not\ compile:\ arch/x86/kvm/xen\.c:[0-9]+:.*error: ]]
	[[ ${lines[1]} =~ ^a-comment\ +no\ result\ .*\ changes\ none\ of\ kvm\.ko ]]
	[[ ${lines[2]} =~ ^a-misfit\ +no\ result\ .*\ does\ not\ apply\ to\ arch/x86/kvm/xen\.c\ of ]]
	[[ ${lines[3]} =~ ^wrong-orl\ +caught ]]
	[[ ${lines[-1]} == "3 without a result: see above" ]]
}

# Starts a run in the background as a terminal would, and waits until it says so.
start_run() { # TEXT
	set -m
	host/kernel/mutants/run.sh >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	run_pid=$!
	set +m
	until grep -q -- "$1" "$BATS_TEST_TMPDIR/out"; do
		kill -0 "$run_pid"
		sleep 0.05
	done
	sleep 1
}

# The bats that runs this is marked as well.
marked_processes() { # NAME...
	local file comm
	# shellcheck disable=SC2013 # these paths have no blanks
	for file in $(grep -lszx "VMABI_MARK=$VMABI_MARK" /proc/[0-9]*/environ); do
		{ read -r comm <"${file%environ}comm"; } 2>/dev/null || continue
		[[ " $* " != *" $comm "* ]] || echo "$comm"
	done
}

interrupted_by() { # SIGNAL STATUS
	local result=0
	kill "-$1" "$run_pid"
	wait "$run_pid" || result=$?
	cat "$BATS_TEST_TMPDIR/out"
	[[ $result -eq $2 && -z $(marked_processes make cc1 prove supervise qemu-system-x86) ]]
	! grep -qE 'Terminated|Killed' "$BATS_TEST_TMPDIR/out"
}

@test "SIGINT while a mutant is built leaves nothing, and the next run is right" {
	make_caught interrupted coexist-page-i386
	# One that was never built.
	echo "# $(date +%s%N)" >>"$VMABI_MUTANTS/interrupted.patch"
	start_run 'building'
	interrupted_by INT 130
	run --separate-stderr host/kernel/mutants/run.sh
	[[ $status -eq 0 && ${lines[0]} =~ ^interrupted\ +caught ]]
}

@test "SIGTERM while a mutant's tests run leaves no process and no snapshot" {
	before=$(find "$cache/snapshots" -mindepth 1 -maxdepth 1)
	make_caught interrupted coexist-page
	start_run 'interrupted: running'
	interrupted_by TERM 143
	[[ $(find "$cache/snapshots" -mindepth 1 -maxdepth 1) == "$before" ]]
}
