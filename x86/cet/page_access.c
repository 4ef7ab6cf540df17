// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET: accesses to shadow stacks, allowed and refused
 *
 * A shadow access is one of user mode at CPL 3, and by WRUSS, and else one of supervisor mode. It is allowed
 * to a shadow stack of its own mode only; neither reaches the other's. What is refused is #PF with
 *
 *	bit 0	the entries were all present
 *	bit 1	a store, or a locked load and store
 *	bit 2	made in user mode (so that WRUSS at CPL 0 has it)
 *	bit 3	a reserved bit was set in an entry
 *	bit 6	a shadow access: it tells of the access, and not of the page
 *
 * and the address in CR2. To ordinary accesses a shadow stack is a read-only page: bit 6 is clear.
 *
 * Shadow accesses set A in the entries on their way as all accesses do. They set no D, since without it there
 * is no shadow stack; and a CPU with CET sets D in no entry whose R/W is clear, so that it never makes one.
 *
 * Sources: Intel SDM volume 3, "Determination of Access Rights", "Page-Fault Exceptions", "Accessed and Dirty
 * Flags"; volume 1, "Shadow Stacks"; volume 2, CALL, RET, INCSSP, RSTORSSP, WRSS, WRUSS; AMD APM volume 2,
 * "Shadow Stacks".
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/shadow_access.h>

#define READ_WRITE_CLEAN (PTE_P | PTE_A | PTE_W)
#define READ_WRITE_DIRTY (READ_WRITE_CLEAN | PTE_D)
#define READ_ONLY_CLEAN	 (PTE_P | PTE_A)

/* Reserved in a leaf of 2 MiB or 1 GiB. */
#define PTE_RESERVED_LARGE (1ull << 13)

static void begin(void)
{
	if (!has_shadow_stacks())
		SKIP("this CPU has no shadow stacks");
	cet_enable();
}

static uint64_t user_flag(enum shadow_access access)
{
	return shadow_access_kinds[access].user ? PTE_U : 0;
}

/* --- modes --------------------------------------------------------------------------------------- */

/* All accesses from first to last that are of this mode, to a leaf with these flags. */
static void expect_of_mode(bool user, uint64_t flags, unsigned int vector)
{
	for (enum shadow_access access = 0; access < SHADOW_PLAIN; access++)
		if (shadow_access_kinds[access].user == user)
			EXPECT_SHADOW(access, shadow_probe(LEVEL_4K, flags), vector, PF_PRESENT);
}

TEST("loads and stores of supervisor mode reach a supervisor's shadow stack")
{
	begin();
	expect_of_mode(false, PTE_SHADOW_SUPERVISOR, NO_FAULT);
}

TEST("loads and stores of user mode, WRUSS among them, reach a user's shadow stack")
{
	begin();
	expect_of_mode(true, PTE_SHADOW_USER, NO_FAULT);
}

TEST("loads and stores of supervisor mode do not reach a user's shadow stack")
{
	begin();
	expect_of_mode(false, PTE_SHADOW_USER, PF);
}

TEST("loads and stores of user mode, WRUSS among them, do not reach a supervisor's shadow stack")
{
	begin();
	expect_of_mode(true, PTE_SHADOW_SUPERVISOR, PF);
}

TEST("RSTORSSP reaches a shadow stack of its own mode")
{
	begin();
	EXPECT_SHADOW(SHADOW_RESTORE, shadow_probe(LEVEL_4K, PTE_SHADOW_SUPERVISOR), NO_FAULT, 0);
	EXPECT_SHADOW(SHADOW_USER_RESTORE, shadow_probe(LEVEL_4K, PTE_SHADOW_USER), NO_FAULT, 0);
}

/* The address is the user's if all entries have U: the leaf alone does not tell. */
static void check_modes_of_tables(enum page_level leaf)
{
	begin();
	for (unsigned int above = 0; above < 1u << (LEVEL_LAST - leaf); above++) {
		const struct shadow_probe *probe = shadow_probe(leaf, PTE_SHADOW_USER);
		bool is_user = !above;

		for (unsigned int at = leaf + 1; at <= LEVEL_LAST; at++)
			if (above & 1u << (at - leaf - 1))
				shadow_probe_entry(probe, at, PTE_P | PTE_W);
		for (enum shadow_access access = 0; access < SHADOW_BASIC; access++)
			EXPECT_SHADOW(access, probe,
				      shadow_access_kinds[access].user == is_user ? NO_FAULT : PF,
				      PF_PRESENT);
	}
}

