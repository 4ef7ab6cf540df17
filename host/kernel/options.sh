# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Whether a kernel was configured with what L1 needs, which is in the file "options". Sourced by take.sh.
#
# shellcheck disable=SC2154 # $here, $tree and $version are take.sh's

# Whether a configuration has an option as the file "options" asks for it.
has_option() { # OPTION CONFIG
	case $1 in
	!*) ! grep -qx "CONFIG_${1#!}=[ym]" "$2" ;;
	*:m) grep -qx "CONFIG_${1%:m}=[ym]" "$2" ;;
	*) grep -qx "CONFIG_$1=y" "$2" ;;
	esac
}

# Whether a kernel of this version has such an option at all.
is_since() { # VERSION
	[[ $1 == - ]] || printf '%s\n' "$1" "$version" | sort -V -C
}

# "CONFIG_A, CONFIG_B=n"
option_names() { # OPTION...
	local option text=
	for option; do
		case $option in
		!*) option=${option#!}=n ;;
		*) option=${option%:m} ;;
		esac
		text+="${text:+, }CONFIG_$option"
	done
	echo "$text"
}

# The commands that mend a tree.
options_cure() { # OPTION...
	local option words=
	for option; do
		case $option in
		!*) words+=" -d ${option#!}" ;;
		*:m) words+=" -m ${option%:m}" ;;
		*) words+=" -e $option" ;;
		esac
	done
	if [[ $tree ]]; then
		echo "in its source, run scripts/config --file $(quoted "$tree")/.config$words, then make -C $(quoted "$tree") olddefconfig all"
	else
		echo "build it with (scripts/config$words)"
	fi
}

# Ends if a needed option is missing, warns if one is that only some tests need.
check_options() { # CONFIG
	local needed_by option since _ missing=() unserved=() skipped=
	while read -r needed_by option since _; do
		[[ $needed_by && $needed_by != '#'* ]] || continue
		if has_option "$option" "$1" || ! is_since "$since"; then
			continue
		fi
		case $needed_by in
		l1) missing+=("$option") ;;
		bochs-kvm) ;; # said by that host, if it is asked for (host/bochs-kvm/snapshot.sh)
		modules) has_kvm_built_in "$1" || missing+=("$option") ;;
		*)
			unserved+=("$option")
			skipped+="${skipped:+, }${needed_by//,/, }"
			;;
		esac
	done <"$here/options"
	((${#missing[@]} == 0)) || die "it was built without what L1 needs: $(option_names "${missing[@]}");" \
		"$(options_cure "${missing[@]}")"
	((${#unserved[@]} == 0)) || warn "it was built without $(option_names "${unserved[@]}"):" \
		"the tests that require $skipped will be skipped"
}
