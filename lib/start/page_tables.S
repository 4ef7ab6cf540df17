/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page tables of the start: the lower 4 GiB identity-mapped by 2 MiB leaves, part of the image
 *
 * Present, writable, user. The last 32 MiB, where the APICs are, are uncacheable. In 32-bit guests
 * the third GiB is VA_FREE (<x86/paging.h>): it has a table, but nothing in it.
 */
#define TABLE_FLAGS   0x007
#define TABLE_PRESENT 0x001
#define LEAF_FLAGS    0x087
#define DEVICE_FLAGS  0x09f
#define LEAF_SIZE     0x200000
#define DEVICE_FIRST  (0xfe000000 / LEAF_SIZE)
#ifdef __x86_64__
#define IS_FREE(leaf) 0
#else
#define IS_FREE(leaf) (leaf >= 1024 && leaf < 1536)
#endif

	.section .page_tables, "aw"
	.balign	4096
	.globl	page_directories
page_directories:
	.set	leaf, 0
	.rept	2048
	.if	IS_FREE(leaf)
	.quad	0
	.elseif	leaf < DEVICE_FIRST
	.quad	leaf * LEAF_SIZE + LEAF_FLAGS
	.else
	.quad	leaf * LEAF_SIZE + DEVICE_FLAGS
	.endif
	.set	leaf, leaf + 1
	.endr

	.globl	boot_page_table
#ifdef __x86_64__
	.globl	page_directory_pointers
page_directory_pointers:
	.set	directory, 0
	.rept	4
	.quad	page_directories + directory * 4096 + TABLE_FLAGS
	.set	directory, directory + 1
	.endr
	.balign	4096

boot_page_table:
	.quad	page_directory_pointers + TABLE_FLAGS
	.balign	4096
#else
/* In a PDPTE of PAE paging W and U are reserved. Each CPU soon has a copy: cpu.c. */
boot_page_table:
	.set	directory, 0
	.rept	4
	.long	page_directories + directory * 4096 + TABLE_PRESENT, 0
	.set	directory, directory + 1
	.endr
	.balign	4096
#endif
