#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# program.sh --list: prints what Bochs there is for each CPU model, one a line
# program.sh MODEL: prints "bochs-VERSION", then the words that start Bochs with this CPU model; one a line
#
#	tigerlake	Tiger Lake (2020): CET. Any Bochs from 2.7 on has it
#	sapphire_rapids	Sapphire Rapids (2023); from 3.0 on
#	arrow_lake	Arrow Lake (2024); from 3.0 on
#
# The words start it in a folder that has the files bochsrc and commands. It is the Bochs that was configured
# (configure --bochs), else this system's, else 3.0 out of the cache (fetch.sh): where the system's does not have
# the model, or is one that does not work. Messages go to stderr.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
top=$here/../..
# shellcheck source=scripts/hosts.sh
source "$top/scripts/hosts.sh"

say() {
	echo "bochs: $*" >&2
}

# Prints the version and the models that a Bochs has, one a line.
ask() { # COMMAND...
	local said
	said=$("$@" --help cpu 2>&1) || true
	sed -n 's/.*Bochs x86 Emulator \([0-9][^ ]*\).*/\1/p' <<<"$said"
	sed -n '/^[a-z0-9_]\+$/p' <<<"$said"
}

# Why a Bochs does not serve; empty: it does.
fault_of() { # VERSION-AND-MODELS
	local version=${1%%$'\n'*}
	case $version in
	'') echo "it does not start" ;;
	[01].* | 2.[0-6] | 2.[0-6].*) echo "it is version $version, and CET came with 2.7" ;;
	3.1 | 3.1.*)
		echo "it is version $version, in which 64-bit IDIV is wrong and a triple fault never ends"
		;;
	*) [[ $'\n'$1$'\n' == *$'\n'$model$'\n'* ]] || echo "it is version $version and has no CPU model $model" ;;
	esac
}

# Bochs opens a port for viewers, on all of the machine's addresses: where that is allowed it gets a network of
# its own, with nobody in it.
alone() {
	if unshare --net true 2>/dev/null; then
		printf '%s\n' unshare --net
	elif unshare --map-root-user --net true 2>/dev/null; then
		printf '%s\n' unshare --map-root-user --net
	fi
}

# With its own libraries, since it comes from another Debian.
fetched_command() { # FOLDER
	printf '%s\n' env LTDL_LIBRARY_PATH="$1/lib/bochs/plugins" BXSHARE="$1/share" \
		"$1/lib/ld-linux-x86-64.so.2" --library-path "$1/lib" "$1/bochs-bin"
}

print_words() { # COMMAND...
	alone
	printf '%s\n' setpriv --pdeathsig KILL "$@" -q -f bochsrc
	# Debian's 2.7 starts in its debugger.
	[[ $("$@" --help 2>&1) != *' -rc '* ]] || printf '%s\n' -rc commands
}

# Fetches nothing.
list_models() {
	local model fault command=("$(configured BOCHS bochs-bin)") said=
	! command -v "${command[0]}" >/dev/null || said=$(ask "${command[@]}")
	for model in $all_cpus; do
		fault="it is not there"
		! command -v "${command[0]}" >/dev/null || fault=$(fault_of "$said")
		if [[ -z $fault ]]; then
			echo "--cpu $model: ${command[0]}, version ${said%%$'\n'*}"
		elif [[ -e $cache/bochs/3.0 ]]; then
			echo "--cpu $model: 3.0 out of the cache (${command[0]}: $fault)"
		else
			echo "--cpu $model: 3.0, which the first test on it fetches (${command[0]}: $fault)"
		fi
	done
}

(($# == 1)) || {
	echo "usage: program.sh --list | MODEL" >&2
	exit 2
}
if [[ $1 == --list ]]; then
	list_models
	exit
fi
model=$1
[[ " $all_cpus " == *" $model "* ]] || {
	say "unknown CPU model '$model' (there are: $all_cpus)"
	exit 2
}
program=$(configured BOCHS "")
command=("${program:-bochs-bin}")
fault="it is not there"
! command -v "${command[0]}" >/dev/null || fault=$(fault_of "$(ask "${command[@]}")")
if [[ $fault ]]; then
	if [[ $program ]]; then
		say "the configured $program does not serve: $fault; configure another one, or none (--bochs=)"
		exit 1
	fi
	[[ $fault == "it is not there" || $fault == *"no CPU model"* ]] ||
		say "this system's Bochs is not used: $fault"
	folder=$("$here/fetch.sh")
	mapfile -t command < <(fetched_command "$folder")
fi
version=$(ask "${command[@]}")
echo "bochs-${version%%$'\n'*}"
print_words "${command[@]}"
