#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh [--tap FILE] (make crosscheck): the kernel's own KVM selftests in the nested host, beside our tests
#
# Builds the selftests that the file "selftests" names, from the same source as the kernel `patched`, and
# runs each in a restored L1 on that kernel. They were written by others and are right on hardware:
# what fails here shows where the nested host, or this kernel, is not as it should be. Beside each
# stands what our own tests of the same ABI came to. --tap leaves TAP 13 in FILE, one point a selftest.
#
# The programs lie in $XDG_CACHE_HOME/vmabi/selftests, under a name that stands for the kernel's tree
# and the list. They are linked statically, since L1 has no libraries.
#
# Prints a table and a verdict; messages go to stderr. Status: 0 no selftest failed but where a
# deviation is listed, 1 another one did, 2 there is no result.
set -euo pipefail
top=$(readlink -f "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../..")
# shellcheck source=scripts/group.sh
source "$top/scripts/group.sh"
heed_interrupts "$@"
# shellcheck source=scripts/hosts.sh
source "$top/scripts/hosts.sh"
# shellcheck source=scripts/selection.sh
source "$top/scripts/selection.sh"
# shellcheck source=host/kernel/kbuild.sh
source "$top/host/kernel/kbuild.sh"
list=$top/host/kernel/crosscheck/selftests
kernel=patched
selftests=$cache/selftests
limit=180 # seconds for one selftest; an idle machine takes 20
memory=512 # MiB of L1; with less, set_memory_region_test ends out of memory, after 32764 slots
# What make crosscheck was called with is not for the kernel's makefiles.
unset MAKEFLAGS MFLAGS MAKELEVEL

say() {
	echo "crosscheck: $*" >&2
}

die() {
	say "$@"
	exit 2
}

# --- the list -----------------------------------------------------------------------------------

# The tests, of unittests.cfg and built here, that the words mean; a word is a group or a test's name.
tests_meant() { # WORDS
	local record name section file members arch rest word groups archs
	archs=$(configured ARCHS "x86_64 i386")
	while IFS= read -r record; do
		# shellcheck disable=SC2034 # the fields that nobody asks for have names too
		IFS=$'\037' read -r name section file members arch rest <<<"$record"
		[[ " $archs " == *" $arch "* ]] || continue
		for word in $1; do
			# shellcheck disable=SC2034 # in_groups looks at it
			groups=("$word")
			if matches "$word" "$name" "$section" || in_groups "$members"; then
				echo "$name"
				break
			fi
		done
	done <<<"$records"
}

