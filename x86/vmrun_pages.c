// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmrun: pages of RAM that are absent until the guest wants them back
 *
 * Tests of what KVM does with pages that the host does not have (async_pf.c) stand on these requests:
 * a page comes back with its contents, whoever touches it before waits, vmrun can tell, and everything
 * else is refused.
 */
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>
#include <x86/smp.h>
#include <x86/time.h>

#define FAULT_MS 5000

TEST("an absent page comes back with what was in it, and requests about it are checked")
{
	uint8_t *page = pages_alloc(1);
	uint64_t gpa = (uintptr_t)page;

	memset(page, 0x5a, 2 * PAGE_SIZE);
	EXPECT_EQ(vmm_page_in(gpa), VMRUN_ENOENT);
	EXPECT_EQ(vmm_page_out(gpa, PAGE_SIZE), 0);
	EXPECT_EQ(vmm_page_out(gpa, PAGE_SIZE), VMRUN_EBUSY);
	EXPECT_EQ(vmm_page_out(gpa, 2 * PAGE_SIZE), VMRUN_EBUSY);
	EXPECT_EQ(vmm_page_waiting(gpa), 0);
	EXPECT_EQ(vmm_page_in(gpa + PAGE_SIZE), VMRUN_ENOENT);
	EXPECT_EQ(vmm_page_in(gpa), 0);
	EXPECT_EQ(vmm_page_in(gpa), VMRUN_ENOENT);
	for (unsigned int i = 0; i < 2 * PAGE_SIZE; i++)
		EXPECT_EQ(page[i], 0x5a, "byte %u", i);
	page_free(page);
	page_free(page + PAGE_SIZE);
}

TEST("what is not pages of RAM cannot be made absent")
{
	uint64_t page = (uintptr_t)page_alloc(), end = memory_size();

	EXPECT_EQ(vmm_page_out(page + 1, PAGE_SIZE), VMRUN_EINVAL);
	EXPECT_EQ(vmm_page_out(page, PAGE_SIZE - 1), VMRUN_EINVAL);
	EXPECT_EQ(vmm_page_out(page, 0), VMRUN_EINVAL);
	EXPECT_EQ(vmm_page_out(page, -PAGE_SIZE), VMRUN_EINVAL);
	EXPECT_EQ(vmm_page_out(memory_hole(), PAGE_SIZE), VMRUN_EINVAL);
	EXPECT_EQ(vmm_page_out(page, end * 2), VMRUN_EINVAL);
	page_free((void *)(uintptr_t)page);
}

static volatile bool read_done;

static void read_byte(void *argument)
{
	EXPECT_EQ(*(const volatile uint8_t *)argument, 0x77);
	read_done = true;
}

TEST("a CPU that touches an absent page waits for it, and vmrun knows")
{
	uint8_t *page = page_alloc();
	uint64_t gpa = (uintptr_t)page;

	*page = 0x77;
	read_done = false;
	EXPECT_EQ(vmm_page_out(gpa, PAGE_SIZE), 0);
	on_cpu_start(1, read_byte, page);
	EXPECT_TRUE(WAIT_FOR(vmm_page_waiting(gpa) > 0, FAULT_MS));
	delay_us(10000);
	EXPECT_FALSE(read_done);
	EXPECT_EQ(vmm_page_in(gpa), 0);
	on_cpu_wait(1);
	EXPECT_TRUE(read_done);
	EXPECT_EQ(vmm_page_waiting(gpa), 0);
	page_free(page);
}
