# SPDX-License-Identifier: BSD-2-Clause
#
# The reader of unittests.cfg and knownbugs.cfg (scripts/config.awk)
#
# Every mistake is told with file and line, names what would be right, and ends with status 1 and no
# record: a configuration that is wrong in one place runs nothing.
#
# shellcheck disable=SC2154 # status, output and lines are set by run

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || exit
	file=$BATS_TEST_TMPDIR/tests.cfg
	good=$'[a]\nfile = good.c\ngroups = g\n'
	touch "$BATS_TEST_TMPDIR/good.c"
}

read_tests() { # TEXT
	printf '%s' "$1" >"$file"
	run --separate-stderr awk -v kind=tests -v hosts="local nested tcg" -v needs="kvm xen-hcall" \
		-v kernels="stock patched" -v root="$BATS_TEST_TMPDIR/" -f scripts/config.awk "$file"
}

refused() { # LINE MESSAGE
	# shellcheck disable=SC2154
	[[ $status -eq 1 && -z $output && $stderr == *":$1: $2"* ]] || {
		echo "status $status, output '$output', stderr '$stderr'"
		return 1
	}
}

fields() { # RECORD FIELD...: those fields, joined by |
	local record=$1
	shift
	cut -d $'\037' -f "$(IFS=,; echo "$*")" --output-delimiter='|' <<<"$record"
}

