# SPDX-License-Identifier: BSD-2-Clause
#
# The host xen: what runs there, and what is said of how it ends
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
	[[ -z $(ls -A "$BATS_TEST_TMPDIR/tmp") ]]
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

# Runs a guest as a script in build/tests would.
broken() { # HOW [TIMEOUT]
	# shellcheck disable=SC2034,SC2016
	VMABI_ON=xen run bash -c '
		name=broken arch=x86_64 smp=1 mem=64 requires= known=() hosts=xen kernels=
		elf=host/tests/guests/broken.elf append=$1 timeout=$2 top=$3
		source "$top/scripts/guest.sh"' guest "$1" "${2:-15}" "$top"
}

# Runs a program in dom0, in place of the one that makes domains.
in_dom0() { # HOW
	local snapshot
	snapshot=$(host/xen/prepare.sh)
	# shellcheck disable=SC2016
	run build/host/supervise/supervise --timeout 40 --kernel-log -- bash -c '
		exec build/host/nested/restore/restore --console "$VMABI_SCRATCH/console" \
			--file build/host/tests/l1_program "$1" -- /l1_program --append "$2"' run "$snapshot" "$1"
}

@test "a guest that passes all its points passes, and one that fails fails" {
	broken well
	[[ $status -eq 0 ]]
	says 'ok 3 - a point after it'
	broken fail
	[[ $status -eq 1 ]]
	says 'not ok 2 - the point that goes wrong' 'expected: 0x5' 'actual: 0x4' 'ok 3 - '
}

@test "a guest's triple fault is told as that" {
	broken triple-fault
	[[ $status -eq 1 ]]
	says 'the guest runs to its end' 'it shut down (a triple fault), or asked for a reset'
}

@test "a guest that never ends is told as that" {
	broken spin 3
	[[ $status -eq 1 ]]
	says 'the guest runs to its end' 'the guest has not ended in 3 s'
}

@test "a crash of dom0, and a fault in its log, are no matter of the guest's" {
	in_dom0 panic
	[[ $status -eq 1 ]]
	says 'ok 1 - the guest saw nothing wrong' 'dom0, beside the guest, crashed' 'Kernel panic'
	in_dom0 log-fault
	[[ $status -eq 1 ]]
	says 'WARNING: CPU: 0 PID: 1 at here'
}

@test "a panic of Xen's is told as that" {
	in_dom0 xen-panic
	[[ $status -eq 1 ]]
	says 'ok 1 - the guest saw nothing wrong' 'Xen, under the guest, panicked' 'Panic on CPU 0'
}

@test "what only Xen has is skipped on KVM, with its name" {
	run ./run_tests.sh --on nested -v xen-memory-op-x86_64
	[[ $status -eq 0 ]]
	says 'the host nested (stock-7.2) lacks: xen'
}

@test "a comparison names what it cannot compare" {
	run ./run_tests.sh --compare nested
	[[ $status -eq 2 ]]
	says "takes two places or more"
	run ./run_tests.sh --compare nested,elsewhere
	[[ $status -eq 2 ]]
	says "'elsewhere' is neither a host"
	run ./run_tests.sh --compare xen,tcg --on xen
	[[ $status -eq 2 ]]
	says "--compare names the places itself"
}

@test "a comparison prints the points that differ, with both diagnostics, and nothing else" {
	run --separate-stderr ./run_tests.sh --compare xen,tcg runtime-memory-x86_64
	[[ $status -eq 0 && -z $output ]]
	run ./run_tests.sh --compare tcg,xen coexist-status-x86_64
	[[ $status -eq 0 && -z $output ]]
	run --separate-stderr ./run_tests.sh --compare nested,xen coexist-status-x86_64
	[[ $status -eq 1 ]]
	says 'coexist-status-x86_64: reserved bits 47:44 and 63:60 through the page beside Xen are refused' \
		'nested  ok' 'xen     not ok (known: Xen does not look' 'expected: 0x3' 'actual: 0x0'
	[[ $output != *': a Hyper-V call through the page beside Xen succeeds'* ]]
}
