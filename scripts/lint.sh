#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# make lint: clang-format, shellcheck, cppcheck and perl -c over the tree
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
scripts/tools.sh install lint

mapfile -t c_files < <(find lib x86 xen hyperv snp host -name '*.[ch]' | sort)
mapfile -t shell_files < <(find . -path ./build -prune -o -path ./.git -prune -o -name '*.sh' -print | sort)
status=0
clang-format --dry-run --Werror "${c_files[@]}" || status=1
shellcheck -x configure .ci/run "${shell_files[@]}" || status=1
shellcheck -x --shell=bats scripts/tests/*.bats || status=1
cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 -j "$(nproc)" \
	--enable=warning,performance,portability -D__x86_64__ -Ilib -Ihost \
	"${c_files[@]}" || status=1
mapfile -t perl_files < <(find scripts -name '*.p[lm]' | sort)
for file in "${perl_files[@]}"; do
	perl -Iscripts/matrix -Iscripts/matrix/tests -wc "$file" 2>&1 | { grep -v ' syntax OK$' || true; } | grep . && status=1
done
((status)) || echo "lint: ${#c_files[@]} C files and ${#shell_files[@]} scripts, nothing to say"
exit "$status"
