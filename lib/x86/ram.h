/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory map's way in, for the start code
 */
#ifndef X86_RAM_H
#define X86_RAM_H

#include <stdint.h>

/* One range of RAM, in bytes; what is misaligned at its ends is left out. */
void ram_add(uint64_t address, uint64_t size);

#endif
