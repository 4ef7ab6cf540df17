// SPDX-License-Identifier: BSD-2-Clause
/*
 * An SEV-ES guest without SEV-SNP: what it has of the GHCB's protocols, and what it must not ask for
 *
 * There is no RMP then: pages have no state, a GHCB is not registered, and APs are not created by
 * the guest. A guest that makes such requests all the same is not what it takes itself for, and the
 * hypervisor ends it; by the GHCB the events do not exist. Everything else is as for SEV-SNP
 * (snp/msr_protocol.c, snp/ghcb.c), and is looked at here by one case each.
 *
 * vmrun counts the ends in place of ending (VMRUN_EXPECT_EVENT).
 *
 * Sources: GHCB specification, 2.3.1 "GHCB MSR Protocol", table 3 (which requests are SNP's), 4.1,
 * table 5; AMD APM volume 2, 15.34.10 "SEV_STATUS MSR"; KVM: arch/x86/kvm/svm/sev.c,
 * sev_handle_vmgexit_msr_protocol, sev_handle_vmgexit, is_snp_only_vmgexit.
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

#define INFO(value)    ((value)&GHCB_MSR_INFO_MASK)
#define RESERVED_EARLY 0xfff000ull /* bits 23:12 of the SEV information */
#define CPUID_RESERVED 0x3ffff000ull

TEST("SEV_STATUS tells of SEV and SEV-ES, and not of SNP")
{
	uint64_t status = rdmsr(MSR_SEV_STATUS);

	EXPECT_EQ(status & (SEV_STATUS_SEV | SEV_STATUS_ES | SEV_STATUS_SNP),
		  SEV_STATUS_SEV | SEV_STATUS_ES);
}

TEST("the MSR is reset to the SEV information, which has the versions, the C-bit, and nothing else")
{
	const uint64_t infos[] = { sev.ghcb_msr_reset, ghcb_msr(GHCB_MSR_SEV_INFO_REQ) };

	for (unsigned int i = 0; i < COUNT_OF(infos); i++) {
		EXPECT_EQ(INFO(infos[i]), GHCB_MSR_SEV_INFO);
		EXPECT_EQ(infos[i] & RESERVED_EARLY, 0);
		EXPECT_EQ(SEV_INFO_C_BIT(infos[i]), cpuid(CPUID_SEV, 0).ebx & CPUID_SEV_EBX_C_BIT);
		EXPECT_LE(SEV_INFO_MIN(infos[i]), GHCB_VERSION);
		EXPECT_GE(SEV_INFO_MAX(infos[i]), GHCB_VERSION);
	}
}

TEST("CPUID gives each register by the MSR protocol")
{
	for (unsigned int number = GHCB_CPUID_EAX; number <= GHCB_CPUID_EDX; number++) {
		struct cpuid leaf = cpuid(0, 0);
		const uint32_t values[] = { leaf.eax, leaf.ebx, leaf.ecx, leaf.edx };
		uint64_t response = ghcb_msr(GHCB_MSR_CPUID(0, number));

		EXPECT_EQ(INFO(response), GHCB_MSR_CPUID_RESP);
		EXPECT_EQ(response & CPUID_RESERVED, 0);
		EXPECT_EQ(response >> 30 & 3, number);
		EXPECT_EQ(response >> 32, values[number], "register %u", number);
	}
}

TEST("the features are the same by the MSR protocol and by the event")
{
	uint64_t response = ghcb_msr(GHCB_MSR_FEATURES_REQ);
	uint32_t result;
	uint64_t features = ghcb_event(GHCB_FEATURES, 0, 0, &result);

	EXPECT_EQ(INFO(response), GHCB_MSR_FEATURES_RESP);
	EXPECT_EQ(result, GHCB_NO_ACTION);
	EXPECT_EQ(response >> GHCB_MSR_DATA_SHIFT, features);
}

TEST("the MSR protocol's requests that only SNP has end the guest, and change nothing")
{
	const uint64_t requests[] = {
		GHCB_MSR_PREFERRED_REQ,
		ghcb_gpa() | GHCB_MSR_REGISTER_REQ,
		GHCB_MSR_PSC(ghcb_gpa() >> 12, PSC_PRIVATE),
		GHCB_MSR_PSC(ghcb_gpa() >> 12, PSC_SHARED),
	};

	for (unsigned int i = 0; i < COUNT_OF(requests); i++) {
		uint64_t calls = vmm_record(VMRUN_RECORD_CALLS), response;

		vmm_expect_event(VMRUN_EVENT_SEV_TERM);
		response = ghcb_msr(requests[i]);
		EXPECT_EQ(vmm_expect_event(0), 1, "request 0x%llx",
			  (unsigned long long)requests[i]);
		EXPECT_EQ(vmm_record(VMRUN_RECORD_EVENT), requests[i]);
		EXPECT_EQ(response, requests[i], "the MSR afterwards");
		EXPECT_EQ(vmm_record(VMRUN_RECORD_CALLS), calls, "a page state change arrived");
	}
}

TEST("events that only SNP has do not exist")
{
	static const uint64_t events[] = { GHCB_PSC, GHCB_GUEST_REQUEST, GHCB_EXT_GUEST_REQUEST,
					   GHCB_AP_CREATION };

	for (unsigned int i = 0; i < COUNT_OF(events); i++) {
		struct ghcb_hold hold;
		struct ghcb *ghcb = ghcb_take(&hold);
		uint64_t info_2;
		uint32_t result;

		GHCB_SET(ghcb, rax, 0);
		GHCB_SET(ghcb, rbx, 0);
		GHCB_SET(ghcb, sw_scratch, ghcb_buffer_gpa());
		result = ghcb_exit(ghcb, events[i], 0, 0);
		info_2 = ghcb->sw_exit_info_2;
		ghcb_release(&hold);
		EXPECT_EQ(result, GHCB_BAD_INPUT, "event 0x%llx", (unsigned long long)events[i]);
		EXPECT_EQ(info_2, GHCB_ERROR_EVENT, "event 0x%llx", (unsigned long long)events[i]);
	}
}

TEST("any shared page is a GHCB, without registration")
{
	void *page = page_alloc();
	struct ghcb *other = page_share(page);
	struct ghcb_hold hold;
	uint64_t features;

	memset(other, 0, sizeof(*other));
	ghcb_take(&hold);
	other->protocol_version = GHCB_VERSION;
	GHCB_SET(other, sw_exit_code, GHCB_FEATURES);
	GHCB_SET(other, sw_exit_info_1, 0);
	GHCB_SET(other, sw_exit_info_2, ~0ull);
	ghcb_exit_raw((uintptr_t)page);
	ghcb_release(&hold);
	features = ghcb_msr(GHCB_MSR_FEATURES_REQ) >> GHCB_MSR_DATA_SHIFT;
	EXPECT_EQ(other->sw_exit_info_1, GHCB_NO_ACTION);
	EXPECT_EQ(other->sw_exit_info_2, features);
	page_unshare(page);
	page_free(page);
}
