# SPDX-License-Identifier: BSD-2-Clause
#
# What run_tests.sh and configure make of a wrong call or a wrong configuration
#
# Each is found before anything is installed, built or booted, is told in one line that names what
# would be right, and ends with status 2 (configure, about the machine: 1).
#
# shellcheck disable=SC2154 # status, output, stderr and lines are set by run

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || exit
}

refused() { # MESSAGE: one line on stderr that holds it, and nothing on stdout
	[[ $status -eq 2 && -z $output && $stderr == *"$1"* && $(grep -c . <<<"$stderr") -eq 1 ]] || {
		echo "status $status, output '$output', stderr '$stderr'"
		return 1
	}
}

run_tests() {
	run --separate-stderr ./run_tests.sh "$@"
}

# A copy of the scripts with a configuration of its own.
tree_with_config() { # TEXT
	tree=$BATS_TEST_TMPDIR/tree
	mkdir -p "$tree"
	cp -r run_tests.sh scripts knownbugs.cfg Makefile configure "$tree/"
	printf '%s' "$1" >"$tree/unittests.cfg"
	touch "$tree/a.c"
}

@test "an unknown option is refused" {
	run_tests --bogus
	refused "unknown option '--bogus'; see --help"
}

@test "an option without its value is refused" {
	for option in -g -j --tap-dir --junit --on --kernel --vmm; do
		run_tests "$option"
		refused "$option needs a value"
	done
}

@test "an unknown test is refused, and -l named" {
	run_tests no-such-test
	refused "there is no test 'no-such-test'; ./run_tests.sh -l lists them"
}

@test "a glob that matches nothing is refused" {
	run_tests 'zz*'
	refused "there is no test 'zz*'"
}

@test "an unknown test beside a known one is refused" {
	run_tests 'xen-*' no-such-test
	refused "there is no test 'no-such-test'"
}

@test "an unknown group is refused, and the groups are named" {
	run_tests -g no-such-group
	refused "unknown group 'no-such-group' (there are: "
	[[ $stderr == *coexist* && $stderr == *runtime* ]]
}

@test "an unknown host, kernel or vmm is refused, and the known ones are named" {
	run_tests --on moon
	refused "unknown host 'moon' (there are: local nested bochs tcg xen bochs-kvm)"
	run_tests --kernel stock-1.0
	refused "unknown kernel 'stock-1.0' (there are: stock-7.2 stock-6.12 patched patched-debug; or give a path)"
	run_tests --vmm bochs
	refused "unknown vmm 'bochs' (there are: vmrun qemu)"
}

@test "a value may stand in the option's own word" {
	run_tests -j0
	refused "-j takes a number from 1, not '0'"
	run_tests -gno-such-group
	refused "unknown group 'no-such-group'"
	run_tests --on=moon
	refused "unknown host 'moon'"
}

@test "a number of jobs that is none is refused" {
	for jobs in 0 -1 two 1.5 ''; do
		run_tests -j "$jobs"
		refused "-j takes a number from 1, not '$jobs'"
	done
}

@test "options that exclude each other are refused" {
	run_tests --on tcg --vmm vmrun
	refused "the host tcg has no /dev/kvm for vmrun"
	run_tests --vmm qemu
	refused "--vmm qemu serves on the hosts nested, tcg and local only; add --on nested"
	run_tests --on bochs-kvm --vmm qemu
	refused "--vmm qemu serves on the hosts nested, tcg and local only"
	run_tests --on xen --vmm qemu
	refused "the host xen has Xen's own toolstack in place of a VMM"
	run_tests --on tcg --kernel stock-6.12
	refused "--kernel chooses the kernel of the hosts nested and bochs-kvm; the host tcg has none to choose"
	run_tests --on bochs --vmm qemu
	refused "the host bochs has neither /dev/kvm for vmrun nor QEMU"
}

@test "a place for results that cannot be written to is refused before any test runs" {
	run_tests --tap-dir /proc/x xen-page
	refused "cannot write to the folder /proc/x (--tap-dir)"
	run_tests --junit /proc/x xen-page
	refused "cannot write /proc/x (--junit)"
}

@test "no room for temporary files is told as that" {
	run --separate-stderr env TMPDIR=/proc ./run_tests.sh xen-page
	refused "there is no room for temporary files in /proc"
}

@test "a test and a group that have nothing in common are refused" {
	run_tests -g runtime 'xen-*'
	refused "no test is in all of: xen-* runtime"
}

@test "a wrong configuration is told by file and line" {
	tree_with_config $'[a]\nfile = a.c\ngroups = g\nbogus = 1\n'
	run --separate-stderr "$tree/run_tests.sh"
	refused "unittests.cfg:4: unknown key 'bogus'"
}

@test "two sections of one name are told by file and line" {
	tree_with_config $'[a]\nfile = a.c\ngroups = g\n[a]\nfile = a.c\ngroups = g\n'
	run --separate-stderr "$tree/run_tests.sh" -l
	refused "unittests.cfg:4: section [a] is here twice"
}

