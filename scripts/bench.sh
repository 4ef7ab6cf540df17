#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# make bench: how long things take on this machine, as medians, beside what they are allowed to take
#
# On a quiet machine only: a second load doubles most of it. VMABI_RUNS sets the number of runs.
set -euo pipefail
top=$(readlink -f "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..")
cd "$top"
# shellcheck source=scripts/hosts.sh
source scripts/hosts.sh
kernel=${all_kernels%% *}
runs=${VMABI_RUNS:-11}
test=coexist-dispatch-x86_64
guest=build/guests/x86_64/xen/coexist_dispatch.elf

scripts/tools.sh install build run
[[ -e build/config.mk ]] || ./configure
make -s -j "$(nproc)" all build/host/tests/repeat
VMABI_SNAPSHOT=$(host/nested/prepare.sh "$kernel")
export VMABI_SNAPSHOT VMABI_KERNEL=$kernel
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

median() { # numbers on stdin
	sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

milliseconds() { # COMMAND...: of one run
	local start=${EPOCHREALTIME/./}
	"$@" >"$work/output" 2>&1 || true
	echo $(((${EPOCHREALTIME/./} - start) / 1000))
}

row() { # WHAT MILLISECONDS GOAL
	printf '%-62s %7s ms   %s\n' "$1" "$2" "${3:+goal: under $3 ms}"
}

repeat() { # COMMAND...: the median of so many runs
	local i
	for ((i = 0; i < runs; i++)); do
		milliseconds "$@"
	done | median
}

vmrun_in_l1() { # VMRUN-OPTION...
	host/nested/run.sh "$VMABI_SNAPSHOT" build/host/vmrun/vmrun "$guest" "$@"
}

# vmrun --stats says how long its guest took to its first byte. QEMU translates code when it runs for the
# first time, and a restored L1 has run nothing: the first run is cold, the third is not.
first_line() { # RUN
	local i
	for ((i = 0; i < runs; i++)); do
		build/host/nested/restore/restore --file build/host/tests/repeat \
			--file build/host/vmrun/vmrun --file "$guest" "$VMABI_SNAPSHOT" -- \
			/repeat 3 /vmrun --smp 2 --xen --hyperv --stats "/${guest##*/}" 2>&1 |
			sed -n 's/^vmrun: stats: first_output_ms=\([0-9]*\).*/\1/p' | sed -n "$1p"
	done | median
}

cold_host() {
	local cold=$work/cache
	rm -rf "$cold"
	mkdir -p "$cold/vmabi/kernels"
	ln -s "$cache/kernels/$kernel" "$cold/vmabi/kernels/$kernel"
	XDG_CACHE_HOME=$cold host/nested/snapshot.sh "$(qemu_program)" build/host/nested/init/init \
		"$cold/vmabi/kernels/$kernel"
}

clean_build() {
	make -s -j "$(nproc)" clean
	./configure
	make -s -j "$(nproc)" all
	host/nested/prepare.sh "$kernel"
}

echo "medians of $runs runs; kernel $(cat "$cache/kernels/$kernel/version"), $("$(qemu_program)" --version | head -n 1)"
row "one nested test, from start to exit ($test)" \
	"$(VMABI_ON=nested repeat "build/tests/$test")" 700
row "of which restoring L1: vmrun --version in it" "$(repeat vmrun_in_l1 --version)" 300
row "a guest's boot in L1: vmrun's start to the first TAP line" "$(first_line 3)" 30
row "the same in the first run after the restore" "$(first_line 1)" ''
row "one test on the bare CPU (runtime-exceptions-x86_64)" \
	"$(VMABI_ON=tcg repeat build/tests/runtime-exceptions-x86_64)" 800
suite=$(milliseconds ./run_tests.sh -j 2)
tests=$(./run_tests.sh -l | tail -n +2 | wc -l)
row "the whole suite at -j 2, for each of its $tests tests" $((suite / tests)) 600
row "booting L1 and saving it (once)" "$(milliseconds cold_host)" ''
row "building everything" "$(milliseconds clean_build)" ''
