// SPDX-License-Identifier: BSD-2-Clause
/*
 * Page state change by the MSR protocol, and what it means for memory
 *
 * One page at a time changes between private and shared: the guest takes the validation back
 * (PVALIDATE), asks for the change, and uses the page through a mapping without the C-bit; on the
 * way back it asks first, and validates then. Checked here: the response bit by bit, for both
 * directions, for what is no operation, and for a page that is in the wanted state already; that a
 * page that comes back must be validated anew, and that using it before raises #VC; that no
 * contents cross the line, in either direction; and that no other page changes, looked at over a
 * whole 2 MiB.
 *
 * A hypervisor that gets the address, the direction or the size wrong leaks a page of the guest, or
 * takes one away from it, and neither shows at once.
 *
 * Sources: GHCB specification, 2.3.1, request 0x014: GHCBData[55:52] the operation, 51:12 the GFN;
 * response 0x015: 63:32 an error, 31:12 zero. AMD APM volume 2, 15.36.6 "Page Validation", 15.36.7,
 * 15.36.10; volume 3, PVALIDATE. KVM: arch/x86/kvm/svm/sev.c, snp_begin_psc_msr,
 * snp_complete_psc_msr: an operation that is none is refused with bit 63; the rest goes to the VMM
 * as KVM_HC_MAP_GPA_RANGE.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <sev/ghcb.h>
#include <sev/instructions.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <x86/memory.h>
#include <x86/paging.h>
#include <x86/registers.h>

/* No page is like this by chance, and one that comes back need not be zero. */
#define PRIVATE_WORD 0x5a69788796a5b4c3ull
#define SHARED_WORD  0xc3d2e1f00f1e2d3cull
#define WORDS	     (PAGE_SIZE / sizeof(uint64_t))
#define BLOCK_PAGES  (1u << PAGE_ORDER_MAX)

static uint64_t gfn_of(const void *page)
{
	return (uintptr_t)page >> PAGE_SHIFT;
}

static struct rmp_outcome validate(const void *page, bool valid)
{
	return pvalidate_raw((uintptr_t)page, RMP_4K, valid);
}

static void expect_validation(const void *page, bool valid, bool was_so)
{
	struct rmp_outcome outcome = validate(page, valid);

	EXPECT_EQ((uint32_t)outcome.rax, RMP_OK);
	EXPECT_EQ(outcome.carry, was_so, "validated %u, the carry flag", valid);
}

static void fill(void *page, uint64_t word)
{
	uint64_t *words = page;

	for (unsigned int i = 0; i < WORDS; i++)
		words[i] = word;
}

static unsigned int count_words(const void *page, uint64_t word)
{
	const uint64_t *words = page;
	unsigned int count = 0;

	for (unsigned int i = 0; i < WORDS; i++)
		count += words[i] == word;
	return count;
}

static void expect_filled(const void *page, uint64_t word)
{
	EXPECT_EQ(count_words(page, word), WORDS, "page 0x%lx", (unsigned long)page);
}

static uint8_t read_byte(const volatile uint8_t *at)
{
	return *at;
}

/* A filled private page, made shared without page_share(), which looks at less. */
static uint8_t *share_filled(uint8_t *page)
{
	fill(page, PRIVATE_WORD);
	expect_validation(page, false, false);
	EXPECT_EQ(psc_msr(gfn_of(page), PSC_SHARED), GHCB_MSR_PSC_RESP);
	return sev_shared(page);
}

static void take_back(void *page)
{
	EXPECT_EQ(psc_msr(gfn_of(page), PSC_PRIVATE), GHCB_MSR_PSC_RESP);
	expect_validation(page, true, false);
}

TEST("a page becomes shared, and what was in it is not seen there")
{
	uint8_t *page = page_alloc();
	uint8_t *shared = share_filled(page);

	EXPECT_EQ(count_words(shared, PRIVATE_WORD), 0);
	fill(shared, SHARED_WORD);
	expect_filled(shared, SHARED_WORD);
	take_back(page);
	page_free(page);
}