TEST("an entry without U above a 4 KiB leaf makes a supervisor's shadow stack of a user's")
{
	check_modes_of_tables(LEVEL_4K);
}

#ifdef __x86_64__
TEST("an entry without U above a 2 MiB leaf makes a supervisor's shadow stack of a user's")
{
	check_modes_of_tables(LEVEL_2M);
}

TEST("an entry without U above a 1 GiB leaf makes a supervisor's shadow stack of a user's")
{
	if (!has_1g_pages())
		SKIP("this CPU has no leaves of 1 GiB");
	check_modes_of_tables(LEVEL_1G);
}
#endif

/* --- error codes --------------------------------------------------------------------------------- */

static void expect_all(uint64_t leaf, uint32_t reason)
{
	for (enum shadow_access access = 0; access < SHADOW_PLAIN; access++)
		EXPECT_SHADOW(access, shadow_probe(LEVEL_4K, leaf | user_flag(access)), PF, reason);
}

/* The same with the entry of a higher level. */
static void expect_all_above(unsigned int level, uint64_t flags, uint32_t reason)
{
	for (enum shadow_access access = 0; access < SHADOW_PLAIN; access++) {
		const struct shadow_probe *probe =
			shadow_probe(LEVEL_4K, PTE_SHADOW_SUPERVISOR | user_flag(access));

		shadow_probe_entry(probe, level, flags);
		EXPECT_SHADOW(access, probe, PF, reason);
	}
}

TEST("a shadow access to a leaf that is not present has no P in its error code")
{
	begin();
	expect_all(0, 0);
	expect_all(PTE_A | PTE_D, 0);
}

TEST("a shadow access through an entry that is not present has no P in its error code")
{
	begin();
	for (unsigned int level = LEVEL_2M; level <= LEVEL_LAST; level++)
		expect_all_above(level, PTE_RAM & ~PTE_P, 0);
}

#ifndef __x86_64__
TEST("a shadow access through a PDPTE that is not present has no P in its error code")
{
	begin();
	for (enum shadow_access access = 0; access < SHADOW_PLAIN; access++) {
		const struct shadow_probe *probe =
			shadow_probe(LEVEL_4K, PTE_SHADOW_SUPERVISOR | user_flag(access));
		uint64_t entry = *pte_at(probe->start, LEVEL_1G);
		struct x86_fault fault;

		/* The supervisor's shadow stack is under the same PDPTE. */
		if (!shadow_access_kinds[access].user)
			continue;
		pte_write(probe->start, LEVEL_1G, entry & ~PTE_P);
		fault = shadow_access(access, probe);
		pte_write(probe->start, LEVEL_1G, entry);
		EXPECT_FAULT_EQ(fault, PF, shadow_access_error(access, 0), "%s",
				shadow_access_kinds[access].name);
	}
}
#endif

TEST("a shadow access to a read-only and clean page has P in its error code")
{
	begin();
	expect_all(READ_ONLY_CLEAN, PF_PRESENT);
}

TEST("a shadow access to a read-write page has P in its error code, clean or dirty")
{
	begin();
	expect_all(READ_WRITE_CLEAN, PF_PRESENT);
	expect_all(READ_WRITE_DIRTY, PF_PRESENT);
}

TEST("a shadow access under a read-only entry has P in its error code")
{
	begin();
	for (unsigned int level = LEVEL_2M; level <= LEVEL_LAST; level++)
		expect_all_above(level, PTE_P | PTE_U, PF_PRESENT);
}

TEST("a shadow access to a leaf with a reserved bit has RSVD and P in its error code")
{
	static const uint64_t leaves[] = { PTE_SHADOW_SUPERVISOR, READ_WRITE_DIRTY,
					   READ_ONLY_CLEAN };

	begin();
	for (enum shadow_access access = 0; access < SHADOW_BASIC; access++)
		for (unsigned int i = 0; i < COUNT_OF(leaves); i++)
			EXPECT_SHADOW(access,
				      shadow_probe(LEVEL_2M, leaves[i] | PTE_RESERVED_LARGE |
								     user_flag(access)),
				      PF, PF_PRESENT | PF_RESERVED);
}

