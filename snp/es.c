// SPDX-License-Identifier: BSD-2-Clause
/*
 * SEV-ES without SNP: what differs
 *
 * The same GHCB, of the same version, serves guests that have encrypted registers and no RMP. They
 * register no GHCB: any shared page is one. Pages change by the C-bit of their own page tables alone, so
 * there is nothing to ask for; a guest that asks nevertheless, or for a preferred GHCB, or to
 * register one, is not what the hypervisor took it for, and is ended. By the GHCB such events do
 * not exist.
 *
 * Sources: GHCB specification, 2.3.1, 2.3.2; KVM: arch/x86/kvm/svm/sev.c,
 * sev_handle_vmgexit_msr_protocol (out_terminate), is_snp_only_vmgexit, sev_handle_vmgexit. KVM tells of
 * the features of SNP in an SEV-ES guest, too.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <sev/ghcb.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/cpuid.h>
#include <x86/memory.h>
#include <x86/msr.h>

#define INFO(value) ((value)&GHCB_MSR_INFO_MASK)
#define UNTOUCHED   0x5a5a5a5a5a5aull

TEST("SEV_STATUS tells of SEV and SEV-ES, and not of SNP")
{
	EXPECT_EQ(rdmsr(MSR_SEV_STATUS) & (SEV_STATUS_SEV | SEV_STATUS_ES | SEV_STATUS_SNP),
		  SEV_STATUS_SEV | SEV_STATUS_ES);
}

static void expect_sev_info(uint64_t info)
{
	EXPECT_EQ(INFO(info), GHCB_MSR_SEV_INFO);
	EXPECT_EQ(info >> 12 & 0xfff, 0, "reserved bits 23:12");
	EXPECT_EQ(SEV_INFO_C_BIT(info), cpuid(CPUID_SEV, 0).ebx & CPUID_SEV_EBX_C_BIT);
	EXPECT_EQ(SEV_INFO_MAX(info), GHCB_VERSION);
	EXPECT_EQ(SEV_INFO_MIN(info), 1);
}

TEST("the SEV information is that of an SNP guest, after reset and when asked for")
{
	expect_sev_info(sev.ghcb_msr_reset);
	expect_sev_info(ghcb_msr(GHCB_MSR_SEV_INFO_REQ));
}

TEST("CPUID by the MSR protocol is that of the event")
{
	struct cpuid leaf = cpuid(1, 0);

	EXPECT_EQ(ghcb_msr(GHCB_MSR_CPUID(1, GHCB_CPUID_EAX)) >> 32, leaf.eax);
	EXPECT_EQ(ghcb_msr(GHCB_MSR_CPUID(1, GHCB_CPUID_EDX)) >> 32, leaf.edx);
}

TEST("the features are those of the event")
{
	uint64_t response = ghcb_msr(GHCB_MSR_FEATURES_REQ);

	EXPECT_EQ(INFO(response), GHCB_MSR_FEATURES_RESP);
	EXPECT_EQ(ghcb_event(GHCB_FEATURES, 0, 0, NULL), response >> GHCB_MSR_DATA_SHIFT);
}

TEST("a request for a preferred GHCB, to register one, or for a page state change ends the guest")
{
	uint64_t gfn = ghcb_gpa() >> PAGE_SHIFT;
	const uint64_t requests[] = {
		GHCB_MSR_PREFERRED_REQ,		ghcb_gpa() | GHCB_MSR_REGISTER_REQ,
		GHCB_MSR_PSC(gfn, PSC_PRIVATE), GHCB_MSR_PSC(gfn, PSC_SHARED),
		GHCB_MSR_PSC(gfn, 7),
	};

	for (unsigned int i = 0; i < COUNT_OF(requests); i++) {
		uint64_t msr;

		vmm_expect_event(VMRUN_EVENT_SEV_TERM);
		msr = ghcb_msr(requests[i]);
		EXPECT_EQ(vmm_expect_event(0), 1, "request %u", i);
		EXPECT_EQ(vmm_record(VMRUN_RECORD_EVENT_DATA), requests[i], "request %u", i);
		EXPECT_EQ(msr, requests[i], "request %u, the MSR afterwards", i);
	}
}

TEST("a termination arrives with its set and reason")
{
	uint64_t request = GHCB_MSR_TERMINATION(VMRUN_SEV_TERM_SET, 0xc3);

	vmm_expect_event(VMRUN_EVENT_SEV_TERM);
	ghcb_msr(request);
	EXPECT_EQ(vmm_expect_event(0), 1);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_EVENT_DATA), request);
}

TEST("a code that is no request leaves the MSR as it is")
{
	static const uint16_t codes[] = { 0x001, 0x003, 0x005, 0x011, 0x013,
					  0x015, 0x016, 0x081, 0x101, 0xfff };

	for (unsigned int i = 0; i < COUNT_OF(codes); i++)
		EXPECT_EQ(ghcb_msr(0x123456789abcd000 | codes[i]), 0x123456789abcd000 | codes[i]);
}

struct answer {
	uint64_t info_1, info_2;
};

static struct answer ask_by(struct ghcb *ghcb, uint64_t gpa, uint64_t event, uint32_t usage)
{
	memset(ghcb, 0, sizeof(*ghcb));
	ghcb->protocol_version = GHCB_VERSION;
	ghcb->usage = usage;
	GHCB_SET(ghcb, sw_scratch, gpa + offsetof(struct ghcb, shared_buffer));
	GHCB_SET(ghcb, rax, 0);
	GHCB_SET(ghcb, sw_exit_code, event);
	GHCB_SET(ghcb, sw_exit_info_1, UNTOUCHED);
	GHCB_SET(ghcb, sw_exit_info_2, UNTOUCHED);
	ghcb_exit_raw(gpa);
	return (struct answer){ ghcb->sw_exit_info_1, ghcb->sw_exit_info_2 };
}

static void expect(struct answer answer, uint64_t info_1, uint64_t info_2)
{
	EXPECT_EQ(answer.info_1, info_1);
	EXPECT_EQ(answer.info_2, info_2);
}

TEST("any shared page is a GHCB, without being registered")
{
	void *page = page_alloc();
	struct ghcb *ghcb = page_share(page);
	uint64_t features = ghcb_msr(GHCB_MSR_FEATURES_REQ) >> GHCB_MSR_DATA_SHIFT;

	expect(ask_by(ghcb, (uintptr_t)page, GHCB_FEATURES, 0), GHCB_NO_ACTION, features);
	expect(ask_by(ghcb, (uintptr_t)page, GHCB_FEATURES, 1), GHCB_BAD_INPUT, GHCB_ERROR_USAGE);
	page_unshare(page);
	page_free(page);
}

TEST("the events of SNP do not exist")
{
	static const uint64_t events[] = { GHCB_PSC, GHCB_GUEST_REQUEST, GHCB_EXT_GUEST_REQUEST,
					   GHCB_AP_CREATION };

	for (unsigned int i = 0; i < COUNT_OF(events); i++) {
		struct ghcb_hold hold;
		struct answer answer = ask_by(ghcb_take(&hold), ghcb_gpa(), events[i], 0);

		ghcb_release(&hold);
		expect(answer, GHCB_BAD_INPUT, GHCB_ERROR_EVENT);
	}
}

TEST("a GHCB where no memory is does nothing, and the guest goes on")
{
	const uint64_t gpas[] = { memory_hole(), 0xffffff000 };

	for (unsigned int i = 0; i < COUNT_OF(gpas); i++) {
		uint64_t msr;

		ghcb_exit_raw(gpas[i]);
		msr = rdmsr(MSR_GHCB);
		EXPECT_EQ(msr, gpas[i]);
	}
}
