// SPDX-License-Identifier: BSD-2-Clause
/*
 * The GHCB: the order of its checks, its bitmap bit by bit, and the events that are neither memory
 * nor ports
 *
 * More than one thing may be wrong with a GHCB, and the guest is told the first: registration, usage,
 * what is missing, then the event itself. What comes back is valid where the bitmap says so, and
 * nothing else is. The events' own fields are looked at to the end: a scratch area at address 0,
 * room for exactly so many entries of a page state change, XCR0 and XSS that the CPU does not have.
 *
 * Sources: GHCB specification, 2.1, 4.1, tables 5 to 8; KVM: arch/x86/kvm/svm/sev.c,
 * sev_handle_vmgexit, sev_es_sync_from_ghcb, sev_es_sync_to_ghcb (RAX, RBX, RCX and RDX are given
 * back by every event that got as far), setup_vmgexit_scratch, snp_begin_psc (the entries are as
 * many as the scratch area has room for). KVM does not look at the protocol's version.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <sev/ghcb.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/registers.h>
#include <x86/time.h>
#include <x86/vectors.h>
#include <x86/xsave.h>

#define CPUID_XSAVE    0xd
#define BITMAP_BITS    128
#define MSR_IA32_XSS   0xda0
#define NO_COUNTER     0x3fffffff
#define HOLE_ENTRY(op) PSC_ENTRY(memory_hole() >> PAGE_SHIFT, op, false, 0)

struct answer {
	uint64_t info_1, info_2;
};

static struct answer exit_by(struct ghcb *ghcb, uint64_t event, uint64_t info_1, uint64_t info_2)
{
	struct answer answer = { .info_1 = ghcb_exit(ghcb, event, info_1, info_2) };

	answer.info_2 = ghcb->sw_exit_info_2;
	return answer;
}

static void expect(struct answer answer, uint64_t info_1, uint64_t info_2)
{
	EXPECT_EQ(answer.info_1, info_1);
	EXPECT_EQ(answer.info_2, info_2);
}

/* An event by a GHCB of the test's own, whose fields it has filled in. */
static struct answer ask_by(struct ghcb *ghcb, uint64_t gpa)
{
	ghcb_exit_raw(gpa);
	return (struct answer){ ghcb->sw_exit_info_1, ghcb->sw_exit_info_2 };
}

TEST("a GHCB that is not registered is told so before anything else that is wrong with it")
{
	void *page = page_alloc();
	struct ghcb *ghcb = page_share(page);

	memset(ghcb, 0, sizeof(*ghcb));
	ghcb->usage = 1;
	expect(ask_by(ghcb, (uintptr_t)page), GHCB_BAD_INPUT, GHCB_ERROR_NOT_REGISTERED);
	memset(ghcb, 0xff, sizeof(*ghcb));
	expect(ask_by(ghcb, (uintptr_t)page), GHCB_BAD_INPUT, GHCB_ERROR_NOT_REGISTERED);
	page_unshare(page);
	page_free(page);
}

TEST("a GHCB of which nothing is valid lacks input")
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	struct answer answer;

	memset(ghcb, 0, sizeof(*ghcb));
	answer = ask_by(ghcb, ghcb_gpa());
	ghcb_release(&hold);
	expect(answer, GHCB_BAD_INPUT, GHCB_ERROR_MISSING);
}

TEST("missing input is told before an event that does not exist")
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	struct answer answer;

	memset(ghcb, 0, sizeof(*ghcb));
	GHCB_SET(ghcb, sw_exit_code, 0x80000099);
	GHCB_SET(ghcb, sw_exit_info_1, 0);
	answer = ask_by(ghcb, ghcb_gpa());
	ghcb_release(&hold);
	expect(answer, GHCB_BAD_INPUT, GHCB_ERROR_MISSING);
}

TEST("the version of the protocol that a GHCB names does not matter")
{
	static const uint16_t versions[] = { 0, 1, 2, 3, 0x8000, 0xffff };

	for (unsigned int i = 0; i < COUNT_OF(versions); i++) {
		struct ghcb_hold hold;
		struct ghcb *ghcb = ghcb_take(&hold);
		struct answer answer;

		ghcb->protocol_version = versions[i];
		ghcb->usage = 0;
		GHCB_SET(ghcb, sw_exit_code, GHCB_FEATURES);
		GHCB_SET(ghcb, sw_exit_info_1, 0);
		GHCB_SET(ghcb, sw_exit_info_2, 0);
		answer = ask_by(ghcb, ghcb_gpa());
		ghcb_release(&hold);
		expect(answer, GHCB_NO_ACTION, sev.hv_features);
	}
}

