// SPDX-License-Identifier: BSD-2-Clause
/*
 * What Hyper-V hypercalls through the page return in a VM that has Xen's hypercalls too
 *
 * The same as in one that has not: to the guest, what its hypercall page is made of is nobody's
 * business but the hypervisor's (TLFS, "Establishing the Hypercall Interface"), and the control
 * value that it passed in has bit 31 clear. KVM (hyperv.c, kvm_hv_hypercall) looks at reserved
 * bits, then at the call's code, then at its parameters.
 *
 * In 64-bit code this holds: the page's "orl $0x80000000, %eax" changes a register that carries
 * nothing. In 32-bit code eax is the low half of the control value, and bit 31 of it is the page's own
 * mark. KVM up to 7.2 at least takes it for the guest's, and as it is reserved refuses every call with
 * HV_STATUS_INVALID_HYPERCALL_INPUT (3); host/kernel/patches mends it. Those points are listed as known
 * bugs, by their name: each checks one status and nothing else.
 */
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <test/test.h>
#include <x86/memory.h>
#include <xen/page.h>

static const void *page_beside_xen(void)
{
	xen_page_new();
	return hv_page_new();
}

TEST("a Hyper-V call through the page beside Xen succeeds")
{
	const void *page = page_beside_xen();

	EXPECT_EQ(hv_page_call(page, HVCALL_NOTIFY_LONG_SPIN_WAIT, 0, 0), HV_STATUS_SUCCESS);
}

TEST("a misaligned input through the page beside Xen is refused as such")
{
	const void *page = page_beside_xen();

	hv_skip_without_event_calls();
	EXPECT_EQ(hv_page_call(page, HVCALL_SIGNAL_EVENT, (uintptr_t)page_alloc() + 4, 0),
		  HV_STATUS_INVALID_ALIGNMENT);
}

TEST("an unknown code through the page beside Xen is refused as such")
{
	const void *page = page_beside_xen();

	EXPECT_EQ(hv_page_call(page, HV_CODE_UNKNOWN, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
}

TEST("a fast call through the page beside Xen that may not be one is refused as such")
{
	const void *page = page_beside_xen();

	hv_skip_without_event_calls();
	EXPECT_EQ(hv_page_call(page, HVCALL_POST_DEBUG_DATA | HV_HYPERCALL_FAST, 0, 0),
		  HV_STATUS_INVALID_PARAMETER);
}

TEST("repetitions through the page beside Xen are done and counted")
{
	const void *page = page_beside_xen();
	struct hv_tlb_flush *flush = page_alloc();
	const uint64_t reps = 3;

	flush->flags = HV_FLUSH_ALL_PROCESSORS | HV_FLUSH_ALL_VIRTUAL_ADDRESS_SPACES;
	EXPECT_EQ(hv_page_call(page,
			       HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST | reps << HV_HYPERCALL_REP_COUNT,
			       (uintptr_t)flush, 0),
		  reps << HV_RESULT_REPS_SHIFT);
}

/* Here the answer is the same with the bug, since the call is refused for its own reserved bits. */
static void expect_refused(unsigned int shift, unsigned int bits)
{
	const void *page = page_beside_xen();

	for (unsigned int bit = shift; bit < shift + bits; bit++)
		EXPECT_EQ(hv_page_call(page, HVCALL_NOTIFY_LONG_SPIN_WAIT | 1ull << bit, 0, 0),
			  HV_STATUS_INVALID_HYPERCALL_INPUT, "bit %u", bit);
}

TEST("reserved bits 31:27 through the page beside Xen, where they are the guest's, are refused")
{
	expect_refused(HV_HYPERCALL_RSVD0_SHIFT, hv_rsvd0_bits());
}

TEST("reserved bits 47:44 and 63:60 through the page beside Xen are refused")
{
	expect_refused(HV_HYPERCALL_RSVD1_SHIFT, HV_HYPERCALL_RSVD1_BITS);
	expect_refused(HV_HYPERCALL_RSVD2_SHIFT, HV_HYPERCALL_RSVD2_BITS);
}