#ifdef __x86_64__
TEST("a shadow access to a 1 GiB leaf with a reserved bit has RSVD and P in its error code")
{
	begin();
	if (!has_1g_pages())
		SKIP("this CPU has no leaves of 1 GiB");
	for (enum shadow_access access = 0; access < SHADOW_BASIC; access++)
		EXPECT_SHADOW(access,
			      shadow_probe(LEVEL_1G, PTE_SHADOW_SUPERVISOR | PTE_RESERVED_LARGE |
							     user_flag(access)),
			      PF, PF_PRESENT | PF_RESERVED);
}

/* Where PS would make a leaf of 512 GiB. */
TEST("a shadow access through a PML4E with PS has RSVD and P in its error code")
{
	begin();
	expect_all_above(LEVEL_512G, PTE_RAM | PTE_PS, PF_PRESENT | PF_RESERVED);
}
#endif

/* RSTORSSP locks what it loads, and stores there whatever it found: its #PF is a store's. */
TEST("RSTORSSP, which loads and stores, has W in its error code")
{
	static const uint64_t leaves[] = { READ_ONLY_CLEAN, READ_WRITE_CLEAN, READ_WRITE_DIRTY };

	begin();
	for (enum shadow_access access = SHADOW_PLAIN; access < SHADOW_ACCESSES; access++) {
		EXPECT_SHADOW(access, shadow_probe(LEVEL_4K, user_flag(access)), PF, 0);
		EXPECT_SHADOW(access, shadow_probe(LEVEL_4K, PTE_SHADOW_USER ^ user_flag(access)),
			      PF, PF_PRESENT);
		for (unsigned int i = 0; i < COUNT_OF(leaves); i++)
			EXPECT_SHADOW(access, shadow_probe(LEVEL_4K, leaves[i] | user_flag(access)),
				      PF, PF_PRESENT);
	}
}

/* Whether as a load or as a store the point before tells. */
TEST("RSTORSSP to what is no shadow stack of its mode raises PF for a shadow access")
{
	static const uint64_t leaves[] = { 0, READ_ONLY_CLEAN, READ_WRITE_CLEAN, READ_WRITE_DIRTY };

	begin();
	for (enum shadow_access access = SHADOW_PLAIN; access < SHADOW_ACCESSES; access++) {
		for (unsigned int i = 0; i <= COUNT_OF(leaves); i++) {
			uint64_t leaf = i < COUNT_OF(leaves) ? leaves[i] | user_flag(access)
							     : PTE_SHADOW_USER ^ user_flag(access);
			struct x86_fault fault =
				shadow_access(access, shadow_probe(LEVEL_4K, leaf));

			fault.error_code |= PF_WRITE;
			EXPECT_FAULT_EQ(fault, PF, shadow_access_error(access, leaf & PTE_P),
					"leaf 0x%llx", (unsigned long long)leaf);
		}
	}
}

TEST("CR2 has the address of the word, wherever it is in its page")
{
	static const uint16_t offsets[] = { 0, 8, 0x7f8, 0x800, 0xff8 };
	const struct shadow_probe *probe;

	begin();
	probe = shadow_probe(LEVEL_4K, READ_WRITE_CLEAN | PTE_U);
	for (unsigned int i = 0; i < COUNT_OF(offsets); i++) {
		struct x86_fault fault = FAULT_OF(wruss(probe->va + offsets[i], 1));

		EXPECT_FAULT_EQ(fault, PF, shadow_access_error(SHADOW_WRUSS, PF_PRESENT));
		EXPECT_EQ(fault.cr2, probe->va + offsets[i]);
		fault = FAULT_OF(wruss32(probe->va + offsets[i] + 4, 1));
		EXPECT_FAULT_EQ(fault, PF, shadow_access_error(SHADOW_WRUSS, PF_PRESENT));
		EXPECT_EQ(fault.cr2, probe->va + offsets[i] + 4);
	}
}
