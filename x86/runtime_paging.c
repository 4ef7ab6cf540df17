// SPDX-License-Identifier: BSD-2-Clause
/*
 * The runtime: paging
 *
 * Tests of shadow stacks, private memory and hypercall pages map memory with the flags that they
 * need, and read what the CPU did from the error code of #PF and the A and D flags. Here all
 * combinations of present, writable, user and no-execute are tried at each size of leaf, and at
 * each level above it.
 *
 * An access is allowed if every entry on the way allows it:
 *
 *	access		at CPL 0		at CPL 3
 *	read		always			U
 *	write		W, or CR0.WP = 0	U and W
 *	fetch		not NX			U and not NX
 *
 * (CR4.SMEP and SMAP are 0.) Otherwise #PF, with the error code
 *
 *	bit 0	the entries were all present
 *	bit 1	a write
 *	bit 2	made at CPL 3
 *	bit 3	a reserved bit was set in an entry
 *	bit 4	a fetch (EFER.NXE = 1)
 *
 * and CR2 the address. The CPU sets A in each entry that it uses, and D in the leaf on a write; not
 * for a write that the leaf forbids.
 *
 * QEMU's TCG leaves bit 0 clear when a reserved bit is set (target/i386/tcg/sysemu/excp_helper.c,
 * mmu_translate, do_fault_rsvd), which is listed in knownbugs.cfg.
 *
 * Sources: Intel SDM volume 3, "Access Rights", "Page-Fault Exceptions", "Accessed and
 * Dirty Flags", "PAE Paging" and "4-Level Paging"; AMD APM volume 2, sections 5.3 to 5.6.
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/paging.h>
#include <x86/registers.h>
#include <x86/user.h>

#define RET 0xc3

enum access { READ, WRITE, FETCH };

static const char *const access_names[] = { "read", "write", "fetch" };

/* A page of RAM and its address under a mapping by a leaf of some level, at VA_FREE. */
struct window {
	enum page_level level;
	uint8_t *page;
	uintptr_t va;
	uint64_t pa; /* what the leaf maps */
};

static bool has_nx(void)
{
	return cpuid_checked(0x80000001, 0).edx & CPUID_80000001_EDX_NX;
}

static bool has_level(enum page_level level)
{
	return level < LEVEL_1G || has_1g_pages();
}

/* The page begins with a RET, so that it can be called. */
static struct window window_at(enum page_level level)
{
	struct window window = { .level = level, .page = page_alloc() };
	uint64_t offset = (uintptr_t)window.page & (LEVEL_SIZE(level) - 1);

	window.page[0] = RET;
	window.pa = (uintptr_t)window.page - offset;
	window.va = VA_FREE + offset;
	return window;
}

static void window_map(const struct window *window, uint64_t flags)
{
	map_page(window->va & ~(uintptr_t)(LEVEL_SIZE(window->level) - 1), window->pa,
		 window->level, flags);
}

static void window_close(const struct window *window)
{
	window_map(window, 0);
	page_free(window->page);
}

static uintptr_t user_read(uintptr_t va)
{
	return *(volatile uint8_t *)va;
}

static uintptr_t user_write(uintptr_t va)
{
	*(volatile uint8_t *)va = RET;
	return 0;
}

static uintptr_t user_fetch(uintptr_t va)
{
	((void (*)(void))va)();
	return 0;
}

static user_function *const accesses[] = { user_read, user_write, user_fetch };

static struct x86_fault access_fault(enum access access, uintptr_t va, bool user)
{
	if (user)
		return user_call(accesses[access], va).fault;
	return FAULT_OF(accesses[access](va));
}

/* The table above. */
static bool is_allowed(enum access access, bool user, bool write_protect, uint64_t flags)
{
	if (!(flags & PTE_P) || (user && !(flags & PTE_U)))
		return false;
	if (access == WRITE)
		return (flags & PTE_W) || (!user && !write_protect);
	return access == READ || !(flags & PTE_NX);
}

static uint32_t error_code(enum access access, bool user, uint64_t flags)
{
	return (flags & PTE_P ? PF_PRESENT : 0) | (access == WRITE ? PF_WRITE : 0) |
	       (user ? PF_USER : 0) | (access == FETCH && has_nx() ? PF_FETCH : 0);
}

static void check_access(const struct window *window, uint64_t flags, enum access access, bool user,
			 bool write_protect)
{
	struct x86_fault fault = access_fault(access, window->va, user);
	bool allowed = is_allowed(access, user, write_protect, flags);

	EXPECT_FAULT_EQ(fault, allowed ? NO_FAULT : PF, error_code(access, user, flags),
			"%s at CPL %u through flags 0x%llx at level %u, CR0.WP %u",
			access_names[access], user ? 3 : 0, (unsigned long long)flags,
			window->level, write_protect);
	if (!allowed)
		EXPECT_EQ(fault.cr2, window->va);
}

