// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET: which pages are shadow stacks
 *
 * The type has no bit of its own. An address is a shadow stack's if
 *
 *	the entry that maps its page, the leaf, has R/W clear and D set, and
 *	every other entry on the way to it has R/W set.
 *
 * So a page that is read-only because of an entry above its leaf is no shadow stack, whatever the leaf has,
 * and D in an entry that is not a leaf is ignored. Who looks at the leaf alone, or carries "read-only and
 * dirty" down from any entry, gets wrong what a database does that maps its memory twice through shared
 * tables: once for writing, and once read-only by an entry above, where the D of its writes shows as well.
 *
 * Each point makes all shadow accesses: loads and stores, of CPL 0 on a supervisor page, of CPL 3 and by
 * WRUSS on a user page; where the page is none, they are #PF with P and the bit of shadow stack accesses (6)
 * in its error code. Ordinary accesses are not asked for D: reads are allowed, and writes as far as R/W goes.
 *
 * In PAE paging a PDPTE has no R/W, and is no leaf.
 *
 * Sources: Intel SDM volume 3, "Determination of Access Rights" (shadow-stack addresses), "Page-Fault
 * Exceptions", and the formats of the entries in "4-Level Paging" and "PAE Paging"; AMD APM volume 2, "Shadow
 * Stack Protection". Andrew Cooper on the kernel's list, 5 October 2022, "x86/mm: Introduce _PAGE_COW".
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/shadow_access.h>

/* States of a leaf. U comes to it as an access wants it. */
#define READ_ONLY_DIRTY	 (PTE_P | PTE_A | PTE_D)
#define READ_ONLY_CLEAN	 (PTE_P | PTE_A)
#define READ_WRITE_DIRTY (PTE_P | PTE_A | PTE_D | PTE_W)
#define READ_WRITE_CLEAN (PTE_P | PTE_A | PTE_W)

static const uint64_t leaf_states[] = { READ_ONLY_DIRTY, READ_ONLY_CLEAN, READ_WRITE_DIRTY,
					READ_WRITE_CLEAN };

/* Sets of levels. */
#define AT(level)   (1u << (level))
#define ABOVE(leaf) (AT(LEVEL_LAST + 1) - AT((leaf) + 1))
#define NONE	    0u

/* A way to a page: its leaf, and the levels above it that have W clear, or D set. */
struct way {
	enum page_level level;
	uint64_t leaf;
	unsigned int read_only, dirty;
};

static const struct shadow_probe *probe_of(const struct way *way, uint64_t user)
{
	const struct shadow_probe *probe = shadow_probe(way->level, way->leaf | user);

	for (unsigned int at = way->level + 1; at <= LEVEL_LAST; at++)
		shadow_probe_entry(probe, at,
				   PTE_P | PTE_U | (way->read_only & AT(at) ? 0 : PTE_W) |
					   (way->dirty & AT(at) ? PTE_D : 0));
	return probe;
}

static bool is_shadow_stack(const struct way *way)
{
	return (way->leaf & (PTE_W | PTE_D)) == PTE_D && !way->read_only;
}

static uintptr_t read_word(uintptr_t va)
{
	return *(volatile uintptr_t *)va;
}

static uintptr_t write_word(uintptr_t va)
{
	*(volatile uintptr_t *)va = 1;
	return 0;
}

static void expect_ordinary_accesses(const struct shadow_probe *probe, bool writable)
{
	unsigned int vector = writable ? NO_FAULT : PF;

	EXPECT_NO_FAULT(read_word(probe->va));
	EXPECT_FAULT_EQ(user_call(read_word, probe->va).fault, NO_FAULT, 0);
	EXPECT_FAULT_EQ(FAULT_OF(write_word(probe->va)), vector, PF_PRESENT | PF_WRITE);
	EXPECT_FAULT_EQ(user_call(write_word, probe->va).fault, vector,
			PF_PRESENT | PF_WRITE | PF_USER);
}

/* The definition at the head of this file, for one way. */
static void check_way(struct way way)
{
	for (enum shadow_access access = 0; access < SHADOW_BASIC; access++) {
		uint64_t user = shadow_access_kinds[access].user ? PTE_U : 0;

		EXPECT_SHADOW(access, probe_of(&way, user), is_shadow_stack(&way) ? NO_FAULT : PF,
			      PF_PRESENT);
	}
	expect_ordinary_accesses(probe_of(&way, PTE_U), (way.leaf & PTE_W) && !way.read_only);
}

