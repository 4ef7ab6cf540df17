#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh [--sample N] [--tap FILE] [GLOB]... (make guest-mutants): whether the CET tests fail when something
# is wrong
#
# What a CPU does cannot be broken here; what the guest sets up, and what it expects, can. Each NAME.patch
# changes one such thing in lib/x86 or x86/cet, and names the tests whose guests must see it:
#
#	Subject: [PATCH] mutant: CR4.CET stays clear
#
#	What is not set up now, in a sentence.
#
#	Breaks: cet-calls cet-tokens
#	---
#	the patch
#
# A name is a section of unittests.cfg, or one with an architecture. The guests are built anew in a copy of the
# tree, build/guest-mutants/tree, and run on a CPU of Bochs. A mutant is caught if each test that it names fails.
#
#	GLOB		only the mutants of such names (default: all of them)
#	--sample N	N of them, another N each day
#	--tap FILE	also leaves TAP 13 in FILE, one point a mutant
#
# After all of them (no GLOB, no sample), each point of each test must have failed at least once. Prints a row
# as each mutant is done, and a count. Status: 0 all are caught, and each point failed; 1 not so; 2 a mutant has
# no result; 128 + signal if interrupted.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
top=$(readlink -f "$here/../../..")
# shellcheck source=scripts/group.sh
source "$top/scripts/group.sh"
heed_interrupts "$@"
# shellcheck source=scripts/hosts.sh
source "$top/scripts/hosts.sh"
# shellcheck source=scripts/selection.sh
source "$top/scripts/selection.sh"
verdicts=$top/host/kernel/mutants/verdicts.pl
results=$top/build/guest-mutants
tree=$results/tree
cpu=arrow_lake # with the most of CET: of Bochs 3.0, and with keys for supervisor pages
unset MAKEFLAGS MFLAGS MAKELEVEL

say() {
	echo "guest-mutants: $*" >&2
}

die() {
	say "$@"
	exit 2
}

# shellcheck disable=SC2317 # the traps call it
interrupted() { # STATUS
	trap '' INT TERM HUP
	end_group
	exit "$1"
}

