# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Which tests run_tests.sh deals with. Sourced by it.
#
# shellcheck disable=SC2154 # the options are run_tests.sh's

read_config() { # KIND FILE: the records of scripts/config.awk
	[[ -r $top/$2 ]] || {
		echo "there is no $2 that can be read in $top" >&2
		return 1
	}
	awk -v kind="$1" -v hosts="$all_hosts" -v kernels="$all_kernels" -v needs="$all_needs" -v root="$top/" \
		-f "$top/scripts/config.awk" "$top/$2"
}

# Whether a test is meant by a pattern: by its own name or by its section's.
matches() { # PATTERN NAME SECTION
	# shellcheck disable=SC2053 # the pattern is meant as one
	[[ $2 == $1 || $3 == $1 ]]
}

check_groups() { # RECORDS
	local group all
	all=$(cut -d $'\037' -f 4 <<<"$1" | tr ' ' '\n' | sort -u | tr '\n' ' ')
	for group in "${groups[@]}"; do
		one_of group "$group" "${all% }"
	done
}

in_groups() { # GROUPS-OF-THE-TEST
	local group
	((${#groups[@]})) || return 0
	for group in "${groups[@]}"; do
		[[ " $1 " == *" $group "* ]] && return
	done
	return 1
}

# Sets the array selected: one record of config.awk for each test to run.
select_tests() {
	local records record name section rest pattern file members arch archs
	archs=$(configured ARCHS "x86_64 i386")
	local -A used=()
	local unbuilt=
	records=$(read_config tests unittests.cfg) || exit 2
	[[ $records ]] || die "unittests.cfg has no tests"
	selected=()
	check_groups "$records"
	while IFS= read -r record; do
		IFS=$'\037' read -r name section file members arch rest <<<"$record"
		local meant=
		((${#patterns[@]})) || meant=yes
		for pattern in "${patterns[@]}"; do
			matches "$pattern" "$name" "$section" && meant=yes used[$pattern]=yes
		done
		if [[ -z $meant ]] || ! in_groups "$members"; then
			continue
		elif [[ " $archs " == *" $arch "* ]]; then
			selected+=("$record")
		else
			unbuilt=$name
		fi
	done <<<"$records"
	for pattern in "${patterns[@]}"; do
		[[ ${used[$pattern]-} ]] ||
			die "there is no test '$pattern'; ./run_tests.sh -l lists them"
	done
	((${#selected[@]})) || [[ -z $unbuilt ]] ||
		die "$unbuilt is not built: guests for ${unbuilt##*-} were left out by ./configure"
	((${#selected[@]})) || die "no test is in all of: ${patterns[*]} ${groups[*]}"
}

list_tests() {
	local record name section file members arch smp mem append requires hosts kernels timeout runs choice
	local format='%-32s %-16s %-28s %s\n'
	# shellcheck disable=SC2059
	printf "$format" TEST GROUPS NEEDS HOST
	for record in "${selected[@]}"; do
		# shellcheck disable=SC2034
		IFS=$'\037' read -r name section file members arch smp mem append requires hosts \
			kernels timeout runs <<<"$record"
		choose_host "$requires" "$hosts" "$kernels" "$on" "$asked_kernel" "$vmm"
		choice=$(host_choice "$host" "$kernel" "$cpu")
		[[ -z $choice ]] || host+=" ($choice)"
		# shellcheck disable=SC2059
		printf "$format" "$name" "$members" "${requires:--}" "${host:-none: $why}"
	done
}