static void begin(enum page_level level)
{
	if (!has_shadow_stacks())
		SKIP("this CPU has no shadow stacks");
	if (level == LEVEL_1G && !has_1g_pages())
		SKIP("this CPU has no leaves of 1 GiB");
	cet_enable();
}

static void check_leaf(enum page_level level, uint64_t leaf)
{
	begin(level);
	check_way((struct way){ .level = level, .leaf = leaf });
}

/* --- the leaf ------------------------------------------------------------------------------------ */

TEST("a 4 KiB leaf that is read-only and dirty maps a shadow stack")
{
	check_leaf(LEVEL_4K, READ_ONLY_DIRTY);
}

TEST("a 4 KiB leaf that is read-only and clean maps none")
{
	check_leaf(LEVEL_4K, READ_ONLY_CLEAN);
}

TEST("a 4 KiB leaf that is read-write and dirty maps none")
{
	check_leaf(LEVEL_4K, READ_WRITE_DIRTY);
}

TEST("a 4 KiB leaf that is read-write and clean maps none")
{
	check_leaf(LEVEL_4K, READ_WRITE_CLEAN);
}

TEST("a 2 MiB leaf that is read-only and dirty maps a shadow stack")
{
	check_leaf(LEVEL_2M, READ_ONLY_DIRTY);
}

TEST("a 2 MiB leaf that is read-only and clean maps none")
{
	check_leaf(LEVEL_2M, READ_ONLY_CLEAN);
}

TEST("a 2 MiB leaf that is read-write and dirty maps none")
{
	check_leaf(LEVEL_2M, READ_WRITE_DIRTY);
}

TEST("a 2 MiB leaf that is read-write and clean maps none")
{
	check_leaf(LEVEL_2M, READ_WRITE_CLEAN);
}

#ifdef __x86_64__
TEST("a 1 GiB leaf that is read-only and dirty maps a shadow stack")
{
	check_leaf(LEVEL_1G, READ_ONLY_DIRTY);
}

TEST("a 1 GiB leaf that is read-only and clean maps none")
{
	check_leaf(LEVEL_1G, READ_ONLY_CLEAN);
}

TEST("a 1 GiB leaf that is read-write and dirty maps none")
{
	check_leaf(LEVEL_1G, READ_WRITE_DIRTY);
}

TEST("a 1 GiB leaf that is read-write and clean maps none")
{
	check_leaf(LEVEL_1G, READ_WRITE_CLEAN);
}
#endif

/* Bit 7 is among them: in a 4 KiB leaf it chooses the memory type, and is not PS. */
TEST("no other flag of a leaf makes a shadow stack, or keeps it from being one")
{
	for (enum page_level level = LEVEL_4K; level <= LEVEL_1G; level++) {
		uint64_t pat = level == LEVEL_4K ? PTE_PAT_4K : PTE_PAT_LARGE;
		const uint64_t flags[] = { PTE_PWT, PTE_PCD, pat, PTE_G, 7 << 9, PTE_NX };

		if (level == LEVEL_1G && !has_1g_pages())
			continue;
		begin(level);
		for (unsigned int i = 0; i < COUNT_OF(flags); i++) {
			check_leaf(level, READ_ONLY_DIRTY | flags[i]);
			check_leaf(level, READ_ONLY_CLEAN | flags[i]);
		}
	}
	tlb_flush_all();
}

TEST("each leaf of a page table decides for its own page")
{
	const struct shadow_probe *probe;

	begin(LEVEL_4K);
	probe = shadow_probe(LEVEL_4K, PTE_SHADOW_USER);
	for (unsigned int i = 1; i < 8; i++)
		map_page(probe->start + i * PAGE_SIZE, (uintptr_t)page_alloc(), LEVEL_4K,
			 leaf_states[i % 4] | PTE_U);
	for (unsigned int i = 0; i < 8; i++) {
		bool shadow = leaf_states[i % 4] == READ_ONLY_DIRTY;

		EXPECT_FAULT_EQ(FAULT_OF(wruss(probe->start + i * PAGE_SIZE, 1)),
				shadow ? NO_FAULT : PF,
				shadow_access_error(SHADOW_WRUSS, PF_PRESENT), "page %u", i);
	}
}

/* --- the entries above it ------------------------------------------------------------------------ */

