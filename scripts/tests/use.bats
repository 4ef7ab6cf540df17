# SPDX-License-Identifier: BSD-2-Clause
#
# Using the suite as people do: from anywhere, in any environment, and with tests of one's own
#
# shellcheck disable=SC2154,SC2030,SC2031 # status, output, stderr and lines are set by run

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || exit
	top=$PWD
}

passes() {
	[[ $status -eq 0 && ${lines[-1]} =~ ^[1-9][0-9]*\ passed,\ 0\ failed,\ 0\ skipped$ ]] || {
		printf 'status %s:\n%s\n' "$status" "$output"
		return 1
	}
}

# The tree with what is built, so that little is built again. A folder with a blank in its name.
copy_tree() {
	copy="$BATS_TEST_TMPDIR/a copy"
	mkdir -p "$copy"
	tar -c --exclude=./.git --exclude=./build/standalone --exclude=./build/check . | tar -x -C "$copy"
}

# The README's example: one .c file and one section.
add_example() { # SED-COMMAND, to change it
	awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md |
		sed "${1-}" >"$copy/hyperv/example.c"
	awk '/^```ini$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >>"$copy/unittests.cfg"
}

@test "it runs from another folder, by a link to it, and with CDPATH set" {
	cd /
	run env CDPATH=/:/usr "$top/run_tests.sh" xen-page-x86_64
	passes
	ln -s "$top/run_tests.sh" "$BATS_TEST_TMPDIR/link"
	run "$BATS_TEST_TMPDIR/link" xen-page-x86_64
	passes
}

@test "it runs in another locale, and with nothing in the environment but PATH and HOME" {
	run env -i PATH="$PATH" HOME="$HOME" XDG_CACHE_HOME="${XDG_CACHE_HOME-}" LC_ALL=de_DE.UTF-8 \
		./run_tests.sh xen-page-x86_64
	passes
}

@test "without HOME and XDG_CACHE_HOME it says what to set" {
	run --separate-stderr env -u HOME -u XDG_CACHE_HOME ./run_tests.sh xen-page
	[[ $status -eq 2 && $stderr == "there is no place for the cache: set HOME, or XDG_CACHE_HOME" ]]
}

@test "a test's script run by hand prints the TAP of that test" {
	cd /
	run "$top/build/tests/xen-page-x86_64"
	[[ $status -eq 0 && ${lines[0]} == "TAP version 13" && ${lines[1]} == 1..* ]]
}

@test "-t prints nothing but TAP to stdout" {
	run --separate-stderr ./run_tests.sh -t xen-page-x86_64
	[[ $status -eq 0 && ${lines[0]} == "TAP version 13" && ${lines[-1]} == "ok "* ]]
	[[ ${stderr##*$'\n'} == *" passed, 0 failed, 0 skipped" ]]
}

@test "--tap-dir and --junit leave the results in files" {
	run ./run_tests.sh --tap-dir "$BATS_TEST_TMPDIR/tap" --junit "$BATS_TEST_TMPDIR/junit.xml" xen-page
	passes
	[[ $(ls "$BATS_TEST_TMPDIR/tap") == $'xen-page-i386.tap\nxen-page-x86_64.tap' ]]
	grep -q '<testsuite ' "$BATS_TEST_TMPDIR/junit.xml"
}

@test "the README's example is a test: one .c file and one section, nothing else" {
	copy_tree
	add_example
	run "$copy/run_tests.sh" hyperv-example
	passes
}

@test "a failure shows at the end with its diagnostics, and the status tells" {
	copy_tree
	add_example s/HV_STATUS_INVALID_HYPERCALL_CODE/HV_STATUS_SUCCESS/
	run "$copy/run_tests.sh" hyperv-example-x86_64
	[[ $status -eq 1 && ${lines[-1]} == "1 passed, 1 failed, 0 skipped" ]]
	summary=${output##*Failures}
	for text in 'file: hyperv/example.c' 'line: ' 'expected: 0x0' 'actual: 0x2'; do
		[[ $summary == *"$text"* ]]
	done
	[[ ${output##*Failed} == *"file: hyperv/example.c; line: "*"expected: 0x0; actual: 0x2"* ]]
}

@test "what configure left out is not run, and said to be so where it is named" {
	copy_tree
	"$copy/configure" --disable-i386
	run "$copy/run_tests.sh" xen-page
	passes
	[[ $output != *i386* ]]
	run --separate-stderr "$copy/run_tests.sh" xen-page-i386
	[[ $status -eq 2 && $stderr == *"xen-page-i386 is not built: guests for i386 were left out"* ]]
}

@test "a guest that does not compile is told as a failed build" {
	copy_tree
	echo 'error' >>"$copy/xen/page.c"
	run --separate-stderr "$copy/run_tests.sh" xen-page-x86_64
	[[ $status -eq 1 && ${stderr##*$'\n'} == "run_tests.sh: the build failed (above); no test was run" ]]
}

@test "a configuration that comes back with its old date counts again" {
	copy_tree
	cp -p "$copy/unittests.cfg" "$copy/kept"
	sed -i 's/^\[xen-page\]/[other]/' "$copy/unittests.cfg"
	"$copy/run_tests.sh" other-x86_64
	mv "$copy/kept" "$copy/unittests.cfg"
	run "$copy/run_tests.sh" xen-page-x86_64
	passes
}

stands_alone() { # TEST
	make -s standalone TESTS="$1"
	mkdir "$BATS_TEST_TMPDIR/empty"
	cp "build/standalone/$1" "$BATS_TEST_TMPDIR/empty/"
	cd "$BATS_TEST_TMPDIR/empty" || return
	without=()
	[[ $(id -u) -ne 0 ]] || without=(unshare -n)
	run --separate-stderr env XDG_CACHE_HOME="$BATS_TEST_TMPDIR/cache" "${without[@]}" "./$1"
	[[ $status -eq 0 && ${lines[0]} == "TAP version 13" && $output != *"not ok"* ]]
	[[ $(ls) == "$1" ]]
}

@test "make standalone writes a test as one file that runs in an empty folder, without network" {
	stands_alone xen-page-i386
}

@test "so it does with a test that needs the patched kernel" {
	stands_alone coexist-hyperv-call-32bit-i386
}