# Sets the array names: the mutants to run, sorted.
select_mutants() { # GLOB...
	local all pattern name first
	local -A meant=()
	mapfile -t all < <(cd "$here" && printf '%s\n' *.patch | sed 's/\.patch$//' | LC_ALL=C sort)
	for pattern in "$@"; do
		for name in "${all[@]}"; do
			# shellcheck disable=SC2053 # the pattern is meant as one
			[[ $name != ${pattern%.patch} ]] || meant[$name]=yes meant[$pattern]=yes
		done
		[[ ${meant[$pattern]-} ]] || die "there is no mutant '$pattern' in $here"
	done
	names=()
	for name in "${all[@]}"; do
		(($#)) && [[ ! ${meant[$name]-} ]] || names+=("$name")
	done
	((sample && sample < ${#names[@]})) || return 0
	all=("${names[@]}" "${names[@]}")
	first=$(($(date +%s) / 86400 % ${#names[@]} * sample % ${#names[@]}))
	names=("${all[@]:first:sample}")
}

# The tests, of those configured, that a mutant's header names.
tests_of() { # NAME
	local words word record test section arch found archs
	archs=$(configured ARCHS "x86_64 i386")
	words=$(sed -n '/^---$/q; s/^Breaks: *//p' "$here/$1.patch" | xargs)
	[[ $words ]] || die "$1.patch names no test; add a line 'Breaks: TEST...' before its ---"
	for word in $words; do
		found=
		while IFS= read -r record; do
			IFS=$'\037' read -r test section _ _ arch _ <<<"$record"
			matches "$word" "$test" "$section" || continue
			found=yes
			[[ " $archs " != *" $arch "* ]] || echo "$test"
		done <<<"$records"
		[[ $found ]] || die "$1.patch: there is no test '$word' (Breaks); ./run_tests.sh -l lists them"
	done
}

# A copy with what is built, so that only what a mutant changes is built again. The host's programs are shared.
copy_tree() {
	rm -rf "$results"
	mkdir -p "$tree/build"
	tar -c -C "$top" --exclude=./.git --exclude=./build . | tar -x -C "$tree"
	cp -a "$top"/build/{config.mk,x86_64,i386,guests} "$tree/build/" 2>/dev/null || true
	ln -s "$top/build/host" "$tree/build/host"
}

# Leaves TEST.tap of each test in a folder.
run_tests() { # FOLDER TEST...
	local folder=$1 test
	shift
	mkdir -p "$folder"
	VMABI_ON=bochs VMABI_CPU=$cpu run_group env -C "$tree/build/tests" PERL_TEST_HARNESS_DUMP_TAP="$folder" \
		prove --exec bash -Q -j "$(nproc)" "$@" >"$results/log" 2>&1 || true
	for test; do
		[[ -e $folder/$test ]] || return 1
		mv "$folder/$test" "$folder/$test.tap"
	done
}

guests_of() { # TEST...
	local test elf arch
	for test; do
		elf=$(sed -n 's/^elf=//p' "$tree/build/tests/$test")
		arch=$(sed -n 's/^arch=//p' "$tree/build/tests/$test")
		echo "build/guests/$arch/$elf"
	done | sort -u
}

# Sets $result and $detail.
run_mutant() { # NAME
	local tests guests said
	result="no result" detail=
	said=$(tests_of "$1") || exit 2
	mapfile -t tests <<<"$said"
	patch -s -p1 --fuzz=0 --no-backup-if-mismatch -d "$tree" <"$here/$1.patch" >"$results/log" 2>&1 || {
		detail="does not apply: $(head -n 1 "$results/log")"
		return
	}
	mapfile -t guests < <(guests_of "${tests[@]}")
	if ! run_group make -s -C "$tree" -j "$(nproc)" "${guests[@]}" >"$results/log" 2>&1; then
		detail="does not compile: $(grep -m 1 'error' "$results/log")"
	elif run_tests "$results/tap/$1" "${tests[@]}"; then
		IFS=$'\t' read -r result detail _ < <("$verdicts" judge "$results/tap/$1" "${tests[@]}")
	else
		detail="the tests did not run: $(tail -n 1 "$results/log")"
	fi
	patch -s -R -p1 --no-backup-if-mismatch -d "$tree" <"$here/$1.patch"
}

tap_point() { # NAME
	if [[ $result == caught ]]; then
		echo "ok $points - $1 is caught"
	else
		printf "not ok %d - %s is caught\n  ---\n  message: '%s'\n  ...\n" "$points" "$1" \
			"$result: ${detail//\'/\'\'}"
	fi
}

run_all() {
	local name said points=0
	echo 'TAP version 13' >"$results/mutants.tap"
	for name in "${names[@]}"; do
		said=$(tests_of "$name") || exit 2
		if [[ -z $said ]]; then
			say "$name is left out: ./configure left out what its tests are for"
			continue
		fi
		points=$((points + 1))
		run_mutant "$name"
		count[$result]=$((count[$result] + 1))
		printf '%-44s %-9s %s\n' "$name" "$result" "$detail"
		tap_point "$name" >>"$results/mutants.tap"
	done
	echo "1..$points" >>"$results/mutants.tap"
}

# Points that no mutant failed, for all tests of the group; status 1 if there are any.
show_never_failed() {
	"$verdicts" never "$results/unmutated" "${names[@]/#/$results/tap/}" -- "${all_tests[@]}" \
		>"$results/never-failed.txt"
	echo
	cat "$results/never-failed.txt"
	grep -q ' that no mutant fails, 0 of [0-9]*:$' "$results/never-failed.txt" &&
		! grep -q '^    ' "$results/never-failed.txt"
}

sample=0 tap=
while [[ ${1-} == -* ]]; do
	(($# >= 2)) || die "$1 needs a value"
	case $1 in
	--sample) sample=$2 ;;
	--tap) tap=$2 ;;
	*) die "unknown option '$1'; usage: run.sh [--sample N] [--tap FILE] [GLOB]..." ;;
	esac
	shift 2
done
[[ $sample =~ ^[0-9]{1,4}$ ]] || die "--sample takes a number, not '$sample'"
selective=$#
trap 'interrupted 130' INT
trap 'interrupted 143' TERM
trap 'interrupted 129' HUP
"$top/scripts/tools.sh" install build run bochs || exit 2
make -s -C "$top" -j "$(nproc)" all >&2
records=$(read_config tests unittests.cfg)
select_mutants "$@"
copy_tree
make -s -C "$tree" -j "$(nproc)" build/tests.mk >&2
mapfile -t all_tests < <(cd "$tree/build/tests" && grep -l '^requires=cet$' -- * | xargs grep -l '^elf=x86/cet/')
VMABI_READY=
remember_ready bochs "$cpu" "$(prepare_host bochs "$cpu")"
export VMABI_READY
started=$SECONDS
mapfile -t all_guests < <(guests_of "${all_tests[@]}")
make -s -C "$tree" -j "$(nproc)" "${all_guests[@]}" >&2
run_tests "$results/unmutated" "${all_tests[@]}" || die "the tests do not run: $(tail -n 1 "$results/log")"
unfit=$("$verdicts" unfit "$results/unmutated" "${all_tests[@]}")
[[ -z $unfit ]] || die "does not pass unmutated, and so catches no mutant: ${unfit//$'\n'/; }"
declare -A count=([caught]=0 [SURVIVED]=0 ["no result"]=0)
run_all
[[ -z $tap ]] || cp "$results/mutants.tap" "$tap" || die "cannot write $tap (--tap)"
echo
echo "${#names[@]} mutants, ${count[caught]} caught, ${count[SURVIVED]} survived ($((SECONDS - started)) s)"
((!count["no result"])) || exit 2
status=0
((!count[SURVIVED])) || status=1
((sample || selective)) || show_never_failed || status=1
exit "$status"