@test "-l lists what, groups, needs and host, and needs nothing built" {
	tree_with_config $'[a]\nfile = a.c\ngroups = g h\nrequires = kvm\narch = i386\nhost = nested\n[b]\nfile = a.c\ngroups = g\nhost = tcg\nrequires = kvm\n'
	run --separate-stderr "$tree/run_tests.sh" -l
	[[ $status -eq 0 ]]
	[[ ${lines[1]} =~ ^a-i386\ +g\ h\ +kvm\ +nested\ \(stock-7\.2\)$ ]]
	[[ ${lines[2]} =~ ^b-x86_64\ +g\ +kvm\ +none:\ the\ host\ tcg\ lacks:\ kvm$ ]]
	[[ ${#lines[@]} -eq 4 && ! -e $tree/build ]]
}

@test "--vmm qemu in the nested host takes what QEMU has switches for, and says what of others it lacks" {
	tree_with_config $'[a]\nfile = a.c\ngroups = g\narch = i386\nrequires = xen-hcall hyperv-enforce\n[b]\nfile = a.c\ngroups = g\narch = i386\nrequires = requests userfaultfd\n[c]\nfile = a.c\ngroups = g\narch = i386\nrequires = xen-hcall=0x40000000\n[d]\nfile = a.c\ngroups = g\narch = i386\nrequires = snp\n'
	run --separate-stderr env XDG_CACHE_HOME="$BATS_TEST_TMPDIR" "$tree/run_tests.sh" -l --on nested --vmm qemu
	[[ $status -eq 0 ]]
	[[ ${lines[1]} == a-i386*" nested (stock-7.2+qemu)" ]]
	[[ ${lines[2]} == b-i386*"none: the host nested (stock-7.2+qemu) lacks: requests userfaultfd;"* ]]
	[[ ${lines[3]} == c-i386*"none: the host nested (stock-7.2+qemu) lacks: xen-hcall=MSR;"* ]]
	[[ ${lines[4]} == d-i386*"(patched+snp+qemu) lacks: snp"* ]]
	run --separate-stderr env XDG_CACHE_HOME="$BATS_TEST_TMPDIR" "$tree/run_tests.sh" -l --kernel stock-6.12 --vmm qemu
	[[ $status -eq 0 && ${lines[1]} == a-i386*" nested (stock-6.12+qemu)" ]]
}

@test "-l with a group or a glob lists those alone" {
	run_tests -l -g runtime
	[[ $status -eq 0 && $output != *coexist* && $output == *runtime-* ]]
	run_tests -l 'coexist-*-i386'
	[[ $status -eq 0 && $output == *-i386* && $output != *-x86_64* ]]
}

@test "--help says what there is, on stdout" {
	for program in ./run_tests.sh ./configure; do
		run --separate-stderr "$program" --help
		[[ $status -eq 0 && $output == usage:* && -z $stderr ]]
	done
}

@test "configure refuses an unknown option, and one without its value" {
	run --separate-stderr ./configure --bogus
	refused "configure: unknown option '--bogus'; see ./configure --help"
	for option in --cc --qemu; do
		run --separate-stderr ./configure $option
		refused "configure: $option needs a program"
		run --separate-stderr ./configure $option=
		refused "configure: $option needs a program"
	done
}

# Runs configure in a copy of the tree, so that this one's configuration stays.
configure_copy() {
	tree_with_config ''
	run --separate-stderr "$tree/configure" "$@"
}

@test "configure names a missing tool, what it is for, and the one command that installs it" {
	configure_copy --qemu no-such-qemu
	[[ $status -eq 1 && ! -e $tree/build/config.mk ]]
	[[ $stderr == *"missing: QEMU, no-such-qemu (Debian package qemu-system-x86)"* ]]
	[[ $stderr == *"apt-get install --no-install-recommends qemu-system-x86"* ]]
	configure_copy --cc no-such-cc
	[[ $status -eq 1 && $stderr == *"missing: the C compiler no-such-cc"* ]]
}

@test "configure refuses a QEMU that is too old, and takes Debian 12's 7.2" {
	for version in 5.2.0 7.1.0 7.2.22 10.0.2; do
		printf '#!/bin/sh\necho "QEMU emulator version %s (Debian)"\n' $version \
			>"$BATS_TEST_TMPDIR/qemu-$version"
		chmod +x "$BATS_TEST_TMPDIR/qemu-$version"
		configure_copy --qemu "$BATS_TEST_TMPDIR/qemu-$version"
		case $version in
		5.* | 7.1.*)
			[[ $status -eq 1 && $stderr == *"QEMU 7.2 or newer ("*"is ${version%.*})"* ]]
			;;
		*) [[ $status -eq 0 ]] ;;
		esac
	done
}

@test "configure --disable-i386 leaves out the 32-bit guests" {
	configure_copy --disable-i386
	[[ $status -eq 0 ]]
	grep -qx 'ARCHS := x86_64' "$tree/build/config.mk"
}
