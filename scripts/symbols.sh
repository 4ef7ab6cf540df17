#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# usage: symbols.sh GUEST.elf
# Writes, as assembly, the table of the guest's functions that its exception dump names addresses by
# (lib/x86/symbols.c). Linked into the guest a second time, it moves none of them: see lib/start/*.ld.
set -euo pipefail

word=.long
if [[ $(readelf -h "$1") == *ELF64* ]]; then
	word=.quad
fi
nm -n "$1" | awk -v word="$word" '
	$2 ~ /^[tT]$/ && $3 != "__text_end" {
		print ".section .symbols, \"a\""
		print word, "0x" $1 ", 1f"
		print ".section .symbol_names, \"a\""
		print "1: .asciz \"" $3 "\""
	}
	END { print ".section .note.GNU-stack, \"\"" }'
