// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET: ordinary accesses to shadow stacks, and the A and D flags
 *
 * To an access that is not a shadow access, a shadow stack is a read-only page: CPL 0 reads any, CPL 3 its
 * own; nobody writes to it, since CR0.WP is set wherever CR4.CET is; instructions may be fetched unless NX
 * forbids it. The error codes are those of any other page: bit 6 is clear.
 *
 * An access sets A in all entries on its way, whatever kind it is. D is set in the leaf by an ordinary write
 * that is allowed, and else in none: a CPU that has CET sets D in no entry whose R/W is clear, not even where
 * CR0.WP = 0 lets CPL 0 write to a read-only page (CR4.CET being 0 then). Otherwise such a write would make a
 * shadow stack.
 *
 * Sources: Intel SDM volume 3, "Determination of Access Rights", "Page-Fault Exceptions", "Accessed and Dirty
 * Flags"; AMD APM volume 2, "Shadow Stack Protection".
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/registers.h>
#include <x86/shadow_access.h>

#define RET 0xc3

static void begin(void)
{
	if (!has_shadow_stacks())
		SKIP("this CPU has no shadow stacks");
	cet_enable();
}

static bool has_level(enum page_level level)
{
	return level < LEVEL_1G || has_1g_pages();
}

/* --- ordinary accesses --------------------------------------------------------------------------- */

static uintptr_t read_word(uintptr_t va)
{
	return *(volatile uintptr_t *)va;
}

static uintptr_t write_word(uintptr_t va)
{
	*(volatile uintptr_t *)va = 1;
	return 0;
}

/* Locked, and writes what is there already. */
static uintptr_t add_nothing(uintptr_t va)
{
	return __atomic_fetch_add((volatile uintptr_t *)va, 0, __ATOMIC_SEQ_CST);
}

static uintptr_t call_word(uintptr_t va)
{
	((void (*)(void))va)();
	return 0;
}

static struct x86_fault user_fault(user_function *function, uintptr_t va)
{
	return user_call(function, va).fault;
}

TEST("CPL 0 reads shadow stacks of the supervisor and of the user")
{
	begin();
	for (enum page_level level = LEVEL_4K; level <= LEVEL_1G; level++) {
		if (!has_level(level))
			continue;
		EXPECT_NO_FAULT(read_word(shadow_probe(level, PTE_SHADOW_SUPERVISOR)->va));
		EXPECT_NO_FAULT(read_word(shadow_probe(level, PTE_SHADOW_USER)->va));
	}
}

TEST("CPL 3 reads shadow stacks of the user, and not the supervisor's")
{
	begin();
	for (enum page_level level = LEVEL_4K; level <= LEVEL_1G; level++) {
		if (!has_level(level))
			continue;
		EXPECT_FAULT_EQ(user_fault(read_word, shadow_probe(level, PTE_SHADOW_USER)->va),
				NO_FAULT, 0);
		EXPECT_FAULT_EQ(
			user_fault(read_word, shadow_probe(level, PTE_SHADOW_SUPERVISOR)->va), PF,
			PF_PRESENT | PF_USER);
	}
}

static void expect_no_write(user_function *write)
{
	static const uint64_t leaves[] = { PTE_SHADOW_SUPERVISOR, PTE_SHADOW_USER };

	begin();
	for (enum page_level level = LEVEL_4K; level <= LEVEL_1G; level++) {
		for (unsigned int i = 0; has_level(level) && i < COUNT_OF(leaves); i++) {
			const struct shadow_probe *probe = shadow_probe(level, leaves[i]);
			struct x86_fault fault = FAULT_OF(write(probe->va));

			EXPECT_FAULT_EQ(fault, PF, PF_PRESENT | PF_WRITE);
			EXPECT_EQ(fault.cr2, probe->va);
			fault = user_fault(write, probe->va);
			EXPECT_FAULT_EQ(fault, PF, PF_PRESENT | PF_WRITE | PF_USER);
			EXPECT_EQ(fault.cr2, probe->va);
			EXPECT_EQ(shadow_probe_word(probe), 0);
		}
	}
}