/* With W clear at all of these levels, in each state of the leaf. */
static void check_read_only_at(enum page_level leaf, unsigned int levels)
{
	begin(leaf);
	for (unsigned int i = 0; i < COUNT_OF(leaf_states); i++)
		check_way(
			(struct way){ .level = leaf, .leaf = leaf_states[i], .read_only = levels });
}

TEST("nothing under a read-only PDE is a shadow stack")
{
	check_read_only_at(LEVEL_4K, AT(LEVEL_2M));
}

#ifdef __x86_64__
TEST("nothing under a read-only PDPTE is a shadow stack: 4 KiB leaf")
{
	check_read_only_at(LEVEL_4K, AT(LEVEL_1G));
}

TEST("nothing under a read-only PDPTE is a shadow stack: 2 MiB leaf")
{
	check_read_only_at(LEVEL_2M, AT(LEVEL_1G));
}

TEST("nothing under a read-only PML4E is a shadow stack: 4 KiB leaf")
{
	check_read_only_at(LEVEL_4K, AT(LEVEL_512G));
}

TEST("nothing under a read-only PML4E is a shadow stack: 2 MiB leaf")
{
	check_read_only_at(LEVEL_2M, AT(LEVEL_512G));
}

TEST("nothing under a read-only PML4E is a shadow stack: 1 GiB leaf")
{
	check_read_only_at(LEVEL_1G, AT(LEVEL_512G));
}

/* One level alone is the points' above. */
TEST("nothing under several read-only entries is a shadow stack: 4 KiB leaf")
{
	check_read_only_at(LEVEL_4K, AT(LEVEL_2M) | AT(LEVEL_1G));
	check_read_only_at(LEVEL_4K, AT(LEVEL_2M) | AT(LEVEL_512G));
	check_read_only_at(LEVEL_4K, AT(LEVEL_1G) | AT(LEVEL_512G));
	check_read_only_at(LEVEL_4K, ABOVE(LEVEL_4K));
}

TEST("nothing under several read-only entries is a shadow stack: 2 MiB leaf")
{
	check_read_only_at(LEVEL_2M, ABOVE(LEVEL_2M));
}
#endif

TEST("a shadow stack is one again when the entry above it is read-write again")
{
	begin(LEVEL_4K);
	for (unsigned int at = LEVEL_2M; at <= LEVEL_LAST; at++) {
		const struct shadow_probe *probe = shadow_probe(LEVEL_4K, PTE_SHADOW_USER);

		shadow_probe_entry(probe, at, PTE_P | PTE_U);
		EXPECT_SHADOW(SHADOW_WRUSS, probe, PF, PF_PRESENT);
		shadow_probe_entry(probe, at, PTE_RAM);
		EXPECT_SHADOW(SHADOW_WRUSS, probe, NO_FAULT, 0);
	}
}

/* D set at each combination of levels above the leaf, which are otherwise as given. */
static void check_dirty_above(enum page_level leaf, unsigned int read_only)
{
	begin(leaf);
	for (unsigned int dirty = NONE; dirty <= ABOVE(leaf); dirty += AT(leaf + 1))
		for (unsigned int i = 0; i < COUNT_OF(leaf_states); i++)
			check_way((struct way){ .level = leaf,
						.leaf = leaf_states[i],
						.read_only = read_only,
						.dirty = dirty });
}

TEST("D in read-write entries above a 4 KiB leaf says nothing")
{
	check_dirty_above(LEVEL_4K, NONE);
}

TEST("read-only and dirty entries above a 4 KiB leaf make no shadow stack of it")
{
	check_dirty_above(LEVEL_4K, AT(LEVEL_2M));
	check_dirty_above(LEVEL_4K, ABOVE(LEVEL_4K));
}

#ifdef __x86_64__
TEST("D in read-write entries above a 2 MiB leaf says nothing")
{
	check_dirty_above(LEVEL_2M, NONE);
}

TEST("read-only and dirty entries above a 2 MiB leaf make no shadow stack of it")
{
	check_dirty_above(LEVEL_2M, AT(LEVEL_1G));
	check_dirty_above(LEVEL_2M, ABOVE(LEVEL_2M));
}

TEST("D in a read-write entry above a 1 GiB leaf says nothing")
{
	check_dirty_above(LEVEL_1G, NONE);
}

TEST("a read-only and dirty entry above a 1 GiB leaf makes no shadow stack of it")
{
	check_dirty_above(LEVEL_1G, ABOVE(LEVEL_1G));
}
#endif
