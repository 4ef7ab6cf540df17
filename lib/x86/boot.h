/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Constants that the start code (assembly) shares with C; cpu.c checks them against their names
 */
#ifndef X86_BOOT_H
#define X86_BOOT_H

/* Each CPU has a block of this size, aligned to it: <x86/cpu.h>. */
#define CPU_BLOCK_SIZE 0x20000

/* PE MP ET NE WP AM PG; PAE PGE */
#define BOOT_CR0 0x80050033
#define BOOT_CR4 0xa0

/* The page, below 1 MiB, where an AP starts: its number is the SIPI's vector. */
#define AP_TRAMPOLINE 0x7000

#endif