static void check_all_accesses(const struct window *window, uint64_t flags)
{
	for (enum access access = READ; access <= FETCH; access++) {
		check_access(window, flags, access, false, true);
		check_access(window, flags, access, true, true);
	}
	write_cr0(read_cr0() & ~CR0_WP);
	check_access(window, flags, WRITE, false, false);
	check_access(window, flags, WRITE, true, false);
	write_cr0(read_cr0() | CR0_WP);
}

/* All combinations of P, W and U, and those with NX where the CPU has it. */
static unsigned int combinations(void)
{
	return has_nx() ? 16 : 8;
}

static uint64_t combination(unsigned int number)
{
	return (number & PTE_RAM) | (number & 8 ? PTE_NX : 0);
}

static void check_leaf_flags(enum page_level level)
{
	struct window window;

	if (!has_level(level))
		SKIP("no leaves of level %u on this CPU", level);
	window = window_at(level);
	for (unsigned int i = 0; i < combinations(); i++) {
		window_map(&window, combination(i));
		check_all_accesses(&window, combination(i));
	}
	window_close(&window);
}

TEST("P, W, U and NX of a 4 KiB leaf decide what is allowed")
{
	check_leaf_flags(LEVEL_4K);
}

TEST("P, W, U and NX of a 2 MiB leaf decide what is allowed")
{
	check_leaf_flags(LEVEL_2M);
}

#ifdef __x86_64__
TEST("P, W, U and NX of a 1 GiB leaf decide what is allowed")
{
	check_leaf_flags(LEVEL_1G);
}
#endif

/* In a PDPTE of PAE paging W, U and NX do not exist. */
#ifdef __x86_64__
#define LAST_LEVEL_WITH_FLAGS LEVEL_512G
#else
#define LAST_LEVEL_WITH_FLAGS LEVEL_2M
#endif

TEST("P, W, U and NX of the entries above the leaf take rights away, and give none")
{
	struct window window = window_at(LEVEL_4K);

	window_map(&window, PTE_RAM);
	for (unsigned int level = LEVEL_2M; level <= LAST_LEVEL_WITH_FLAGS; level++) {
		uint64_t entry = *pte_at(window.va, level);

		for (unsigned int i = 0; i < combinations(); i++) {
			pte_write(window.va, level, (entry & PTE_ADDRESS) | combination(i));
			check_all_accesses(&window, combination(i));
		}
		pte_write(window.va, level, entry);
	}
	window_map(&window, PTE_P);
	check_all_accesses(&window, PTE_P);
	window_close(&window);
}

TEST("an access sets A in every entry on its way, and a write D in the leaf")
{
	for (enum page_level level = LEVEL_4K; level <= LEVEL_1G; level++) {
		struct window window;

		if (level >= LEVEL_1G && !has_1g_pages())
			continue;
		window = window_at(level);
		window_map(&window, PTE_RAM);
		for (unsigned int above = level + 1; above <= LAST_LEVEL_WITH_FLAGS; above++)
			pte_write(window.va, above, *pte_at(window.va, above) & ~PTE_A);

		user_read(window.va);
		for (unsigned int at = level; at <= LAST_LEVEL_WITH_FLAGS; at++)
			EXPECT_EQ(*pte_at(window.va, at) & PTE_A, PTE_A,
				  "level %u, leaf of level %u", at, level);
		EXPECT_EQ(*pte_at(window.va, level) & PTE_D, 0, "read, leaf of level %u", level);
		user_write(window.va);
		EXPECT_EQ(*pte_at(window.va, level) & PTE_D, PTE_D, "write, leaf of level %u",
			  level);
		window_close(&window);
	}
}

TEST("an access that the leaf forbids does not set D")
{
	struct window window = window_at(LEVEL_4K);

	window_map(&window, PTE_P | PTE_U);
	EXPECT_FAULT(PF, PF_PRESENT | PF_WRITE, user_write(window.va));
	EXPECT_EQ(*pte_at(window.va, LEVEL_4K) & PTE_D, 0);
	window_close(&window);
}

