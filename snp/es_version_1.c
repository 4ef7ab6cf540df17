// SPDX-License-Identifier: BSD-2-Clause
/*
 * SEV-ES with version 1 of the GHCB: scratch areas anywhere
 *
 * In the first version the scratch area may be anywhere in shared memory, of up to 16 pages in KVM,
 * and MMIO may be longer than 8 bytes. The hypervisor then works on a copy, which it reads before
 * and writes back after: what it reads must be all, what it writes back no more than that, and
 * nothing where the guest only gave data.
 *
 * Sources: GHCB specification, revision 1, 2.1 (SW_SCRATCH), 4.1; KVM: arch/x86/kvm/svm/sev.c,
 * setup_vmgexit_scratch (GHCB_SCRATCH_AREA_LIMIT), sev_es_unmap_ghcb (ghcb_sa_sync).
 */
#include <libc/array.h>
#include <libc/string.h>
#include <sev/ghcb.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <vmrun/abi.h>
#include <x86/io.h>
#include <x86/memory.h>

#define AREA_ORDER     6
#define AREA_SIZE      (PAGE_SIZE << AREA_ORDER)
#define LIMIT	       (16 * PAGE_SIZE)
#define GUARD	       0xdd
#define PORT_PIC1_MASK 0x21u

/* Shared memory outside of the GHCB, as the guest and as the hypervisor address it. */
static uint8_t *area;
static uint64_t area_gpa;

static struct answer {
	uint64_t info_1, info_2;
} answer;

static void set_up(void)
{
	if (!area) {
		uint8_t *block = pages_alloc(AREA_ORDER);

		for (unsigned int i = 0; i < AREA_SIZE; i += PAGE_SIZE)
			page_share(block + i);
		area_gpa = (uintptr_t)block;
		area = sev_shared(block);
	}
	memset(area, GUARD, AREA_SIZE);
}

static void ask(uint64_t event, uint64_t info_1, uint64_t info_2, uint64_t scratch)
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);

	GHCB_SET(ghcb, sw_scratch, scratch);
	answer.info_1 = ghcb_exit(ghcb, event, info_1, info_2);
	answer.info_2 = ghcb->sw_exit_info_2;
	ghcb_release(&hold);
}

static void expect(uint64_t info_1, uint64_t info_2)
{
	EXPECT_EQ(answer.info_1, info_1);
	EXPECT_EQ(answer.info_2, info_2);
}

static void expect_bytes(unsigned int from, unsigned int to, uint8_t byte)
{
	for (unsigned int i = from; i < to; i++)
		if (!EXPECT_EQ(area[i], byte, "byte %u", i))
			return;
}

#define STRING(port, in)                                                                       \
	((uint64_t)(port) << IOIO_PORT_SHIFT | 1 << IOIO_SIZE_SHIFT | IOIO_STRING | IOIO_REP | \
	 ((in) ? IOIO_IN : 0))

TEST("the SEV information names version 1 alone")
{
	uint64_t info = ghcb_msr(GHCB_MSR_SEV_INFO_REQ);

	EXPECT_EQ(SEV_INFO_MAX(info), 1);
	EXPECT_EQ(SEV_INFO_MIN(info), 1);
}

TEST("string input fills a scratch area outside of the GHCB, and no byte beside it")
{
	static const struct {
		unsigned int offset, count;
	} cases[] = {
		{ 0, 1 }, { 100, 30 }, { PAGE_SIZE - 5, 10 }, { 8, LIMIT - 8 }, { 0, LIMIT }
	};

	outb(PORT_PIC1_MASK, 0xe7);
	for (unsigned int i = 0; i < COUNT_OF(cases); i++) {
		unsigned int end = cases[i].offset + cases[i].count;

		set_up();
		ask(SVM_EXIT_IOIO, STRING(PORT_PIC1_MASK, true), cases[i].count,
		    area_gpa + cases[i].offset);
		expect(GHCB_NO_ACTION, 0);
		expect_bytes(0, cases[i].offset, GUARD);
		expect_bytes(cases[i].offset, end, 0xe7);
		expect_bytes(end, AREA_SIZE, GUARD);
	}
	outb(PORT_PIC1_MASK, 0xff);
}

TEST("string output reads a scratch area outside of the GHCB to its end, and leaves it")
{
	static const unsigned int counts[] = { 1, 7, PAGE_SIZE, LIMIT };

	for (unsigned int i = 0; i < COUNT_OF(counts); i++) {
		set_up();
		area[counts[i] - 1] = 0xe0 + i;
		ask(SVM_EXIT_IOIO, STRING(PORT_PIC1_MASK, false), counts[i], area_gpa);
		expect(GHCB_NO_ACTION, 0);
		EXPECT_EQ(inb(PORT_PIC1_MASK), 0xe0 + i, "count %u", counts[i]);
		expect_bytes(0, counts[i] - 1, GUARD);
		expect_bytes(counts[i], AREA_SIZE, GUARD);
	}
	outb(PORT_PIC1_MASK, 0xff);
}

TEST("a scratch area outside of the GHCB of more than 16 pages is refused")
{
	set_up();
	ask(SVM_EXIT_IOIO, STRING(PORT_PIC1_MASK, true), LIMIT + 1, area_gpa);
	expect(GHCB_BAD_INPUT, GHCB_ERROR_SCRATCH);
	expect_bytes(0, AREA_SIZE, GUARD);
}

TEST("a scratch area that begins in the GHCB must end in its shared buffer")
{
	ask(GHCB_MMIO_READ, memory_hole(), 8, ghcb_buffer_gpa() + GHCB_SHARED_BUFFER_SIZE - 8);
	expect(GHCB_NO_ACTION, 0);
	ask(GHCB_MMIO_READ, memory_hole(), 8, ghcb_buffer_gpa() + GHCB_SHARED_BUFFER_SIZE - 7);
	expect(GHCB_BAD_INPUT, GHCB_ERROR_SCRATCH);
	ask(GHCB_MMIO_READ, memory_hole(), 8, ghcb_gpa());
	expect(GHCB_BAD_INPUT, GHCB_ERROR_SCRATCH);
}

TEST("MMIO of more than 8 bytes is done")
{
	static const unsigned int sizes[] = { 9, 16, 64, PAGE_SIZE };

	for (unsigned int i = 0; i < COUNT_OF(sizes); i++) {
		set_up();
		ask(GHCB_MMIO_READ, memory_hole(), sizes[i], area_gpa + 32);
		expect(GHCB_NO_ACTION, 0);
		expect_bytes(0, 32, GUARD);
		expect_bytes(32, 32 + sizes[i], 0xff);
		expect_bytes(32 + sizes[i], AREA_SIZE, GUARD);
	}
}
