// SPDX-License-Identifier: BSD-2-Clause
/*
 * Entries of 2 MiB in the RMP: made, split, and made again
 *
 * Where the host backs private memory by pages of 2 MiB, one entry of the RMP stands for 512 pages.
 * The guest may then validate them at once; and whoever comes with 4 KiB, the guest by PVALIDATE or
 * RMPADJUST, or a request to share one page, has the entry split: PSMASH makes 512 of it, each of
 * which says what the one said. So the other 511 pages stay validated and keep their contents, which
 * is looked at each time over the whole of the 2 MiB. RMPQUERY tells what size an entry has.
 *
 * A hypervisor that forgets to split fails the guest, one that splits and does not carry over takes
 * 511 pages away, and one that makes 2 MiB of what is shared in part takes a page of the host's.
 *
 * The host has to be asked for such pages (need snp-2m): what KVM's guest_memfd gives by itself is
 * pages of 4 KiB.
 *
 * Sources: AMD APM volume 3, PVALIDATE, RMPADJUST, RMPQUERY, PSMASH; volume 2, 15.36.11 "Large Page
 * Management"; KVM: arch/x86/kvm/svm/sev.c, sev_gmem_prepare, sev_handle_rmp_fault,
 * sev_gmem_invalidate.
 */
#include <sev/instructions.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>
#include <x86/paging.h>

#define LARGE	  512
#define NONE	  LARGE
#define VMPL1	  1
#define PERMS(p)  ((uint64_t)(p) << 8)
#define PERM_READ 1

static uint8_t *page_of(uint8_t *block, unsigned int page)
{
	return block + page * PAGE_SIZE;
}

static uint64_t gfn_of(uint8_t *block, unsigned int page)
{
	return (uintptr_t)page_of(block, page) >> PAGE_SHIFT;
}

static void expect_validation(uint8_t *at, enum rmp_size size, bool valid, bool was_so)
{
	struct rmp_outcome outcome = pvalidate_raw((uintptr_t)at, size, valid);

	EXPECT_EQ((uint32_t)outcome.rax, RMP_OK, "page 0x%lx", (unsigned long)at);
	EXPECT_EQ(outcome.carry, was_so, "page 0x%lx, the carry flag", (unsigned long)at);
}

static void expect_size(uint8_t *at, enum rmp_size size)
{
	struct rmp_query query = rmpquery((uintptr_t)at, VMPL1);

	EXPECT_EQ((uint32_t)query.rax, RMP_OK, "page 0x%lx", (unsigned long)at);
	EXPECT_EQ(query.size, size, "page 0x%lx", (unsigned long)at);
}

static void number(uint8_t *block)
{
	for (unsigned int i = 0; i < LARGE; i++) {
		uint64_t *words = (uint64_t *)page_of(block, i);

		words[0] = i + 1;
		words[PAGE_SIZE / sizeof(*words) - 1] = ~(uint64_t)i;
	}
}

/* All pages but those from first on, as number() left them; each is one that can be read, too. */
static void expect_numbers(uint8_t *block, unsigned int first, unsigned int count)
{
	for (unsigned int i = 0; i < LARGE; i++) {
		const uint64_t *words = (uint64_t *)page_of(block, i);

		if (i >= first && i < first + count)
			continue;
		if (!EXPECT_EQ(words[0], i + 1, "page %u", i) ||
		    !EXPECT_EQ(words[PAGE_SIZE / sizeof(*words) - 1], ~(uint64_t)i, "page %u", i))
			return;
	}
}

static uint8_t read_byte(const volatile uint8_t *at)
{
	return *at;
}

/* 2 MiB of one entry, validated and numbered. */
static uint8_t *large_block(void)
{
	uint8_t *block = memory_untouched();

	expect_validation(block, RMP_2M, true, false);
	number(block);
	return block;
}

/* A buffer of one entry. */
static uint64_t change(uint64_t gfn, enum psc_operation operation, unsigned int done)
{
	struct psc_buffer buffer = { .entries = { PSC_ENTRY(gfn, operation, true, done) } };

	return psc_ghcb(&buffer).info_2;
}