TEST("ordinary writes to a shadow stack raise PF at CPL 0 and 3, without the bit of shadow accesses")
{
	expect_no_write(write_word);
}

TEST("a locked instruction that would change nothing raises PF on a shadow stack, too")
{
	expect_no_write(add_nothing);
}

TEST("instructions may be fetched from a shadow stack")
{
	const struct shadow_probe *probe;

	begin();
	probe = shadow_probe(LEVEL_4K, PTE_SHADOW_SUPERVISOR);
	probe->page[0] = RET;
	EXPECT_NO_FAULT(call_word(probe->va));
	EXPECT_FAULT_EQ(user_fault(call_word, probe->va), PF, PF_PRESENT | PF_USER | PF_FETCH);
	probe = shadow_probe(LEVEL_4K, PTE_SHADOW_USER);
	probe->page[0] = RET;
	EXPECT_NO_FAULT(call_word(probe->va));
	EXPECT_FAULT_EQ(user_fault(call_word, probe->va), NO_FAULT, 0);
}

TEST("no instruction is fetched from a shadow stack with NX, and shadow accesses do not mind it")
{
	const struct shadow_probe *probe;

	begin();
	if (!(cpuid_checked(0x80000001, 0).edx & CPUID_80000001_EDX_NX))
		SKIP("this CPU has no NX");
	for (enum shadow_access access = 0; access < SHADOW_PLAIN; access++)
		EXPECT_SHADOW(access,
			      shadow_probe(LEVEL_4K,
					   PTE_SHADOW_SUPERVISOR | PTE_NX |
						   (shadow_access_kinds[access].user ? PTE_U : 0)),
			      NO_FAULT, 0);
	probe = shadow_probe(LEVEL_4K, PTE_SHADOW_USER | PTE_NX);
	probe->page[0] = RET;
	EXPECT_FAULT(PF, PF_PRESENT | PF_FETCH, call_word(probe->va));
	EXPECT_FAULT_EQ(user_fault(call_word, probe->va), PF, PF_PRESENT | PF_USER | PF_FETCH);
}

/* --- A and D ------------------------------------------------------------------------------------- */

/* A shadow stack with A clear in all entries on the way to it. */
static const struct shadow_probe *unaccessed_probe(enum page_level level, uint64_t user)
{
	const struct shadow_probe *probe = shadow_probe(level, PTE_P | PTE_D | user);

	for (unsigned int at = level; at <= LEVEL_LAST; at++)
		EXPECT_EQ(shadow_probe_flags(probe, at) & PTE_A, 0);
	return probe;
}

/* A in all entries, D in the leaf and nowhere else. */
static void expect_flags(const struct shadow_probe *probe, const char *access)
{
	for (unsigned int at = probe->level; at <= LEVEL_LAST; at++)
		EXPECT_EQ(shadow_probe_flags(probe, at) & (PTE_A | PTE_D),
			  at == probe->level ? PTE_A | PTE_D : PTE_A,
			  "%s, entry of level %u, leaf of level %u", access, at, probe->level);
}

static void check_flags(bool write)
{
	begin();
	for (enum page_level level = LEVEL_4K; level <= LEVEL_1G; level++) {
		for (enum shadow_access access = 0; has_level(level) && access < SHADOW_BASIC;
		     access++) {
			const struct shadow_access_kind *kind = &shadow_access_kinds[access];
			const struct shadow_probe *probe;

			if (kind->write != write)
				continue;
			probe = unaccessed_probe(level, kind->user ? PTE_U : 0);
			EXPECT_SHADOW(access, probe, NO_FAULT, 0);
			expect_flags(probe, kind->name);
		}
	}
}

TEST("a shadow load sets A in every entry on its way, and D in none")
{
	check_flags(false);
}

TEST("a shadow store sets A in every entry on its way, and D in none")
{
	check_flags(true);
}

