/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page tables, entry by entry
 *
 * The runtime's own tables are 4-level paging in 64-bit guests and PAE paging in 32-bit ones: in
 * both an entry has 64 bits. All CPUs share one set of tables, but for the four PDPTEs of PAE,
 * which each CPU has for itself. Nothing here flushes the TLB of other CPUs: use on_cpu().
 *
 * Levels count from the leaf: 1 is the 4 KiB entry, 2 the 2 MiB one, 3 the 1 GiB one (or the
 * PDPTE of PAE, which cannot be a leaf), 4 the PML4E.
 *
 * Intel SDM volume 3, "Paging"; AMD APM volume 2, chapter 5.
 */
#ifndef X86_PAGING_H
#define X86_PAGING_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/memory.h>

#define PTE_P	      (1ull << 0)
#define PTE_W	      (1ull << 1)
#define PTE_U	      (1ull << 2)
#define PTE_PWT	      (1ull << 3)
#define PTE_PCD	      (1ull << 4)
#define PTE_A	      (1ull << 5)
#define PTE_D	      (1ull << 6)
#define PTE_PS	      (1ull << 7) /* at levels 2 and 3: a leaf */
#define PTE_PAT_4K    (1ull << 7) /* at level 1 */
#define PTE_G	      (1ull << 8)
#define PTE_PAT_LARGE (1ull << 12) /* in a leaf of level 2 or 3 */
#define PTE_NX	      (1ull << 63)
#define PTE_ADDRESS   0x000ffffffffff000ull

/* What the runtime's own leaves have. */
#define PTE_RAM (PTE_P | PTE_W | PTE_U)

/*
 * The C-bit of an SEV guest, else 0. It is one of the address bits, and is set in what leads to a table and in
 * leaves that map RAM: map_page() adds it there.
 */
extern uint64_t pte_encrypted;

enum page_level { LEVEL_4K = 1, LEVEL_2M = 2, LEVEL_1G = 3, LEVEL_512G = 4 };

/* Bytes that an entry of this level covers. */
#define LEVEL_SIZE(level) (1ull << (PAGE_SHIFT + 9 * ((level)-1)))

/*
 * Where tests may map as they like: nothing is mapped there at first. 1 GiB-aligned, 16 TiB long
 * in 64-bit guests and 1 GiB in 32-bit ones.
 */
#ifdef __x86_64__
#define VA_FREE	     0x100000000000ul
#define VA_FREE_SIZE (16ul << 40)
#else
#define VA_FREE	     0x80000000ul
#define VA_FREE_SIZE (1ul << 30)
#endif

/*
 * Maps the page at va to pa by a leaf of this level, whose flags are these and no others (without
 * PTE_P it is an entry that is not present, with the address in it). Tables that are missing
 * are made, with PTE_RAM as flags; a larger leaf in the way is split into equal smaller ones. The
 * TLB entry of va on this CPU is flushed. Misaligned addresses and a level that cannot be a leaf
 * are errors of the test point; so are 1 GiB leaves where CPUID offers none.
 */
void map_page(uintptr_t va, uint64_t pa, enum page_level level, uint64_t flags);

/* The entry of va at this level, a leaf or not. NULL if the levels above do not lead there. */
uint64_t *pte_at(uintptr_t va, unsigned int level);

/* The level of the leaf that maps va, present or not; what is missing above it counts as one. */
unsigned int leaf_level(uintptr_t va);

/* Writes an entry of va (of a level that exists) and flushes all that this CPU cached of it. */
void pte_write(uintptr_t va, unsigned int level, uint64_t value);

/* Whether 1 GiB leaves may be used: 64-bit, and CPUID leaf 0x80000001 says so. */
bool has_1g_pages(void);

static inline void invlpg(uintptr_t va)
{
	asm volatile("invlpg (%0)" ::"r"(va) : "memory");
}

/* All of this CPU's TLB, but for global entries. Reloads the PDPTEs in 32-bit guests. */
void tlb_flush(void);

/* With the global entries. */
void tlb_flush_all(void);

#endif