/* Bits 20:13 of a 2 MiB leaf. Address bits are no use for this: a CPU may have all 52 of them. */
TEST("a reserved bit in an entry is told by the error code")
{
	struct window window = window_at(LEVEL_2M);
	uintptr_t leaf_va = window.va & ~(uintptr_t)(LEVEL_SIZE(LEVEL_2M) - 1);

	map_page(leaf_va, window.pa, LEVEL_2M, PTE_RAM | 1 << 13);
	EXPECT_FAULT(PF, PF_PRESENT | PF_RESERVED, user_read(window.va));
	EXPECT_FAULT(PF, PF_PRESENT | PF_RESERVED | PF_WRITE, user_write(window.va));
	EXPECT_FAULT_EQ(user_call(user_read, window.va).fault, PF,
			PF_PRESENT | PF_RESERVED | PF_USER);
	window_close(&window);
}

TEST("the flags that choose the memory type, and G, are allowed at each size of leaf")
{
	for (enum page_level level = LEVEL_4K; level <= LEVEL_1G; level++) {
		uint64_t pat = level == LEVEL_4K ? PTE_PAT_4K : PTE_PAT_LARGE;
		const uint64_t flags[] = { PTE_PWT, PTE_PCD, pat, PTE_PWT | PTE_PCD | pat, PTE_G };
		struct window window;

		if (level >= LEVEL_1G && !has_1g_pages())
			continue;
		window = window_at(level);
		for (unsigned int i = 0; i < COUNT_OF(flags); i++) {
			window_map(&window, PTE_RAM | flags[i]);
			EXPECT_NO_FAULT(user_write(window.va));
			EXPECT_EQ(*pte_at(window.va, level) & flags[i], flags[i],
				  "flags 0x%llx at level %u", (unsigned long long)flags[i], level);
		}
		window_close(&window);
		tlb_flush_all();
	}
}

TEST("a global entry is gone after tlb_flush_all()")
{
	struct window window = window_at(LEVEL_4K);

	window_map(&window, PTE_RAM | PTE_G);
	user_read(window.va);
	*pte_at(window.va, LEVEL_4K) = 0;
	tlb_flush_all();
	EXPECT_FAULT(PF, 0, user_read(window.va));
	window_close(&window);
}

TEST("another page mapped at an address is seen at once")
{
	uint8_t *first = page_alloc(), *second = page_alloc();

	first[0] = 1;
	second[0] = 2;
	map_page(VA_FREE, (uintptr_t)first, LEVEL_4K, PTE_RAM);
	EXPECT_EQ(user_read(VA_FREE), 1);
	map_page(VA_FREE, (uintptr_t)second, LEVEL_4K, PTE_RAM);
	EXPECT_EQ(user_read(VA_FREE), 2);
	map_page(VA_FREE, 0, LEVEL_4K, 0);
	page_free(first);
	page_free(second);
}

TEST("a small page in the middle of a large leaf leaves its neighbours as they were")
{
	uint8_t *block = pages_alloc(PAGE_ORDER_MAX);
	uintptr_t va = (uintptr_t)block + 5 * PAGE_SIZE;

	EXPECT_EQ(leaf_level(va), LEVEL_2M);
	for (unsigned int i = 0; i < 512; i++)
		block[i * PAGE_SIZE] = i;
	map_page(va, va, LEVEL_4K, PTE_P);
	EXPECT_EQ(leaf_level(va), LEVEL_4K);
	for (unsigned int i = 0; i < 512; i++) {
		uint64_t rights = *pte_at((uintptr_t)block + i * PAGE_SIZE, LEVEL_4K) & PTE_RAM;

		EXPECT_EQ(block[i * PAGE_SIZE], i & 0xff, "page %u", i);
		EXPECT_EQ(rights, i == 5 ? PTE_P : PTE_RAM, "page %u", i);
	}
	EXPECT_FAULT(PF, PF_PRESENT | PF_WRITE, user_write(va));
	EXPECT_NO_FAULT(user_write(va + PAGE_SIZE));
	map_page((uintptr_t)block, (uintptr_t)block, LEVEL_2M, PTE_RAM);
	EXPECT_EQ(leaf_level(va), LEVEL_2M);
	EXPECT_NO_FAULT(user_write(va));
}

#ifndef __x86_64__
TEST("a PDPTE that is not present takes its GiB away")
{
	struct window window = window_at(LEVEL_4K);
	uint64_t entry;

	window_map(&window, PTE_RAM);
	entry = *pte_at(window.va, LEVEL_1G);
	pte_write(window.va, LEVEL_1G, entry & ~PTE_P);
	EXPECT_FAULT(PF, 0, user_read(window.va));
	pte_write(window.va, LEVEL_1G, entry);
	EXPECT_NO_FAULT(user_read(window.va));
	window_close(&window);
}
#endif
