// SPDX-License-Identifier: BSD-2-Clause
#include <x86/shadow_access.h>

#include <libc/format.h>
#include <libc/string.h>
#include <test/test.h>
#include <x86/instructions.h>
#include <x86/user_entry.h>
#include <x86/vectors.h>

/*
 * Where the probe of a level starts: with the first word of an entry at every level, and the page below it in
 * other entries at all of them but those that have no W and U.
 */
#ifdef __x86_64__
#define PROBE_VA(level) (VA_FREE + (level)*2 * LEVEL_SIZE(LEVEL_512G))
#else
#define PROBE_VA(level) (VA_FREE + 0x20000000 + (level)*2 * (uintptr_t)LEVEL_SIZE(LEVEL_2M))
#endif

#ifdef __x86_64__
#define RESTORE_TOKEN_MODE SHADOW_TOKEN_64
#else
#define RESTORE_TOKEN_MODE 0
#endif

const struct shadow_access_kind shadow_access_kinds[SHADOW_ACCESSES] = {
	[SHADOW_STORE] = { .name = "WRSS at CPL 0", .write = true },
	[SHADOW_LOAD] = { .name = "INCSSP at CPL 0" },
	[SHADOW_WRUSS] = { .name = "WRUSS", .user = true, .write = true },
	[SHADOW_USER_STORE] = { .name = "WRSS at CPL 3", .user = true, .write = true },
	[SHADOW_USER_LOAD] = { .name = "INCSSP at CPL 3", .user = true },
	[SHADOW_RETURN] = { .name = "RET at CPL 0" },
	[SHADOW_USER_CALL] = { .name = "CALL at CPL 3", .user = true, .write = true },
	[SHADOW_USER_RETURN] = { .name = "RET at CPL 3", .user = true },
	[SHADOW_RESTORE] = { .name = "RSTORSSP at CPL 0", .write = true },
	[SHADOW_USER_RESTORE] = { .name = "RSTORSSP at CPL 3", .user = true, .write = true },
};

static struct shadow_probe probes[LEVEL_1G + 1];

static void make_probe(struct shadow_probe *probe, enum page_level level)
{
	probe->level = level;
	probe->start = PROBE_VA(level);
	probe->page = level == LEVEL_2M ? pages_alloc(PAGE_ORDER_MAX) : page_alloc();
	probe->pa = level == LEVEL_1G ? 0 : (uintptr_t)probe->page;
	REQUIRE((uintptr_t)probe->page - probe->pa < LEVEL_SIZE(level));
	REQUIRE(memory_is_ram(probe->pa, PAGE_SIZE));
	probe->va = probe->start + ((uintptr_t)probe->page - probe->pa);
	probe->below = shadow_stack_new(probe->start - PAGE_SIZE, SHADOW_SUPERVISOR);
}

const struct shadow_probe *shadow_probe(enum page_level level, uint64_t flags)
{
	struct shadow_probe *probe = &probes[level];

	if (!probe->start)
		make_probe(probe, level);
	memset(probe->page, 0, PAGE_SIZE);
	map_page(probe->start, probe->pa, level, flags);
	for (unsigned int at = level + 1; at <= LEVEL_LAST; at++)
		shadow_probe_entry(probe, at, PTE_RAM);
	return probe;
}

static uint64_t entry_with(const struct shadow_probe *probe, unsigned int level, uint64_t flags)
{
	uint64_t address =
		level == probe->level ? probe->pa : *pte_at(probe->start, level) & PTE_ADDRESS;

	if (level == probe->level && level != LEVEL_4K)
		flags |= PTE_PS;
	return address | flags;
}

void shadow_probe_entry(const struct shadow_probe *probe, unsigned int level, uint64_t flags)
{
	pte_write(probe->start, level, entry_with(probe, level, flags));
}

void shadow_probe_entry_unflushed(const struct shadow_probe *probe, unsigned int level,
				  uint64_t flags)
{
	uint64_t *entry = pte_at(probe->start, level);
	uint64_t now;

	/* All 64 bits at once: another CPU may be walking the tables. */
	do {
		now = *(volatile uint64_t *)entry;
	} while (!__sync_bool_compare_and_swap(entry, now, entry_with(probe, level, flags)));
}

uint64_t shadow_probe_flags(const struct shadow_probe *probe, unsigned int level)
{
	uint64_t entry = *(volatile uint64_t *)pte_at(probe->start, level);

	return level == probe->level ? entry - probe->pa : entry & ~PTE_ADDRESS;
}

static void set_word(const struct shadow_probe *probe, uint64_t value)
{
	*(volatile uint64_t *)probe->page = value;
}

uintptr_t shadow_probe_word(const struct shadow_probe *probe)
{
	return *(volatile uintptr_t *)probe->page;
}

uint64_t shadow_restore_token(const struct shadow_probe *probe)
{
	return (probe->va + sizeof(uint64_t)) | RESTORE_TOKEN_MODE;
}

uintptr_t shadow_access_address(enum shadow_access access, const struct shadow_probe *probe)
{
	return access == SHADOW_LOAD || access == SHADOW_RETURN ? probe->start : probe->va;
}

uint32_t shadow_access_error(enum shadow_access access, uint32_t reason)
{
	const struct shadow_access_kind *kind = &shadow_access_kinds[access];

	return reason | PF_SHADOW_STACK | (kind->user ? PF_USER : 0) | (kind->write ? PF_WRITE : 0);
}

