#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh [--sample N] [--tap FILE] [GLOB]... (make mutants): whether the tests fail when KVM is wrong
#
# Each NAME.patch here changes one behaviour of KVM in the kernel `patched`, and names the tests that
# must catch it (README.md). KVM's modules are built anew for each, and those tests run on them. A
# mutant is caught if every test it names fails; a known bug (knownbugs.cfg) is no failure.
#
#	GLOB		only the mutants of such names (default: all of them)
#	--sample N	N of them, another N each day
#	--tap FILE	also leaves TAP 13 in FILE, one point a mutant
#
# VMABI_MUTANTS names another folder than this one, for the tests of this script.
#
# Prints a row as each mutant is done, and a count; after all of them (no GLOB, no sample), which tests, and
# which points of the others, no mutant fails. Messages go to stderr. The results of each test stay in
# build/mutants. Status: 0 all are caught, 1 one survived, 2 one has no result, 128 + signal if interrupted.
#
# In the cache, $XDG_CACHE_HOME/vmabi/mutants holds the tree that the modules are built in, and for each
# mutant a kernel folder (folder.sh), so that what has not changed is not built again. The folder is called
# as that of the unmutated kernel is, since knownbugs.cfg knows it by that.
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
# shellcheck source=host/kernel/kbuild.sh
source "$top/host/kernel/kbuild.sh"
# shellcheck source=host/kernel/mutants/kernel.sh
source "$here/kernel.sh"
mutants=${VMABI_MUTANTS:-$here}
results=$top/build/mutants
# What make mutants was called with is not for the kernel's makefiles.
unset MAKEFLAGS MFLAGS MAKELEVEL

# --- messages -----------------------------------------------------------------------------------

# On a terminal, what is being done is shown in a line that the next one replaces.
progress() {
	if [[ -t 2 ]]; then
		printf '\r\e[Kmutants: %s ...' "$*" >&2
	else
		echo "mutants: $* ..." >&2
	fi
}

end_progress() {
	[[ ! -t 2 ]] || printf '\r\e[K' >&2
}

say() {
	end_progress
	echo "mutants: $*" >&2
}

die() {
	say "$@"
	exit 2
}

# What a script said last that is not a detail of what it said before.
last_line() { # LOG
	grep -v '^ ' "$1" | tail -n 1
}

# --- running things -----------------------------------------------------------------------------

clear_up() {
	trap '' INT TERM HUP
	end_progress
	end_group
	[[ -z $folder ]] || forget_snapshots
	rm -rf "$work" "$new"
}

# --- the mutants --------------------------------------------------------------------------------

