// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET: one frame at several addresses, as a shadow stack at some of them
 *
 * The type is an address's, not a frame's: x86/cet/page_type.c has its definition. A frame may be a shadow
 * stack at one address and ordinary memory at another, and both see the same data at once.
 *
 * The addresses may share their leaf: two entries above it lead to the same table, one read-write and the
 * other read-only. A database that maps its memory so sets D by its writes through the one; the other must not
 * become a shadow stack by that, and does not, since R/W has to be set in all entries above a shadow stack's
 * leaf. A VMM or kernel that decides by the leaf alone, or keeps one type for each frame, is seen here.
 *
 * Sources: Intel SDM volume 3, "Determination of Access Rights"; Andrew Cooper on the kernel's list, 5 October
 * 2022, "x86/mm: Introduce _PAGE_COW".
 */
#include <test/test.h>
#include <x86/shadow_access.h>

#define READ_ONLY_TABLE	 (PTE_P | PTE_U)
#define READ_WRITE_CLEAN (PTE_P | PTE_U | PTE_W)

/* The aliases that a test maps are so many entries of their level behind the probe, where nothing is. */
#define ALIAS_DISTANCE 16

static void begin(void)
{
	if (!has_shadow_stacks())
		SKIP("this CPU has no shadow stacks");
	cet_enable();
}

static uintptr_t read_word(uintptr_t va)
{
	return *(volatile uintptr_t *)va;
}

static uintptr_t write_word(uintptr_t va)
{
	*(volatile uintptr_t *)va = va;
	return 0;
}

/* The probe at another address, which an entry of this level leads to through the same tables. */
static struct shadow_probe alias_through(const struct shadow_probe *probe, unsigned int level,
					 uint64_t flags)
{
	struct shadow_probe alias = *probe;
	uintptr_t distance = ALIAS_DISTANCE * LEVEL_SIZE(level);

	alias.start += distance;
	alias.va += distance;
	pte_write(alias.start, level, (*pte_at(probe->start, level) & PTE_ADDRESS) | flags);
	return alias;
}

/* CPL 0 loads only from right behind its shadow stack, where an alias is not. */
static void expect_type(const struct shadow_probe *probe, bool shadow)
{
	EXPECT_SHADOW(SHADOW_WRUSS, probe, shadow ? NO_FAULT : PF, PF_PRESENT);
	EXPECT_SHADOW(SHADOW_USER_STORE, probe, shadow ? NO_FAULT : PF, PF_PRESENT);
	EXPECT_SHADOW(SHADOW_USER_LOAD, probe, shadow ? NO_FAULT : PF, PF_PRESENT);
}

static void check_database(enum page_level leaf, unsigned int shared)
{
	const struct shadow_probe *probe;
	struct shadow_probe alias;

	begin();
	probe = shadow_probe(leaf, READ_WRITE_CLEAN);
	alias = alias_through(probe, shared, READ_ONLY_TABLE);
	EXPECT_EQ(shadow_probe_flags(probe, leaf) & PTE_D, 0);
	EXPECT_EQ(read_word(alias.va), 0);
	expect_type(&alias, false);

	EXPECT_NO_FAULT(write_word(probe->va));
	EXPECT_EQ(shadow_probe_flags(probe, leaf) & PTE_D, PTE_D);
	EXPECT_EQ(read_word(alias.va), probe->va);
	expect_type(&alias, false);
	EXPECT_FAULT(PF, PF_PRESENT | PF_WRITE, write_word(alias.va));
	EXPECT_FAULT_EQ(user_call(write_word, alias.va).fault, PF, PF_PRESENT | PF_WRITE | PF_USER);
	pte_write(alias.start, shared, 0);
}

/* One leaf, read-only and dirty: which of its two addresses is a shadow stack the entries above tell. */
static void check_one_leaf(enum page_level leaf, unsigned int shared)
{
	const struct shadow_probe *probe;
	struct shadow_probe alias;

	begin();
	probe = shadow_probe(leaf, PTE_SHADOW_USER);
	alias = alias_through(probe, shared, READ_ONLY_TABLE);
	expect_type(probe, true);
	expect_type(&alias, false);
	EXPECT_EQ(read_word(alias.va), read_word(probe->va));

	pte_write(alias.start, shared, *pte_at(alias.start, shared) | PTE_D);
	expect_type(&alias, false);
	pte_write(alias.start, shared, *pte_at(alias.start, shared) | PTE_W);
	expect_type(&alias, true);
	expect_type(probe, true);
	pte_write(alias.start, shared, 0);
}

TEST("a read-only alias by a PDE is no shadow stack when writes make the shared leaf dirty")
{
	check_database(LEVEL_4K, LEVEL_2M);
}

TEST("a leaf shared by a read-write and a read-only PDE is a shadow stack under the first only")
{
	check_one_leaf(LEVEL_4K, LEVEL_2M);
}

#ifdef __x86_64__
TEST("a read-only alias by a PDPTE is no shadow stack when writes make the shared leaf dirty")
{
	check_database(LEVEL_4K, LEVEL_1G);
	check_database(LEVEL_2M, LEVEL_1G);
}

TEST("a leaf shared by a read-write and a read-only PDPTE is a shadow stack under the first only")
{
	check_one_leaf(LEVEL_4K, LEVEL_1G);
	check_one_leaf(LEVEL_2M, LEVEL_1G);
}

TEST("a read-only alias by a PML4E is no shadow stack when writes make the shared leaf dirty")
{
	check_database(LEVEL_4K, LEVEL_512G);
	check_database(LEVEL_2M, LEVEL_512G);
}

