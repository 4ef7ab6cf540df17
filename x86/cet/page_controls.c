// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET: shadow stacks and the other controls of paging
 *
 * CR0.WP	is set wherever CR4.CET is: each of the two refuses the change that would end that
 * CR4.CET	clear, no page is a shadow stack: read-only and dirty is read-only
 * CR4.SMAP	concerns ordinary accesses of supervisor mode; shadow accesses of that mode do not reach a
 *		user's page in any case, EFLAGS.AC or not, and WRUSS is of user mode
 * CR4.SMEP	concerns fetches
 * CR4.PKE	gives each user page a key, and shadow accesses are data accesses: PKRU may forbid all of them
 *		or those that write
 * CR4.PKS	does the same for supervisor pages, by IA32_PKRS
 *
 * A key that forbids the access sets bit 5 of the error code, also where the page's type forbids it as well.
 *
 * Sources: Intel SDM volume 3, "Control Registers", "Determination of Access Rights", "Protection Keys",
 * "Page-Fault Exceptions"; AMD APM volume 2, "Shadow Stacks", "Memory Protection Keys".
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/protection_keys.h>
#include <x86/registers.h>
#include <x86/shadow_access.h>

#define RET 0xc3

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
	*(volatile uintptr_t *)va = 1;
	return 0;
}

static uintptr_t call_word(uintptr_t va)
{
	((void (*)(void))va)();
	return 0;
}

/* --- CR0.WP and CR4.CET -------------------------------------------------------------------------- */

TEST("CR0.WP cannot be cleared while CR4.CET is set")
{
	begin();
	EXPECT_FAULT(GP, 0, write_cr0(read_cr0() & ~CR0_WP));
	EXPECT_EQ(read_cr0() & CR0_WP, CR0_WP);
	EXPECT_FAULT(PF, PF_PRESENT | PF_WRITE,
		     write_word(shadow_probe(LEVEL_4K, PTE_SHADOW_SUPERVISOR)->va));
}

TEST("CR4.CET cannot be set while CR0.WP is clear")
{
	begin();
	write_cr4(read_cr4() & ~CR4_CET);
	write_cr0(read_cr0() & ~CR0_WP);
	EXPECT_FAULT(GP, 0, write_cr4(read_cr4() | CR4_CET));
	write_cr0(read_cr0() | CR0_WP);
	EXPECT_EQ(read_cr4() & CR4_CET, 0);
}

TEST("with CR4.CET clear, what was a shadow stack is read-only memory")
{
	static const uint64_t leaves[] = { PTE_SHADOW_SUPERVISOR, PTE_SHADOW_USER };

	begin();
	write_cr4(read_cr4() & ~CR4_CET);
	for (unsigned int i = 0; i < COUNT_OF(leaves); i++) {
		const struct shadow_probe *probe = shadow_probe(LEVEL_4K, leaves[i]);

		EXPECT_FAULT(UD, 0, wruss(probe->va, 1));
		EXPECT_NO_FAULT(read_word(probe->va));
		EXPECT_FAULT(PF, PF_PRESENT | PF_WRITE, write_word(probe->va));
		write_cr0(read_cr0() & ~CR0_WP);
		EXPECT_NO_FAULT(write_word(probe->va));
		write_cr0(read_cr0() | CR0_WP);
		EXPECT_EQ(shadow_probe_word(probe), 1);
	}
}

/* --- SMAP and SMEP ------------------------------------------------------------------------------- */

/*
 * The runtime's own memory is the user's, too: SMAP and SMEP would keep CPL 0 from it. While it is the
 * supervisor's alone, nothing runs at CPL 3.
 */
static void set_memory_user(bool user)
{
#ifdef __x86_64__
	uint64_t entry = *pte_at(0, LEVEL_512G);

	pte_write(0, LEVEL_512G, user ? entry | PTE_U : entry & ~PTE_U);
#else
	for (uint64_t va = 0; va < 1ull << 32; va += LEVEL_SIZE(LEVEL_2M)) {
		uint64_t entry;

		if (va >= VA_FREE && va - VA_FREE < VA_FREE_SIZE)
			continue;
		entry = *pte_at(va, LEVEL_2M);
		pte_write(va, LEVEL_2M, user ? entry | PTE_U : entry & ~PTE_U);
	}
#endif
}