TEST("a page becomes private again, and what was in it while shared is not seen there")
{
	uint8_t *page = page_alloc();

	fill(share_filled(page), SHARED_WORD);
	take_back(page);
	EXPECT_EQ(count_words(page, SHARED_WORD), 0);
	fill(page, PRIVATE_WORD);
	expect_filled(page, PRIVATE_WORD);
	page_free(page);
}

TEST("a page that came back raises #VC with error code 0x404 until it is validated")
{
	uint8_t *page = page_alloc();

	share_filled(page);
	EXPECT_EQ(psc_msr(gfn_of(page), PSC_PRIVATE), GHCB_MSR_PSC_RESP);
	EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, read_byte(page));
	EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, *(volatile uint8_t *)page = 1);
	expect_validation(page, true, false);
	EXPECT_NO_FAULT(read_byte(page));
	page_free(page);
}

/* KVM has no part in it; a guest that validates what it touches has nothing else to go by. */
TEST("#VC of a page that is not validated leaves the address of the access in CR2")
{
	static const unsigned int offsets[] = { 0, 1, 0x123, PAGE_SIZE - 1 };
	uint8_t *page = page_alloc();

	expect_validation(page, false, false);
	for (unsigned int i = 0; i < COUNT_OF(offsets); i++) {
		uintptr_t cr2;

		write_cr2(0);
		EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, read_byte(page + offsets[i]));
		cr2 = read_cr2();
		EXPECT_EQ(cr2, (uintptr_t)page + offsets[i], "a read");
		write_cr2(0);
		EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED,
			     *(volatile uint8_t *)(page + offsets[i]) = 1);
		cr2 = read_cr2();
		EXPECT_EQ(cr2, (uintptr_t)page + offsets[i], "a write");
	}
	expect_validation(page, true, false);
	page_free(page);
}

TEST("a page whose validation is taken back raises #VC, and keeps what it had")
{
	uint8_t *page = page_alloc();

	fill(page, PRIVATE_WORD);
	expect_validation(page, false, false);
	EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, read_byte(page));
	expect_validation(page, true, false);
	expect_filled(page, PRIVATE_WORD);
	page_free(page);
}

TEST("a second validation changes nothing, and the carry flag tells")
{
	uint8_t *page = page_alloc();

	fill(page, PRIVATE_WORD);
	expect_validation(page, true, true);
	expect_filled(page, PRIVATE_WORD);
	expect_validation(page, false, false);
	expect_validation(page, false, true);
	expect_validation(page, true, false);
	expect_validation(page, true, true);
	page_free(page);
}

TEST("the validation of 2 MiB over pages of 4 KiB is refused for the size")
{
	void *block = pages_alloc(PAGE_ORDER_MAX);

	EXPECT_EQ((uint32_t)pvalidate_raw((uintptr_t)block, RMP_2M, 1).rax, RMP_FAIL_SIZE);
	EXPECT_EQ((uint32_t)pvalidate_raw((uintptr_t)block, RMP_2M, 0).rax, RMP_FAIL_SIZE);
}

/* Private or shared, asked for it again. */
TEST("asking for the state that a page is in succeeds, and changes nothing")
{
	uint8_t *page = page_alloc();
	uint8_t *shared;

	fill(page, PRIVATE_WORD);
	EXPECT_EQ(psc_msr(gfn_of(page), PSC_PRIVATE), GHCB_MSR_PSC_RESP);
	expect_filled(page, PRIVATE_WORD);
	expect_validation(page, true, true);

	shared = share_filled(page);
	fill(shared, SHARED_WORD);
	EXPECT_EQ(psc_msr(gfn_of(page), PSC_SHARED), GHCB_MSR_PSC_RESP);
	expect_filled(shared, SHARED_WORD);
	take_back(page);
	page_free(page);
}