TEST("afterwards four registers and the two results are valid, and nothing else")
{
	static const unsigned int given[] = { GHCB_BIT(rax),
					      GHCB_BIT(rbx),
					      GHCB_BIT(rcx),
					      GHCB_BIT(rdx),
					      GHCB_BIT(sw_exit_info_1),
					      GHCB_BIT(sw_exit_info_2) };
	uint8_t expected[BITMAP_BITS / 8] = { 0 }, bitmap[BITMAP_BITS / 8];
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);

	for (unsigned int i = 0; i < COUNT_OF(given); i++)
		expected[given[i] / 8] |= 1u << given[i] % 8;
	memset(ghcb->valid_bitmap, 0xff, sizeof(ghcb->valid_bitmap));
	ghcb->xcr0 = XSTATE_X87;
	ghcb->xss = 0;
	exit_by(ghcb, GHCB_FEATURES, 0, 0);
	memcpy(bitmap, ghcb->valid_bitmap, sizeof(bitmap));
	ghcb_release(&hold);
	EXPECT_MEM_EQ(bitmap, expected, sizeof(expected));
}

/* RAX, say, is 0 to the event where the bitmap does not have it, whatever is in the field. */
TEST("a field that is not valid is not read")
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	uint32_t ebx;

	GHCB_SET(ghcb, rax, 0);
	GHCB_SET(ghcb, rcx, 0);
	ghcb->rbx = 0x1111;
	exit_by(ghcb, SVM_EXIT_MSR, 0, 0);
	ebx = ghcb->rbx;
	ghcb_release(&hold);
	EXPECT_EQ(ebx, 0);
}

static struct answer at_zero(uint64_t event, uint64_t info_1, uint64_t info_2)
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	struct answer answer;

	GHCB_SET(ghcb, sw_scratch, 0);
	answer = exit_by(ghcb, event, info_1, info_2);
	ghcb_release(&hold);
	return answer;
}

TEST("a scratch area at address 0 is refused")
{
	const uint64_t outs = 0x80ull << IOIO_PORT_SHIFT | 1 << IOIO_SIZE_SHIFT | IOIO_STRING;

	expect(at_zero(GHCB_PSC, 0, 0), GHCB_BAD_INPUT, GHCB_ERROR_SCRATCH);
	expect(at_zero(GHCB_MMIO_READ, memory_hole(), 4), GHCB_BAD_INPUT, GHCB_ERROR_SCRATCH);
	expect(at_zero(GHCB_MMIO_WRITE, memory_hole(), 4), GHCB_BAD_INPUT, GHCB_ERROR_SCRATCH);
	expect(at_zero(SVM_EXIT_IOIO, outs, 4), GHCB_BAD_INPUT, GHCB_ERROR_SCRATCH);
}

/* A request with room for so many entries, of which the last one is this; nothing is to be done. */
static uint64_t request_with_room(unsigned int room, uint16_t end_entry)
{
	unsigned int offset = GHCB_SHARED_BUFFER_SIZE - 8 * (room + 1);
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	struct psc_header *header = (struct psc_header *)(ghcb->shared_buffer + offset);
	struct answer answer;

	for (unsigned int i = 0; i < GHCB_SHARED_BUFFER_SIZE; i += 8)
		*(uint64_t *)(ghcb->shared_buffer + i) = HOLE_ENTRY(PSC_SMASH);
	*header = (struct psc_header){ .end_entry = end_entry };
	GHCB_SET(ghcb, sw_scratch, ghcb_buffer_gpa() + offset);
	answer = exit_by(ghcb, GHCB_PSC, 0, 0);
	ghcb_release(&hold);
	EXPECT_EQ(answer.info_1, GHCB_NO_ACTION);
	return answer.info_2;
}

TEST("a page state change has as many entries as its scratch area has room for")
{
	static const unsigned int rooms[] = { 1, 2, 100, PSC_ENTRIES - 1, PSC_ENTRIES };

	for (unsigned int i = 0; i < COUNT_OF(rooms); i++) {
		EXPECT_EQ(request_with_room(rooms[i], rooms[i] - 1), PSC_DONE, "room %u", rooms[i]);
		EXPECT_EQ(request_with_room(rooms[i], rooms[i]), PSC_BAD_HEADER, "room %u",
			  rooms[i]);
	}
}

TEST("INVD, WBINVD, DR7 and an NMI's end that is none are done, and give nothing")
{
	static const uint64_t events[] = { SVM_EXIT_INVD, SVM_EXIT_WBINVD, SVM_EXIT_READ_DR7,
					   GHCB_NMI_COMPLETE };
	struct ghcb_hold hold;
	struct answer answer;
	uint32_t result;

	for (unsigned int i = 0; i < COUNT_OF(events); i++) {
		EXPECT_EQ(ghcb_event(events[i], 0, 0, &result), 0, "event %u", i);
		EXPECT_EQ(result, GHCB_NO_ACTION, "event %u", i);
	}
	GHCB_SET(ghcb_take(&hold), rax, DR7_DEFAULT);
	answer = exit_by(sev_shared((void *)(uintptr_t)ghcb_gpa()), SVM_EXIT_WRITE_DR7, 0, 0);
	ghcb_release(&hold);
	expect(answer, GHCB_NO_ACTION, 0);
}

