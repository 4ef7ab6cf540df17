// SPDX-License-Identifier: BSD-2-Clause
/*
 * How a guest ends itself where it has no other words
 *
 * A guest that cannot go on, or does not trust what it found, asks the hypervisor to end it: by the
 * MSR protocol, which needs nothing, with a set and a reason; or by an event of its GHCB. Whoever
 * started it then gets the GHCB MSR as it was, from which the reason is read: what arrives must be
 * what the guest wrote, all bits of it, and a guest must not be ended by anything that merely looks
 * like it. vmrun counts the ends here in place of ending, so that the guest can compare.
 *
 * Runs as an SEV-SNP and as an SEV-ES guest, between which nothing differs here.
 *
 * Sources: GHCB specification, 2.3.1 "GHCB MSR Protocol", table 3, request 0x100; 4.1, table 5,
 * event 0x8000fffe; Documentation/virt/kvm/api.rst, KVM_SYSTEM_EVENT_SEV_TERM; KVM:
 * arch/x86/kvm/svm/sev.c, sev_handle_vmgexit_msr_protocol, sev_handle_vmgexit.
 */
#include <libc/array.h>
#include <sev/ghcb.h>
#include <sev/sev.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/msr.h>

/* How many ends there were since this was last called, and from now on they are counted. */
static uint64_t count_ends(void)
{
	return vmm_expect_event(VMRUN_EVENT_SEV_TERM);
}

static void expect_end(uint64_t request)
{
	uint64_t response;

	count_ends();
	response = ghcb_msr(request);
	EXPECT_EQ(count_ends(), 1, "request 0x%llx", (unsigned long long)request);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_EVENT), request);
	EXPECT_EQ(response, request, "the MSR afterwards");
}

TEST("a termination request of the MSR protocol arrives with all its bits")
{
	static const struct {
		uint8_t set, reason;
	} cases[] = { { 0, 0 },	     { 0, 1 },	   { 0, 2 }, { 1, 0 }, { VMRUN_SEV_TERM_SET, 5 },
		      { 0xf, 0xff }, { 0xf, 0x7f } };

	for (unsigned int i = 0; i < COUNT_OF(cases); i++)
		expect_end(GHCB_MSR_TERMINATION(cases[i].set, cases[i].reason));
}

TEST("what else is set in a termination request does not matter, and arrives")
{
	expect_end(GHCB_MSR_TERMINATION(0, 0) | 0xffffffffff000000);
}

TEST("a termination event arrives with the address of the GHCB")
{
	count_ends();
	ghcb_event(GHCB_TERMINATE, 0, 0, NULL);
	EXPECT_EQ(count_ends(), 1);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_EVENT), ghcb_gpa());
}

TEST("a termination request that is not executed, or is another code, ends nothing")
{
	struct ghcb_hold hold;
	uint64_t value;

	count_ends();
	ghcb_take(&hold);
	wrmsr(MSR_GHCB, GHCB_MSR_TERMINATE);
	value = ghcb_msr(GHCB_MSR_TERMINATE | 1);
	ghcb_release(&hold);
	EXPECT_EQ(value, GHCB_MSR_TERMINATE | 1);
	EXPECT_EQ(ghcb_msr(GHCB_MSR_TERMINATE | 0x800), GHCB_MSR_TERMINATE | 0x800);
	EXPECT_EQ(count_ends(), 0);
}