TEST("a leaf shared by a read-write and a read-only PML4E is a shadow stack under the first only")
{
	check_one_leaf(LEVEL_4K, LEVEL_512G);
	check_one_leaf(LEVEL_2M, LEVEL_512G);
}
#endif

/* A leaf of its own for the probe's frame, at the probe's second page. */
static struct shadow_probe second_leaf(const struct shadow_probe *probe, uint64_t flags)
{
	struct shadow_probe alias = *probe;

	alias.start += PAGE_SIZE;
	alias.va += PAGE_SIZE;
	map_page(alias.start, probe->pa, LEVEL_4K, flags);
	return alias;
}

TEST("a frame may be a shadow stack by one leaf and read-write by another")
{
	const struct shadow_probe *probe;
	struct shadow_probe alias;

	begin();
	probe = shadow_probe(LEVEL_4K, PTE_SHADOW_USER);
	alias = second_leaf(probe, PTE_RAM);
	expect_type(probe, true);
	expect_type(&alias, false);
	EXPECT_NO_FAULT(write_word(alias.va));
	EXPECT_FAULT_EQ(user_call(write_word, alias.va).fault, NO_FAULT, 0);
	EXPECT_FAULT(PF, PF_PRESENT | PF_WRITE, write_word(probe->va));
}

TEST("a frame may be a shadow stack by one leaf and read-only by another")
{
	const struct shadow_probe *probe;
	struct shadow_probe alias;

	begin();
	probe = shadow_probe(LEVEL_4K, PTE_SHADOW_USER);
	alias = second_leaf(probe, PTE_P | PTE_U);
	expect_type(probe, true);
	expect_type(&alias, false);
	EXPECT_EQ(read_word(alias.va), read_word(probe->va));
}

TEST("what is written by a shadow store is read at the frame's read-write address")
{
	const struct shadow_probe *probe;
	struct shadow_probe alias;

	begin();
	probe = shadow_probe(LEVEL_4K, PTE_SHADOW_USER);
	alias = second_leaf(probe, PTE_RAM);
	EXPECT_EQ(read_word(alias.va), 0);
	for (uintptr_t value = 1; value <= 64; value++) {
		wruss(probe->va, value);
		EXPECT_EQ(read_word(alias.va), value);
	}
}

/* What RSTORSSP finds there is good and bad in turn. */
TEST("what is written at the frame's read-write address is loaded by a shadow load")
{
	const struct shadow_probe *probe;
	struct shadow_probe alias;

	begin();
	probe = shadow_probe(LEVEL_4K, PTE_SHADOW_SUPERVISOR);
	alias = second_leaf(probe, PTE_RAM);
	for (unsigned int i = 0; i < 8; i++) {
		uint64_t token = shadow_restore_token(probe) + (i & 1 ? PAGE_SIZE : 0);
		struct x86_fault fault;

		ON_SHADOW_STACK(&probe->below, 0,
				fault = FAULT_OF(*(volatile uint64_t *)alias.va = token;
						 rstorssp(probe->va); wrmsr(MSR_IA32_S_CET, 0)));
		EXPECT_FAULT_EQ(fault, i & 1 ? CP : NO_FAULT, CP_RSTORSSP, "round %u", i);
	}
}

TEST("two shadow stacks of one frame see each other's stores")
{
	const struct shadow_probe *probe;
	struct shadow_probe alias;

	begin();
	probe = shadow_probe(LEVEL_4K, PTE_SHADOW_USER);
	alias = second_leaf(probe, PTE_SHADOW_USER);
	for (uintptr_t value = 1; value <= 64; value += 2) {
		wruss(probe->va, value);
		EXPECT_EQ(read_word(alias.va), value);
		wruss(alias.va, value + 1);
		EXPECT_EQ(read_word(probe->va), value + 1);
	}
}

TEST("one frame may be a shadow stack of the supervisor and one of the user")
{
	const struct shadow_probe *probe;
	struct shadow_probe alias;

	begin();
	probe = shadow_probe(LEVEL_4K, PTE_SHADOW_SUPERVISOR);
	alias = second_leaf(probe, PTE_SHADOW_USER);
	EXPECT_SHADOW(SHADOW_STORE, probe, NO_FAULT, 0);
	EXPECT_SHADOW(SHADOW_WRUSS, probe, PF, PF_PRESENT);
	EXPECT_SHADOW(SHADOW_WRUSS, &alias, NO_FAULT, 0);
	EXPECT_SHADOW(SHADOW_STORE, &alias, PF, PF_PRESENT);
}

/* The runtime's own mapping of all memory has read-write leaves of 2 MiB: the reverse of this. */
TEST("a shadow stack of 2 MiB and a read-write page of 4 KiB in it see each other's stores")
{
	const struct shadow_probe *large, *small;
	uintptr_t middle;

	begin();
	large = shadow_probe(LEVEL_2M, PTE_SHADOW_USER);
	small = shadow_probe(LEVEL_4K, PTE_RAM);
	middle = large->start + 5 * PAGE_SIZE;
	map_page(small->start + PAGE_SIZE, large->pa + 5 * PAGE_SIZE, LEVEL_4K, PTE_RAM);
	wruss(middle, 7);
	EXPECT_EQ(read_word(small->start + PAGE_SIZE), 7);
	EXPECT_NO_FAULT(write_word(small->start + PAGE_SIZE));
	EXPECT_EQ(read_word(middle), small->start + PAGE_SIZE);
	EXPECT_FAULT(PF, PF_PRESENT | PF_WRITE, write_word(middle));
	EXPECT_FAULT(PF, shadow_access_error(SHADOW_WRUSS, PF_PRESENT),
		     wruss(small->start + PAGE_SIZE, 8));
}
