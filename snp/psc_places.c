// SPDX-License-Identifier: BSD-2-Clause
/*
 * Page state change of every kind of address, and without a VMM behind it
 *
 * A guest may ask for any GFN of 40 bits by the MSR protocol and by the GHCB: the first and the last
 * page of RAM, what lies behind it, holes, devices, the ends of the address space, the page that
 * holds the request itself. The hypervisor passes the address on as it is, whether it is RAM is the
 * VMM's to say, and its refusal must come back as one: by the MSR protocol as an error in bits
 * 63:32, by the GHCB as the generic error with the entry that failed. A range that is RAM in part is
 * refused as a whole. And a VMM that has not asked for such requests at all gets none: KVM answers
 * each by an error, and no page changes.
 *
 * Sources: GHCB specification, 2.3.1, request 0x014, and 4.1.6; KVM: arch/x86/kvm/svm/sev.c,
 * snp_begin_psc_msr, snp_complete_psc_msr, snp_begin_psc, snp_complete_one_psc;
 * Documentation/virt/kvm/api.rst, KVM_CAP_EXIT_HYPERCALL. What the VMM refuses: <vmrun/snp.h>.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <sev/ghcb.h>
#include <sev/instructions.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>

#define LOCAL_APIC    0xfee00000ull
#define IO_APIC	      0xfec00000ull
#define GFN_BITS      40
#define GFN_MAX	      ((1ull << GFN_BITS) - 1)
#define LARGE	      512
#define BLOCK_SIZE    (LARGE * PAGE_SIZE)
#define RESERVED_BITS 8 /* 63:56 of a request of the MSR protocol */

/* KVM sets the top bit of the error (sev-common.h, GHCB_MSR_PSC_RESP_ERROR), the rest stays 0. */
#define MSR_ERROR (1ull << 63 | GHCB_MSR_PSC_RESP)

static bool is_private(uint64_t gpa)
{
	return vmm_private_pages(gpa, PAGE_SIZE);
}

/* RAM begins at 0; some of what is below 1 MiB is reserved, and does not count in memory_size(). */
static uint64_t ram_end(void)
{
	uint64_t end = (memory_size() + BLOCK_SIZE - 1) & ~(BLOCK_SIZE - 1);

	REQUIRE(memory_is_ram(end - PAGE_SIZE, PAGE_SIZE) && !memory_is_ram(end, 1));
	return end;
}

/* One request of one page, as the VMM saw it. */
static void expect_seen(uint64_t first, uint64_t gfn, unsigned int operation)
{
	struct vmm_map map;

	if (!EXPECT_EQ(vmm_map_count() - first, 1, "requests that the VMM saw"))
		return;
	map = vmm_map_record(first);
	EXPECT_EQ(map.gpa, gfn << PAGE_SHIFT);
	EXPECT_EQ(map.pages, 1);
	EXPECT_EQ(map.attributes, operation == PSC_PRIVATE ? VMRUN_MAP_ENCRYPTED : 0);
}

static struct psc_outcome ask(struct psc_buffer *buffer, uint64_t gfn, unsigned int operation)
{
	*buffer = (struct psc_buffer){ .entries = { PSC_ENTRY(gfn, operation, false, 0) } };
	return psc_ghcb(buffer);
}

/* By both ways, in both directions: the VMM sees the address, refuses it, and the guest is told. */
static void expect_refused(uint64_t gfn)
{
	static struct psc_buffer buffer;
	static const unsigned int operations[] = { PSC_PRIVATE, PSC_SHARED };

	for (unsigned int i = 0; i < COUNT_OF(operations); i++) {
		struct psc_outcome outcome;
		uint64_t first = vmm_map_count();

		EXPECT_EQ(psc_msr(gfn, operations[i]), MSR_ERROR, "GFN 0x%llx",
			  (unsigned long long)gfn);
		expect_seen(first, gfn, operations[i]);

		first = vmm_map_count();
		outcome = ask(&buffer, gfn, operations[i]);
		EXPECT_EQ(outcome.info_1, GHCB_NO_ACTION);
		EXPECT_EQ(outcome.info_2, PSC_GENERIC, "GFN 0x%llx", (unsigned long long)gfn);
		EXPECT_EQ(buffer.header.cur_entry, 0);
		EXPECT_EQ(PSC_CUR_PAGE(buffer.entries[0]), 0);
		expect_seen(first, gfn, operations[i]);
	}
}

TEST("the first page behind RAM is refused")
{
	expect_refused(ram_end() >> PAGE_SHIFT);
}

TEST("a hole is refused")
{
	expect_refused(memory_hole() >> PAGE_SHIFT);
}

