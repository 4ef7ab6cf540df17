#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# From unittests.cfg and knownbugs.cfg, makes build/tests/NAME (a script that runs one test) for each
# test of the configured architectures, and build/tests.mk, which tells make their guests and programs.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
top=$PWD
# shellcheck source=scripts/hosts.sh
source scripts/hosts.sh
# shellcheck source=scripts/selection.sh
source scripts/selection.sh

quoted() {
	printf '%q' "$1"
}

known_bugs_of() { # NAME SECTION: lines WHERE \037 POINT \037 REASON
	local tests point where reason pattern
	while IFS=$'\037' read -r _ tests point where reason; do
		for pattern in $tests; do
			if matches "$pattern" "$1" "$2"; then
				printf '%s\037%s\037%s\n' "$where" "$point" "$reason"
				break
			fi
		done
	done <<<"$known"
}

write_test() { # elf|program FILE
	local line
	cat <<-END
		#!/usr/bin/env bash
		# One vmabi test, made from [$section] of unittests.cfg. Run it by hand, or by run_tests.sh.
		name=$(quoted "$name")
		$1=$(quoted "$2")
		arch=$arch
		smp=$smp
		mem=$mem
		append=$(quoted "$append")
		requires=$(quoted "$requires")
		hosts=$(quoted "$hosts")
		kernels=$(quoted "$kernels")
		timeout=$timeout
		known=(
	END
	known_bugs_of "$name" "$section" | while IFS= read -r line; do
		printf '\t%s\n' "$(quoted "$line")"
	done
	cat <<-'END'
		)
		top=$(readlink -f "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..")
		source "$top/scripts/guest.sh"
	END
}

archs=$(configured ARCHS "x86_64 i386")
# Asked of each make. What these were made from counts, not when: an older file may have come back.
asked=$(cat unittests.cfg knownbugs.cfg build/config.mk scripts/*.awk scripts/make_tests.sh scripts/hosts.sh | cksum)
[[ ! -e build/tests.mk || $(cat build/tests/.asked 2>/dev/null) != "$asked" ]] || exit 0
records=$(read_config tests unittests.cfg)
known=$(read_config known knownbugs.cfg)
rm -rf build/tests
mkdir -p build/tests
tests='' guests=''
while IFS=$'\037' read -r name section file _ arch smp mem append requires hosts kernels timeout runs; do
	[[ " $archs " == *" $arch "* ]] || continue
	if [[ $runs == host ]]; then
		guest=build/${file%.c}
		write_test program "$guest" >"build/tests/$name"
	else
		guest=build/guests/$arch/${file%.c}.elf
		write_test elf "${file%.c}.elf" >"build/tests/$name"
	fi
	chmod +x "build/tests/$name"
	tests+=" $name"
	[[ " $guests " == *" $guest "* ]] || guests+=" $guest"
done <<<"$records"
echo "$asked" >build/tests/.asked
printf 'TESTS :=%s\nGUESTS :=%s\n' "$tests" "$guests" >build/tests.mk
