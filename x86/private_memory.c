// SPDX-License-Identifier: BSD-2-Clause
/*
 * Private memory: pages that the guest converts by KVM_HC_MAP_GPA_RANGE, and what they then hold
 *
 * In a VM of the type KVM_X86_SW_PROTECTED_VM each guest-physical page has up to two pages behind it:
 * a shared one, which the host maps, and a private one in a guest_memfd, which it cannot. The attribute
 * KVM_MEMORY_ATTRIBUTE_PRIVATE says which of them the guest finds (arch/x86/kvm/mmu/mmu.c,
 * kvm_mmu_page_fault, __kvm_mmu_faultin_pfn). A conversion sets the attribute, and takes the old page
 * out of the guest's page tables (kvm_arch_pre_set_memory_attributes); it copies nothing, and gives
 * neither page back (Documentation/virt/kvm/api.rst, KVM_SET_MEMORY_ATTRIBUTES: it is user space that
 * frees the one or the other). Hence: the private page is zero when it is first touched
 * (virt/kvm/guest_memfd.c, kvm_gmem_get_pfn), each of the two keeps what was in it, and a private page that
 * is punched is zero again. vmrun does no more than what the guest asks it for (lib/vmrun/abi.h).
 */
#include <kvm/area.h>
#include <kvm/async_pf.h>
#include <kvm/hypercall.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/paging.h>

#define ORDER_2M   9
#define SIZE_2M	   LEVEL_SIZE(LEVEL_2M)

#define WORD_OF(p) (*(volatile uint64_t *)(p))

static uint64_t gpa_of(const volatile void *at)
{
	return (uintptr_t)at;
}

TEST("CPUID shows the hypercall")
{
	EXPECT_EQ(kvm_features() & KVM_FEATURE_HC_MAP_GPA_RANGE, KVM_FEATURE_HC_MAP_GPA_RANGE);
}

/* Shared, private, shared, private, shared: each time with what that side was left with. */
static void check_conversions(uint8_t *area, size_t size)
{
	area_fill(area, size, 1);
	EXPECT_EQ(kvm_make_private(gpa_of(area), size), 0);
	EXPECT_EQ(area_not_zero(area, size), 0, "a new private page");
	area_fill(area, size, 2);
	EXPECT_EQ(area_changed(area, size, 2), 0, "written");
	EXPECT_EQ(kvm_make_shared(gpa_of(area), size), 0);
	EXPECT_EQ(area_changed(area, size, 1), 0, "shared again");
	area_fill(area, size, 3);
	EXPECT_EQ(kvm_make_private(gpa_of(area), size), 0);
	EXPECT_EQ(area_changed(area, size, 2), 0, "private again");
	EXPECT_EQ(kvm_make_shared(gpa_of(area), size), 0);
	EXPECT_EQ(area_changed(area, size, 3), 0, "shared at last");
}

TEST("a page that becomes private is zero at first, and both sides keep what was written there")
{
	check_conversions(page_alloc(), PAGE_SIZE);
}

TEST("so it is with 2 MiB")
{
	check_conversions(pages_alloc(ORDER_2M), SIZE_2M);
}

TEST("so it is with ranges that begin, end or lie across 2 MiB")
{
	static const struct {
		unsigned int first, count;
	} cases[] = { { 511, 2 }, { 1, 511 }, { 0, 513 }, { 512, 512 }, { 300, 500 }, { 0, 1024 } };
	uint8_t *area = (uint8_t *)(uintptr_t)area_beyond_ram();

	EXPECT_EQ(vmm_region_add(gpa_of(area), 2 * SIZE_2M, VMRUN_REGION_GMEM), 0);
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		check_conversions(area + cases[i].first * PAGE_SIZE, cases[i].count * PAGE_SIZE);
		EXPECT_EQ(vmm_punch(gpa_of(area), 2 * SIZE_2M), 0);
	}
	EXPECT_EQ(vmm_region_remove(gpa_of(area)), 0);
}

TEST("the host sees the shared page, whatever the guest does with the private one")
{
	uint8_t *page = page_alloc();

	area_fill(page, PAGE_SIZE, 4);
	EXPECT_EQ(kvm_make_private(gpa_of(page), PAGE_SIZE), 0);
	EXPECT_EQ(area_changed_for_host(page, PAGE_SIZE, 4), 0);
	area_fill(page, PAGE_SIZE, 5);
	EXPECT_EQ(area_changed_for_host(page, PAGE_SIZE, 4), 0);
	EXPECT_EQ(vmm_host_write(gpa_of(page), 0x66), 0);
	EXPECT_EQ(area_changed(page, PAGE_SIZE, 5), 0, "after a write of the host");
	EXPECT_EQ(kvm_make_shared(gpa_of(page), PAGE_SIZE), 0);
	EXPECT_EQ(WORD_OF(page), 0x66);
	EXPECT_EQ(area_changed(page + 8, PAGE_SIZE - 8, 4), 0);
}

