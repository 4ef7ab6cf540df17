# SPDX-License-Identifier: BSD-2-Clause
#
# How a run can end, and what is said of it
#
# A guest that goes wrong (host/tests/guests/broken.c) in each way there is, on the nested host and on
# the bare CPU; and a nested host that goes wrong itself (host/tests/l1_program.c). Each way has
# its own clear result within the time limit, none looks like a pass, and nothing is left behind.
#
# shellcheck disable=SC2030,SC2031,SC2154 # status, output and lines are set by run

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || exit
	top=$PWD
	export TMPDIR=$BATS_TEST_TMPDIR/tmp
	mkdir -p "$TMPDIR"
}

teardown() {
	# Whatever happened, each run has cleared up after itself.
	[[ -z $(ls -A "$BATS_TEST_TMPDIR/tmp") ]]
}

# Runs a guest as a script in build/tests would. The files that a build makes are there: make check
# has run `make all check-programs`.
run_guest() { # HOST ELF APPEND [TIMEOUT]
	# shellcheck disable=SC2034,SC2016
	VMABI_ON=$1 run bash -c '
		name=broken arch=x86_64 smp=1 mem=64 requires= known=() hosts="nested tcg bochs bochs-kvm" kernels="stock-7.2 patched"
		elf=$1 append=$2 timeout=$3 top=$4
		source "$top/scripts/guest.sh"' guest "$2" "$3" "${4:-5}" "$top"
}

