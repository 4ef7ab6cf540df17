// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET: a change of a page's type, and the TLB
 *
 * A TLB entry holds what the paging structures said when it was made: after a change of the type the CPU may
 * go by the old one, or by the new one, until the entry is gone. Both are accepted here until then, and nothing
 * else; from then on it is the new type and no other. The entry is gone
 *
 *	by INVLPG of an address in the page, whatever level the change was at;
 *	by a load of CR3, if the page is not global; by a change of CR4.PGE even then;
 *	by the #PF that it has caused: a shadow access that the old type refuses is allowed when repeated.
 *
 * What is not present is in no TLB, so that a page that becomes a shadow stack is one at once. All that
 * concerns the CPU that does it: another CPU has a TLB of its own.
 *
 * WRUSS is the access that tells the types apart: it needs CR4.CET alone, and no other memory.
 *
 * Sources: Intel SDM volume 3, "Caching Translation Information": "Operations that Invalidate TLBs and
 * Paging-Structure Caches", "Optional Invalidation", "Delayed Invalidation"; AMD APM volume 2, "Translation-
 * Lookaside Buffer (TLB)".
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/registers.h>
#include <x86/shadow_access.h>
#include <x86/smp.h>

#define SHADOW_STACK	 PTE_SHADOW_USER
#define READ_ONLY_CLEAN	 (PTE_P | PTE_U | PTE_A)
#define READ_WRITE_DIRTY (PTE_RAM | PTE_A | PTE_D)

#define CR4_PCIDE	 (1ul << 17)
#define CR3_NO_FLUSH	 (1ull << 63)
#define CPUID_1_ECX_PCID (1u << 17)

struct change {
	const char *name;
	uint64_t before, after;
};

static const struct change changes[] = {
	{ "read-write to shadow stack", READ_WRITE_DIRTY, SHADOW_STACK },
	{ "shadow stack to read-write", SHADOW_STACK, READ_WRITE_DIRTY },
	{ "read-only to shadow stack", READ_ONLY_CLEAN, SHADOW_STACK },
	{ "shadow stack to read-only", SHADOW_STACK, READ_ONLY_CLEAN },
	{ "the supervisor's shadow stack to the user's", PTE_SHADOW_SUPERVISOR, SHADOW_STACK },
	{ "the user's shadow stack to the supervisor's", SHADOW_STACK, PTE_SHADOW_SUPERVISOR },
	{ "shadow stack to not present", SHADOW_STACK, 0 },
};

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

static bool is_shadow(uint64_t leaf)
{
	return (leaf & ~PTE_G) == SHADOW_STACK;
}

static bool is_writable(uint64_t leaf)
{
	return leaf & PTE_W;
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

/* Has the TLB know the page by all accesses that it allows; a #PF takes it out again, so these are first. */
static void use(const struct shadow_probe *probe, uint64_t leaf)
{
	if (!(leaf & PTE_P))
		return;
	if (is_shadow(leaf)) {
		FAULT_OF(write_word(probe->va));
		EXPECT_SHADOW(SHADOW_WRUSS, probe, NO_FAULT, 0);
	} else {
		EXPECT_SHADOW(SHADOW_WRUSS, probe, PF, PF_PRESENT);
		if (is_writable(leaf))
			EXPECT_NO_FAULT(write_word(probe->va));
	}
	read_word(probe->va);
}

static void expect_new_type(const struct shadow_probe *probe, uint64_t leaf, const char *name)
{
	uint32_t present = leaf & PTE_P ? PF_PRESENT : 0;
	struct x86_fault fault = shadow_access(SHADOW_WRUSS, probe);

	EXPECT_FAULT_EQ(fault, is_shadow(leaf) ? NO_FAULT : PF,
			shadow_access_error(SHADOW_WRUSS, present), "%s", name);
	fault = FAULT_OF(write_word(probe->va));
	EXPECT_FAULT_EQ(fault, is_writable(leaf) ? NO_FAULT : PF, present | PF_WRITE, "%s", name);
}

/* One shadow access, which may go by either. The page stays in the TLB as it is, unless it is refused. */
static void expect_either_type(const struct shadow_probe *probe, const char *name)
{
	struct x86_fault fault = shadow_access(SHADOW_WRUSS, probe);
	uint32_t error = shadow_access_error(SHADOW_WRUSS, 0);

	if (fault.vector == NO_FAULT)
		return;
	EXPECT_FAULT_EQ(fault, PF, error | (fault.error_code & PF_PRESENT), "%s", name);
	EXPECT_EQ(fault.cr2, probe->va, "%s", name);
}

/* --- the leaf ------------------------------------------------------------------------------------ */

static void check_invlpg(enum page_level level)
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(changes); i++) {
		const struct change *change = &changes[i];
		const struct shadow_probe *probe = shadow_probe(level, change->before);

		use(probe, change->before);
		shadow_probe_entry_unflushed(probe, level, change->after);
		invlpg(probe->va);
		expect_new_type(probe, change->after, change->name);
	}
}

