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

scripts/tools.sh install build run bochs kernel
[[ -e build/config.mk ]] || ./configure
make -s -j "$(nproc)" all build/host/tests/repeat
host/nested/prepare.sh patched >/dev/null
snapshot=$(host/nested/prepare.sh "$kernel")
VMABI_READY=
remember_ready nested "$kernel" "$snapshot"
remember_ready nested patched+snp "$(host/nested/prepare.sh patched+snp)"
remember_ready bochs "$default_cpu" "$(prepare_host bochs "$default_cpu")"
remember_ready bochs-kvm patched "$(prepare_host bochs-kvm patched)"
export VMABI_READY
# Beside the cache: a kernel is built there.
work=$(mktemp -d "$cache/.new.bench.XXXXXX")
trap 'rm -rf "$work"' EXIT

median() { # numbers on stdin
	sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

# A time to failure is no time.
milliseconds() { # COMMAND...: of one run
	local start=${EPOCHREALTIME/./}
	"$@" >"$work/output" 2>&1 || {
		echo "bench: $* failed: $(tail -n 1 "$work/output")" >&2
		kill -TERM $$
	}
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
	host/nested/run.sh "$snapshot" build/host/vmrun/vmrun "$guest" "$@"
}

# vmrun --stats says how long its guest took to its first byte. QEMU translates code when it runs for the
# first time, and a restored L1 has run nothing: the first run is cold, the third is not.
first_line() { # RUN
	local i
	for ((i = 0; i < runs; i++)); do
		build/host/nested/restore/restore --file build/host/tests/repeat \
			--file build/host/vmrun/vmrun --file "$guest" "$snapshot" -- \
			/repeat 3 /vmrun --smp 2 --xen --hyperv --stats "/${guest##*/}" 2>&1 |
			sed -n 's/^vmrun: stats: first_output_ms=\([0-9]*\).*/\1/p' | sed -n "$1p"
	done | median
}

# In percent of what is done without asynchronous page faults: asyncpf-scheduler counts both.
work_beside_waiting() {
	local i
	for ((i = 0; i < runs; i++)); do
		VMABI_ON=nested VMABI_KERNEL=$kernel build/tests/asyncpf-scheduler-x86_64 |
			awk '/^# work while a page is out/ { print int($11 * 100 / $(NF - 1)) }'
	done | median
}

# By each way that snp-speed has, in its order.
pages_changed() {
	local i way
	for ((i = 0; i < runs; i++)); do
		VMABI_ON=nested VMABI_KERNEL=patched build/tests/snp-speed-x86_64
	done | sed -n 's/^# pages changed per second by //p' >"$work/pages"
	cut -d: -f1 "$work/pages" | awk '!seen[$0]++' | while IFS= read -r way; do
		printf '%-62s %7s /s\n' "pages changed per second by $way" \
			"$(sed -n "s/^$way: //p" "$work/pages" | median)"
	done
}

# A cache with nothing in it.
in_cold_cache() { # COMMAND...
	rm -rf "$work/cache"
	mkdir -p "$work/cache/vmabi/kernels"
	XDG_CACHE_HOME=$work/cache "$@"
}

cold_host() { # KERNEL
	in_cold_cache host/nested/snapshot.sh "$(qemu_program)" build/host/nested/init/init \
		"$(host/kernel/kernel.sh "$1")"
}

cold_bochs_kvm() {
	in_cold_cache host/bochs-kvm/snapshot.sh "$(host/kernel/kernel.sh patched)"
}

# How long QEMU ran until L1 had loaded KVM.
up_after() { # KERNEL
	local i
	for i in 1 2 3; do
		cold_host "$1" 2>&1 | sed -n 's/.*KVM is up after \([0-9]*\) ms/\1/p'
	done | median
}

# No file of it from ccache, but the source not fetched anew.
clean_kernel() {
	# shellcheck disable=SC2016 # the inner shell expands these
	in_cold_cache bash -c 'ln -s "$1" "$XDG_CACHE_HOME/vmabi/kernels/" && host/kernel/build.sh patched' \
		clean "$cache/kernels/source-7.2"
}

clean_build() {
	make -s -j "$(nproc)" clean
	./configure
	make -s -j "$(nproc)" all
	host/nested/prepare.sh "$kernel"
}

echo "medians of $runs runs; kernel $(cat "$cache/kernels/$kernel/version"), $("$(qemu_program)" --version | head -n 1)"
row "one nested test, from start to exit ($test)" \
	"$(VMABI_ON=nested VMABI_KERNEL=$kernel repeat "build/tests/$test")" 700
row "of which restoring L1: vmrun --version in it" "$(repeat vmrun_in_l1 --version)" 300
row "a guest's boot in L1: vmrun's start to the first TAP line" "$(first_line 3)" 30
row "the same in the first run after the restore" "$(first_line 1)" ''
printf '%-62s %7s %%    of what is done without them\n' \
	"work done beside a task that waits, with async page faults" "$(work_beside_waiting)"
pages_changed
row "one test on the bare CPU of QEMU (runtime-exceptions-x86_64)" \
	"$(VMABI_ON=tcg repeat build/tests/runtime-exceptions-x86_64)" 800
row "one CET test on a CPU of Bochs (cet-msrs-x86_64)" \
	"$(VMABI_ON=bochs repeat build/tests/cet-msrs-x86_64)" 1000
row "one CET test on KVM inside Bochs (cet-kvm-state-x86_64)" \
	"$(VMABI_ON=bochs-kvm repeat build/tests/cet-kvm-state-x86_64)" ''
row "booting KVM inside Bochs and saving it (once)" "$(milliseconds cold_bochs_kvm)" 30000
suite=$(milliseconds ./run_tests.sh -j 2)
tests=$(./run_tests.sh -l | tail -n +2 | wc -l)
row "the whole suite at -j 2, for each of its $tests tests" $((suite / tests)) 600
row "booting L1 and saving it (once)" "$(milliseconds cold_host "$kernel")" ''
row "booting L1 until KVM is loaded (median of 3)" "$(up_after "$kernel")" ''
row "the same with the kernel patched" "$(up_after patched)" 3000
row "building everything" "$(milliseconds clean_build)" ''
row "building the kernel patched, nothing from ccache (once)" "$(milliseconds clean_kernel)" 600000
