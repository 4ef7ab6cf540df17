// SPDX-License-Identifier: BSD-2-Clause
/*
 * PVALIDATE and RMPADJUST
 *
 * What the two answer to bad input, and what they need to be executed at all. What validation means
 * for a page is in snp/psc_msr.c; here the instructions' own rules, which hold on any host with SNP,
 * since no hypervisor is asked but for the page itself.
 *
 * Sources: AMD APM volume 3, PVALIDATE and RMPADJUST; volume 2, 15.36.6, 15.36.7.
 */
#include <sev/instructions.h>
#include <sev/psc.h>
#include <test/test.h>
#include <x86/memory.h>
#include <x86/paging.h>
#include <x86/user.h>

#define VMPL1	  1
#define PERMS_ALL 0xfu
#define PERMS(p)  ((uint64_t)(p) << 8)

static uintptr_t user_pvalidate(uintptr_t va)
{
	return pvalidate_raw(va, RMP_4K, 1).rax;
}

static uintptr_t user_rmpadjust(uintptr_t va)
{
	return rmpadjust(va, RMP_4K, VMPL1);
}

TEST("at CPL 3 both raise GP")
{
	uintptr_t page = (uintptr_t)page_alloc();

	EXPECT_FAULT_EQ(user_call(user_pvalidate, page).fault, GP, 0);
	EXPECT_FAULT_EQ(user_call(user_rmpadjust, page).fault, GP, 0);
}

TEST("an address without a mapping raises PF with it")
{
	struct x86_fault fault = FAULT_OF(pvalidate_raw(VA_FREE, RMP_4K, 1));

	EXPECT_EQ(fault.vector, PF);
	EXPECT_EQ(fault.cr2, VA_FREE);
	fault = FAULT_OF(rmpadjust(VA_FREE, RMP_4K, VMPL1));
	EXPECT_EQ(fault.vector, PF);
	EXPECT_EQ(fault.cr2, VA_FREE);
}

TEST("2 MiB that are not aligned are bad input")
{
	uint8_t *block = pages_alloc(PAGE_ORDER_MAX);

	EXPECT_EQ((uint32_t)pvalidate_raw((uintptr_t)block + PAGE_SIZE, RMP_2M, 1).rax,
		  RMP_FAIL_INPUT);
	EXPECT_EQ((uint32_t)rmpadjust((uintptr_t)block + PAGE_SIZE, RMP_2M, VMPL1), RMP_FAIL_INPUT);
}

TEST("2 MiB over pages of 4 KiB do not fit, for RMPADJUST neither")
{
	EXPECT_EQ((uint32_t)rmpadjust((uintptr_t)pages_alloc(PAGE_ORDER_MAX), RMP_2M, VMPL1),
		  RMP_FAIL_SIZE);
}

TEST("a VMPL changes no permissions of its own or of a higher one")
{
	uintptr_t page = (uintptr_t)page_alloc();

	EXPECT_EQ((uint32_t)rmpadjust(page, RMP_4K, PERMS(PERMS_ALL)), RMP_FAIL_PERMISSION);
	EXPECT_EQ((uint32_t)rmpadjust(page, RMP_4K, PERMS(0)), RMP_FAIL_PERMISSION);
	EXPECT_EQ((uint32_t)rmpadjust(page, RMP_4K, RMPADJUST_VMSA), RMP_FAIL_PERMISSION);
	*(volatile uint8_t *)page = 1;
}

TEST("a lower VMPL's permissions are given and taken, and the page stays usable for VMPL0")
{
	volatile uint64_t *page = page_alloc();

	for (unsigned int vmpl = 1; vmpl <= 3; vmpl++)
		for (uint64_t perms = 0; perms <= PERMS_ALL; perms++)
			EXPECT_EQ((uint32_t)rmpadjust((uintptr_t)page, RMP_4K, PERMS(perms) | vmpl),
				  RMP_OK, "VMPL %u, permissions 0x%x", vmpl, (unsigned int)perms);
	*page = 0x1234;
	EXPECT_EQ(*page, 0x1234);
}

TEST("a page becomes a VMSA, and is none again")
{
	volatile uint64_t *page = page_alloc();

	EXPECT_EQ((uint32_t)rmpadjust((uintptr_t)page, RMP_4K, RMPADJUST_VMSA | VMPL1), RMP_OK);
	EXPECT_EQ((uint32_t)rmpadjust((uintptr_t)page, RMP_4K, VMPL1), RMP_OK);
	*page = 0x1234;
	EXPECT_EQ(*page, 0x1234);
}
