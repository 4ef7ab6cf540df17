// SPDX-License-Identifier: BSD-2-Clause
/*
 * RAM that is a guest_memfd: what the guest sees of the host's doings with it
 *
 * All of this guest's memory is one file, made with GUEST_MEMFD_FLAG_MMAP and INIT_SHARED, that vmrun
 * maps as well (vmrun --ram gmem): its code, its stack and its page tables, too. KVM takes the
 * guest's pages from the file itself, be they mapped or not (arch/x86/kvm/mmu/mmu.c,
 * __kvm_mmu_faultin_pfn: kvm_memslot_is_gmem_only), so whatever the host does with its mapping the
 * guest must not notice; but what either writes, the other reads, since there is one page only.
 * A hole takes the page from both (virt/kvm/guest_memfd.c, kvm_gmem_punch_hole): the next access of
 * either finds a new one, which is zero (kvm_gmem_get_pfn, kvm_gmem_fault_user_mapping). A hole is
 * of whole pages (kvm_gmem_fallocate).
 *
 * The host's view comes by requests to vmrun (lib/vmrun/vmm.h).
 */
#include <kvm/area.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/vmm.h>

#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/paging.h>

#define ORDER_2M   9
#define SIZE_2M	   (PAGE_SIZE << ORDER_2M)

#define WORD_OF(p) (*(volatile uint64_t *)(p))

static uint64_t gpa_of(const volatile void *at)
{
	return (uintptr_t)at;
}

TEST("host and guest see one another's writes, in any word of a page")
{
	static const unsigned int offsets[] = { 0, 8, 2048, PAGE_SIZE - 8 };
	uint8_t *page = page_alloc();
	uint64_t seen;

	for (unsigned int i = 0; i < 4; i++) {
		uint8_t *at = page + offsets[i];

		WORD_OF(at) = 0x1111222233334440 + i;
		EXPECT_EQ(vmm_host_read(gpa_of(at), &seen), 0);
		EXPECT_EQ(seen, 0x1111222233334440 + i);
		EXPECT_EQ(vmm_host_write(gpa_of(at), 0x5555666677778880 + i), 0);
		EXPECT_EQ(WORD_OF(at), 0x5555666677778880 + i);
	}
	page_free(page);
}

TEST("each page of 2 MiB is the same for guest and host")
{
	uint8_t *area = pages_alloc(ORDER_2M);

	area_fill(area, SIZE_2M, 1);
	EXPECT_EQ(area_changed_for_host(area, SIZE_2M, 1), 0);
	for (size_t at = 0; at < SIZE_2M; at += PAGE_SIZE)
		EXPECT_EQ(vmm_host_write(gpa_of(area + at), area_word(area + at, 2)), 0);
	for (size_t at = 0; at < SIZE_2M; at += PAGE_SIZE) {
		EXPECT_EQ(WORD_OF(area + at), area_word(area + at, 2), "page %lu", at / PAGE_SIZE);
		EXPECT_EQ(area_changed(area + at + 8, PAGE_SIZE - 8, 1), 0, "page %lu",
			  at / PAGE_SIZE);
	}
}

static void check_unmapped(unsigned int order)
{
	size_t size = PAGE_SIZE << order;
	uint8_t *area = pages_alloc(order);
	uint64_t seen;

	area_fill(area, size, 3);
	EXPECT_EQ(vmm_host_unmap(gpa_of(area), size), 0);
	EXPECT_EQ(vmm_host_read(gpa_of(area), &seen), VMRUN_EFAULT);
	EXPECT_EQ(area_changed(area, size, 3), 0, "unmapped");
	area_fill(area, size, 4);
	EXPECT_EQ(area_changed(area, size, 4), 0, "written while unmapped");
	EXPECT_EQ(vmm_host_map(gpa_of(area), size), 0);
	EXPECT_EQ(area_changed(area, size, 4), 0, "mapped again");
	EXPECT_EQ(area_changed_for_host(area, size, 4), 0);
}

TEST("a page that the host has unmapped is there for the guest, and so is what it writes")
{
	check_unmapped(0);
}

TEST("so it is with 2 MiB")
{
	check_unmapped(ORDER_2M);
}

TEST("a page that the guest touches first while it is unmapped is zero, and the host's later on")
{
	uint8_t *page = page_alloc();
	uint64_t seen;

	EXPECT_EQ(vmm_punch(gpa_of(page), PAGE_SIZE), 0);
	EXPECT_EQ(vmm_host_unmap(gpa_of(page), PAGE_SIZE), 0);
	EXPECT_EQ(area_not_zero(page, PAGE_SIZE), 0);
	WORD_OF(page) = 0x4444;
	EXPECT_EQ(vmm_host_map(gpa_of(page), PAGE_SIZE), 0);
	EXPECT_EQ(vmm_host_read(gpa_of(page), &seen), 0);
	EXPECT_EQ(seen, 0x4444);
	page_free(page);
}

