#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# make check: the project's own tests, and the suite on every host that any machine has
#
# The last line counts the points of all of it: N passed, N failed, N skipped. Status 0 only if nothing
# failed.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
results=$PWD/build/check
started=$SECONDS

say() {
	printf '\n== %s (%d s)\n' "$*" $((SECONDS - started))
}

# Programs that print TAP; what they print is kept in a folder of results. Some of them send signals to
# what they test, which a shell without job control ignores, with all that it starts in the background.
own_tests() { # FOLDER INTERPRETER FILE...
	local folder=$1 interpreter="env --default-signal=INT,QUIT $2"
	shift 2
	PERL_TEST_HARNESS_DUMP_TAP=$results/$folder prove --exec "$interpreter" "$@" || failed=yes
}

suite() { # FOLDER OPTION...
	local folder=$1
	shift
	./run_tests.sh --tap-dir "$results/$folder" "$@" || failed=yes
}

failed=
rm -rf "$results"
mkdir -p "$results"
say "tools"
scripts/tools.sh install build run bochs kernel junit browser check
[[ -e build/config.mk ]] || ./configure
say "build"
make -s -j "$(nproc)" all check-programs
say "unit tests"
own_tests unit '' build/host/*/tests/*_test
say "the suite, on the newest stock kernel"
suite stock-7.2 --kernel stock-7.2
say "KVM's own ABIs on the stock kernel 6.12"
suite stock-6.12 --kernel stock-6.12 -g coexist -g xen -g hyperv -g asyncpf -g gmem
say "KVM's own ABIs and SEV-SNP on the patched kernel, and the runtime in plain and SNP guests"
suite patched --kernel patched -g coexist -g xen -g hyperv -g asyncpf -g gmem -g snp -g runtime
say "one test of each folder by QEMU in place of vmrun"
suite qemu --on nested --kernel stock-7.2 --vmm qemu xen-page-x86_64 hyperv-page-x86_64 runtime-smp-x86_64
say "five mutants of KVM, today's"
mkdir -p "$results/mutants"
host/kernel/mutants/run.sh --sample 5 --tap "$results/mutants/sample.tap" || failed=yes
say "Xen itself: both ABIs, and the guest runtime"
suite xen --on xen -g xen -g hyperv -g coexist -g runtime
say "the guest runtime on a bare CPU"
suite tcg --on tcg -g runtime
say "CET and the guest runtime on CPUs of Bochs, this system's and 3.0"
suite bochs --on bochs -g cet -g runtime
suite bochs-sapphire-rapids --cpu sapphire_rapids -g cet -g runtime
suite bochs-arrow-lake --cpu arrow_lake -g cet -g runtime
say "ten CET guests that are broken on purpose, today's"
mkdir -p "$results/guest-mutants"
x86/cet/mutants/run.sh --sample 10 --tap "$results/guest-mutants/sample.tap" || failed=yes
say "KVM in Bochs: CET, and the Intel side of KVM's own ABIs"
suite bochs-kvm --on bochs-kvm -g cet -g coexist -g xen -g hyperv -g asyncpf -g gmem
say "the scripts, and bad input"
own_tests scripts 'bats --tap' scripts/tests/*.bats

say "the report of a matrix, in a browser"
own_tests browser perl scripts/matrix/tests/report.pl

say "all of it"
mapfile -t files < <(find "$results" -type f | sort)
scripts/summary.pl "${files[@]}" || failed=yes
[[ -z $failed ]]