/* --- at CPL 0 ------------------------------------------------------------------------------------ */

/* INCSSP loads the first and the last word of what it pops: the last is the probe's. */
static inline void load_start(const struct shadow_probe *probe)
{
	incssp((probe->start - rdssp()) / sizeof(uintptr_t) + 1);
}

/* Pops all up to the probe, and lets RET pop the first word of that. */
__attribute__((noinline)) static void return_through(const struct shadow_probe *probe)
{
	set_word(probe, (uintptr_t)__builtin_return_address(0));
	incssp((probe->start - rdssp()) / sizeof(uintptr_t));
}

/* Where SSP has left the stack of calls, it must be off before the next RET. */
static inline void supervisor_access(enum shadow_access access, const struct shadow_probe *probe)
{
	if (access == SHADOW_STORE)
		wrss(probe->va, SHADOW_WRITTEN);
	else if (access == SHADOW_LOAD)
		load_start(probe);
	else if (access == SHADOW_RETURN)
		return_through(probe);
	else
		rstorssp(probe->va);
	wrmsr(MSR_IA32_S_CET, 0);
}

static struct x86_fault supervisor_fault(enum shadow_access access,
					 const struct shadow_probe *probe)
{
	struct x86_fault fault = { .vector = NO_FAULT };

	set_word(probe, shadow_restore_token(probe));
	ON_SHADOW_STACK(&probe->below, CET_WR_SHSTK_EN,
			fault = FAULT_OF(supervisor_access(access, probe)));
	return fault;
}

/* --- at CPL 3 ------------------------------------------------------------------------------------ */

/* They end by the interrupt itself: a RET would be one more access. */
static uintptr_t user_store(uintptr_t va)
{
	wrss(va, SHADOW_WRITTEN);
	int_n(VECTOR_USER_RETURN);
	return 0;
}

static uintptr_t user_load(uintptr_t va)
{
	incssp(1);
	int_n(VECTOR_USER_RETURN);
	return va;
}

__attribute__((noinline)) static void user_end(void)
{
	int_n(VECTOR_USER_RETURN);
}

static uintptr_t user_calls(uintptr_t va)
{
	user_end();
	return va;
}

static uintptr_t user_returns(uintptr_t va)
{
	return va;
}

static uintptr_t user_restore(uintptr_t va)
{
	rstorssp(va);
	int_n(VECTOR_USER_RETURN);
	return 0;
}

static struct x86_fault user_fault(enum shadow_access access, const struct shadow_probe *probe)
{
	static user_function *const functions[SHADOW_ACCESSES] = {
		[SHADOW_USER_STORE] = user_store,     [SHADOW_USER_LOAD] = user_load,
		[SHADOW_USER_CALL] = user_calls,      [SHADOW_USER_RETURN] = user_returns,
		[SHADOW_USER_RESTORE] = user_restore,
	};
	uintptr_t ssp = access == SHADOW_USER_CALL ? probe->va + sizeof(uintptr_t) : probe->va;
	struct x86_fault fault;

	set_word(probe, access == SHADOW_USER_RESTORE ? shadow_restore_token(probe)
						      : (uintptr_t)user_return);
	wrmsr(MSR_IA32_PL3_SSP, ssp);
	wrmsr(MSR_IA32_U_CET, CET_SH_STK_EN | CET_WR_SHSTK_EN);
	fault = user_call(functions[access], probe->va).fault;
	wrmsr(MSR_IA32_U_CET, 0);
	return fault;
}

struct x86_fault shadow_access(enum shadow_access access, const struct shadow_probe *probe)
{
	if (access == SHADOW_WRUSS) {
		set_word(probe, 0);
		return FAULT_OF(wruss(probe->va, SHADOW_WRITTEN));
	}
	return shadow_access_kinds[access].user ? user_fault(access, probe)
						: supervisor_fault(access, probe);
}

static bool writes_word(enum shadow_access access)
{
	return access == SHADOW_STORE || access == SHADOW_WRUSS || access == SHADOW_USER_STORE;
}

/* The flags of all entries on the way, from the leaf on. */
static void describe_way(const struct shadow_probe *probe, char *text, size_t size)
{
	size_t length = 0;

	text[0] = 0;
	for (unsigned int at = probe->level; at <= LEVEL_LAST && length < size; at++) {
		format_text(text + length, size - length, " %llx",
			    (unsigned long long)shadow_probe_flags(probe, at));
		length = strlen(text);
	}
}

void shadow_access_expect(const struct test_site *site, enum shadow_access access,
			  const struct shadow_probe *probe, unsigned int vector, uint32_t reason)
{
	const char *name = shadow_access_kinds[access].name;
	struct x86_fault fault;
	char way[80];

	describe_way(probe, way, sizeof(way));
	fault = shadow_access(access, probe);
	fault_compare(site, fault, vector, shadow_access_error(access, reason),
		      "%s, entries from level %u up:%s", name, probe->level, way);
	if (vector == PF)
		test_compare(site, TEST_EQ, fault.cr2, shadow_access_address(access, probe),
			     "CR2: %s", name);
	if (writes_word(access))
		test_compare(site, TEST_EQ, shadow_probe_word(probe) == SHADOW_WRITTEN,
			     vector == NO_FAULT, "the word is written: %s", name);
}