@test "a section is one test for each architecture" {
	read_tests "$good"
	[[ $status -eq 0 && ${#lines[@]} -eq 2 ]]
	[[ $(fields "${lines[0]}" 1,2,3,4,5) == 'a-x86_64|a|good.c|g|x86_64' ]]
	[[ $(fields "${lines[1]}" 1,5) == 'a-i386|i386' ]]
}

@test "what is left out has its documented default" {
	read_tests "$good"
	[[ $(fields "${lines[0]}" 6,7,8,9,10,11,12) == '1|64|||local nested tcg|stock patched|20' ]]
}

@test "values keep their inner spaces and equal signs, and lose those around them" {
	read_tests "$good"$'append =  one  two=3 \t\nrequires = xen-hcall=0x40000000 kvm'
	[[ $(fields "${lines[0]}" 8,9) == 'one  two=3|xen-hcall=0x40000000 kvm' ]]
}

@test "comments, blank lines and carriage returns do not matter" {
	read_tests $'# x\r\n\r\n ; y\r\n[a]\r\n  file=good.c\r\n\tgroups = g h\r\n'
	[[ $status -eq 0 && $(fields "${lines[0]}" 3,4) == 'good.c|g h' ]]
}

@test "a file without a section is a configuration without tests" {
	read_tests $'# nothing\n'
	[[ $status -eq 0 && -z $output ]]
}

@test "an unknown key is refused, and the known ones are named" {
	read_tests "$good"$'grops = x'
	refused 4 "unknown key 'grops' (there are: file groups arch smp mem append requires host kernel timeout runs)"
}

@test "a key twice in a section is refused" {
	read_tests "$good"$'smp = 1\nsmp = 2'
	refused 5 "key 'smp' is in section [a] twice"
}

@test "two sections of one name are refused, and the first is named" {
	read_tests "$good$good"
	refused 4 "section [a] is here twice; the first is in line 1"
}

@test "a section without its file or groups is refused" {
	read_tests $'[a]\ngroups = g'
	refused 1 "section [a] has no key 'file'"
	read_tests $'[a]\nfile = good.c'
	refused 1 "section [a] has no key 'groups'"
}

@test "an empty value where one is needed is refused" {
	read_tests $'[a]\nfile = good.c\ngroups ='
	refused 3 "key 'groups' has no value"
}

@test "a file that is not there, or no C file, is refused" {
	read_tests $'[a]\ngroups = g\nfile = gone.c'
	refused 3 "there is no file gone.c"
	read_tests $'[a]\ngroups = g\nfile = good.elf'
	refused 3 "file takes a C file, not 'good.elf'"
}

@test "unknown words for host, kernel, arch and requires are refused, and the known ones are named" {
	read_tests "$good"'host = moon'
	refused 4 "unknown host 'moon' (there are: local nested tcg)"
	read_tests "$good"'kernel = new'
	refused 4 "unknown kernel 'new' (there are: stock patched)"
	read_tests "$good"'arch = arm64'
	refused 4 "unknown arch 'arm64' (there are: x86_64 i386)"
	read_tests "$good"'requires = xen'
	refused 4 "unknown requires 'xen' (there are: kvm xen-hcall)"
	read_tests "$good"'requires = xen-hcall=zero'
	refused 4 "unknown requires 'xen-hcall=zero'"
}

@test "numbers out of range, or none, are refused" {
	for bad in 'smp = 0' 'smp = 65' 'smp = two' 'smp =' 'mem = 15' 'mem = 3073' 'mem = 64M' \
		'timeout = 0' 'timeout = 1.5' 'timeout = -1'; do
		read_tests "$good$bad"
		refused 4 "${bad%% *} takes a number from"
	done
}

@test "a program on the host is one test, for x86_64, and what runs is the last field" {
	mkdir -p "$BATS_TEST_TMPDIR/host/tests/a"
	touch "$BATS_TEST_TMPDIR/host/tests/a/good.c"
	read_tests $'[a]\nfile = host/tests/a/good.c\ngroups = g\nruns = host\nrequires = kvm'
	[[ $status -eq 0 && ${#lines[@]} -eq 1 && $(fields "${lines[0]}" 1,5,13) == 'a-x86_64|x86_64|host' ]]
	read_tests "$good"
	[[ $(fields "${lines[0]}" 13) == guest ]]
}

@test "a program on the host lies in a folder of host/tests, needs KVM, and has nothing of a guest" {
	local program=$'[a]\nfile = host/tests/a/good.c\ngroups = g\n'
	mkdir -p "$BATS_TEST_TMPDIR/host/tests/a"
	touch "$BATS_TEST_TMPDIR/host/tests/a/good.c" "$BATS_TEST_TMPDIR/host/good.c"
	read_tests "$program"
	refused 1 "section [a] has a file of host/, but not 'runs = host'"
	read_tests "$good"$'runs = host\nrequires = kvm'
	refused 1 "section [a] has 'runs = host', but no file of host/tests"
	read_tests "$program"'runs = host'
	refused 1 "section [a] has 'runs = host', and so requires kvm"
	read_tests "$program"$'runs = host\nrequires = kvm\nsmp = 2'
	refused 1 "section [a] has 'runs = host', and no use for 'smp'"
	read_tests $'[a]\nfile = host/good.c\ngroups = g\nruns = host\nrequires = kvm' || true
	[[ $status -eq 1 && $stderr == *":2: file takes a test of this tree; host/good.c is none"* ]]
	read_tests "$good"'runs = moon'
	refused 4 "unknown runs 'moon' (there are: guest host)"
}

@test "a key before the first section is refused" {
	read_tests $'smp = 1\n'
	refused 1 "key 'smp' stands before the first section"
}

@test "a line that is nothing known, and a section without a proper name, are refused" {
	read_tests "$good"'smp'
	refused 4 "neither a section, nor KEY = VALUE, nor a comment: smp"
	for bad in '[]' '[a b]' '[-a]' '[a' '[../a]'; do
		read_tests "$bad"
		refused 1 "this is no section's name: $bad"
	done
}

@test "every mistake is told, not only the first" {
	read_tests $'[a]\nfile = good.c\ngroups = g\nsmp = 0\nmem = 0\n'
	[[ $(grep -c . <<<"$stderr") -eq 2 ]]
}

@test "a known bug needs all of its keys" {
	printf '[b]\ntests = a\npoint = p\nwhere = nested/*\n' >"$file"
	run --separate-stderr awk -v kind=known -f scripts/config.awk "$file"
	refused 1 "section [b] has no key 'reason'"
}

@test "a known bug may name several points" {
	printf '[b]\ntests = a\npoint = p one\npoint = p two\nwhere = nested/*\nreason = r\n' >"$file"
	run --separate-stderr awk -v kind=known -f scripts/config.awk "$file"
	[[ $status -eq 0 && ${#lines[@]} -eq 2 ]]
	[[ $(fields "${lines[0]}" 1,3,5) == 'b|p one|r' && $(fields "${lines[1]}" 3) == 'p two' ]]
}

@test "the project's own two files are right" {
	for kind in tests known; do
		# shellcheck source=scripts/hosts.sh
		(
			top=$PWD
			source scripts/hosts.sh
			awk -v kind=$kind -v hosts="$all_hosts" -v kernels="$all_kernels" -v root= \
				-v needs="$all_needs" -f scripts/config.awk \
				"$([[ $kind == tests ]] && echo unittests.cfg || echo knownbugs.cfg)" >/dev/null
		)
	done
}