TEST("a private page that is punched is zero, and the shared one stays")
{
	uint8_t *page = page_alloc();

	area_fill(page, PAGE_SIZE, 6);
	EXPECT_EQ(kvm_make_private(gpa_of(page), PAGE_SIZE), 0);
	area_fill(page, PAGE_SIZE, 7);
	EXPECT_EQ(vmm_punch(gpa_of(page), PAGE_SIZE), 0);
	EXPECT_EQ(area_not_zero(page, PAGE_SIZE), 0);
	area_fill(page, PAGE_SIZE, 8);
	EXPECT_EQ(area_changed(page, PAGE_SIZE, 8), 0);
	EXPECT_EQ(kvm_make_shared(gpa_of(page), PAGE_SIZE), 0);
	EXPECT_EQ(area_changed(page, PAGE_SIZE, 6), 0);
	EXPECT_EQ(vmm_punch(gpa_of(page), PAGE_SIZE), 0);
	EXPECT_EQ(area_changed(page, PAGE_SIZE, 6), 0, "shared, and punched");
	EXPECT_EQ(kvm_make_private(gpa_of(page), PAGE_SIZE), 0);
	EXPECT_EQ(area_not_zero(page, PAGE_SIZE), 0, "punched while shared");
	EXPECT_EQ(kvm_make_shared(gpa_of(page), PAGE_SIZE), 0);
}

TEST("what is private or shared already stays as it is, contents and all")
{
	uint8_t *page = page_alloc();

	area_fill(page, PAGE_SIZE, 9);
	EXPECT_EQ(kvm_make_shared(gpa_of(page), PAGE_SIZE), 0);
	EXPECT_EQ(area_changed(page, PAGE_SIZE, 9), 0);
	EXPECT_EQ(kvm_make_private(gpa_of(page), PAGE_SIZE), 0);
	area_fill(page, PAGE_SIZE, 10);
	EXPECT_EQ(kvm_make_private(gpa_of(page), PAGE_SIZE), 0);
	EXPECT_EQ(area_changed(page, PAGE_SIZE, 10), 0);
	EXPECT_EQ(kvm_make_shared(gpa_of(page), PAGE_SIZE), 0);
}

/* Pages of 2 MiB, but for those from first on, are as filled; those are zero, which is private and new. */
static void expect_private(const uint8_t *area, unsigned int first, unsigned int count,
			   uint32_t seed)
{
	size_t start = first * PAGE_SIZE, end = (first + count) * PAGE_SIZE;

	EXPECT_EQ(area_changed(area, start, seed), 0, "before page %u", first);
	EXPECT_EQ(area_not_zero(area + start, end - start), 0, "page %u and on", first);
	EXPECT_EQ(area_changed(area + end, SIZE_2M - end, seed), 0, "behind page %u",
		  first + count - 1);
}

TEST("a conversion of some pages changes no other page of the 2 MiB, private or shared")
{
	static const struct {
		unsigned int first, count;
	} cases[] = { { 0, 1 }, { 511, 1 }, { 256, 1 }, { 1, 510 }, { 100, 300 } };
	uint8_t *area = pages_alloc(ORDER_2M);

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t gpa = gpa_of(area) + cases[i].first * PAGE_SIZE;
		size_t size = cases[i].count * PAGE_SIZE;

		area_fill(area, SIZE_2M, 11 + i);
		EXPECT_EQ(kvm_make_private(gpa, size), 0);
		expect_private(area, cases[i].first, cases[i].count, 11 + i);
		EXPECT_EQ(kvm_make_shared(gpa, size), 0);
		EXPECT_EQ(area_changed(area, SIZE_2M, 11 + i), 0, "all shared again");
	}
}

TEST("shared pages within 2 MiB of private ones leave those alone")
{
	uint8_t *area = pages_alloc(ORDER_2M), *middle = area + 256 * PAGE_SIZE;

	area_fill(area, SIZE_2M, 20);
	EXPECT_EQ(kvm_make_private(gpa_of(area), SIZE_2M), 0);
	area_fill(area, SIZE_2M, 21);
	EXPECT_EQ(kvm_make_shared(gpa_of(middle), PAGE_SIZE), 0);
	EXPECT_EQ(area_changed(area, 256 * PAGE_SIZE, 21), 0);
	EXPECT_EQ(area_changed(middle, PAGE_SIZE, 20), 0);
	EXPECT_EQ(area_changed(middle + PAGE_SIZE, 255 * PAGE_SIZE, 21), 0);
	EXPECT_EQ(kvm_make_private(gpa_of(middle), PAGE_SIZE), 0);
	EXPECT_EQ(area_changed(area, SIZE_2M, 21), 0);
	EXPECT_EQ(kvm_make_shared(gpa_of(area), SIZE_2M), 0);
	EXPECT_EQ(area_changed(area, SIZE_2M, 20), 0);
}