TEST("CALL, RET and RSTORSSP set A in every entry on their way, and D in none")
{
	begin();
	for (enum shadow_access access = SHADOW_BASIC; access < SHADOW_ACCESSES; access++) {
		const struct shadow_probe *probe =
			unaccessed_probe(LEVEL_4K, shadow_access_kinds[access].user ? PTE_U : 0);

		EXPECT_SHADOW(access, probe, NO_FAULT, 0);
		expect_flags(probe, shadow_access_kinds[access].name);
	}
}

TEST("an ordinary read of a shadow stack sets A, and D in none")
{
	begin();
	for (enum page_level level = LEVEL_4K; level <= LEVEL_1G; level++) {
		const struct shadow_probe *probe;

		if (!has_level(level))
			continue;
		probe = unaccessed_probe(level, PTE_U);
		read_word(probe->va);
		expect_flags(probe, "read");
	}
}

/* Whether A is set by an access that is refused the SDM leaves to the CPU. */
static void expect_stays_clean(uint64_t leaf)
{
	begin();
	for (enum shadow_access access = 0; access < SHADOW_PLAIN; access++) {
		const struct shadow_probe *probe = shadow_probe(
			LEVEL_4K, leaf | (shadow_access_kinds[access].user ? PTE_U : 0));

		EXPECT_SHADOW(access, probe, PF, PF_PRESENT);
		EXPECT_EQ(shadow_probe_flags(probe, LEVEL_4K) & (PTE_D | PTE_W), leaf & PTE_W, "%s",
			  shadow_access_kinds[access].name);
	}
}

TEST("a refused shadow access leaves a read-only page clean")
{
	expect_stays_clean(PTE_P | PTE_A);
}

TEST("a refused shadow access leaves a read-write page clean")
{
	expect_stays_clean(PTE_P | PTE_A | PTE_W);
}

TEST("a refused ordinary write leaves a read-only page clean, so that it is no shadow stack after it")
{
	const struct shadow_probe *probe;

	begin();
	probe = shadow_probe(LEVEL_4K, PTE_P | PTE_A | PTE_U);
	EXPECT_FAULT(PF, PF_PRESENT | PF_WRITE, write_word(probe->va));
	EXPECT_FAULT_EQ(user_fault(write_word, probe->va), PF, PF_PRESENT | PF_WRITE | PF_USER);
	EXPECT_EQ(shadow_probe_flags(probe, LEVEL_4K) & PTE_D, 0);
	EXPECT_SHADOW(SHADOW_WRUSS, probe, PF, PF_PRESENT);
}

/* With W cleared after it, the same leaf is a shadow stack. */
TEST("an ordinary write makes a read-write page dirty, and a shadow stack as soon as W is clear")
{
	const struct shadow_probe *probe;

	begin();
	probe = shadow_probe(LEVEL_4K, PTE_P | PTE_W | PTE_U);
	EXPECT_NO_FAULT(write_word(probe->va));
	EXPECT_EQ(shadow_probe_flags(probe, LEVEL_4K) & (PTE_A | PTE_D), PTE_A | PTE_D);
	shadow_probe_entry(probe, LEVEL_4K, shadow_probe_flags(probe, LEVEL_4K) & ~PTE_W);
	EXPECT_SHADOW(SHADOW_WRUSS, probe, NO_FAULT, 0);
}

TEST("a CPU with shadow stacks sets no D in a read-only leaf that it writes through with CR0.WP clear")
{
	if (!has_shadow_stacks())
		SKIP("this CPU has no shadow stacks");
	for (enum page_level level = LEVEL_4K; level <= LEVEL_1G; level++) {
		const struct shadow_probe *probe;

		if (!has_level(level))
			continue;
		probe = shadow_probe(level, PTE_P | PTE_A);
		write_cr0(read_cr0() & ~CR0_WP);
		EXPECT_NO_FAULT(write_word(probe->va));
		write_cr0(read_cr0() | CR0_WP);
		EXPECT_EQ(shadow_probe_word(probe), 1, "level %u", level);
		EXPECT_EQ(shadow_probe_flags(probe, level) & PTE_D, 0, "level %u", level);
	}
}