/* By the results of the event, and not by an exception at VMGEXIT, where the guest's handler of #VC is. */
TEST("RDPMC of a counter that does not exist is answered by #GP")
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	struct answer answer = { 0 };
	struct x86_fault fault;

	GHCB_SET(ghcb, rcx, NO_COUNTER);
	fault = FAULT_OF(answer = exit_by(ghcb, SVM_EXIT_RDPMC, 0, 0));
	ghcb_release(&hold);
	EXPECT_FAULT_EQ(fault, NO_FAULT, 0);
	EXPECT_EQ(answer.info_1, GHCB_EXCEPTION);
	EXPECT_EQ(GHCB_EVENT_VECTOR(answer.info_2), GP);
	EXPECT_NE(answer.info_2 & GHCB_EVENT_VALID, 0);
}

/* What is not said to be valid has no meaning: RAX and RDX are the TSC, RCX is TSC_AUX. */
TEST("RDTSCP gives a TSC that goes on")
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	struct answer answer = { 0 };
	uint64_t before = rdtsc(), tsc;
	struct x86_fault fault;

	fault = FAULT_OF(answer = exit_by(ghcb, SVM_EXIT_RDTSCP, 0, 0));
	tsc = ghcb->rdx << 32 | (uint32_t)ghcb->rax;
	ghcb_release(&hold);
	EXPECT_FAULT_EQ(fault, NO_FAULT, 0);
	expect(answer, GHCB_NO_ACTION, 0);
	EXPECT_GE(tsc, before);
	EXPECT_LE(tsc, rdtsc());
}

static struct cpuid xsave_leaf(unsigned int subleaf, uint64_t xcr0, bool has_xss, uint64_t xss)
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	struct cpuid leaf;

	GHCB_SET(ghcb, rax, CPUID_XSAVE);
	GHCB_SET(ghcb, rcx, subleaf);
	GHCB_SET(ghcb, xcr0, xcr0);
	if (has_xss)
		GHCB_SET(ghcb, xss, xss);
	exit_by(ghcb, SVM_EXIT_CPUID, 0, 0);
	leaf = (struct cpuid){ ghcb->rax, ghcb->rbx, ghcb->rcx, ghcb->rdx };
	ghcb_release(&hold);
	return leaf;
}

TEST("CPUID counts the components of the XCR0 that the GHCB has, each time")
{
	uint64_t supported = xcr0_supported();
	uint32_t legacy = xsave_leaf(0, XSTATE_X87, false, 0).ebx;

	EXPECT_EQ(legacy, XSAVE_EXTENDED);
	if (supported & XSTATE_AVX) {
		struct cpuid avx = cpuid(CPUID_XSAVE, 2);

		EXPECT_EQ(xsave_leaf(0, XSTATE_X87 | XSTATE_SSE | XSTATE_AVX, false, 0).ebx,
			  avx.ebx + avx.eax);
	}
	EXPECT_EQ(xsave_leaf(0, XSTATE_X87, false, 0).ebx, legacy);
}

TEST("an XCR0 that cannot be is not taken, and CPUID stays as it was")
{
	static const uint64_t impossible[] = { 0, XSTATE_SSE, XSTATE_X87 | XSTATE_AVX, ~0ull,
					       XSTATE_X87 | 1ull << 63 };
	uint32_t size = xsave_leaf(0, XSTATE_X87, false, 0).ebx;

	for (unsigned int i = 0; i < COUNT_OF(impossible); i++)
		EXPECT_EQ(xsave_leaf(0, impossible[i], false, 0).ebx, size, "XCR0 0x%llx",
			  (unsigned long long)impossible[i]);
}

/* Subleaf 1: the compacted format of XCR0 and IA32_XSS. Where there is no XSAVES, XSS cannot be but 0. */
TEST("CPUID counts the components of the XSS that the GHCB has, if the CPU has them")
{
	uint64_t xss = xss_supported();
	uint32_t without = xsave_leaf(1, XSTATE_X87, true, 0).ebx;
	uint32_t with = xsave_leaf(1, XSTATE_X87, true, xss).ebx;

	if (xss)
		EXPECT_EQ(with, xsave_compact_size(XCOMP_BV_COMPACT | XSTATE_X87 | xss));
	else
		EXPECT_EQ(with, without);
	EXPECT_EQ(xsave_leaf(1, XSTATE_X87, true, 1ull << 62).ebx, with, "an XSS that is not");
	EXPECT_EQ(xsave_leaf(1, XSTATE_X87, true, 0).ebx, without);
}

TEST("the AP jump table is one for all CPUs, and reads as it was last written")
{
	static const uint64_t values[] = { 0x1000, 0, ~0ull, 0x123456789abcdef0 };

	for (unsigned int i = 0; i < COUNT_OF(values); i++) {
		EXPECT_EQ(ghcb_event(GHCB_AP_JUMP_TABLE, 0, values[i], NULL), 0);
		EXPECT_EQ(ghcb_event(GHCB_AP_JUMP_TABLE, 1, 0, NULL), values[i]);
	}
}
