// SPDX-License-Identifier: BSD-2-Clause
#include <x86/paging.h>

#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/registers.h>

#define ENTRIES_SHIFT 9
#define ENTRIES	      (1u << ENTRIES_SHIFT)

uint64_t pte_encrypted;

#ifdef __x86_64__
#define TOP_LEVEL LEVEL_512G
#else
#define TOP_LEVEL LEVEL_1G
#endif

static uint64_t *table_of(uint64_t entry)
{
	return (uint64_t *)(uintptr_t)(entry & PTE_ADDRESS & ~pte_encrypted);
}

static unsigned int index_of(uintptr_t va, unsigned int level)
{
	return va >> (PAGE_SHIFT + ENTRIES_SHIFT * (level - 1)) & (ENTRIES - 1);
}

/*
 * All 64 bits at once, also where there is no 64-bit store: other CPUs may be walking the tables.
 */
static void write_entry(uint64_t *entry, uint64_t value)
{
	uint64_t old;

	do {
		old = *(volatile uint64_t *)entry;
	} while (!__sync_bool_compare_and_swap(entry, old, value));
}

static bool is_leaf(uint64_t entry, unsigned int level)
{
	return level == LEVEL_4K || (level < TOP_LEVEL && (entry & PTE_PS));
}

static uint64_t *top_table(void)
{
	/* Its low bits are flags; in PAE paging the table is aligned to 32 bytes only. */
	uint64_t flags = TOP_LEVEL == LEVEL_1G ? 0x1f : 0xfff;

	return (uint64_t *)(uintptr_t)(read_cr3() & ~(flags | pte_encrypted));
}

uint64_t *pte_at(uintptr_t va, unsigned int level)
{
	uint64_t *table = top_table();

	REQUIRE(level >= LEVEL_4K && level <= TOP_LEVEL);
	for (unsigned int at = TOP_LEVEL;; at--) {
		uint64_t *entry = &table[index_of(va, at)];

		if (at == level)
			return entry;
		if (is_leaf(*entry, at) || !(*entry & PTE_ADDRESS))
			return NULL;
		table = table_of(*entry);
	}
}

unsigned int leaf_level(uintptr_t va)
{
	unsigned int level = TOP_LEVEL;

	while (level > LEVEL_4K) {
		uint64_t entry = *pte_at(va, level);

		if (is_leaf(entry, level) || !(entry & PTE_ADDRESS))
			break;
		level--;
	}
	return level;
}

/* The flags of an entry that leads to a table. In a PDPTE of PAE paging W and U are reserved. */
static uint64_t table_flags(unsigned int level)
{
	return level == LEVEL_1G && TOP_LEVEL == LEVEL_1G ? PTE_P : PTE_RAM;
}

/* Puts a table below a leaf's entry, or below an empty one. */
static void make_table(uint64_t *entry, unsigned int level)
{
	uint64_t *table = page_alloc();
	uint64_t leaf = *entry;

	if (is_leaf(leaf, level)) {
		uint64_t address = leaf & PTE_ADDRESS & ~PTE_PAT_LARGE;
		uint64_t flags = leaf & ~PTE_ADDRESS;

		if (level == LEVEL_2M) {
			flags &= ~PTE_PS;
			if (leaf & PTE_PAT_LARGE)
				flags |= PTE_PAT_4K;
		} else {
			flags |= leaf & PTE_PAT_LARGE;
		}
		for (unsigned int i = 0; i < ENTRIES; i++)
			table[i] = (address + i * LEVEL_SIZE(level - 1)) | flags;
	}
	write_entry(entry, (uintptr_t)table | table_flags(level) | pte_encrypted);
}

/* The CPU keeps the four PDPTEs of PAE paging in registers that only CR3 loads. */
static void flush(uintptr_t va, unsigned int level)
{
	if (level == LEVEL_1G && TOP_LEVEL == LEVEL_1G)
		tlb_flush();
	else
		invlpg(va);
}

void map_page(uintptr_t va, uint64_t pa, enum page_level level, uint64_t flags)
{
	uint64_t *table = top_table();
	uint64_t offset = LEVEL_SIZE(level) - 1;

	REQUIRE(level < TOP_LEVEL && level >= LEVEL_4K);
	REQUIRE(!((va | pa) & offset));
	REQUIRE(level != LEVEL_1G || has_1g_pages());

	for (unsigned int at = TOP_LEVEL; at > level; at--) {
		uint64_t *entry = &table[index_of(va, at)];

		if (is_leaf(*entry, at) || !(*entry & PTE_ADDRESS)) {
			make_table(entry, at);
			flush(va, at);
		}
		table = table_of(*entry);
	}
	if (level != LEVEL_4K)
		flags |= PTE_PS;
	if (memory_is_ram(pa, 1))
		flags |= pte_encrypted;
	write_entry(&table[index_of(va, level)], pa | flags);
	flush(va, level);
}

void pte_write(uintptr_t va, unsigned int level, uint64_t value)
{
	uint64_t *entry = pte_at(va, level);

	REQUIRE(entry != NULL);
	write_entry(entry, value);
	/* INVLPG drops what is cached of all levels for one address; a table maps more of them. */
	if (is_leaf(value, level))
		flush(va, level);
	else
		tlb_flush_all();
}

bool has_1g_pages(void)
{
#ifdef __x86_64__
	return cpuid_checked(0x80000001, 0).edx & CPUID_80000001_EDX_1G;
#else
	return false;
#endif
}

void tlb_flush(void)
{
	write_cr3(read_cr3());
}

void tlb_flush_all(void)
{
	uintptr_t cr4 = read_cr4();

	/* Intel SDM volume 3, "Operations that Invalidate TLBs": a change of PGE flushes all. */
	write_cr4(cr4 ^ CR4_PGE);
	write_cr4(cr4);
}