TEST("the pages of the local APIC and the I/O APIC are refused, and work on")
{
	uint32_t version = *(volatile uint32_t *)(LOCAL_APIC + 0x30);

	expect_refused(LOCAL_APIC >> PAGE_SHIFT);
	expect_refused(IO_APIC >> PAGE_SHIFT);
	EXPECT_EQ(*(volatile uint32_t *)(LOCAL_APIC + 0x30), version);
}

TEST("the last GFN, and those with a single high bit, are refused, and none wraps")
{
	expect_refused(GFN_MAX);
	for (unsigned int bit = 24; bit < GFN_BITS; bit += 5)
		expect_refused(1ull << bit);
}

/* Nobody uses it: it holds what real mode would need. */
TEST("the first page of RAM becomes shared, and private again")
{
	static struct psc_buffer buffer;

	REQUIRE(is_private(0));
	EXPECT_EQ(psc_msr(0, PSC_SHARED), GHCB_MSR_PSC_RESP);
	EXPECT_FALSE(is_private(0));
	EXPECT_TRUE(is_private(PAGE_SIZE));
	EXPECT_EQ(ask(&buffer, 0, PSC_PRIVATE).info_2, PSC_DONE);
	EXPECT_TRUE(is_private(0));
}

static uint8_t *last_page(void)
{
	static uint8_t *block;

	if (!block)
		block = pages_alloc(PAGE_ORDER_MAX);
	REQUIRE((uintptr_t)block + BLOCK_SIZE == ram_end());
	return block + BLOCK_SIZE - PAGE_SIZE;
}

TEST("the last page of RAM becomes shared, and private again")
{
	uint8_t *page = last_page();

	memset(page - PAGE_SIZE, 0x11, PAGE_SIZE);
	memset(page_share(page), 0x22, PAGE_SIZE);
	EXPECT_FALSE(is_private((uintptr_t)page));
	EXPECT_TRUE(is_private((uintptr_t)page - PAGE_SIZE));
	page_unshare(page);
	EXPECT_TRUE(is_private((uintptr_t)page));
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		EXPECT_EQ(page[(int)i - (int)PAGE_SIZE], 0x11, "byte %u of the page before", i);
}

TEST("a range of which only the beginning is RAM is refused as a whole")
{
	uint8_t *page = last_page();
	uint64_t gfn = (uintptr_t)page >> PAGE_SHIFT, first = vmm_map_count();
	struct psc_buffer buffer = {
		.header.end_entry = 1,
		.entries = { PSC_ENTRY(gfn, PSC_SHARED, false, 0),
			     PSC_ENTRY(gfn + 1, PSC_SHARED, false, 0) },
	};

	memset(page, 0x33, PAGE_SIZE);
	EXPECT_EQ(psc_ghcb(&buffer).info_2, PSC_GENERIC);
	EXPECT_EQ(buffer.header.cur_entry, 0);
	EXPECT_EQ(PSC_CUR_PAGE(buffer.entries[0]), 0);
	EXPECT_EQ(vmm_map_count() - first, 1);
	EXPECT_EQ(vmm_map_record(first).pages, 2);
	ASSERT_TRUE(is_private((uintptr_t)page));
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		EXPECT_EQ(page[i], 0x33, "byte %u", i);
}

TEST("2 MiB behind RAM, and the last 2 MiB of all, are refused")
{
	const uint64_t gfns[] = { ram_end() >> PAGE_SHIFT, GFN_MAX & ~(LARGE - 1ull) };

	for (unsigned int i = 0; i < COUNT_OF(gfns); i++) {
		struct psc_buffer buffer = { .entries = {
						     PSC_ENTRY(gfns[i], PSC_SHARED, true, 0) } };
		uint64_t first = vmm_map_count();

		EXPECT_EQ(psc_ghcb(&buffer).info_2, PSC_GENERIC);
		EXPECT_EQ(vmm_map_record(first).gpa, gfns[i] << PAGE_SHIFT);
		EXPECT_EQ(vmm_map_record(first).pages, LARGE);
		EXPECT_EQ(vmm_map_record(first).attributes, VMRUN_MAP_SIZE_2M);
	}
}

TEST("the reserved bits of a request of the MSR protocol do not matter")
{
	uint8_t *page = page_alloc();
	uint64_t request = GHCB_MSR_PSC((uintptr_t)page >> PAGE_SHIFT, PSC_PRIVATE);

	for (unsigned int bit = 64 - RESERVED_BITS; bit < 64; bit++)
		EXPECT_EQ(ghcb_msr(request | 1ull << bit), GHCB_MSR_PSC_RESP, "bit %u", bit);
	page_free(page);
}

