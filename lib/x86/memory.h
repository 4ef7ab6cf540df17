/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory: what the memory map gives, page by page
 *
 * All RAM below 2 GiB is identity-mapped: virtual addresses equal guest-physical ones. It is
 * writable, executable and accessible at CPL 3, by 2 MiB leaves. (Code at CPL 3 is part of
 * the same image; a test that wants stricter rights maps pages of its own: <x86/paging.h>.)
 * The rest of the lower 4 GiB is mapped likewise, so that devices can be reached; but for VA_FREE
 * of 32-bit guests, which is its third GiB.
 *
 * The allocator hands out RAM between the end of the image and 2 GiB. It may be used on every CPU.
 */
#ifndef X86_MEMORY_H
#define X86_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE  (1ul << PAGE_SHIFT)
#define PAGE_MASK  (~(PAGE_SIZE - 1))

/* Most that pages_alloc() gives at once: 2^9 pages are a 2 MiB leaf. 1 GiB: see memory_is_ram(). */
#define PAGE_ORDER_MAX 9

/* One zeroed page. Out of memory is an error of the test point. */
void *page_alloc(void);

/* 2^order zeroed pages, aligned to their size. For page_free() they are single pages. */
void *pages_alloc(unsigned int order);

/*
 * 2 MiB of RAM, aligned, that nobody has touched, and that will not be handed out: for tests of what becomes of such
 * memory. In an SNP guest it is private and not validated.
 */
void *memory_untouched(void);

/* Gives one page back, of page_alloc() or out of the middle of pages_alloc(). */
void page_free(void *page);

/*
 * A page-aligned guest-physical address below 4 GiB with no RAM and no device behind it, nor
 * behind the 2 MiB that begin there. An error of the test point if there is none.
 */
uint64_t memory_hole(void);

/* Whether the memory map says that all of [address, address + size) is RAM. */
bool memory_is_ram(uint64_t address, uint64_t size);

/* The bytes of RAM below 4 GiB, by the memory map. */
uint64_t memory_size(void);

#endif