# Sets the array names: the mutants to run, sorted.
select_mutants() { # GLOB...
	local all pattern name used first
	mapfile -t all < <(cd "$mutants" 2>/dev/null && printf '%s\n' *.patch | sed -n '/^[*]/d; s/\.patch$//p' |
		LC_ALL=C sort)
	((${#all[@]})) || die "there are no mutants (*.patch) in $mutants"
	for name in "${all[@]}"; do
		[[ $name =~ ^[A-Za-z0-9][A-Za-z0-9_.-]*$ ]] ||
			die "$mutants/$name.patch: a mutant's name is made of letters, digits, - _ and ."
	done
	local -A meant=()
	for pattern in "$@"; do
		used=
		for name in "${all[@]}"; do
			# shellcheck disable=SC2053 # the pattern is meant as one
			[[ $name != ${pattern%.patch} ]] || meant[$name]=yes used=yes
		done
		[[ $used ]] || die "there is no mutant '$pattern' in $mutants"
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

# The tests, of unittests.cfg and built here, that the words mean; complains of a word that means none.
tests_meant() { # NAME WORDS
	local record test section arch archs word found
	archs=$(configured ARCHS "x86_64 i386")
	for word in $2; do
		found=
		while IFS= read -r record; do
			IFS=$'\037' read -r test section _ _ arch _ <<<"$record"
			matches "$word" "$test" "$section" || continue
			found=yes
			[[ " $archs " != *" $arch "* ]] || echo "$test"
		done <<<"$records"
		[[ $found ]] || {
			say "$mutants/$1.patch: there is no test '$word' (Caught-by); ./run_tests.sh -l lists them"
			return 1
		}
	done
}

# Sets, for each of the names, tests_of[], files_of[] (what it changes) and host_of[]; drops those whose tests are all
# for what ./configure left out.
read_headers() {
	local headers name words files host tests wrong=
	records=$(read_config tests unittests.cfg) || exit 2
	headers=$(cd "$mutants" && awk -f "$here/headers.awk" "${names[@]/%/.patch}") || wrong=yes
	names=()
	while IFS=$'\037' read -r name words files host; do
		[[ $name ]] || continue
		tests=$(tests_meant "$name" "$words") || {
			wrong=yes
			continue
		}
		if [[ $tests ]]; then
			names+=("$name")
			tests_of[$name]=$(sort -u <<<"$tests" | xargs)
			files_of[$name]=$files
			host_of[$name]=$host
		else
			say "$name is left out: ./configure left out what its tests are for"
		fi
	done <<<"$headers"
	[[ -z $wrong ]] || exit 2
	((${#names[@]})) || die "no mutant is left to run"
}

# --- one mutant ---------------------------------------------------------------------------------

# Leaves TEST.tap of each test in a folder; the log says why if it does not.
run_tests() { # HOST KERNEL TAP-FOLDER TESTS
	local tests test
	read -ra tests <<<"$4"
	mkdir -p "$3"
	# It fails if a test does, which the TAP shows.
	run_group "$top/run_tests.sh" --on "$1" --kernel "$2" --tap-dir "$3" "${tests[@]}" >/dev/null 2>"$log" || true
	for test in "${tests[@]}"; do
		[[ -e $3/$test.tap ]] || return 1
	done
}

# The kernels that the tests of a mutant run on, as prepare.sh takes them: with the SNP platform in force, or not.
kernels_of() { # NAME
	local test requires
	while IFS=$'\037' read -r test _ _ _ _ _ _ _ requires _; do
		[[ " ${tests_of[$1]} " == *" $test "* ]] || continue
		if needs_platform "$requires"; then echo "$folder+snp"; else echo "$folder"; fi
	done <<<"$records" | sort -u
}

# Boots the mutant, and leaves in snapshots, one line each: the kernel, a tab, the folder of its snapshot.
prepare_snapshots() { # NAME
	local kernel kernels
	touch "$work/begun"
	: >"$work/snapshots"
	mapfile -t kernels < <(kernels_of "$1")
	for kernel in "${kernels[@]}"; do
		run_group "$top/host/$on/prepare.sh" "$kernel" >"$work/snapshot" 2>"$log" || return
		printf '%s\t%s\n' "$kernel" "$(cat "$work/snapshot")" >>"$work/snapshots"
	done
}

# A snapshot is 100 MB, and of use for this mutant alone; one that was there before is somebody else's.
forget_snapshots() {
	local kernel snapshot
	[[ -e $work/snapshots ]] || return 0
	while IFS=$'\t' read -r kernel snapshot; do
		[[ $snapshot && $snapshot/manifest -nt $work/begun ]] || continue
		rm -rf "$snapshot" "$(offers_file "$on" "$kernel")".*
	done <"$work/snapshots"
}

# Sets $result and $detail, and for a survivor $blind, the tests that did not see it.
run_mutant() { # NAME
	local tests said
	result="no result" detail=
	read -ra tests <<<"${tests_of[$1]}"
	make_kernel "$1" || return 0
	progress "$1: booting"
	on=${host_of[$1]}
	if ! prepare_snapshots "$1"; then
		detail=$(last_line "$log")
		return
	fi
	progress "$1: running ${#tests[@]} test(s)"
	rm -rf "$results/tap/$1"
	if run_tests "$on" "$folder" "$results/tap/$1" "${tests_of[$1]}"; then
		said=$("$here/verdicts.pl" judge "$results/tap/$1" "${tests[@]}")
		IFS=$'\t' read -r result detail blind <<<"$said"
	else
		detail="the tests did not run: $(last_line "$log")"
	fi
	forget_snapshots
}

# The tests of all mutants of a host.
tests_on() { # HOST
	local name
	for name in "${names[@]}"; do
		[[ ${host_of[$name]} != "$1" ]] || echo "${tests_of[$name]}"
	done | tr ' ' '\n' | sort -u
}

# A test that fails on the unmutated kernel would catch each mutant.
run_unmutated() {
	local host tests said
	rm -rf "$results/unmutated"
	for host in nested bochs-kvm; do
		mapfile -t tests < <(tests_on "$host")
		((${#tests[@]})) || continue
		progress "the unmutated kernel: running ${#tests[@]} test(s) on $host"
		run_tests "$host" patched "$results/unmutated" "${tests[*]}" ||
			die "the tests did not run on the unmutated kernel: $(last_line "$log")"
	done
	mapfile -t tests < <(printf '%s\n' "${tests_of[@]}" | tr ' ' '\n' | sort -u)
	said=$("$here/verdicts.pl" unfit "$results/unmutated" "${tests[@]}")
	[[ -z $said ]] ||
		die "does not pass on the unmutated kernel, and so catches no mutant: ${said//$'\n'/; }"
}

# --- what comes of it ---------------------------------------------------------------------------

show_row() { # NAME SECONDS
	end_progress
	printf "%-${width}s %-9s %4d s  %s\n" "$1" "$result" "$2" "$detail"
	[[ $result != SURVIVED ]] ||
		echo "    to look into it: ./run_tests.sh -v --on $on --kernel $folder $blind"
}

# A point of the TAP file; numbers are counted by it.
tap_point() { # NAME
	points=$((points + 1))
	if [[ $result == caught ]]; then
		echo "ok $points - $1 is caught"
	else
		echo "not ok $points - $1 is caught"
		printf "  ---\n  message: '%s'\n  ...\n" "$result: ${detail//\'/\'\'}"
	fi
}

run_all() {
	local name started points=0
	printf 'TAP version 13\n1..%d\n' "${#names[@]}" >"$work/tap"
	for name in "${names[@]}"; do
		started=$SECONDS
		run_mutant "$name"
		count[$result]=$((count[$result] + 1))
		show_row "$name" $((SECONDS - started))
		tap_point "$name" >>"$work/tap"
	done
}

# The other way round. What does not fit on a screen is left in a file.
show_never_failed() {
	local tests list=$results/never-failed.txt lines archs
	archs=$(configured ARCHS "x86_64 i386")
	mapfile -t tests < <(awk -F $'\037' -v archs=" $archs " 'index(archs, " " $5 " ") { print $1 }' <<<"$records")
	"$here/verdicts.pl" never "$results/unmutated" "${names[@]/#/$results/tap/}" -- "${tests[@]}" >"$list"
	lines=$(wc -l <"$list")
	if ((lines <= 40)); then
		echo
		cat "$list"
	else
		# The tests are its first paragraph.
		printf '\n%s\n' "$(sed '/^$/q' "$list")"
		echo
		sed -n '/^Points/s/:$//p' "$list"
		echo "    They are listed in $list."
	fi
}

verdict() { # SECONDS
	echo
	echo "${#names[@]} mutants, ${count[caught]} caught, ${count[SURVIVED]} survived" \
		"($(($1 / 60)) min $(($1 % 60)) s)"
	((!count["no result"])) || echo "${count["no result"]} without a result: see above"
	((sample || selective || count["no result"])) || show_never_failed
	((!count["no result"])) || exit 2
	((!count[SURVIVED]))
}

usage() {
	echo "usage: host/kernel/mutants/run.sh [--sample N] [--tap FILE] [GLOB]..." >&2
	exit 2
}

sample=0 tap=
while [[ ${1-} == -* ]]; do
	(($# >= 2)) || usage
	case $1 in
	--sample)
		[[ $2 =~ ^[1-9][0-9]{0,3}$ ]] || die "--sample takes a number from 1, not '$2'"
		sample=$2
		;;
	--tap)
		tap=$2
		{ mkdir -p "$(dirname "$tap")" && : >>"$tap"; } 2>/dev/null || die "cannot write $tap (--tap)"
		;;
	*) usage ;;
	esac
	shift 2
done
selective=$#
# shellcheck disable=SC2034 # kernel.sh reads files_of
declare -A tests_of=() files_of=() host_of=() count=([caught]=0 [SURVIVED]=0 ["no result"]=0)
started=$SECONDS
select_mutants "$@"
read_headers
width=$(printf '%s\n' "${names[@]}" | wc -L)
"$top/scripts/tools.sh" install build run kernel || exit 2
folder='' work='' new='' on=nested
lock_cache "$cache/mutants"
work=$(mktemp -d) || die "there is no room for a temporary folder; point TMPDIR at a place that has it"
log=$work/log
begin_kernels
run_unmutated
run_all
[[ -z $tap ]] || cp "$work/tap" "$tap" || die "cannot write $tap (--tap)"
verdict $((SECONDS - started))