/*
 * The hypervisor has the page of the GHCB in use while the VMM takes it away. The guest cannot find
 * the answer then, and asks by the MSR protocol to have it back.
 */
TEST("a request of the GHCB for the GHCB's own page is done, and the guest can go on")
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	struct psc_buffer *buffer = (struct psc_buffer *)ghcb->shared_buffer;
	uint64_t gfn = ghcb_gpa() >> PAGE_SHIFT, back, first, zero;

	*buffer = (struct psc_buffer){ .entries = { PSC_ENTRY(gfn, PSC_PRIVATE, false, 0) } };
	ghcb->protocol_version = GHCB_VERSION;
	ghcb->usage = 0;
	GHCB_SET(ghcb, sw_scratch, ghcb_buffer_gpa());
	GHCB_SET(ghcb, sw_exit_code, GHCB_PSC);
	GHCB_SET(ghcb, sw_exit_info_1, 0);
	GHCB_SET(ghcb, sw_exit_info_2, 0);
	ghcb_exit_raw(ghcb_gpa());
	back = psc_msr(gfn, PSC_SHARED);
	ghcb_release(&hold);

	EXPECT_EQ(back, GHCB_MSR_PSC_RESP);
	first = vmm_map_count() - 2;
	EXPECT_EQ(vmm_map_record(first).gpa, ghcb_gpa());
	EXPECT_EQ(vmm_map_record(first).attributes, VMRUN_MAP_ENCRYPTED);
	EXPECT_EQ(vmm_map_record(first + 1).gpa, ghcb_gpa());
	/* It serves again. */
	zero = ghcb_event(GHCB_FEATURES, 0, 0, NULL);
	EXPECT_EQ(zero, sev.hv_features);
}

TEST("the page of the running code, in a request of the GHCB to be private as it is, runs on")
{
	static struct psc_buffer buffer;
	uint64_t gfn = (uintptr_t)psc_ghcb >> PAGE_SHIFT;

	EXPECT_EQ(ask(&buffer, gfn, PSC_PRIVATE).info_2, PSC_DONE);
	EXPECT_EQ(buffer.header.cur_entry, 1);
}

TEST("what the VMM refuses by the MSR protocol it may grant the next time")
{
	uint8_t *page = page_alloc();
	uint64_t gfn = (uintptr_t)page >> PAGE_SHIFT;

	memset(page, 0x44, PAGE_SIZE);
	vmm_map_fail(0);
	EXPECT_EQ(psc_msr(gfn, PSC_SHARED), MSR_ERROR);
	ASSERT_TRUE(is_private((uintptr_t)page));
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		EXPECT_EQ(page[i], 0x44, "byte %u", i);
	page_share(page);
	vmm_map_fail(0);
	EXPECT_EQ(psc_msr(gfn, PSC_PRIVATE), MSR_ERROR);
	EXPECT_FALSE(is_private((uintptr_t)page));
	page_unshare(page);
	page_free(page);
}

/* The harness itself needs none while it is gone: its pages are shared already. */
TEST("without the VMM's capability every request is an error, and no page changes")
{
	static const unsigned int operations[] = { PSC_PRIVATE, PSC_SHARED };
	static struct psc_buffer buffer;
	uint8_t *page = page_alloc();
	uint64_t gfn = (uintptr_t)page >> PAGE_SHIFT, first = vmm_map_count();

	memset(page, 0x55, PAGE_SIZE);
	vmm_map_capability(false);
	for (unsigned int i = 0; i < COUNT_OF(operations); i++) {
		struct psc_outcome outcome;

		EXPECT_EQ(psc_msr(gfn, operations[i]), MSR_ERROR, "operation %u", operations[i]);
		outcome = ask(&buffer, gfn, operations[i]);
		EXPECT_EQ(outcome.info_1, GHCB_NO_ACTION);
		EXPECT_EQ(outcome.info_2, PSC_GENERIC, "operation %u", operations[i]);
		EXPECT_EQ(buffer.header.cur_entry, 0);
		EXPECT_EQ(PSC_CUR_PAGE(buffer.entries[0]), 0);
	}
	/* Without it not even what is nothing to do. */
	EXPECT_EQ(ask(&buffer, gfn, PSC_SMASH).info_2, PSC_GENERIC);
	vmm_map_capability(true);
	EXPECT_EQ(vmm_map_count(), first);
	ASSERT_TRUE(is_private((uintptr_t)page));
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		EXPECT_EQ(page[i], 0x55, "byte %u", i);
	page_share(page);
	page_unshare(page);
	page_free(page);
}
