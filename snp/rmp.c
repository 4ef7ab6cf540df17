// SPDX-License-Identifier: BSD-2-Clause
/*
 * PVALIDATE, RMPADJUST and RMPQUERY
 *
 * What they answer to bad input, what they need to be executed at all, and that RMPQUERY reads what
 * RMPADJUST wrote. What validation means for a page is in snp/psc_msr.c; here the instructions' own
 * rules, which hold on any host with SNP, since no hypervisor is asked but for the page itself.
 *
 * Sources: AMD APM volume 3, PVALIDATE, RMPADJUST and RMPQUERY; volume 2, 15.36.6, 15.36.7: a page
 * that becomes a guest's has no permissions but those of VMPL0.
 */
#include <libc/array.h>
#include <sev/instructions.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <x86/memory.h>
#include <x86/paging.h>
#include <x86/user.h>

#define VMPL1	  1
#define PERMS_ALL 0xfu
#define PERMS(p)  ((uint64_t)(p) << 8)
#define VMPLS	  4

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

/* Our reading: both are about private pages, and the leaf says that this is none (docs/snp.md). */
TEST("an address without the C-bit is bad input, and nothing changes")
{
	uint8_t *page = page_alloc();
	uintptr_t shared = (uintptr_t)sev_shared(page);

	EXPECT_EQ((uint32_t)pvalidate_raw(shared, RMP_4K, 0).rax, RMP_FAIL_INPUT);
	EXPECT_EQ((uint32_t)pvalidate_raw(shared, RMP_4K, 1).rax, RMP_FAIL_INPUT);
	EXPECT_EQ((uint32_t)rmpadjust(shared, RMP_4K, VMPL1), RMP_FAIL_INPUT);
	EXPECT_TRUE(pvalidate_raw((uintptr_t)page, RMP_4K, 1).carry, "it is validated still");
	page_free(page);
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

static uintptr_t user_rmpquery(uintptr_t va)
{
	return rmpquery(va, VMPL1).rax;
}

/* Its bit in CPUID is none of those that KVM shows, so it is tried. */
static void need_rmpquery(void)
{
	static uint8_t *page;

	if (!page)
		page = page_alloc();
	if (FAULT_OF(rmpquery((uintptr_t)page, VMPL1)).vector == UD)
		SKIP("this CPU has no RMPQUERY");
}

static void expect_query(const void *page, uint64_t vmpl, uint64_t attributes)
{
	struct rmp_query query = rmpquery((uintptr_t)page, vmpl);

	EXPECT_EQ((uint32_t)query.rax, RMP_OK, "VMPL %u", (unsigned int)vmpl);
	EXPECT_EQ(query.attributes, attributes | vmpl);
	EXPECT_EQ(query.size, RMP_4K);
}

TEST("RMPQUERY reads the permissions of each lower VMPL as RMPADJUST gave them")
{
	uint8_t *page = page_alloc();

	need_rmpquery();
	for (uint64_t perms = 0; perms <= PERMS_ALL; perms++) {
		for (uint64_t vmpl = 1; vmpl < VMPLS; vmpl++)
			EXPECT_EQ((uint32_t)rmpadjust((uintptr_t)page, RMP_4K,
						      PERMS(perms ^ vmpl) | vmpl),
				  RMP_OK);
		for (uint64_t vmpl = 1; vmpl < VMPLS; vmpl++)
			expect_query(page, vmpl, PERMS(perms ^ vmpl));
	}
}

TEST("RMPQUERY tells a VMSA, for each lower VMPL, and that the page is none again")
{
	uint8_t *page = page_alloc();

	need_rmpquery();
	EXPECT_EQ((uint32_t)rmpadjust((uintptr_t)page, RMP_4K, RMPADJUST_VMSA | VMPL1), RMP_OK);
	for (uint64_t vmpl = 1; vmpl < VMPLS; vmpl++)
		expect_query(page, vmpl, RMPADJUST_VMSA);
	EXPECT_EQ((uint32_t)rmpadjust((uintptr_t)page, RMP_4K, VMPL1), RMP_OK);
	expect_query(page, VMPL1, 0);
}

TEST("RMPQUERY of its own VMPL is refused, and of one that there is not is bad input")
{
	uintptr_t page = (uintptr_t)page_alloc();

	need_rmpquery();
	EXPECT_EQ((uint32_t)rmpquery(page, 0).rax, RMP_FAIL_PERMISSION);
	EXPECT_EQ((uint32_t)rmpquery(page, VMPLS).rax, RMP_FAIL_INPUT);
	EXPECT_EQ((uint32_t)rmpadjust(page, RMP_4K, VMPLS), RMP_FAIL_INPUT);
	EXPECT_EQ((uint32_t)rmpadjust(page, RMP_4K, 0xff), RMP_FAIL_INPUT);
}

TEST("a page that was shared meanwhile has lost its permissions for lower VMPLs")
{
	uint8_t *page = page_alloc();

	need_rmpquery();
	EXPECT_EQ((uint32_t)rmpadjust((uintptr_t)page, RMP_4K, PERMS(PERMS_ALL) | VMPL1), RMP_OK);
	page_share(page);
	page_unshare(page);
	expect_query(page, VMPL1, 0);
}

TEST("RMPADJUST and RMPQUERY of a page that is not validated raise VC, and change nothing")
{
	uintptr_t page = (uintptr_t)page_alloc();

	need_rmpquery();
	EXPECT_EQ((uint32_t)pvalidate_raw(page, RMP_4K, 0).rax, RMP_OK);
	EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, rmpadjust(page, RMP_4K, PERMS(PERMS_ALL) | VMPL1));
	EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, rmpquery(page, VMPL1));
	EXPECT_EQ((uint32_t)pvalidate_raw(page, RMP_4K, 1).rax, RMP_OK);
	expect_query((void *)page, VMPL1, 0);
}

TEST("RMPQUERY raises GP at CPL 3, and PF without a mapping")
{
	uintptr_t page = (uintptr_t)page_alloc();

	need_rmpquery();
	EXPECT_FAULT_EQ(user_call(user_rmpquery, page).fault, GP, 0);
	EXPECT_EQ(FAULT_OF(rmpquery(VA_FREE, VMPL1)).vector, PF);
}

TEST("the carry flag of PVALIDATE is set where the page was in this state before, and only there")
{
	static const struct {
		bool validate, carry;
	} steps[] = { { true, true },  { true, true },	{ false, false }, { false, true },
		      { false, true }, { true, false }, { true, true } };
	uintptr_t page = (uintptr_t)page_alloc();

	for (unsigned int i = 0; i < COUNT_OF(steps); i++) {
		struct rmp_outcome outcome = pvalidate_raw(page, RMP_4K, steps[i].validate);

		EXPECT_EQ((uint32_t)outcome.rax, RMP_OK, "step %u", i);
		EXPECT_EQ(outcome.carry, steps[i].carry, "step %u", i);
	}
}