static void protect(uintptr_t cr4)
{
	set_memory_user(false);
	write_cr4(read_cr4() | cr4);
}

static void end_protection(uintptr_t cr4)
{
	write_flags(read_flags() & ~FLAGS_AC);
	write_cr4(read_cr4() & ~cr4);
	set_memory_user(true);
}

static void begin_smap(void)
{
	begin();
	if (!(cpuid_checked(7, 0).ebx & CPUID_7_EBX_SMAP))
		SKIP("this CPU has no SMAP");
}

/* Those that are made at CPL 0, on a page with these flags, with SMAP and this AC. */
static void check_smap(enum shadow_access first, enum shadow_access last, uint64_t flags,
		       uintptr_t ac, unsigned int vector)
{
	protect(CR4_SMAP);
	write_flags(read_flags() | ac);
	for (enum shadow_access access = first; access <= last; access++)
		EXPECT_SHADOW(access, shadow_probe(LEVEL_4K, flags), vector, PF_PRESENT);
	end_protection(CR4_SMAP);
}

TEST("with SMAP, WRUSS writes to a user's shadow stack whatever EFLAGS.AC is")
{
	begin_smap();
	check_smap(SHADOW_WRUSS, SHADOW_WRUSS, PTE_SHADOW_USER, 0, NO_FAULT);
	check_smap(SHADOW_WRUSS, SHADOW_WRUSS, PTE_SHADOW_USER, FLAGS_AC, NO_FAULT);
}

TEST("with SMAP, WRUSS to a user's read-write page is refused whatever EFLAGS.AC is")
{
	begin_smap();
	check_smap(SHADOW_WRUSS, SHADOW_WRUSS, PTE_RAM, 0, PF);
	check_smap(SHADOW_WRUSS, SHADOW_WRUSS, PTE_RAM, FLAGS_AC, PF);
}

TEST("with SMAP, supervisor shadow accesses to a user's shadow stack are refused whatever EFLAGS.AC is")
{
	begin_smap();
	check_smap(SHADOW_STORE, SHADOW_LOAD, PTE_SHADOW_USER, 0, PF);
	check_smap(SHADOW_STORE, SHADOW_LOAD, PTE_SHADOW_USER, FLAGS_AC, PF);
	check_smap(SHADOW_RETURN, SHADOW_RETURN, PTE_SHADOW_USER, FLAGS_AC, PF);
}

TEST("with SMAP, supervisor shadow accesses to a supervisor's shadow stack are allowed")
{
	begin_smap();
	check_smap(SHADOW_STORE, SHADOW_LOAD, PTE_SHADOW_SUPERVISOR, 0, NO_FAULT);
	check_smap(SHADOW_STORE, SHADOW_LOAD, PTE_SHADOW_SUPERVISOR, FLAGS_AC, NO_FAULT);
	check_smap(SHADOW_RETURN, SHADOW_RETURN, PTE_SHADOW_SUPERVISOR, 0, NO_FAULT);
}

TEST("with SMAP, CPL 0 reads a user's shadow stack with EFLAGS.AC only, and a supervisor's always")
{
	const struct shadow_probe *probe;

	begin_smap();
	probe = shadow_probe(LEVEL_4K, PTE_SHADOW_USER);
	protect(CR4_SMAP);
	EXPECT_FAULT(PF, PF_PRESENT, read_word(probe->va));
	write_flags(read_flags() | FLAGS_AC);
	EXPECT_NO_FAULT(read_word(probe->va));
	EXPECT_FAULT(PF, PF_PRESENT | PF_WRITE, write_word(probe->va));
	write_flags(read_flags() & ~FLAGS_AC);
	EXPECT_NO_FAULT(read_word(shadow_probe(LEVEL_4K, PTE_SHADOW_SUPERVISOR)->va));
	end_protection(CR4_SMAP);
}

