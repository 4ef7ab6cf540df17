/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names for addresses of code, if the build has put a table of them into the image
 * (scripts/symbols.sh)
 */
#ifndef X86_SYMBOLS_H
#define X86_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

/* Writes "0x101234 name+0x34", or the bare address where no function is known. */
void symbol_format(char *buffer, size_t size, uintptr_t address);

#endif
