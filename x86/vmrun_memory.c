// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmrun: memory as the host sees it, and memory that is added
 *
 * Tests of guest_memfd and private memory (gmem_*.c, private_*.c) stand on these requests. Here RAM is what
 * it is without --ram, an anonymous mapping: which the host reads and writes, and beside which there can be
 * more; but there is no guest_memfd in it, and vmrun says so.
 */
#include <kvm/area.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>

#define SIZE	   (4 * PAGE_SIZE)

#define WORD_OF(p) (*(volatile uint64_t *)(p))

TEST("the host reads and writes words of RAM, and of nothing else")
{
	uint8_t *page = page_alloc();
	uint64_t gpa = (uintptr_t)page, seen;

	area_fill(page, PAGE_SIZE, 1);
	EXPECT_EQ(area_changed_for_host(page, PAGE_SIZE, 1), 0);
	EXPECT_EQ(vmm_host_write(gpa + 16, 0x1234567890abcdef), 0);
	EXPECT_EQ(WORD_OF(page + 16), 0x1234567890abcdef);
	EXPECT_EQ(vmm_host_read(gpa + 1, &seen), VMRUN_EINVAL);
	EXPECT_EQ(vmm_host_write(gpa + 4, 0), VMRUN_EINVAL);
	EXPECT_EQ(vmm_host_read(memory_hole(), &seen), VMRUN_EINVAL);
	EXPECT_EQ(vmm_host_read(-8ull, &seen), VMRUN_EINVAL);
	EXPECT_EQ(area_changed(page + 24, PAGE_SIZE - 24, 1), 0);
	page_free(page);
}

TEST("an absent page is not the host's to read")
{
	uint64_t gpa = (uintptr_t)page_alloc(), seen;

	WORD_OF((uintptr_t)gpa) = 0x77;
	if (vmm_page_out(gpa, PAGE_SIZE))
		SKIP("no userfaultfd here");
	EXPECT_EQ(vmm_host_read(gpa, &seen), VMRUN_EFAULT);
	EXPECT_EQ(vmm_host_write(gpa, 1), VMRUN_EFAULT);
	EXPECT_EQ(vmm_page_in(gpa), 0);
	EXPECT_EQ(vmm_host_read(gpa, &seen), 0);
	EXPECT_EQ(seen, 0x77);
}

TEST("what takes a guest_memfd is refused without one, and changes nothing")
{
	uint8_t *page = page_alloc();
	uint64_t gpa = (uintptr_t)page;

	area_fill(page, PAGE_SIZE, 2);
	EXPECT_EQ(vmm_host_unmap(gpa, PAGE_SIZE), VMRUN_EOPNOTSUPP);
	EXPECT_EQ(vmm_host_map(gpa, PAGE_SIZE), VMRUN_EOPNOTSUPP);
	EXPECT_EQ(vmm_punch(gpa, PAGE_SIZE), VMRUN_EOPNOTSUPP);
	EXPECT_EQ(vmm_region_add(area_beyond_ram(), SIZE, VMRUN_REGION_GMEM), VMRUN_EOPNOTSUPP);
	EXPECT_NE(vmm_set_attributes(gpa, PAGE_SIZE, 1u << 3), 0);
	EXPECT_EQ(area_changed(page, PAGE_SIZE, 2), 0);
	page_free(page);
}

TEST("memory that is added is there, and gone when it is removed")
{
	uint64_t gpa = area_beyond_ram();
	uint8_t *area = (uint8_t *)(uintptr_t)gpa;

	for (unsigned int i = 0; i < 3; i++) {
		EXPECT_EQ(*(volatile uint32_t *)area, 0xffffffff);
		EXPECT_EQ(vmm_region_add(gpa, SIZE, 0), 0);
		EXPECT_EQ(area_not_zero(area, SIZE), 0);
		area_fill(area, SIZE, 3);
		EXPECT_EQ(area_changed_for_host(area, SIZE, 3), 0);
		EXPECT_EQ(vmm_region_remove(gpa), 0);
		EXPECT_EQ(vmm_region_remove(gpa), VMRUN_ENOENT);
	}
}