TEST("an operation that is none is refused, and the page stays what it was")
{
	uint8_t *page = page_alloc();

	fill(page, PRIVATE_WORD);
	for (unsigned int operation = 0; operation < 16; operation++) {
		uint64_t response;

		if (operation == PSC_PRIVATE || operation == PSC_SHARED)
			continue;
		response = psc_msr(gfn_of(page), operation);
		EXPECT_EQ((uint32_t)response, GHCB_MSR_PSC_RESP, "operation %u", operation);
		EXPECT_NE(response >> 32, 0, "operation %u", operation);
	}
	expect_filled(page, PRIVATE_WORD);
	expect_validation(page, true, true);
	page_free(page);
}

TEST("the page of the running code, asked to be private as it is, runs on")
{
	void *code = (void *)((uintptr_t)psc_msr & PAGE_MASK);

	EXPECT_EQ(psc_msr(gfn_of(code), PSC_PRIVATE), GHCB_MSR_PSC_RESP);
	EXPECT_EQ(psc_msr(gfn_of(code) + 1, PSC_PRIVATE), GHCB_MSR_PSC_RESP);
}

/* The hypervisor cannot read it then; the MSR protocol needs none. */
TEST("the GHCB's own page can be made private and shared again")
{
	uint64_t to_private, to_shared;
	struct ghcb_hold hold;

	ghcb_take(&hold);
	to_private = psc_msr(ghcb_gpa() >> PAGE_SHIFT, PSC_PRIVATE);
	to_shared = psc_msr(ghcb_gpa() >> PAGE_SHIFT, PSC_SHARED);
	ghcb_release(&hold);
	EXPECT_EQ(to_private, GHCB_MSR_PSC_RESP);
	EXPECT_EQ(to_shared, GHCB_MSR_PSC_RESP);
}

TEST("a page changes its state many times over, and must be validated each time")
{
	uint8_t *page = page_alloc();

	for (unsigned int round = 0; round < 50; round++) {
		uint8_t *shared = share_filled(page);

		EXPECT_EQ(count_words(shared, PRIVATE_WORD), 0, "round %u", round);
		fill(shared, SHARED_WORD);
		take_back(page);
		EXPECT_EQ(count_words(page, SHARED_WORD), 0, "round %u", round);
	}
	page_free(page);
}

/* Each page of the block has its number in all of its words. */
static void number_page(void *page, unsigned int number)
{
	uint32_t *words = page;

	for (unsigned int i = 0; i < PAGE_SIZE / sizeof(*words); i++)
		words[i] = number;
}

static bool has_number(const void *page, unsigned int number)
{
	const uint32_t *words = page;

	for (unsigned int i = 0; i < PAGE_SIZE / sizeof(*words); i++)
		if (words[i] != number)
			return false;
	return true;
}

TEST("a change in the middle and at both ends of 2 MiB leaves all other pages alone")
{
	static const unsigned int changed[] = { 0, 1, 255, BLOCK_PAGES - 1 };
	uint8_t *block = pages_alloc(PAGE_ORDER_MAX);
	bool is_changed[BLOCK_PAGES] = { 0 };

	for (unsigned int i = 0; i < BLOCK_PAGES; i++)
		number_page(block + i * PAGE_SIZE, i + 1);
	for (unsigned int i = 0; i < sizeof(changed) / sizeof(changed[0]); i++) {
		page_share(block + changed[i] * PAGE_SIZE);
		is_changed[changed[i]] = true;
	}
	for (unsigned int i = 0; i < BLOCK_PAGES; i++)
		if (!is_changed[i])
			EXPECT_TRUE(has_number(block + i * PAGE_SIZE, i + 1), "page %u", i);
	for (unsigned int i = 0; i < sizeof(changed) / sizeof(changed[0]); i++)
		page_unshare(block + changed[i] * PAGE_SIZE);
	for (unsigned int i = 0; i < BLOCK_PAGES; i++)
		if (!is_changed[i])
			EXPECT_TRUE(has_number(block + i * PAGE_SIZE, i + 1), "page %u, back", i);
}