TEST("after INVLPG the new type of a 4 KiB page holds")
{
	check_invlpg(LEVEL_4K);
}

TEST("after INVLPG the new type of a 2 MiB page holds")
{
	check_invlpg(LEVEL_2M);
}

#ifdef __x86_64__
TEST("after INVLPG the new type of a 1 GiB page holds")
{
	if (!has_1g_pages())
		SKIP("this CPU has no leaves of 1 GiB");
	check_invlpg(LEVEL_1G);
}
#endif

TEST("INVLPG of one address in a large page is enough for all of it")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(changes); i++) {
		const struct shadow_probe *probe = shadow_probe(LEVEL_2M, changes[i].before);

		use(probe, changes[i].before);
		shadow_probe_entry_unflushed(probe, LEVEL_2M, changes[i].after);
		invlpg(probe->va + LEVEL_SIZE(LEVEL_2M) - 1);
		expect_new_type(probe, changes[i].after, changes[i].name);
	}
}

TEST("before INVLPG the old type holds or the new, and after it the new alone")
{
	begin();
	for (enum page_level level = LEVEL_4K; level <= LEVEL_1G; level++) {
		for (unsigned int i = 0; has_level(level) && i < COUNT_OF(changes); i++) {
			const struct change *change = &changes[i];
			const struct shadow_probe *probe = shadow_probe(level, change->before);

			use(probe, change->before);
			shadow_probe_entry_unflushed(probe, level, change->after);
			expect_either_type(probe, change->name);
			invlpg(probe->va);
			expect_new_type(probe, change->after, change->name);
		}
	}
}

/* Its #PF has taken the old entry out of the TLB. */
TEST("a shadow access that only the old type refuses is allowed when it is repeated")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(changes); i++) {
		const struct change *change = &changes[i];
		const struct shadow_probe *probe;

		if (!is_shadow(change->after))
			continue;
		probe = shadow_probe(LEVEL_4K, change->before);
		use(probe, change->before);
		shadow_probe_entry_unflushed(probe, LEVEL_4K, change->after);
		expect_either_type(probe, change->name);
		EXPECT_SHADOW(SHADOW_WRUSS, probe, NO_FAULT, 0);
	}
}

TEST("an ordinary write that only the old type refuses is allowed when it is repeated")
{
	const struct shadow_probe *probe;
	struct x86_fault fault;

	begin();
	probe = shadow_probe(LEVEL_4K, SHADOW_STACK);
	use(probe, SHADOW_STACK);
	shadow_probe_entry_unflushed(probe, LEVEL_4K, READ_WRITE_DIRTY);
	fault = FAULT_OF(write_word(probe->va));
	if (fault.vector != NO_FAULT)
		EXPECT_FAULT_EQ(fault, PF, PF_PRESENT | PF_WRITE);
	EXPECT_NO_FAULT(write_word(probe->va));
}

TEST("a page that was not present is a shadow stack at once")
{
	begin();
	for (enum page_level level = LEVEL_4K; level <= LEVEL_1G; level++) {
		const struct shadow_probe *probe;

		if (!has_level(level))
			continue;
		probe = shadow_probe(level, 0);
		EXPECT_SHADOW(SHADOW_WRUSS, probe, PF, 0);
		shadow_probe_entry_unflushed(probe, level, SHADOW_STACK);
		EXPECT_SHADOW(SHADOW_WRUSS, probe, NO_FAULT, 0);
	}
}

/* --- the entries above it ------------------------------------------------------------------------ */

TEST("after INVLPG a shadow stack under an entry that has become read-only is none")
{
	begin();
	for (unsigned int at = LEVEL_2M; at <= LEVEL_LAST; at++) {
		const struct shadow_probe *probe = shadow_probe(LEVEL_4K, SHADOW_STACK);

		use(probe, SHADOW_STACK);
		shadow_probe_entry_unflushed(probe, at, PTE_RAM & ~PTE_W);
		expect_either_type(probe, "before INVLPG");
		invlpg(probe->va);
		EXPECT_SHADOW(SHADOW_WRUSS, probe, PF, PF_PRESENT);
	}
}

