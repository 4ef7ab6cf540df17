// SPDX-License-Identifier: BSD-2-Clause
/*
 * More memory that is a guest_memfd, in slots that come and go, and files that are closed
 *
 * A slot brings its file's pages to the guest at once, and takes them away when it is deleted: what is
 * behind the address then is as empty as any (reads give ones). The slot does not hold the file: when the
 * last descriptor and mapping of it are gone, its pages are, and each access is
 * KVM_EXIT_MEMORY_FAULT (virt/kvm/guest_memfd.c, kvm_gmem_release, kvm_gmem_get_pfn;
 * arch/x86/kvm/mmu/mmu.c, kvm_mmu_faultin_pfn_gmem), of one page, whose address it names, and without
 * KVM_MEMORY_EXIT_FLAG_PRIVATE, as a VM of the default type has no private memory.
 *
 * vmrun raises #MC for such an access (lib/vmrun/vmm.h).
 */
#include <kvm/area.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>
#include <x86/smp.h>

#define PAGES	   4
#define SIZE	   (PAGES * PAGE_SIZE)
#define EMPTY	   0xffffffff

#define WORD_OF(p) (*(volatile uint64_t *)(p))

static uint8_t *region(uint32_t flags)
{
	uint64_t gpa = area_beyond_ram();

	REQUIRE(vmm_region_add(gpa, SIZE, flags) == 0);
	return (uint8_t *)(uintptr_t)gpa;
}

TEST("a new region is zero, its pages are the host's too, and may be punched")
{
	uint8_t *area = region(VMRUN_REGION_GMEM);

	EXPECT_EQ(area_not_zero(area, SIZE), 0);
	area_fill(area, SIZE, 1);
	EXPECT_EQ(area_changed_for_host(area, SIZE, 1), 0);
	EXPECT_EQ(vmm_host_write((uintptr_t)area + 8, 0x44), 0);
	EXPECT_EQ(WORD_OF(area + 8), 0x44);
	EXPECT_EQ(vmm_punch((uintptr_t)area + PAGE_SIZE, PAGE_SIZE), 0);
	EXPECT_EQ(area_not_zero(area + PAGE_SIZE, PAGE_SIZE), 0);
	EXPECT_EQ(area_changed(area + 2 * PAGE_SIZE, 2 * PAGE_SIZE, 1), 0);
	EXPECT_EQ(vmm_region_remove((uintptr_t)area), 0);
}

TEST("where a region was, nothing is, and the next one there is new")
{
	uint8_t *area;

	for (unsigned int i = 0; i < 4; i++) {
		area = region(VMRUN_REGION_GMEM);
		EXPECT_EQ(area_not_zero(area, SIZE), 0, "round %u", i);
		area_fill(area, SIZE, 2);
		EXPECT_EQ(area_changed(area, SIZE, 2), 0, "round %u", i);
		EXPECT_EQ(vmm_region_remove((uintptr_t)area), 0);
		for (unsigned int page = 0; page < PAGES; page++)
			EXPECT_EQ(*(volatile uint32_t *)(area + page * PAGE_SIZE), EMPTY,
				  "round %u, page %u", i, page);
	}
}

TEST("a region beside another is its own, with a guest_memfd or without")
{
	uint64_t start = area_beyond_ram();
	uint8_t *area = (uint8_t *)(uintptr_t)start;

	for (unsigned int i = 0; i < VMRUN_REGIONS; i++)
		EXPECT_EQ(vmm_region_add(start + i * SIZE, SIZE, i % 2 ? VMRUN_REGION_GMEM : 0), 0);
	area_fill(area, VMRUN_REGIONS * SIZE, 3);
	EXPECT_EQ(area_changed_for_host(area, VMRUN_REGIONS * SIZE, 3), 0);
	EXPECT_EQ(vmm_region_remove(start + SIZE), 0);
	EXPECT_EQ(area_changed(area, SIZE, 3), 0);
	EXPECT_EQ(*(volatile uint32_t *)(area + SIZE), EMPTY);
	EXPECT_EQ(area_changed(area + 2 * SIZE, 2 * SIZE, 3), 0);
	for (unsigned int i = 0; i < VMRUN_REGIONS; i++)
		EXPECT_EQ(vmm_region_remove(start + i * SIZE), i == 1 ? VMRUN_ENOENT : 0);
}

static void check_fault(const volatile void *at, const char *what)
{
	EXPECT_EQ(vmm_record(VMRUN_RECORD_FAULTS), 1, "%s", what);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_FAULT_FLAGS), 0, "%s", what);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_FAULT_GPA), (uintptr_t)at & PAGE_MASK, "%s", what);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_FAULT_SIZE), PAGE_SIZE, "%s", what);
	vmm_fault_way(VMRUN_FAULT_RAISE, 0);
}

TEST("when the file is gone each access is a memory fault: reads, writes and fetches")
{
	static const unsigned int offsets[] = { 0, 0x123, PAGE_SIZE + 8, SIZE - 1 };
	uint8_t *area = region(VMRUN_REGION_GMEM | VMRUN_REGION_CLOSED);

	vmm_fault_way(VMRUN_FAULT_RAISE, 0);
	for (unsigned int i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		uint8_t *at = area + offsets[i];
		void (*function)(void) = (void (*)(void))(uintptr_t)at;

		EXPECT_FAULT(MC, 0, *(volatile uint8_t *)at);
		check_fault(at, "read");
		EXPECT_FAULT(MC, 0, *(volatile uint8_t *)at = 1);
		check_fault(at, "write");
		EXPECT_FAULT(MC, 0, function());
		check_fault(at, "fetch");
	}
	vmm_fault_way(VMRUN_FAULT_DIE, 0);
	EXPECT_EQ(vmm_region_remove((uintptr_t)area), 0);
	EXPECT_EQ(*(volatile uint32_t *)area, EMPTY);
}

TEST("requests about regions are checked")
{
	uint64_t start = area_beyond_ram(), seen;

	EXPECT_EQ(vmm_region_add(start + 1, SIZE, 0), VMRUN_EINVAL);
	EXPECT_EQ(vmm_region_add(start, SIZE - 1, 0), VMRUN_EINVAL);
	EXPECT_EQ(vmm_region_add(start, 0, 0), VMRUN_EINVAL);
	EXPECT_EQ(vmm_region_add((uintptr_t)page_alloc(), SIZE, 0), VMRUN_EEXIST);
	EXPECT_EQ(vmm_region_remove(start), VMRUN_ENOENT);
	EXPECT_EQ(vmm_region_remove(0), VMRUN_ENOENT);
	EXPECT_EQ(vmm_host_read(start, &seen), VMRUN_EINVAL);
	EXPECT_EQ(vmm_punch(start, PAGE_SIZE), VMRUN_EINVAL);
	EXPECT_EQ(vmm_host_unmap(start, PAGE_SIZE), VMRUN_EINVAL);
	for (unsigned int i = 0; i < VMRUN_REGIONS; i++)
		EXPECT_EQ(vmm_region_add(start + i * SIZE, SIZE, 0), 0);
	EXPECT_EQ(vmm_region_add(start + VMRUN_REGIONS * SIZE, SIZE, 0), VMRUN_ENOSPC);
	EXPECT_EQ(vmm_punch(start, PAGE_SIZE), VMRUN_EOPNOTSUPP);
	EXPECT_EQ(vmm_punch(start, SIZE + PAGE_SIZE), VMRUN_EINVAL);
	for (unsigned int i = 0; i < VMRUN_REGIONS; i++)
		EXPECT_EQ(vmm_region_remove(start + i * SIZE), 0);
}
