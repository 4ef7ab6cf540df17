// SPDX-License-Identifier: BSD-2-Clause
/*
 * Termination requests
 *
 * A guest that cannot go on says so: by the MSR protocol with a reason set (bits 15:12) and a
 * reason in it (bits 23:16), or by an event of the GHCB. The VMM is told by a system event, and has
 * nothing but its data to find out why: by the MSR protocol that is the request, with all of its
 * bits; by the GHCB it is the GHCB's address. Here the VMM takes note and runs the guest on, so that
 * each set and each reason can be seen to arrive as it was sent, one event for one request.
 *
 * A reason that arrives with a bit moved is a guest that dies of something else than what the log
 * of the VMM says.
 *
 * Sources: GHCB specification, 2.3.1, request 0x100, and table 5, event 0x8000fffe; KVM:
 * arch/x86/kvm/svm/sev.c, sev_handle_vmgexit_msr_protocol (GHCB_MSR_TERM_REQ), sev_handle_vmgexit
 * (SVM_VMGEXIT_TERM_REQUEST); Documentation/virt/kvm/api.rst, KVM_SYSTEM_EVENT_SEV_TERM.
 */
#include <libc/array.h>
#include <sev/ghcb.h>
#include <sev/sev.h>
#include <test/test.h>
#include <vmrun/vmm.h>

#define SETS	16
#define REASONS 256

static void expect_term(uint64_t request)
{
	uint64_t msr, count;

	vmm_expect_event(VMRUN_EVENT_SEV_TERM);
	msr = ghcb_msr(request);
	count = vmm_expect_event(0);
	EXPECT_EQ(count, 1, "request 0x%llx", (unsigned long long)request);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_EVENT_DATA), request);
	EXPECT_EQ(msr, request, "the MSR afterwards");
}

TEST("each reason set arrives as it was sent")
{
	for (unsigned int set = 0; set < SETS; set++)
		expect_term(GHCB_MSR_TERMINATION(set, 0x5a));
}

TEST("each reason arrives as it was sent")
{
	for (unsigned int reason = 0; reason < REASONS; reason++)
		expect_term(GHCB_MSR_TERMINATION(VMRUN_SEV_TERM_SET, reason));
}

/* Bits 63:24 are not defined. */
TEST("a request with undefined bits set is one all the same, and arrives with them")
{
	static const uint64_t undefined[] = { 1ull << 24, 1ull << 31, 1ull << 32, 1ull << 63,
					      0xffffffffff000000 };

	for (unsigned int i = 0; i < COUNT_OF(undefined); i++)
		expect_term(undefined[i] | GHCB_MSR_TERMINATION(0, 1));
}

TEST("codes beside that of termination end nothing")
{
	static const uint64_t others[] = { 0x101, 0x0ff, 0x180, 0x110, 0x900 };

	vmm_expect_event(VMRUN_EVENT_SEV_TERM);
	for (unsigned int i = 0; i < COUNT_OF(others); i++)
		ghcb_msr(0xa5a000 | others[i]);
	EXPECT_EQ(vmm_expect_event(0), 0);
}

TEST("a termination by the GHCB arrives as the address of the GHCB, whatever its reason")
{
	static const uint64_t reasons[] = { 0, 1, 0xffff, ~0ull };

	for (unsigned int i = 0; i < COUNT_OF(reasons); i++) {
		vmm_expect_event(VMRUN_EVENT_SEV_TERM);
		ghcb_event(GHCB_TERMINATE, reasons[i], reasons[i], NULL);
		EXPECT_EQ(vmm_expect_event(0), 1, "reason %u", i);
		EXPECT_EQ(vmm_record(VMRUN_RECORD_EVENT_DATA), ghcb_gpa(), "reason %u", i);
	}
}

TEST("a termination by the GHCB that lacks a field ends nothing, and is missing input")
{
	struct ghcb_hold hold;
	struct ghcb *ghcb;
	uint64_t info_1, info_2;

	vmm_expect_event(VMRUN_EVENT_SEV_TERM);
	ghcb = ghcb_take(&hold);
	ghcb->protocol_version = GHCB_VERSION;
	ghcb->usage = 0;
	GHCB_SET(ghcb, sw_exit_code, GHCB_TERMINATE);
	ghcb_exit_raw(ghcb_gpa());
	info_1 = ghcb->sw_exit_info_1;
	info_2 = ghcb->sw_exit_info_2;
	ghcb_release(&hold);
	EXPECT_EQ(vmm_expect_event(0), 0);
	EXPECT_EQ(info_1, GHCB_BAD_INPUT);
	EXPECT_EQ(info_2, GHCB_ERROR_MISSING);
}