TEST("with SMEP, CPL 0 fetches from a supervisor's shadow stack and not from a user's")
{
	static const uint64_t leaves[] = { PTE_SHADOW_SUPERVISOR, PTE_SHADOW_USER };

	begin();
	if (!(cpuid_checked(7, 0).ebx & CPUID_7_EBX_SMEP))
		SKIP("this CPU has no SMEP");
	for (unsigned int i = 0; i < COUNT_OF(leaves); i++) {
		const struct shadow_probe *probe = shadow_probe(LEVEL_4K, leaves[i]);

		probe->page[0] = RET;
		protect(CR4_SMEP);
		EXPECT_FAULT_EQ(FAULT_OF(call_word(probe->va)), i ? PF : NO_FAULT,
				PF_PRESENT | PF_FETCH);
		EXPECT_SHADOW(SHADOW_WRUSS, shadow_probe(LEVEL_4K, PTE_SHADOW_USER), NO_FAULT, 0);
		end_protection(CR4_SMEP);
	}
}

/* --- protection keys ----------------------------------------------------------------------------- */

#ifdef __x86_64__
#define KEY	   5u
#define OTHER_KEYS (0xfffffffcu & ~(KEY_NO_ACCESS(KEY) | KEY_NO_WRITE(KEY)))

static void begin_pku(void)
{
	begin();
	if (!(cpuid_checked(7, 0).ecx & CPUID_7_ECX_PKU))
		SKIP("this CPU has no keys for user pages");
}

/* The outcome of a shadow access to a page with these flags and KEY, with this PKRU. */
static void expect_with_pkru(uint32_t pkru, enum shadow_access access, uint64_t flags,
			     unsigned int vector, uint32_t reason)
{
	const struct shadow_probe *probe = shadow_probe(LEVEL_4K, flags | PTE_KEY(KEY));

	write_cr4(read_cr4() | CR4_PKE);
	wrpkru(pkru);
	EXPECT_SHADOW(access, probe, vector, reason);
	wrpkru(0);
	write_cr4(read_cr4() & ~CR4_PKE);
}

/* The same for all accesses of one mode: to shadow stacks, or to what is none. */
static void check_pkru(uint32_t pkru, bool user, uint64_t flags, uint32_t reason_of_loads,
		       uint32_t reason_of_stores)
{
	for (enum shadow_access access = 0; access < SHADOW_PLAIN; access++) {
		const struct shadow_access_kind *kind = &shadow_access_kinds[access];
		uint32_t reason = kind->write ? reason_of_stores : reason_of_loads;

		if (kind->user == user)
			expect_with_pkru(pkru, access, flags, reason ? PF : NO_FAULT, reason);
	}
}

TEST("a key that PKRU forbids keeps user shadow accesses, WRUSS among them, from their pages")
{
	begin_pku();
	check_pkru(KEY_NO_ACCESS(KEY), true, PTE_SHADOW_USER, PF_PRESENT | PF_KEY,
		   PF_PRESENT | PF_KEY);
	check_pkru(KEY_NO_ACCESS(KEY) | KEY_NO_WRITE(KEY), true, PTE_SHADOW_USER,
		   PF_PRESENT | PF_KEY, PF_PRESENT | PF_KEY);
}

TEST("a key that PKRU forbids to write keeps user shadow stores from their pages, and no loads")
{
	begin_pku();
	check_pkru(KEY_NO_WRITE(KEY), true, PTE_SHADOW_USER, 0, PF_PRESENT | PF_KEY);
}

TEST("what PKRU says of other keys is nothing to a user's shadow stack")
{
	begin_pku();
	check_pkru(OTHER_KEYS, true, PTE_SHADOW_USER, 0, 0);
}

