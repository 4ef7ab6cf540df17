# SPDX-License-Identifier: BSD-2-Clause
#
# The CPUs of Bochs: which program runs, on which model, and what is said where it does not serve
#
# How guests end there is in ends.bats, with the other hosts.
#
# shellcheck disable=SC2030,SC2031,SC2154 # status, output and lines are set by run

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || exit
	top=$PWD
	export TMPDIR=$BATS_TEST_TMPDIR/tmp
	mkdir -p "$TMPDIR" "$BATS_TEST_TMPDIR/bin"
}

says() { # TEXT...
	local text
	for text; do
		[[ $output == *"$text"* ]] || {
			printf 'status %s; not found: %s; in:\n%s\n' "$status" "$text" "$output"
			return 1
		}
	done
}

# A program that says it is Bochs of this version, with these CPU models.
bochs_that_says() { # VERSION MODEL...
	local version=$1
	shift
	cat >"$BATS_TEST_TMPDIR/bin/bochs-bin" <<-END
		#!/bin/sh
		echo '                        Bochs x86 Emulator $version' >&2
		printf '%s\n' $*
	END
	chmod +x "$BATS_TEST_TMPDIR/bin/bochs-bin"
}

# With that program in place of this system's.
program() { # MODEL
	PATH=$BATS_TEST_TMPDIR/bin:$PATH run --separate-stderr host/bochs/program.sh "$1"
}

@test "a test runs on each CPU model, and says on which" {
	for cpu in tigerlake sapphire_rapids arrow_lake; do
		run ./run_tests.sh --cpu $cpu runtime-user
		[[ $status -eq 0 ]]
		says "on the host bochs, CPU $cpu: 2 test(s)" "20 passed, 0 failed"
	done
}

@test "--on bochs takes the default model, and -l shows it" {
	run ./run_tests.sh --on bochs -l runtime-user-i386
	[[ $status -eq 0 ]]
	says "bochs (tigerlake)"
}

@test "the guest's memory, CPUs and command line are what the test says" {
	VMABI_ON=bochs run build/tests/runtime-memory-x86_64
	[[ $status -eq 0 ]]
	VMABI_ON=bochs run build/tests/runtime-smp-i386
	[[ $status -eq 0 ]]
}

@test "a model that does not exist is refused with those that do" {
	run ./run_tests.sh --cpu pentium runtime-user
	[[ $status -eq 2 ]]
	says "unknown CPU model 'pentium' (there are: tigerlake sapphire_rapids arrow_lake)"
}

@test "--cpu with another host, or with a kernel, is refused" {
	run ./run_tests.sh --cpu tigerlake --on nested runtime-user
	[[ $status -eq 2 ]]
	says "'tigerlake' is a CPU of Bochs; the host nested has those of QEMU"
	run ./run_tests.sh --cpu tigerlake --on local runtime-user
	[[ $status -eq 2 ]]
	says "the host local has none to choose"
	run ./run_tests.sh --cpu tigerlake --kernel patched runtime-user
	[[ $status -eq 2 ]]
	says "leave one of them out"
}

@test "the system's Bochs serves where it has the model" {
	bochs_that_says 2.7 core_duo tigerlake
	program tigerlake
	[[ $status -eq 0 && ${lines[0]} == bochs-2.7 && $output == *$'\nbochs-bin\n'* && -z $stderr ]]
}

@test "Bochs 3.0 of the cache serves where the system's lacks the model" {
	bochs_that_says 2.7 core_duo tigerlake
	program arrow_lake
	[[ $status -eq 0 && ${lines[0]} == bochs-3.0 && $output == *vmabi/bochs/3.0* && -z $stderr ]]
}

@test "Bochs 3.1 is refused with the reason, and 3.0 taken in its place" {
	bochs_that_says 3.1 tigerlake arrow_lake
	program tigerlake
	[[ $status -eq 0 && ${lines[0]} == bochs-3.0 ]]
	[[ $stderr == *"not used: it is version 3.1, in which 64-bit IDIV is wrong and a triple fault never ends"* ]]
}

@test "a configured Bochs that does not serve is an error that says why" {
	bochs_that_says 3.1 tigerlake
	mkdir "$BATS_TEST_TMPDIR/tree"
	cp -r host scripts "$BATS_TEST_TMPDIR/tree"
	mkdir "$BATS_TEST_TMPDIR/tree/build"
	echo "BOCHS := $BATS_TEST_TMPDIR/bin/bochs-bin" >"$BATS_TEST_TMPDIR/tree/build/config.mk"
	run "$BATS_TEST_TMPDIR/tree/host/bochs/program.sh" tigerlake
	[[ $status -eq 1 ]]
	says "does not serve: it is version 3.1" "configure another one"
	bochs_that_says 2.6.11 tigerlake
	run "$BATS_TEST_TMPDIR/tree/host/bochs/program.sh" tigerlake
	[[ $status -eq 1 ]]
	says "CET came with 2.7"
}

