# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# run_tests.sh --compare: the same tests in two or more places, and the points on which these differ. Sourced by
# run_tests.sh.
#
# shellcheck disable=SC2154 # the options are run_tests.sh's, the hosts' names are hosts.sh's

among() { # WORD WORDS
	[[ " $2 " == *" $1 "* && $1 ]]
}

# The options of run_tests.sh for one of the places, one a line.
options_of_place() { # PLACE
	if among "$1" "$all_hosts"; then
		printf '%s\n' --on "$1"
	elif among "$1" "$all_cpus"; then
		printf '%s\n' --cpu "$1"
	elif among "$1" "vmrun qemu"; then
		printf '%s\n' --on local --vmm "$1"
	elif among "$1" "$all_kernels" || [[ $1 == */* && $1 != *:* ]]; then
		printf '%s\n' --kernel "$1"
	elif among "${1%%:*}" "$all_hosts" && [[ $1 == *:?* ]]; then
		printf '%s\n' --on "${1%%:*}" --kernel "${1#*:}"
	else
		die "--compare: '$1' is neither a host ($all_hosts), nor a kernel ($all_kernels; or a path)," \
			"nor a CPU model ($all_cpus), nor HOST:KERNEL, nor vmrun or qemu (on local)"
	fi
}

# Sets $places.
read_places() { # LIST
	local place others=()
	IFS=, read -ra places <<<"$1"
	((${#places[@]} >= 2)) || die "--compare takes two places or more, with commas between them, not '$1'"
	for place in "${places[@]}"; do
		[[ " ${others[*]-} " != *" $place "* ]] || die "--compare names '$place' twice"
		others+=("$place")
		options_of_place "$place" >/dev/null
	done
}

# One run. A failed test is a result; no TAP is none. What it says is shown while somebody looks on, or if it fails.
run_in_place() { # PLACE TAP-FOLDER TEST...
	local options status=0 said=$work/said
	mapfile -t options < <(options_of_place "$1")
	[[ ! -t 2 ]] || said=/dev/stderr
	run_group "$top/run_tests.sh" "${options[@]}" -j "$jobs" --tap-dir "$2" -- "${@:3}" \
		>/dev/null 2>"$said" || status=$?
	if ((status > 1)) || ! compgen -G "$2/*.tap" >/dev/null; then
		[[ $said == /dev/stderr ]] || cat "$said" >&2
		die "--compare: the tests did not run in '$1'"
	fi
}

compare() {
	local names place folders=()
	check_places
	mapfile -t names < <(names_of_selected)
	for place in "${places[@]}"; do
		folders+=("$place=$work/tap-${#folders[@]}")
		run_in_place "$place" "$work/tap-$((${#folders[@]} - 1))" "${names[@]}"
	done
	"$top/scripts/compare.pl" "${folders[@]}"
}