TEST("2 MiB that were never touched are one entry, and validated at once")
{
	static const unsigned int pages[] = { 0, 1, 255, 256, LARGE - 1 };
	uint8_t *block = memory_untouched();

	for (unsigned int i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, read_byte(page_of(block, pages[i])));
	expect_validation(block, RMP_2M, true, false);
	for (unsigned int i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		expect_size(page_of(block, pages[i]), RMP_2M);
	number(block);
	expect_numbers(block, NONE, 0);
}

TEST("a second validation of 2 MiB changes nothing, and the carry flag tells")
{
	uint8_t *block = large_block();

	expect_validation(block, RMP_2M, true, true);
	expect_validation(block, RMP_2M, false, false);
	expect_validation(block, RMP_2M, false, true);
	EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, read_byte(page_of(block, LARGE / 2)));
	expect_validation(block, RMP_2M, true, false);
	expect_numbers(block, NONE, 0);
}

TEST("PVALIDATE of 4 KiB splits 2 MiB, and concerns one page")
{
	uint8_t *block = large_block(), *page = page_of(block, 7);

	expect_validation(page, RMP_4K, false, false);
	EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, read_byte(page));
	expect_numbers(block, 7, 1);
	/* Nor do the accesses to its neighbours make it usable, by a mapping of all 2 MiB. */
	EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, read_byte(page));
	expect_size(page_of(block, 6), RMP_4K);
	expect_size(page_of(block, LARGE - 1), RMP_4K);
	EXPECT_EQ((uint32_t)pvalidate_raw((uintptr_t)block, RMP_2M, 1).rax, RMP_FAIL_SIZE);
	expect_validation(page, RMP_4K, true, false);
	expect_numbers(block, NONE, 0);
}

TEST("PVALIDATE of 4 KiB that are valid in 2 MiB splits them, and tells that nothing changed")
{
	uint8_t *block = large_block(), *page = page_of(block, LARGE - 1);

	expect_validation(page, RMP_4K, true, true);
	expect_size(page, RMP_4K);
	expect_numbers(block, NONE, 0);
}

TEST("RMPADJUST of 2 MiB concerns all of them, and that of 4 KiB splits them")
{
	uint8_t *block = large_block(), *page = page_of(block, 300);
	struct rmp_query query;

	EXPECT_EQ((uint32_t)rmpadjust((uintptr_t)block, RMP_2M, PERMS(PERM_READ) | VMPL1), RMP_OK);
	query = rmpquery((uintptr_t)page, VMPL1);
	EXPECT_EQ(query.attributes, PERMS(PERM_READ) | VMPL1);
	EXPECT_EQ(query.size, RMP_2M);
	EXPECT_EQ((uint32_t)rmpadjust((uintptr_t)page, RMP_4K, VMPL1), RMP_OK);
	EXPECT_EQ(rmpquery((uintptr_t)page, VMPL1).attributes, VMPL1);
	EXPECT_EQ(rmpquery((uintptr_t)page_of(block, 299), VMPL1).attributes,
		  PERMS(PERM_READ) | VMPL1, "what the entry said is what each of the 512 says");
	expect_size(block, RMP_4K);
	expect_numbers(block, NONE, 0);
}

/* Its validation is not taken back, so that it is the hypervisor that has to split. */
static void check_share_one(unsigned int number_of_page)
{
	uint8_t *block = large_block(), *page = page_of(block, number_of_page);
	uint64_t *shared = sev_shared(page);

	EXPECT_EQ(psc_msr(gfn_of(block, number_of_page), PSC_SHARED), GHCB_MSR_PSC_RESP);
	EXPECT_EQ(vmm_private_pages((uintptr_t)block, LARGE * PAGE_SIZE), LARGE - 1);
	EXPECT_NE(*shared, number_of_page + 1, "the private contents");
	*shared = 0x1234;
	EXPECT_EQ(*shared, 0x1234);
	expect_numbers(block, number_of_page, 1);
	expect_size(page_of(block, number_of_page ^ 1), RMP_4K);
	EXPECT_EQ(psc_msr(gfn_of(block, number_of_page), PSC_PRIVATE), GHCB_MSR_PSC_RESP);
	EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, read_byte(page));
	EXPECT_EQ((uint32_t)pvalidate_raw((uintptr_t)block, RMP_2M, 1).rax, RMP_FAIL_SIZE);
	expect_validation(page, RMP_4K, true, false);
	expect_numbers(block, number_of_page, 1);
}

TEST("sharing the first page of 2 MiB splits them, and the others keep what they have")
{
	check_share_one(0);
}

