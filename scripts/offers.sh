# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What is learnt of a host when it is made ready, and left in the cache for hosts.sh. Sourced by the prepare.sh of
# each host that boots a kernel, after hosts.sh.

# What L1 offers depends on the snapshot and on the vmrun that is asked. COMMAND runs vmrun --probe in L1.
learn_offers() { # HOST KERNEL SNAPSHOT VMRUN COMMAND...
	local offers text
	offers=$(probe_file "$1" "$2" "$4")
	mkdir -p "${offers%/*}"
	# Of vmruns, and of kernels that were once asked for by their path, there may be many.
	find "${offers%/*}" \( -name '*-own-*' -o -name '*.probe-*' \) -mtime +14 -delete
	[[ ! -e $offers || $(cat "$offers.asked" 2>/dev/null) != "$3" ]] || return 0
	rm -f "$offers" "$offers.asked"
	if ! text=$(timeout 60 "${@:5}" 2>&1); then
		echo "$1: vmrun in L1 does not say what KVM offers: ${text##*$'\n'}" >&2
		exit 1
	fi
	echo "$text" >"$offers.new.$$"
	mv "$offers.new.$$" "$offers"
	echo "$3" >"$offers.asked"
}

# What a kernel is, for run_tests.sh to show; and what knownbugs.cfg calls it: one of the user's own by its
# version, a folder of the cache by its name there.
describe_kernel() { # HOST KERNEL KERNEL-FOLDER
	local file name=${3##*/}
	file=$(offers_file "$1" "$2")
	mkdir -p "${file%/*}"
	cp "$3/version" "$file.version"
	case $name in
	own-*) name=own-$(cut -d ' ' -f 1 "$3/version") ;;
	stock-*) ;;
	# It is no kernel, but Xen: by its version.
	bookworm | trixie) name=$(sed -n 's/^Xen \([0-9.]*\).*/\1/p' "$3/version") ;;
	*) name=${name%-*} ;;
	esac
	echo "$name" >"$file.place"
}