TEST("a forbidden key is told of a page that is no shadow stack as well")
{
	static const uint64_t leaves[] = { PTE_RAM, PTE_RAM | PTE_D, PTE_P | PTE_U };

	begin_pku();
	for (unsigned int i = 0; i < COUNT_OF(leaves); i++) {
		check_pkru(KEY_NO_ACCESS(KEY), true, leaves[i], PF_PRESENT | PF_KEY,
			   PF_PRESENT | PF_KEY);
		check_pkru(KEY_NO_WRITE(KEY), true, leaves[i], PF_PRESENT, PF_PRESENT | PF_KEY);
		check_pkru(0, true, leaves[i], PF_PRESENT, PF_PRESENT);
	}
}

TEST("supervisor accesses to a user's shadow stack whose key forbids writing are told so")
{
	begin_pku();
	check_pkru(KEY_NO_WRITE(KEY), false, PTE_SHADOW_USER, PF_PRESENT, PF_PRESENT | PF_KEY);
}

TEST("supervisor accesses to a user's shadow stack whose key forbids access are told so")
{
	begin_pku();
	check_pkru(KEY_NO_ACCESS(KEY), false, PTE_SHADOW_USER, PF_PRESENT | PF_KEY,
		   PF_PRESENT | PF_KEY);
}

TEST("PKRU is nothing to a supervisor's shadow stack: access forbidden")
{
	begin_pku();
	check_pkru(KEY_NO_ACCESS(KEY), false, PTE_SHADOW_SUPERVISOR, 0, 0);
}

TEST("PKRU is nothing to a supervisor's shadow stack: writing forbidden")
{
	begin_pku();
	check_pkru(KEY_NO_WRITE(KEY), false, PTE_SHADOW_SUPERVISOR, 0, 0);
}

TEST("PKRU is not told of a supervisor's shadow stack that the user accesses")
{
	begin_pku();
	check_pkru(KEY_NO_ACCESS(KEY) | KEY_NO_WRITE(KEY), true, PTE_SHADOW_SUPERVISOR, PF_PRESENT,
		   PF_PRESENT);
}

static void begin_pks(void)
{
	begin();
	if (!(cpuid_checked(7, 0).ecx & CPUID_7_ECX_PKS))
		SKIP("this CPU has no keys for supervisor pages");
}

static void check_pkrs(uint32_t pkrs, bool user, uint64_t flags, uint32_t reason_of_loads,
		       uint32_t reason_of_stores)
{
	for (enum shadow_access access = 0; access < SHADOW_PLAIN; access++) {
		const struct shadow_access_kind *kind = &shadow_access_kinds[access];
		uint32_t reason = kind->write ? reason_of_stores : reason_of_loads;
		const struct shadow_probe *probe = shadow_probe(LEVEL_4K, flags | PTE_KEY(KEY));

		if (kind->user != user)
			continue;
		write_cr4(read_cr4() | CR4_PKS);
		wrmsr(MSR_IA32_PKRS, pkrs);
		EXPECT_SHADOW(access, probe, reason ? PF : NO_FAULT, reason);
		wrmsr(MSR_IA32_PKRS, 0);
		write_cr4(read_cr4() & ~CR4_PKS);
	}
}

TEST("a key that IA32_PKRS forbids keeps supervisor shadow accesses from their pages")
{
	begin_pks();
	check_pkrs(KEY_NO_ACCESS(KEY), false, PTE_SHADOW_SUPERVISOR, PF_PRESENT | PF_KEY,
		   PF_PRESENT | PF_KEY);
}

TEST("a key that IA32_PKRS forbids to write keeps supervisor shadow stores away, and no loads")
{
	begin_pks();
	check_pkrs(KEY_NO_WRITE(KEY), false, PTE_SHADOW_SUPERVISOR, 0, PF_PRESENT | PF_KEY);
}

TEST("what IA32_PKRS says of other keys is nothing to a supervisor's shadow stack")
{
	begin_pks();
	check_pkrs(OTHER_KEYS, false, PTE_SHADOW_SUPERVISOR, 0, 0);
}

TEST("IA32_PKRS is nothing to a user's shadow stack")
{
	begin_pks();
	check_pkrs(KEY_NO_ACCESS(KEY) | KEY_NO_WRITE(KEY), true, PTE_SHADOW_USER, 0, 0);
}
#endif