TEST("sharing a page in the middle of 2 MiB splits them, and the others keep what they have")
{
	check_share_one(257);
}

TEST("sharing the last page of 2 MiB splits them, and the others keep what they have")
{
	check_share_one(LARGE - 1);
}

TEST("the second half of 2 MiB becomes shared, and the first keeps what it has")
{
	uint8_t *block = large_block();

	EXPECT_EQ(change(gfn_of(block, 0), PSC_SHARED, LARGE / 2), PSC_DONE);
	EXPECT_EQ(vmm_private_pages((uintptr_t)block, LARGE * PAGE_SIZE), LARGE / 2);
	EXPECT_EQ(vmm_private_pages((uintptr_t)block, LARGE / 2 * PAGE_SIZE), LARGE / 2);
	expect_numbers(block, LARGE / 2, LARGE / 2);
	EXPECT_EQ(change(gfn_of(block, 0), PSC_PRIVATE, LARGE / 2), PSC_DONE);
	EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, read_byte(page_of(block, LARGE / 2)));
	expect_numbers(block, LARGE / 2, LARGE / 2);
}

TEST("2 MiB shared at once and private again are one entry again, not validated, without contents")
{
	uint8_t *block = large_block();

	EXPECT_EQ(change(gfn_of(block, 0), PSC_SHARED, 0), PSC_DONE);
	EXPECT_EQ(vmm_private_pages((uintptr_t)block, LARGE * PAGE_SIZE), 0);
	*(uint64_t *)sev_shared(page_of(block, 9)) = 10;
	EXPECT_EQ(change(gfn_of(block, 0), PSC_PRIVATE, 0), PSC_DONE);
	EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, read_byte(page_of(block, 9)));
	expect_validation(block, RMP_2M, true, false);
	for (unsigned int i = 0; i < LARGE; i++)
		EXPECT_NE(*(uint64_t *)page_of(block, i), i + 1, "page %u", i);
}

TEST("2 MiB that were split, shared at once and private again, are one entry again")
{
	uint8_t *block = large_block();

	expect_validation(page_of(block, 100), RMP_4K, true, true);
	expect_size(block, RMP_4K);
	EXPECT_EQ(change(gfn_of(block, 0), PSC_SHARED, 0), PSC_DONE);
	EXPECT_EQ(change(gfn_of(block, 0), PSC_PRIVATE, 0), PSC_DONE);
	expect_validation(block, RMP_2M, true, false);
	expect_size(page_of(block, 100), RMP_2M);
}

TEST("a request that split 2 MiB be private, as they are, does not make one entry of them")
{
	uint8_t *block = large_block();

	expect_validation(page_of(block, 100), RMP_4K, true, true);
	EXPECT_EQ(change(gfn_of(block, 0), PSC_PRIVATE, 0), PSC_DONE);
	expect_size(block, RMP_4K);
	EXPECT_EQ((uint32_t)pvalidate_raw((uintptr_t)block, RMP_2M, 1).rax, RMP_FAIL_SIZE);
	expect_numbers(block, NONE, 0);
}

TEST("a request that 2 MiB be private, as they are, leaves their entry, validation and contents")
{
	uint8_t *block = large_block();

	EXPECT_EQ(change(gfn_of(block, 0), PSC_PRIVATE, 0), PSC_DONE);
	expect_size(page_of(block, 13), RMP_2M);
	expect_validation(block, RMP_2M, true, true);
	expect_numbers(block, NONE, 0);
}

TEST("the pages beside a shared one of 2 MiB are private when touched, and it stays shared")
{
	uint8_t *block = memory_untouched(), *page = page_of(block, 20);

	EXPECT_EQ(psc_msr(gfn_of(block, 20), PSC_SHARED), GHCB_MSR_PSC_RESP);
	*(uint64_t *)sev_shared(page) = 0x5678;
	EXPECT_EQ((uint32_t)pvalidate_raw((uintptr_t)page_of(block, 21), RMP_4K, 1).rax, RMP_OK);
	expect_size(page_of(block, 21), RMP_4K);
	EXPECT_EQ(*(uint64_t *)sev_shared(page), 0x5678);
	EXPECT_EQ(vmm_private_pages((uintptr_t)block, LARGE * PAGE_SIZE), LARGE - 1);
}