@test "a damaged Bochs in the cache is said to be damaged and fetched again" {
	export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache
	mkdir -p "$XDG_CACHE_HOME/vmabi/bochs/3.0"
	echo 3.0 >"$XDG_CACHE_HOME/vmabi/bochs/3.0/version"
	run host/bochs/fetch.sh
	[[ $status -eq 0 ]]
	says "is damaged; it is fetched again" "Bochs 3.0 is in"
	[[ $(ls -A "$XDG_CACHE_HOME/vmabi/bochs") == $'.lock\n3.0' ]]
}

@test "without a network, a Bochs that is not in the cache is told as that" {
	[[ $(id -u) -eq 0 ]] || skip "a network can be taken away by root only"
	XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache run unshare -n host/bochs/fetch.sh
	[[ $status -eq 1 ]]
	says "bochs: is not in the cache and cannot be fetched (connect this machine to its Debian mirror"
	[[ $(ls -A "$BATS_TEST_TMPDIR/cache/vmabi/bochs") == .lock ]]
}

@test "a guest that is too large for a ROM is refused with the size" {
	cat >"$BATS_TEST_TMPDIR/large.S" <<-'END'
		.section .note.Xen, "a", @note
		.long 4, 4, 18
		.asciz "Xen"
		.long start
		.text
		.globl start
		start: .fill 5 << 20, 1, 0x90
	END
	gcc -m32 -nostdlib -static -no-pie -Wl,--build-id=none,-n,-Ttext=0x100000,--section-start=.note.Xen=0x700000,-e,start \
		"$BATS_TEST_TMPDIR/large.S" -o "$BATS_TEST_TMPDIR/large.elf"
	run build/host/bochs/rom/rom "$BATS_TEST_TMPDIR/large.elf"
	[[ $status -eq 2 ]]
	says "large.elf: the guest is too large for a ROM: 51" "KiB of at most 3968"
}

@test "what is no guest image is refused as that" {
	printf '\177ELF' >"$BATS_TEST_TMPDIR/broken.elf"
	run build/host/bochs/rom/rom "$BATS_TEST_TMPDIR/broken.elf"
	[[ $status -eq 2 ]]
	says "rom: $BATS_TEST_TMPDIR/broken.elf: "
}

@test "the same ROM boots a guest on QEMU" {
	build/host/bochs/rom/rom --append 'alpha=1 beta gamma=0x20 alpha=two' \
		build/guests/i386/x86/runtime_memory.elf >"$BATS_TEST_TMPDIR/rom"
	run qemu-system-x86_64 -accel tcg -cpu max -m 64 -nodefaults -display none -no-reboot \
		-device isa-debug-exit,iobase=0xf4,iosize=4 -chardev stdio,id=c -device isa-debugcon,iobase=0xe9,chardev=c \
		-bios "$BATS_TEST_TMPDIR/rom"
	says "ok 1 - " "ok 8 - "
	[[ $output != *"not ok"* ]]
}

@test "four at once do not get in each other's way" {
	for i in 1 2 3 4; do
		VMABI_ON=bochs build/tests/runtime-paging-x86_64 >"$BATS_TEST_TMPDIR/out.$i" &
	done
	wait
	for i in 1 2 3 4; do
		[[ $(grep -c '^ok' "$BATS_TEST_TMPDIR/out.$i") -eq 11 ]]
	done
}

# The processes of a session, but for those that have ended and that nobody has taken note of yet.
running_in() { # SESSION
	ps -s "$1" -o stat=,pid=,args= | awk '!/^Z/'
}

# Ends a test of a guest that spins by a signal, and looks for what it left.
interrupted_by() { # SIGNAL
	# shellcheck disable=SC2016
	VMABI_ON=bochs env --default-signal=INT setsid bash -c '
		name=spin arch=x86_64 smp=1 mem=64 requires= known=() hosts=bochs kernels=
		elf=host/tests/guests/broken.elf append=spin timeout=60 top=$1
		source "$top/scripts/guest.sh"' guest "$top" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	local pid=$! i
	for ((i = 0; i < 100; i++)); do
		grep -qs '^ok 1' "$BATS_TEST_TMPDIR/out" && break
		sleep 0.1
	done
	kill "-$1" "$pid"
	wait "$pid" || true
	for ((i = 0; i < 50; i++)); do
		[[ $(running_in "$pid") ]] || return 0
		sleep 0.1
	done
	running_in "$pid"
	return 1
}

@test "what is interrupted leaves no process and no file" {
	interrupted_by INT
	interrupted_by TERM
	[[ -z $(ls -A "$TMPDIR") ]]
}

@test "make standalone writes a CET test as one file that runs where Bochs is" {
	make -s standalone TESTS=cet-calls-x86_64
	mkdir "$BATS_TEST_TMPDIR/empty"
	cp build/standalone/cet-calls-x86_64 "$BATS_TEST_TMPDIR/empty/"
	cd "$BATS_TEST_TMPDIR/empty" || return
	run --separate-stderr ./cet-calls-x86_64
	[[ $status -eq 0 && ${lines[0]} == "TAP version 13" ]]
	[[ $(ls) == cet-calls-x86_64 ]]
}