TEST("a page that was punched is zero, for both, and its neighbours stay")
{
	uint8_t *pages = pages_alloc(2), *hole = pages + PAGE_SIZE;
	uint64_t seen;

	area_fill(pages, 4 * PAGE_SIZE, 5);
	EXPECT_EQ(vmm_punch(gpa_of(hole), PAGE_SIZE), 0);
	EXPECT_EQ(area_not_zero(hole, PAGE_SIZE), 0);
	EXPECT_EQ(vmm_host_read(gpa_of(hole), &seen), 0);
	EXPECT_EQ(seen, 0);
	EXPECT_EQ(area_changed(pages, PAGE_SIZE, 5), 0, "the page before");
	EXPECT_EQ(area_changed(hole + PAGE_SIZE, 2 * PAGE_SIZE, 5), 0, "the pages behind");
}

TEST("what is written into a hole stays, and both see it")
{
	uint8_t *page = page_alloc();
	uint64_t seen;

	area_fill(page, PAGE_SIZE, 6);
	EXPECT_EQ(vmm_punch(gpa_of(page), PAGE_SIZE), 0);
	area_fill(page, PAGE_SIZE, 7);
	EXPECT_EQ(area_changed(page, PAGE_SIZE, 7), 0);
	EXPECT_EQ(area_changed_for_host(page, PAGE_SIZE, 7), 0);
	EXPECT_EQ(vmm_punch(gpa_of(page), PAGE_SIZE), 0);
	EXPECT_EQ(vmm_host_write(gpa_of(page), 0x77), 0);
	EXPECT_EQ(WORD_OF(page), 0x77);
	EXPECT_EQ(area_not_zero(page + 8, PAGE_SIZE - 8), 0);
	EXPECT_EQ(vmm_host_read(gpa_of(page), &seen), 0);
	EXPECT_EQ(seen, 0x77);
}

TEST("an access across the edge of a hole finds old bytes on one side and zeros on the other")
{
	uint8_t *pages = pages_alloc(1), *edge = pages + PAGE_SIZE;

	for (size_t i = 0; i < 2 * PAGE_SIZE; i++)
		pages[i] = 0xab;
	EXPECT_EQ(vmm_punch(gpa_of(edge), PAGE_SIZE), 0);
	EXPECT_EQ(*(volatile uint32_t *)(edge - 2), 0xabab);
	*(volatile uint32_t *)(edge - 2) = 0x12345678;
	EXPECT_EQ(edge[-3], 0xab);
	EXPECT_EQ(*(volatile uint32_t *)(edge - 2), 0x12345678);
	EXPECT_EQ(edge[2], 0);
}

/* Between guards of one page: of pages first to last of 2 MiB. */
static void check_hole(unsigned int first, unsigned int last)
{
	uint8_t *area = pages_alloc(ORDER_2M);
	size_t start = first * PAGE_SIZE, end = (last + 1) * PAGE_SIZE;

	area_fill(area, SIZE_2M, 8);
	EXPECT_EQ(vmm_punch(gpa_of(area) + start, end - start), 0);
	EXPECT_EQ(area_changed(area, start, 8), 0, "before pages %u to %u", first, last);
	EXPECT_EQ(area_not_zero(area + start, end - start), 0, "pages %u to %u", first, last);
	EXPECT_EQ(area_changed(area + end, SIZE_2M - end, 8), 0, "behind pages %u to %u", first,
		  last);
	for (size_t at = 0; at < SIZE_2M; at += PAGE_SIZE)
		page_free(area + at);
}

TEST("a hole takes the pages it is of, and no others of the 2 MiB")
{
	static const struct {
		unsigned int first, last;
	} cases[] = { { 0, 0 }, { 511, 511 }, { 1, 510 }, { 255, 256 }, { 0, 255 }, { 0, 511 } };

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_hole(cases[i].first, cases[i].last);
}

TEST("a hole that is not of whole pages, or of none, is refused and takes nothing")
{
	static const struct {
		uint64_t offset, size;
	} cases[] = {
		{ 1, PAGE_SIZE }, { 0, 1 }, { 0, PAGE_SIZE - 1 }, { PAGE_SIZE / 2, PAGE_SIZE },
		{ 8, 8 },	  { 0, 0 }
	};
	uint8_t *pages = pages_alloc(1);

	area_fill(pages, 2 * PAGE_SIZE, 9);
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		EXPECT_EQ(vmm_punch(gpa_of(pages) + cases[i].offset, cases[i].size), VMRUN_EINVAL,
			  "case %u", i);
	EXPECT_EQ(area_changed(pages, 2 * PAGE_SIZE, 9), 0);
}