broken() { # HOST HOW
	run_guest "$1" host/tests/guests/broken.elf "$2"
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

@test "a guest that passes all its points passes" {
	for host in nested tcg bochs; do
		broken $host well
		[[ $status -eq 0 ]]
		says $'1..' 'ok 3 - a point after it'
	done
}

@test "a failed point is told with file, line, expected and actual; the next one runs" {
	for host in nested tcg bochs; do
		broken $host fail
		[[ $status -eq 1 ]]
		says 'not ok 2 - the point that goes wrong' 'file: host/tests/guests/broken.c' 'line: ' \
			'expected: 0x5' 'actual: 0x4' 'the case at hand is arithmetic' 'ok 3 - '
	done
}

@test "an error of the test itself is no pass, and is called an error" {
	broken tcg error
	[[ $status -eq 1 ]]
	says 'not ok 2 - ' 'severity: error' 'what this point needs'
}

@test "a skip says why, and fails nothing" {
	broken tcg skip
	[[ $status -eq 0 ]]
	says 'ok 2 - the point that goes wrong # SKIP this machine has no such thing'
}

@test "an unexpected exception fails its point with registers and backtrace; the next one runs" {
	for host in nested tcg bochs; do
		broken $host exception
		[[ $status -eq 1 ]]
		says 'not ok 2 - ' '#UD' 'rip' 'cr3' 'backtrace' 'ok 3 - '
	done
}

@test "a guest that ends early does not look complete" {
	for host in nested tcg bochs; do
		broken $host exit-early
		[[ $status -eq 1 ]]
		says 'not ok 2 - the guest runs to its end' 'planned 3 points and ended after 1'
	done
}

@test "a guest that claims success after a failure is not believed" {
	broken tcg claim-success
	[[ $status -eq 1 ]]
	says 'not ok'
}

@test "a guest that is halted for good is told as a vCPU that hangs" {
	broken nested halt
	[[ $status -eq 1 ]]
	says 'not ok 2 - the guest runs to its end' 'vCPU 0 hangs' 'halted with interrupts off'
}

@test "a guest that never ends is told as that" {
	broken nested spin
	[[ $status -eq 1 ]]
	says 'not ok 2 - the guest runs to its end' 'did not end within 5 s' 'still runs at RIP'
}

@test "on the bare CPU either is told as no end within the time" {
	run_guest tcg host/tests/guests/broken.elf spin 1
	[[ $status -eq 1 ]]
	says 'not ok 2 - the guest runs to its end' 'nothing ended the run within'
}

@test "a QEMU that is killed is told as that, whatever the signal" {
	local signal
	for signal in 6 9 11 15; do
		run build/host/supervise/supervise --qemu-status -- sh -c "ulimit -c 0; echo 'TAP version 13'; kill -$signal \$\$"
		[[ $status -eq 1 ]]
		says "the machine ended without a word from the guest (killed by signal $signal)"
	done
}

@test "on a CPU of Bochs a hang and a triple fault are told apart" {
	run_guest bochs host/tests/guests/broken.elf halt 1
	[[ $status -eq 1 ]]
	says 'not ok 2 - the guest runs to its end' 'did not end within 1 s: it is halted with interrupts off'
	run_guest bochs host/tests/guests/broken.elf spin 1
	[[ $status -eq 1 ]]
	says 'not ok 2 - the guest runs to its end' 'did not end within 1 s'
	[[ $output != *halted* ]]
	broken bochs triple-fault
	[[ $status -eq 1 ]]
	says 'not ok 2 - the guest runs to its end' 'died by a triple fault' 'exception with no resolution'
}

@test "a triple fault is told as one" {
	broken nested triple-fault
	[[ $status -eq 1 ]]
	says 'not ok 2 - the guest runs to its end' 'triple fault'
	broken tcg triple-fault
	[[ $status -eq 1 ]]
	says 'not ok 2 - the guest runs to its end' 'without a word from the guest'
}

@test "on KVM inside Bochs each of them is told as it is on the nested host" {
	broken bochs-kvm well
	[[ $status -eq 0 ]]
	broken bochs-kvm fail
	[[ $status -eq 1 ]]
	says 'not ok 2 - the point that goes wrong' 'expected: 0x5' 'ok 3 - '
	broken bochs-kvm halt
	[[ $status -eq 1 ]]
	says 'not ok 2 - the guest runs to its end' 'vCPU 0 hangs' 'halted with interrupts off'
	broken bochs-kvm triple-fault
	[[ $status -eq 1 ]]
	says 'not ok 2 - the guest runs to its end' 'triple fault'
}

# The program stands where vmrun would; guest.sh passes it the same arguments.
broken_host() { # HOW [HOST]
	mkdir -p build/broken-host/build/{host/vmrun,guests/x86_64}
	ln -sfn "$top/scripts" "$top/host" build/broken-host/
	ln -sfn "$top"/build/host/{supervise,nested,bochs-kvm} build/broken-host/build/host/
	ln -sfn "$top/build/host/tests/l1_program" build/broken-host/build/host/vmrun/vmrun
	ln -sfn "$top/build/guests/x86_64/host/tests/guests/broken.elf" \
		build/broken-host/build/guests/x86_64/broken.elf
	top=$top/build/broken-host run_guest "${2-nested}" broken.elf "$1"
}

@test "a host kernel that panics is told as that, with its lines" {
	broken_host panic
	[[ $status -eq 1 ]]
	says 'the kernel that hosts the guest panicked' 'Kernel panic - not syncing: sysrq triggered crash'
}

@test "a fault in the host kernel's log fails a test whose guest saw nothing" {
	broken_host log-fault
	[[ $status -eq 1 ]]
	says 'ok 1 - the guest saw nothing wrong' "not ok 2 - the host's kernel log shows no fault" \
		'WARNING: CPU: 0 PID: 1 at here'
	broken_host log-fault bochs-kvm
	[[ $status -eq 1 ]]
	says "not ok 2 - the host's kernel log shows no fault" 'WARNING: CPU: 0 PID: 1 at here'
}

@test "a host that does not answer is told as that" {
	broken_host no-answer
	[[ $status -eq 1 ]]
	says 'nothing ended the run within' 'neither the guest nor the host under it answered'
}

# A guest image that is none, in each way; the cause is named.
bad_image() { # NAME
	mkdir -p build/guests/x86_64/bad
	cat >"build/guests/x86_64/bad/$1"
	run_guest nested "bad/$1"
	[[ $status -eq 1 ]]
}

@test "an empty, a truncated and a foreign guest image are refused with the cause" {
	good=build/guests/x86_64/host/tests/guests/broken.elf
	bad_image empty </dev/null
	says 'vmrun: ' 'empty'
	bad_image header < <(head -c 40 "$good")
	says 'vmrun: ' 'header'
	bad_image truncated < <(head -c 6000 "$good")
	says 'vmrun: ' 'truncated'
	# e_machine at offset 18: AArch64 is 183
	bad_image aarch64 < <(head -c 18 "$good"; printf '\267\0'; tail -c +21 "$good")
	says 'vmrun: ' 'AArch64'
	bad_image text <<<'no ELF at all, though longer than the 64 bytes of the header of one'
	says 'vmrun: ' 'ELF'
}

@test "a guest image that is not there is named, with the command that makes it" {
	run_guest nested bad/gone.elf
	[[ $status -eq 2 ]]
	says 'there is no guest ' 'bad/gone.elf; run make'
}