# Sets $programs, and for each of them ours[] (tests), words[] (as listed), known[] (a deviation), platform[] (snp
# or nothing).
read_list() {
	local name tests reason word number=0 section=
	[[ -r $list ]] || die "there is no list $list"
	records=$(read_config tests unittests.cfg) || exit 2
	while read -r name tests reason; do
		number=$((number + 1))
		[[ $name && $name != \#* ]] || continue
		if [[ $name == "[snp]" ]]; then
			section=snp
			continue
		fi
		[[ $name =~ ^[a-z0-9_]+$ ]] || die "$list:$number: '$name' is no name of a selftest"
		[[ ! -v "words[$name]" ]] || die "$list:$number: $name is there twice"
		[[ $tests ]] || die "$list:$number: $name lacks its second word: our tests, or - for none"
		words[$name]=${tests//,/ } known[$name]=$reason ours[$name]='' platform[$name]=$section
		[[ $tests != - ]] || words[$name]=
		for word in ${words[$name]}; do
			[[ $(tests_meant "$word") ]] ||
				die "$list:$number: neither a group nor a test of unittests.cfg is called '$word'"
		done
		ours[$name]=$(tests_meant "${words[$name]}")
		programs+=("$name")
	done <"$list"
	((${#programs[@]})) || die "$list names no selftest"
}

# --- running things -----------------------------------------------------------------------------

clear_up() {
	trap '' INT TERM HUP
	end_group
	rm -rf "$work" "$new"
}

# As lock_cache does it, which is called only where something is to be made.
take_signals() {
	work='' new=''
	trap clear_up EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# --- the selftests ------------------------------------------------------------------------------

# The tree's name stands for source, configuration and patches.
entry_name() {
	{
		basename "$tree"
		printf '%s\n' "${programs[@]}"
		declare -f make_programs kbuild
	} | sha256sum | head -c 16
}

# The kernel's own way, and nothing patched: `make headers` (which, unlike headers_install, needs no
# rsync) for the interface that the programs are compiled against, then the programs by name, so that
# make builds their library and these alone. Chained by &&, because `set -e` does nothing in a function
# whose failure is looked at.
make_programs() {
	local built=("${sources[@]/#/$new/tree/programs/}")
	copy_tree "$tree" "$new/tree" &&
		kbuild "$new/tree" headers &&
		kbuild "$new/tree" -C tools/testing/selftests/kvm ARCH=x86 USERLDFLAGS=-static \
			OUTPUT="$new/tree/programs" "${built[@]}" &&
		mkdir "$new/entry" &&
		cp "${built[@]}" "$new/entry" &&
		checksums "$new/entry" >"$new/manifest" &&
		mv "$new/manifest" "$new/entry/manifest"
}

build_failure() {
	# Not in the lines that say what is made: there is a quota.h.
	if is_no_space "$(grep -v '^  ' "$work/log")"; then
		no_space "$selftests" 60
	else
		echo "the selftests of $kernel do not build: $(first_error "$work/log" | sed "s|$new/tree/||g")"
	fi
}

# Sets sources[], of each program the place in tools/testing/selftests/kvm: those of x86 alone have a folder.
find_sources() {
	local name place
	for name in "${programs[@]}"; do
		for place in "x86/$name" "$name" ''; do
			[[ ! -e $tree/tools/testing/selftests/kvm/$place.c ]] || break
		done
		[[ $place ]] || die "the kernel's source has no KVM selftest '$name'; mend $list"
		sources+=("$place")
	done
}

# Sets $entry.
prepare_selftests() {
	run_group "$top/host/kernel/build.sh" --tree "$kernel" >"$work/tree" || exit 2
	tree=$(cat "$work/tree")
	find_sources
	entry=$selftests/$(entry_name)
	if ! intact "$entry"; then
		lock_cache "$selftests"
		intact "$entry" || build_selftests
		exec 9>&-
	fi
	touch "$entry" 2>/dev/null || true # it is in use
}

build_selftests() {
	[[ ! -e $entry ]] || say "the cache entry $entry is damaged; it is made again"
	# What one that was killed has left, and what nobody has used for two weeks.
	find "$selftests" -mindepth 1 -maxdepth 1 -type d \
		\( -name '.new.*' -o -mtime +14 \) -exec rm -rf {} +
	say "building ${#programs[@]} selftests of $kernel (once, about half a minute)"
	new=$(mktemp -d "$selftests/.new.XXXXXX" 2>"$work/log") || die "$(build_failure)"
	run_group make_programs >"$work/log" 2>&1 || die "$(build_failure)"
	rm -rf "$entry"
	mv "$new/entry" "$entry"
	rm -rf "$new"
}

# Sets snapshot[] of each platform. L1 has more memory than for our tests, of which none needs it.
prepare_machines() {
	local name
	run_group "$top/host/kernel/kernel.sh" "$kernel" >"$work/kernel" || exit 2
	for name in "${programs[@]}"; do
		[[ ! -v "snapshot[_${platform[$name]}]" ]] || continue
		VMABI_L1_MEMORY=$memory VMABI_L1_KVM_AMD=${platform[$name]:+snp_sw=insecure} \
			run_group "$top/host/nested/snapshot.sh" "$(qemu_program)" \
			"$top/build/host/nested/init/init" "$(cat "$work/kernel")" >"$work/snapshot" || exit 2
		snapshot[_${platform[$name]}]=$(cat "$work/snapshot")
	done
}

# Leaves in the folder $work what the program said and its status (no file: it never ended), and what
# supervise, which watches the time and L1's kernel log, found wrong.
run_selftest() { # NAME
	rm -f "$work"/{said,status}
	# shellcheck disable=SC2016 # the inner shell expands these
	run_group "$top/build/host/supervise/supervise" --timeout "$limit" --kernel-log -- bash -c '
		"$1" --console "$VMABI_SCRATCH/console" --file "$2" "$3" -- "/${2##*/}" >"$4/said" 2>&1
		echo $? >"$4/status"
		printf "TAP version 13\n1..1\nok 1 - it ended\n"' \
		run "$top/build/host/nested/restore/restore" "$entry/$1" "${snapshot[_${platform[$1]}]}" "$work" \
		>"$work/judged" 2>&1 || true
}

# The first line of a fault in L1's kernel log, out of supervise's last point.
kernel_fault() {
	sed -n '/^not ok .*kernel log/,$ { /^ *\(---\|\.\.\.\|message: |*\)$/d; /^not ok/d; s/^ *//p }' \
		"$work/judged" | head -n 1
}

# Of a failed assertion, the place and what it says; the frames of the stack, for which L1 lacks
# addr2line, are left out. Of a skip, the reason; else what was said last.
reason_said() {
	tr -d '\r' <"$work/said" | awk '
		/^==== Test Assertion Failure/ { failed = NR }
		failed && NR == failed + 1 { sub(/^ +/, ""); place = $0 }
		failed && NR > failed + 2 && /^  / && !/^ +[0-9]+\t/ && !/stack trace empty/ {
			sub(/^ +/, ""); detail = detail (detail == "" ? "" : " ") $0
		}
		/# SKIP/ { sub(/.*# SKIP[ -]*/, ""); skip = $0 }
		/, skipping test$/ { skip = $0 }
		NF && !/^Random seed: / { last = $0 }
		END {
			sub(/: false$/, "", place) # TEST_FAIL has no condition
			if (detail != "" && substr(place, length(place) - length(detail)) != " " detail)
				place = place "; " detail
			print failed ? place : skip == "" ? last : skip
		}'
}

# Sets $result and $reason.
# Why there is no status: the time limit, or what kept the run from beginning.
supervise_said() {
	{ sed -n "s/^ *message: *//p" "$work/judged" && tail -n 1 "$work/judged"; } | head -n 1
}

judge() { # NAME
	local status fault
	status=$(cat "$work/status" 2>/dev/null) || status=
	reason=$(reason_said)
	case $status in
	0)
		result=pass
		[[ $reason == *", skipping test" ]] || reason=
		;;
	4) result=skip reason=${reason:-it gives no reason} ;;
	'') result=fail reason="it did not end: $(supervise_said)" ;;
	*) result=fail reason=${reason:-it ended with status $status and without a word} ;;
	esac
	fault=$(kernel_fault)
	[[ -z $fault ]] || result=fail reason+="${reason:+; }L1's kernel log: $fault"
	if [[ $result == fail && ${known[$1]} ]]; then
		result=known reason+="; known: ${known[$1]}"
	fi
}

# --- our tests ----------------------------------------------------------------------------------

run_ours() {
	local names
	mapfile -t names < <(printf '%s\n' "${ours[@]}" | sed '/^$/d' | sort -u)
	mkdir "$work/tap"
	((${#names[@]})) || return 0
	say "running our own tests of the same ABI, ${#names[@]}"
	# Their failures are shown in the table, and are no matter of this verdict.
	run_group "$top/run_tests.sh" --kernel "$kernel" --tap-dir "$work/tap" "${names[@]}" \
		>"$work/log" 2>&1 || true
	[[ -e $work/tap/${names[-1]}.tap ]] ||
		die "our tests did not run: $(tail -n 1 "$work/log")"
}

# What ours came to, in one cell of the table.
cell_of_ours() { # NAME
	local tests counts
	[[ ${ours[$1]} ]] || {
		echo none
		return
	}
	mapfile -t tests <<<"${ours[$1]}"
	tests=("${tests[@]/#/$work/tap/}")
	# Its status tells of failures, which its last line counts too.
	counts=$("$top/scripts/summary.pl" "${tests[@]/%/.tap}" | tail -n 1) || true
	echo "$counts (${words[$1]}: ${#tests[@]} tests)"
}

# --- what comes of it ---------------------------------------------------------------------------

show_row() { # NAME SECONDS
	printf '%-28s %-5s %6s  %s\n' "$1" "$result" "$2" "$(cell_of_ours "$1")"
	[[ -z $reason ]] || echo "    $reason"
}

# A point of the TAP file; numbers are counted by it.
tap_point() { # NAME
	points=$((points + 1))
	case $result in
	pass) echo "ok $points - $1" ;;
	skip) echo "ok $points - $1 # SKIP $reason" ;;
	known) echo "not ok $points - $1 # TODO $reason" ;;
	fail)
		echo "not ok $points - $1"
		printf "  ---\n  message: '%s'\n  ...\n" "${reason//\'/\'\'}"
		;;
	esac
}

run_all() {
	local name started tenths points=0
	declare -gA met=([pass]='' [fail]='' [skip]='' [known]='')
	printf '%-28s %-5s %6s  %s\n' SELFTEST '' SECONDS OURS
	printf 'TAP version 13\n1..%d\n' "${#programs[@]}" >"$work/result.tap"
	for name in "${programs[@]}"; do
		started=${EPOCHREALTIME/./}
		run_selftest "$name"
		tenths=$(((${EPOCHREALTIME/./} - started + 50000) / 100000))
		judge "$name"
		met[$result]+="$name "
		show_row "$name" "$((tenths / 10)).$((tenths % 10))"
		tap_point "$name" >>"$work/result.tap"
	done
}

verdict() {
	local pass fail skip known
	read -ra pass <<<"${met[pass]}"
	read -ra fail <<<"${met[fail]}"
	read -ra skip <<<"${met[skip]}"
	read -ra known <<<"${met[known]}"
	echo
	echo "${#pass[@]} passed, ${#fail[@]} failed, ${#skip[@]} skipped, ${#known[@]} known to deviate"
	if ((${#fail[@]})); then
		echo "The nested host, or this kernel, is not faithful: see ${fail[*]}."
		return 1
	fi
	echo "The nested host is faithful as far as these go${skip:+; nothing is known of ${skip[*]}}${known:+; \
listed deviations: ${known[*]}}."
}

tap=
if (($# == 2)) && [[ $1 == --tap && $2 ]]; then
	tap=$2
	{ : >>"$tap"; } 2>/dev/null || die "cannot write $tap (--tap)"
elif (($#)); then
	echo "usage: host/kernel/crosscheck/run.sh [--tap FILE]" >&2
	exit 2
fi

declare -A ours=() words=() known=() platform=() snapshot=()
programs=() sources=()
read_list
"$top/scripts/tools.sh" install build run kernel || exit 2
take_signals
work=$(mktemp -d) || die "there is no room for a temporary folder; point TMPDIR at a place that has it"
prepare_selftests
# This builds what runs the selftests, too.
run_ours
prepare_machines
run_all
[[ -z $tap ]] || cp "$work/result.tap" "$tap" || die "cannot write $tap (--tap)"
verdict