/* mov eax, value; ret */
static uint64_t code(uint32_t value)
{
	return 0xb8 | (uint64_t)value << 8 | 0xc3ull << 40;
}

TEST("the guest runs the code that the host wrote, and wrote anew")
{
	uint8_t *page = page_alloc();
	uint32_t (*function)(void) = (uint32_t(*)(void))(uintptr_t)page;

	for (uint32_t value = 0x1000; value < 0x1004; value++) {
		EXPECT_EQ(vmm_host_write(gpa_of(page), code(value)), 0);
		EXPECT_EQ(function(), value);
	}
	EXPECT_EQ(vmm_punch(gpa_of(page), PAGE_SIZE), 0);
	WORD_OF(page) = code(0x2000);
	EXPECT_EQ(function(), 0x2000);
	page_free(page);
}

TEST("code runs where the host has no mapping")
{
	uint8_t *page = page_alloc();
	uint32_t (*function)(void) = (uint32_t(*)(void))(uintptr_t)page;

	WORD_OF(page) = code(0x3000);
	EXPECT_EQ(vmm_host_unmap(gpa_of(page), PAGE_SIZE), 0);
	EXPECT_EQ(function(), 0x3000);
	EXPECT_EQ(vmm_host_map(gpa_of(page), PAGE_SIZE), 0);
	page_free(page);
}

TEST("what the CPU writes to page tables shows, and what the host writes there counts")
{
	uint8_t *pages = pages_alloc(1);
	uint64_t *entry, seen;

	WORD_OF(pages) = 1;
	WORD_OF(pages + PAGE_SIZE) = 2;
	map_page(VA_FREE, gpa_of(pages), LEVEL_4K, PTE_P | PTE_W);
	entry = pte_at(VA_FREE, 1);
	REQUIRE(entry);
	EXPECT_EQ(WORD_OF(VA_FREE), 1);
	EXPECT_EQ(vmm_host_read(gpa_of(entry), &seen), 0);
	EXPECT_EQ(seen, gpa_of(pages) | PTE_P | PTE_W | PTE_A);
	WORD_OF(VA_FREE + 8) = 3;
	EXPECT_EQ(vmm_host_read(gpa_of(entry), &seen), 0);
	EXPECT_EQ(seen, gpa_of(pages) | PTE_P | PTE_W | PTE_A | PTE_D);
	EXPECT_EQ(vmm_host_write(gpa_of(entry), gpa_of(pages + PAGE_SIZE) | PTE_P), 0);
	invlpg(VA_FREE);
	EXPECT_EQ(WORD_OF(VA_FREE), 2);
	pte_write(VA_FREE, 1, 0);
}

TEST("a page table that was punched maps nothing, and one that is unmapped still does")
{
	uint8_t *page = page_alloc();
	uint64_t *entry;
	struct x86_fault fault;

	WORD_OF(page) = 4;
	map_page(VA_FREE, gpa_of(page), LEVEL_4K, PTE_P | PTE_W);
	entry = pte_at(VA_FREE, 1);
	REQUIRE(entry);
	EXPECT_EQ(vmm_host_unmap(gpa_of(entry) & PAGE_MASK, PAGE_SIZE), 0);
	invlpg(VA_FREE);
	EXPECT_EQ(WORD_OF(VA_FREE), 4);
	EXPECT_EQ(vmm_host_map(gpa_of(entry) & PAGE_MASK, PAGE_SIZE), 0);
	EXPECT_EQ(vmm_punch(gpa_of(entry) & PAGE_MASK, PAGE_SIZE), 0);
	invlpg(VA_FREE);
	fault = FAULT_OF(WORD_OF(VA_FREE));
	EXPECT_FAULT_EQ(fault, PF, 0);
	EXPECT_EQ(fault.cr2, VA_FREE);
}

TEST("an emulated instruction writes the same page")
{
	uint64_t hole = memory_hole();
	uint8_t *page = page_alloc();

	/* memcpy() is REP MOVSB. KVM does it, as one end is no memory, and gets at the other by the host's mapping. */
	WORD_OF(page) = ~0ull;
	EXPECT_EQ(vmm_punch(gpa_of(page), PAGE_SIZE), 0);
	memcpy(page, (const void *)(uintptr_t)hole, 1);
	EXPECT_EQ(WORD_OF(page), 0xff);
	page_free(page);
}