TEST("every other page private: 256 conversions in 2 MiB, and one that undoes them")
{
	uint8_t *area = pages_alloc(ORDER_2M);

	area_fill(area, SIZE_2M, 22);
	for (size_t at = 0; at < SIZE_2M; at += 2 * PAGE_SIZE)
		EXPECT_EQ(kvm_make_private(gpa_of(area + at), PAGE_SIZE), 0);
	for (size_t at = 0; at < SIZE_2M; at += 2 * PAGE_SIZE) {
		EXPECT_EQ(area_not_zero(area + at, PAGE_SIZE), 0);
		EXPECT_EQ(area_changed(area + at + PAGE_SIZE, PAGE_SIZE, 22), 0);
	}
	EXPECT_EQ(kvm_make_shared(gpa_of(area), SIZE_2M), 0);
	EXPECT_EQ(area_changed(area, SIZE_2M, 22), 0);
}

TEST("an access across two pages finds the private half of the one and the shared half of the other")
{
	uint8_t *pages = pages_alloc(1), *edge = pages + PAGE_SIZE;

	WORD_OF(edge - 8) = WORD_OF(edge) = 0xababababababababull;
	EXPECT_EQ(kvm_make_private(gpa_of(edge), PAGE_SIZE), 0);
	EXPECT_EQ(*(volatile uint32_t *)(edge - 2), 0xabab);
	*(volatile uint32_t *)(edge - 2) = 0x12345678;
	EXPECT_EQ(*(volatile uint16_t *)(edge - 2), 0x5678);
	EXPECT_EQ(*(volatile uint16_t *)edge, 0x1234);
	EXPECT_EQ(kvm_make_shared(gpa_of(edge), PAGE_SIZE), 0);
	EXPECT_EQ(*(volatile uint32_t *)(edge - 2), 0xabab5678);
}

TEST("code runs from a private page, and the host's writes do not reach it")
{
	uint8_t *page = page_alloc();
	uint32_t (*function)(void) = (uint32_t(*)(void))(uintptr_t)page;

	/* mov eax, 1; ret, and the same with 2 */
	WORD_OF(page) = 0xc300000001b8ull;
	EXPECT_EQ(function(), 1);
	EXPECT_EQ(kvm_make_private(gpa_of(page), PAGE_SIZE), 0);
	WORD_OF(page) = 0xc300000002b8ull;
	EXPECT_EQ(function(), 2);
	EXPECT_EQ(vmm_host_write(gpa_of(page), 0xc300000003b8ull), 0);
	EXPECT_EQ(function(), 2);
	EXPECT_EQ(kvm_make_shared(gpa_of(page), PAGE_SIZE), 0);
	EXPECT_EQ(function(), 3);
}

TEST("page tables may be private: the CPU walks the private page")
{
	uint8_t *page = page_alloc();
	uint64_t *entry, before, seen;

	WORD_OF(page) = 0x5a5a;
	map_page(VA_FREE, gpa_of(page), LEVEL_4K, PTE_P | PTE_W);
	entry = pte_at(VA_FREE, 1);
	REQUIRE(entry);
	before = *entry;
	EXPECT_EQ(kvm_make_private(gpa_of(entry) & PAGE_MASK, PAGE_SIZE), 0);
	invlpg(VA_FREE);
	EXPECT_FAULT(PF, 0, WORD_OF(VA_FREE));
	*(volatile uint64_t *)entry = before;
	invlpg(VA_FREE);
	EXPECT_EQ(WORD_OF(VA_FREE), 0x5a5a);
	WORD_OF(VA_FREE) = 0xa5a5;
	EXPECT_EQ(*(volatile uint64_t *)entry, before | PTE_A | PTE_D);
	EXPECT_EQ(vmm_host_read(gpa_of(entry), &seen), 0);
	EXPECT_EQ(seen, before, "as the host sees it");
	EXPECT_EQ(kvm_make_shared(gpa_of(entry) & PAGE_MASK, PAGE_SIZE), 0);
	pte_write(VA_FREE, 1, 0);
}
