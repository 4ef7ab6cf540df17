# SPDX-License-Identifier: BSD-2-Clause
#
# The matrix: what it makes of matrix.cfg, of a wrong one, and of what goes wrong while it runs
#
# What is wrong with the call or with matrix.cfg is told in one line each, before anything runs, with status 2. What
# goes wrong in one cell is told in that cell's line; the others go on, and the status is 1.
#
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # status and output are set by run; what FAKE holds is expanded later

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || exit
	out=$BATS_TEST_TMPDIR/out
}

# A tree whose run_tests.sh runs nothing but the matrix: in place of a cell, the shell text of $FAKE, with the folder for
# TAP in $1. Its other scripts are ours.
fake_tree() {
	tree=$BATS_TEST_TMPDIR/tree
	mkdir -p "$tree/build"
	cp -r scripts matrix.cfg unittests.cfg knownbugs.cfg Makefile "$tree/"
	ln -s "$PWD"/{x86,xen,hyperv,snp,host,lib} "$tree/"
	printf 'all:\n' >"$tree/Makefile"
	printf 'ARCHS := x86_64\n' >"$tree/build/config.mk"
	cat >"$tree/run_tests.sh" <<-'END'
		#!/usr/bin/env bash
		top=$(dirname "$0")
		if [[ $1 == --matrix ]]; then
			exec "$top/scripts/matrix/matrix.pl" run "${@:2}"
		fi
		options=" $* " tap=
		while (($#)); do
			[[ $1 != --tap-dir ]] || tap=$2
			shift
		done
		pass() {
			printf 'TAP version 13\n1..1\nok 1 - it passes\n' >"$tap/$1.tap"
			echo "[00:00:00] $1 .. ok 100 ms"
		}
		eval "$FAKE"
	END
	chmod +x "$tree/run_tests.sh"
}

matrix() {
	run "${tree:-.}/run_tests.sh" --matrix "$@"
}

says() {
	local text
	for text; do
		[[ $output == *"$text"* ]] || {
			echo "status $status; no '$text' in: $output"
			return 1
		}
	done
}

refused() { # MESSAGE: in one line, and nothing else
	says "$1"
	[[ $status -eq 2 && $(grep -c . <<<"$output") -eq 1 ]] || {
		echo "status $status: $output"
		return 1
	}
}

# matrix.cfg with a line in place of another one, or with lines at its end.
with_config() { # SED-SCRIPT [LINE]...
	fake_tree
	sed -i "$1" "$tree/matrix.cfg"
	shift
	printf '%s\n' "$@" >>"$tree/matrix.cfg"
	matrix -l
}

@test "the default matrix has 12 cells or more, over 4 hosts or more" {
	matrix -l
	[[ $status -eq 0 ]]
	(($(wc -l <<<"$output") >= 12))
	(($(grep -o -- '--on [a-z-]*' <<<"$output" | sort -u | wc -l) >= 4))
}

@test "each cell of the whole matrix has a name of its own" {
	matrix -l --cells '*'
	[[ $status -eq 0 && -z $(awk '{ print $1 }' <<<"$output" | sort | uniq -d) ]]
}

@test "an unknown axis is refused" {
	with_config '' '[axis size]' 'big = big'
	refused "unknown axis 'size' (there are: host cpu kernel vmm guest)"
}

@test "a rule about an unknown axis is refused" {
	with_config 's/^for = guest:snp$/for = visitor:snp/'
	says "[rule snp-hosts] for: unknown axis 'visitor' (there are: host cpu kernel vmm guest)"
	[[ $status -eq 2 ]]
}

@test "an unknown value is refused" {
	with_config 's/^only = host:nested,local$/only = host:nested,remote/'
	refused "[rule snp-hosts] only: unknown value 'remote' of the axis host (there are: nested xen bochs bochs-kvm tcg local)"
}

@test "an unknown key, an unknown section and a line that is neither are refused, each in a line" {
	with_config '' '[rule more]' 'wenn = host:xen' '[regel x]' 'whatever'
	says "unknown key 'wenn' (there are: for never only why)" "unknown section [regel x]" "neither a section, nor KEY = VALUE"
	[[ $status -eq 2 ]]
}

@test "a rule that matches nothing is refused" {
	with_config '' '[rule idle]' 'for = host:tcg' 'never = host:xen'
	refused "[rule idle] matches nothing: it leaves no cell out"
}

@test "two cells of one name are refused" {
	with_config 's/^silent = /silent = qemu /'
	refused "two cells have the name nested_opteron-g1_stock-6.12: host:nested cpu:opteron-g1 kernel:stock-6.12 vmm:vmrun"
	says "pairs more); take the value out of 'silent'"
}

@test "a set with a cell that does not exist is refused" {
	with_config 's/nested_patched_snp/nested_patched_sev/'
	refused "[set default]: there is no cell 'nested_patched_sev'"
}

@test "--cells that mean no cell, and what --matrix does not take, are refused" {
	matrix --cells 'vax*'
	refused "there is no cell 'vax*'"
	matrix --cells @vax
	refused "matrix.cfg has no [set vax] (there are: default lab quick)"
	matrix -j 0
	refused "-j takes a number from 1 to 9999, not '0'"
	matrix --repeat often
	refused "--repeat takes a number from 1 to 9999, not 'often'"
	matrix -g xen
	refused "--matrix: unknown option: g; see --help"
	matrix xen-page
	refused "--matrix takes only --cells, -j, --out, --repeat and -l, not 'xen-page'"
}

@test "--help is given beside --matrix too, and what belongs to --matrix is told so without it" {
	local call
	for call in "--help" "--matrix --help" "--matrix -h" "--help --cells tcg --matrix" "--matrix --cells tcg -h"; do
		# shellcheck disable=SC2086 # these are words
		run ./run_tests.sh $call
		[[ $status -eq 0 && ${lines[0]} == "usage: ./run_tests.sh "* ]]
	done
	for call in --cells --out --repeat; do
		run ./run_tests.sh "$call" 3
		refused "$call is an option of --matrix; see --help"
	done
}

@test "a folder of results of another version, or of something else, is refused" {
	mkdir "$out"
	echo "vmabi matrix 0" >"$out/format"
	matrix --out "$out" --cells tcg
	refused "$out is of another version ('vmabi matrix 0', this one writes 'vmabi matrix 1'); give another --out"
	rm "$out/format"
	touch "$out/letter"
	matrix --out "$out" --cells tcg
	refused "$out holds something else than results of a matrix; give another --out"
}

@test "cells run, and leave TAP, times, versions and a report" {
	fake_tree
	FAKE='pass xen-page-x86_64' matrix --out "$out" --cells tcg --cells bochs_tigerlake -j 2
	[[ $status -eq 0 ]]
	says "2 cells" "cells: 2 passed, 0 failed, 0 could not be run to their end, 0 cannot run here" "2 passed, 0 failed, 0 skipped"
	cell=$(echo "$out"/runs/*/cells/tcg/1)
	grep -q 'ok 1 - it passes' "$cell/tap/xen-page-x86_64.tap"
	grep -q '"vmabi"' "$cell/cell.json"
	grep -q '"state" : "passed"' "$cell/cell.json"
	for file in html md tap xml; do
		[[ -s $out/report.$file ]]
	done
	prove --source File --file-option extensions=.tap "$out/report.tap"
}

@test "a cell whose run is killed in the middle, and one that fails, leave the others alone" {
	fake_tree
	FAKE='case $options in
		*" tcg "*) kill -KILL $$ ;;
		*tigerlake*) printf "1..2\nok 1 - a\nnot ok 2 - b\n" >"$tap/x.tap"; exit 1 ;;
		*) pass a ;;
	esac' matrix --out "$out" --cells tcg --cells 'bochs_*'
	[[ $status -eq 1 ]]
	says "BROKEN: run_tests.sh was killed by signal 9 after 0 of" "FAILED: 1 passed, 1 failed" \
		"cells: 2 passed, 1 failed, 1 could not be run to their end, 0 cannot run here"
	grep -q 'not ok .* tcg: the cell runs to its end' "$out/report.tap"
}

@test "a cell that cannot run here says why, and does not count as passed" {
	fake_tree
	FAKE='pass a' matrix --out "$out" --cells nested_max-x2apic_stock-7.2 --cells tcg
	if [[ $output == *"cannot run here"*x2apic* ]]; then
		says "this QEMU does not have the CPU max,+x2apic: " "1 cannot run here" "1 passed, 0 failed"
	else
		says "cells: 2 passed"
	fi
	FAKE='printf "1..0 # SKIP it lacks all\n" >"$tap/a.tap"' matrix --out "$out" --cells tcg
	[[ $status -eq 1 ]]
	says "cannot run here" "none of its tests could run here" "cells: 0 passed"
}

@test "a full disk is told in one line for each cell" {
	fake_tree
	mkdir "$out"
	unshare -m true 2>/dev/null || skip "a small file system cannot be mounted here"
	FAKE='head -c 2M /dev/zero | tr "\0" "a"; pass a' run unshare -m bash -c '
		mount -t tmpfs -o size=1M none "$1" && "$2/run_tests.sh" --matrix --out "$1" --cells tcg --cells "tcg_opteron-g1"' \
		full "$out" "$tree"
	[[ $status -eq 1 ]]
	[[ $(grep -c 'BROKEN: .*No space left on device' <<<"$output") -eq 2 ]] || {
		echo "$output"
		return 1
	}
}

@test "what was interrupted is gone on with" {
	fake_tree
	export FAKE='[[ $options == *tigerlake* ]] || { [[ -e $GO ]] || exec sleep 60; }; pass a' GO=$BATS_TEST_TMPDIR/go
	set -m
	"$tree/run_tests.sh" --matrix --out "$out" --cells tcg --cells bochs_tigerlake -j 1 >"$BATS_TEST_TMPDIR/said" 2>&1 3>&- &
	pid=$!
	set +m
	for ((i = 0; i < 300; i++)); do
		! compgen -G "$out/runs/*/cells/tcg/1/log" >/dev/null || break
		sleep 0.1
	done
	result=0
	kill -INT "$pid"
	wait "$pid" || result=$?
	[[ $result -eq 130 ]]
	cat "$BATS_TEST_TMPDIR/said"
	grep -q 'interrupted by SIGINT; 1 of 2 cells are done, and the same command goes on' "$BATS_TEST_TMPDIR/said"
	touch "$GO"
	matrix --out "$out" --cells tcg --cells bochs_tigerlake -j 1
	[[ $status -eq 0 ]]
	says "going on with the run" "of which 1 cells are done" "cells: 2 passed"
	[[ $(find "$out/runs" -mindepth 1 -maxdepth 1 | wc -l) -eq 1 ]]
}

@test "--repeat finds a point that fails now and then, and says how often" {
	fake_tree
	export COUNT=$BATS_TEST_TMPDIR/count
	FAKE='echo >>"$COUNT"; if (($(wc -l <"$COUNT") == 2)); then
		printf "1..1\nnot ok 1 - it passes\n" >"$tap/a.tap"; exit 1; fi; pass a' matrix --out "$out" --cells tcg --repeat 3 -j 1
	[[ $status -eq 1 ]]
	grep -q '| tcg | a | it passes | 1 of 3 |' "$out/report.md"
}

@test "JUnit has each round of a cell, and an error for one that was not run to its end" {
	fake_tree
	export COUNT=$BATS_TEST_TMPDIR/count
	FAKE='echo >>"$COUNT"; pass a
		printf "<testsuites>\n<testsuite failures=\"0\" name=\"a_tap\"></testsuite>\n</testsuites>\n" >"${tap%/tap}/junit.xml"
		(($(wc -l <"$COUNT") != 3)) || { echo "<testsuites><testsuite name=\"cut" >"${tap%/tap}/junit.xml"; kill -KILL $$; }' \
		matrix --out "$out" --cells tcg --repeat 3 -j 1
	[[ $status -eq 1 ]]
	grep -q 'name="tcg/1/a_tap"' "$out/report.xml"
	grep -q 'name="tcg/2/a_tap"' "$out/report.xml"
	grep -q 'testsuite name="tcg" tests="1" errors="1"' "$out/report.xml"
	[[ $(grep -c cut "$out/report.xml") -eq 0 ]]
}

@test "a changed tree has another version than the one it was changed from, and each change its own" {
	fake_tree
	git -C "$tree" init -q
	git -C "$tree" add Makefile
	git -C "$tree" -c user.name=a -c user.email=a@b commit -q -m a
	versions=$("$tree/scripts/matrix/cell.sh" version)
	for change in a b; do
		echo "# $change" >>"$tree/Makefile"
		versions+=$'\n'$("$tree/scripts/matrix/cell.sh" version)
	done
	mkdir "$tree/results"
	touch "$tree/results/new"
	versions+=$'\n'$("$tree/scripts/matrix/cell.sh" version)
	[[ $(sort -u <<<"$versions" | wc -l) -eq 3 ]] || {
		echo "$versions"
		return 1
	}
}

@test "what broke, was mended and became slower is told against the run before" {
	scripts/matrix/tests/fixture.pl "$out" 3
	make -s report OUT="$out"
	grep -A 5 'Broke since 20260102T000000' "$out/report.md" | grep -q '| nested | xen-page-x86\\_64 | it breaks |\|it breaks'
	grep -A 5 'Mended since' "$out/report.md" | grep -q 'it is mended'
	grep -A 5 'Slower than' "$out/report.md" | grep -q '0.5 s | 9.0 s'
	make -s report OUT="$out" AGAINST=20260103T000000
	run grep 'Broke' "$out/report.md"
	[[ $status -eq 1 ]]
	run make -s report OUT="$out" AGAINST=1999
	says "--against: there is no run '1999' (there are: 20260101T000000 "
}

@test "the results of several machines make one report" {
	fake_tree
	FAKE='pass a' matrix --out "$out/a" --cells tcg
	FAKE='pass a' matrix --out "$out/b" --cells bochs_tigerlake
	run scripts/matrix/matrix.pl merge --out "$out/all" "$out/a" "$out/b"
	[[ $status -eq 0 ]]
	grep -q '^ok 1 - tcg/a: it passes' "$out/all/report.tap"
	grep -q '^ok 2 - bochs_tigerlake/a: it passes' "$out/all/report.tap"
	run scripts/matrix/matrix.pl merge --out "$out/more" "$out/a" "$out/a"
	says "the cell tcg is in $out/a and in $out/a"
}

@test "the files for GitLab and GitHub are what matrix.cfg says" {
	run scripts/matrix/matrix.pl ci-files --check
	[[ $status -eq 0 ]] || {
		echo "$output"
		return 1
	}
	fake_tree
	cp -r .gitlab-ci.yml .github "$tree/"
	run "$tree/scripts/matrix/matrix.pl" ci-files --check
	[[ $status -eq 0 && -z $output ]]
	sed -i '/^\[set default\]/,$s/ tcg_opteron-g1 / /' "$tree/matrix.cfg"
	run "$tree/scripts/matrix/matrix.pl" ci-files --check
	[[ $status -eq 1 ]]
	says ".gitlab-ci.yml is not what matrix.cfg says; run: make ci-files" ".github/workflows/matrix.yml is not what"
	"$tree/scripts/matrix/matrix.pl" ci-files
	"$tree/scripts/matrix/matrix.pl" ci-files --check
	[[ $(grep -c tcg_opteron-g1 "$tree/.gitlab-ci.yml") -eq 0 ]]
}

@test "the log of the kernel under a guest is kept where it is asked for" {
	# shellcheck disable=SC2016 # the inner shell expands these
	run build/host/supervise/supervise --kernel-log --keep-log "$out.log" -- sh -c \
		'echo "a line of the log" >"$VMABI_SCRATCH/console"; printf "TAP version 13\n1..1\nok 1 - it passes\n"'
	[[ $status -eq 0 && $(cat "$out.log") == "a line of the log" ]]
	# shellcheck disable=SC2016
	run build/host/supervise/supervise --kernel-log --keep-log "$out/not/there" -- sh -c \
		'echo a >"$VMABI_SCRATCH/console"; printf "TAP version 13\n1..1\nok 1 - it passes\n"'
	[[ $status -eq 0 ]]
	says "cannot keep the kernel log as $out/not/there: No such file or directory"
}

@test "a CPU of QEMU is one of the hosts that run in it" {
	run ./run_tests.sh --on nested --cpu 'EPYC; reboot' xen-page
	[[ $status -eq 2 ]]
	says "--cpu takes a CPU model, with +FEATURE or -FEATURE behind it after commas, not 'EPYC; reboot'"
	run ./run_tests.sh --on tcg --cpu Opteron_G1 runtime-memory-x86_64
	[[ $status -eq 0 ]]
	says " 0 failed, 0 skipped"
	run ./run_tests.sh --on tcg --cpu VAX runtime-memory-x86_64
	[[ $status -eq 1 ]]
	says "unable to find CPU model 'VAX'"
}

@test "a job of a lab has its tags, its kernel and the address of what it boots" {
	fake_tree
	printf '#!/bin/sh\nmkdir -p "$2"\n' >"$tree/scripts/matrix/lab/image.sh"
	printf '#!/bin/sh\n' >"$tree/scripts/tools.sh"
	run "$tree/scripts/matrix/matrix.pl" lava-jobs --url http://files.lab/vmabi snp
	[[ $status -eq 0 && $output == "$tree/build/lab/jobs/snp.yaml" ]]
	grep -qx 'tags: \[amd, snp\]' "$output"
	grep -qx 'device_type: x86' "$output"
	grep -q 'url: http://files.lab/vmabi/snp/initramfs' "$output"
	run "$tree/scripts/matrix/matrix.pl" lava-jobs mars
	[[ $status -eq 2 ]]
	says "no section [lab ...] of matrix.cfg is one of: mars"
	sed -i 's/^cell = local_snp/cell = xen/' "$tree/matrix.cfg"
	run "$tree/scripts/matrix/matrix.pl" lava-jobs snp
	says "[lab snp]: there is no cell 'xen' of the host local"
}