TEST("after INVLPG a read-only and dirty page under an entry that has become read-write is a shadow stack")
{
	begin();
	for (unsigned int at = LEVEL_2M; at <= LEVEL_LAST; at++) {
		const struct shadow_probe *probe = shadow_probe(LEVEL_4K, SHADOW_STACK);

		shadow_probe_entry(probe, at, PTE_RAM & ~PTE_W);
		EXPECT_SHADOW(SHADOW_WRUSS, probe, PF, PF_PRESENT);
		read_word(probe->va);
		shadow_probe_entry_unflushed(probe, at, PTE_RAM);
		expect_either_type(probe, "before INVLPG");
		invlpg(probe->va);
		EXPECT_SHADOW(SHADOW_WRUSS, probe, NO_FAULT, 0);
	}
}

/* --- other flushes, global pages ----------------------------------------------------------------- */

static void check_flush(uint64_t global, void (*flush)(void), bool is_enough)
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(changes); i++) {
		uint64_t before = changes[i].before | global, after = changes[i].after | global;
		const struct shadow_probe *probe = shadow_probe(LEVEL_4K, before);

		use(probe, before);
		shadow_probe_entry_unflushed(probe, LEVEL_4K, after);
		flush();
		if (!is_enough) {
			expect_either_type(probe, changes[i].name);
			invlpg(probe->va);
		}
		expect_new_type(probe, after, changes[i].name);
	}
	tlb_flush_all();
}

TEST("after a load of CR3 the new type holds")
{
	check_flush(0, tlb_flush, true);
}

TEST("after a load of CR3 the old type of a global page holds or the new, and after INVLPG the new")
{
	check_flush(PTE_G, tlb_flush, false);
}

TEST("after a change of CR4.PGE the new type of a global page holds")
{
	check_flush(PTE_G, tlb_flush_all, true);
}

#ifdef __x86_64__
/* The change is made, and flushed, in another context than the one that has the old type in the TLB. */
TEST("a context that CR3 loads with a flush has the new type, whatever it had before")
{
	uintptr_t cr3 = read_cr3();

	begin();
	if (!(cpuid_checked(1, 0).ecx & CPUID_1_ECX_PCID))
		SKIP("this CPU has no PCID");
	write_cr4(read_cr4() | CR4_PCIDE);
	for (unsigned int i = 0; i < COUNT_OF(changes); i++) {
		const struct change *change = &changes[i];
		const struct shadow_probe *probe = shadow_probe(LEVEL_4K, change->before);

		write_cr3(cr3 | 1);
		use(probe, change->before);
		write_cr3(cr3 | CR3_NO_FLUSH);
		shadow_probe_entry_unflushed(probe, LEVEL_4K, change->after);
		invlpg(probe->va);
		expect_new_type(probe, change->after, change->name);
		write_cr3(cr3 | 1 | CR3_NO_FLUSH);
		expect_either_type(probe, change->name);
		write_cr3(cr3 | 1);
		expect_new_type(probe, change->after, change->name);
		write_cr3(cr3);
	}
	write_cr4(read_cr4() & ~CR4_PCIDE);
}
#endif

/* --- another CPU --------------------------------------------------------------------------------- */

static void enable_there(void *unused)
{
	(void)unused;
	write_cr4(read_cr4() | CR4_CET);
}

static void disable_there(void *unused)
{
	(void)unused;
	write_cr4(read_cr4() & ~CR4_CET);
}

struct visit {
	const struct shadow_probe *probe;
	const struct change *change;
};

static void use_there(void *argument)
{
	const struct visit *visit = argument;

	use(visit->probe, visit->change->before);
}

static void flush_there(void *argument)
{
	const struct visit *visit = argument;

	expect_either_type(visit->probe, visit->change->name);
	invlpg(visit->probe->va);
	expect_new_type(visit->probe, visit->change->after, visit->change->name);
}

TEST("another CPU goes by the old type or the new until its own INVLPG, and then by the new")
{
	begin();
	if (cpu_count() < 2)
		SKIP("there is one CPU only");
	on_cpu(1, enable_there, NULL);
	for (unsigned int i = 0; i < COUNT_OF(changes); i++) {
		struct visit visit = { .change = &changes[i] };

		visit.probe = shadow_probe(LEVEL_4K, changes[i].before);
		on_cpu(1, use_there, &visit);
		shadow_probe_entry_unflushed(visit.probe, LEVEL_4K, changes[i].after);
		invlpg(visit.probe->va);
		expect_new_type(visit.probe, changes[i].after, changes[i].name);
		on_cpu(1, flush_there, &visit);
	}
	on_cpu(1, disable_there, NULL);
}
