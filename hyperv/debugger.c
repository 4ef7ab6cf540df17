// SPDX-License-Identifier: BSD-2-Clause
/*
 * What KVM hands to the VMM: the synthetic debugger, and extended hypercalls
 *
 * The debugger ("VS#1", documented with the kernel's KVM_EXIT_HYPERV_SYNDBG in
 * Documentation/virt/kvm/api.rst) is a set of MSRs: pages to send from and to receive into, a pending
 * page, a status, and a control, by which the guest asks the VMM to do it. With bit 2 of its options
 * three hypercalls do the same, which are else refused with HV_STATUS_OPERATION_DENIED. The extended
 * calls, 0x8001 to 0x8041, are all the VMM's; they cannot be fast. A call that KVM is to hand on must
 * arrive as it was made, and one that it is to refuse must not (arch/x86/kvm/hyperv.c,
 * kvm_hv_hypercall(), syndbg_set_msr()). Linux 6.12 and 7.2 do the same.
 */
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <libc/array.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/cpuid.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/smp.h>

#define FAST	     HV_HYPERCALL_FAST
#define INVALID_CODE HV_STATUS_INVALID_HYPERCALL_CODE
#define VALUE	     0xfedcba9876543210

enum { EXIT_HCALL = 2, EXIT_SYNDBG = 3 };

static uint64_t exits;

static void prepare(void)
{
	hv_skip_if_absent();
	if (!(cpuid(HV_CPUID_SYNDBG_CAPABILITIES, 0).eax & HV_SYNDBG_ALLOW_DEBUGGING))
		SKIP("KVM has no synthetic debugger");
	hv_enable_hypercalls();
	wrmsr(HV_X64_MSR_SYNDBG_OPTIONS, 0);
	exits = vmm_hyperv_exit(HYPERV_EXIT_COUNT);
}

static void expect_not_told(void)
{
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_COUNT), exits);
}

static const uint32_t buffers[] = { HV_X64_MSR_SYNDBG_SEND_BUFFER, HV_X64_MSR_SYNDBG_RECV_BUFFER,
				    HV_X64_MSR_SYNDBG_PENDING_BUFFER };

TEST("the three buffers, the options and the status keep all 64 bits")
{
	static const uint32_t others[] = { HV_X64_MSR_SYNDBG_STATUS, HV_X64_MSR_SYNDBG_OPTIONS };

	prepare();
	for (size_t i = 0; i < COUNT_OF(buffers); i++) {
		wrmsr(buffers[i], VALUE + i);
		EXPECT_EQ(rdmsr(buffers[i]), VALUE + i);
	}
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		wrmsr(others[i], VALUE - i);
		EXPECT_EQ(rdmsr(others[i]), VALUE - i);
	}
}

static void expect_buffers(void *unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(buffers); i++)
		EXPECT_EQ(rdmsr(buffers[i]), VALUE + i);
}

TEST("they are those of all CPUs")
{
	prepare();
	REQUIRE(cpu_count() >= 2);
	for (size_t i = 0; i < COUNT_OF(buffers); i++)
		wrmsr(buffers[i], VALUE + i);
	on_cpu(1, expect_buffers, NULL);
}

static void expect_told(uint32_t msr, uint64_t control)
{
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_COUNT), ++exits);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_TYPE), EXIT_SYNDBG);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_MSR), msr);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_CONTROL), control);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_SEND_PAGE), rdmsr(HV_X64_MSR_SYNDBG_SEND_BUFFER));
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_RECEIVE_PAGE), rdmsr(HV_X64_MSR_SYNDBG_RECV_BUFFER));
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_PENDING_PAGE),
		  rdmsr(HV_X64_MSR_SYNDBG_PENDING_BUFFER));
}

TEST("the VMM is told when the control or the pending page is written, with all of them")
{
	prepare();
	wrmsr(HV_X64_MSR_SYNDBG_SEND_BUFFER, VALUE);
	wrmsr(HV_X64_MSR_SYNDBG_RECV_BUFFER, ~VALUE);
	wrmsr(HV_X64_MSR_SYNDBG_CONTROL, 0x40001);
	exits = vmm_hyperv_exit(HYPERV_EXIT_COUNT) - 1;
	expect_told(HV_X64_MSR_SYNDBG_CONTROL, 0x40001);
	wrmsr(HV_X64_MSR_SYNDBG_PENDING_BUFFER, VALUE << 4);
	expect_told(HV_X64_MSR_SYNDBG_PENDING_BUFFER, 0x40001);
	EXPECT_EQ(rdmsr(HV_X64_MSR_SYNDBG_CONTROL), 0x40001);
}

TEST("the VMM is not told of the other registers")
{
	prepare();
	wrmsr(HV_X64_MSR_SYNDBG_SEND_BUFFER, 1);
	wrmsr(HV_X64_MSR_SYNDBG_RECV_BUFFER, 2);
	wrmsr(HV_X64_MSR_SYNDBG_STATUS, 3);
	wrmsr(HV_X64_MSR_SYNDBG_OPTIONS, 0);
	expect_not_told();
}

TEST("the status after the control is written is the VMM's")
{
	prepare();
	wrmsr(HV_X64_MSR_SYNDBG_STATUS, 0x77);
	wrmsr(HV_X64_MSR_SYNDBG_PENDING_BUFFER, 0);
	EXPECT_EQ(rdmsr(HV_X64_MSR_SYNDBG_STATUS), 0x77, "not after the pending page");
	wrmsr(HV_X64_MSR_SYNDBG_CONTROL, 1);
	EXPECT_EQ(rdmsr(HV_X64_MSR_SYNDBG_STATUS), 0);
}

static const uint16_t debug_codes[] = { HVCALL_POST_DEBUG_DATA, HVCALL_RETRIEVE_DEBUG_DATA,
					HVCALL_RESET_DEBUG_SESSION };

TEST("debug calls are denied until bit 2 of the options is set, whatever else is")
{
	prepare();
	for (unsigned int bit = 0; bit < 64; bit++) {
		wrmsr(HV_X64_MSR_SYNDBG_OPTIONS, 1ull << bit);
		for (size_t i = 0; i < COUNT_OF(debug_codes); i++)
			EXPECT_EQ(hv_hypercall(debug_codes[i], 0, 0),
				  bit == 2 ? INVALID_CODE : HV_STATUS_OPERATION_DENIED,
				  "option %u, call 0x%x", bit, debug_codes[i]);
	}
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_COUNT), exits + COUNT_OF(debug_codes));
}

static void expect_handed_on(uint64_t control, uint64_t input, uint64_t output)
{
	EXPECT_EQ(hv_hypercall(control, input, output), INVALID_CODE, "control 0x%llx",
		  (unsigned long long)control);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_COUNT), ++exits);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_TYPE), EXIT_HCALL);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_INPUT), control);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_PARAM0), input);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_PARAM1), output);
}

TEST("debug calls reach the VMM as they were made")
{
	prepare();
	wrmsr(HV_X64_MSR_SYNDBG_OPTIONS, HV_SYNDBG_OPTION_USE_HCALLS);
	for (size_t i = 0; i < COUNT_OF(debug_codes); i++)
		expect_handed_on(debug_codes[i], VALUE + i, ~VALUE - i);
}

TEST("debug calls with data cannot be fast, and a reset of the session can")
{
	prepare();
	wrmsr(HV_X64_MSR_SYNDBG_OPTIONS, HV_SYNDBG_OPTION_USE_HCALLS);
	EXPECT_EQ(hv_hypercall(HVCALL_POST_DEBUG_DATA | FAST, 0, 0), HV_STATUS_INVALID_PARAMETER);
	EXPECT_EQ(hv_hypercall(HVCALL_RETRIEVE_DEBUG_DATA | FAST, 0, 0),
		  HV_STATUS_INVALID_PARAMETER);
	expect_not_told();
	expect_handed_on(HVCALL_RESET_DEBUG_SESSION | FAST, 5, 6);
}

TEST("each extended call reaches the VMM as it was made")
{
	prepare();
	for (uint32_t code = HV_EXT_CALL_QUERY_CAPABILITIES; code <= HV_EXT_CALL_MAX; code++)
		expect_handed_on(code, VALUE ^ code, VALUE + code);
}

TEST("an extended call reaches the VMM with its header and repetitions")
{
	prepare();
	for (unsigned int bit = HV_HYPERCALL_VARHEAD_SHIFT; bit < 60; bit++)
		if (bit < HV_HYPERCALL_RSVD0_SHIFT || (bit >= 32 && bit < 44) || bit >= 48)
			expect_handed_on(HV_EXT_CALL_MAX | 1ull << bit, 1, 2);
}

TEST("no extended call is fast")
{
	prepare();
	for (uint32_t code = HV_EXT_CALL_QUERY_CAPABILITIES; code <= HV_EXT_CALL_MAX; code++)
		EXPECT_EQ(hv_hypercall(code | FAST, 0, 0), HV_STATUS_INVALID_PARAMETER, "0x%x",
			  code);
	expect_not_told();
}

TEST("the calls beside the extended ones are unknown, and do not reach the VMM")
{
	prepare();
	EXPECT_EQ(hv_hypercall(HV_EXT_CALL_QUERY_CAPABILITIES - 1, 0, 0), INVALID_CODE);
	EXPECT_EQ(hv_hypercall(HV_EXT_CALL_MAX + 1, 0, 0), INVALID_CODE);
	EXPECT_EQ(hv_hypercall(0xffff, 0, 0), INVALID_CODE);
	expect_not_told();
}

TEST("each reserved bit of an extended call is refused, and does not reach the VMM")
{
	prepare();
	for (unsigned int bit = HV_HYPERCALL_RSVD0_SHIFT; bit < 64; bit++)
		if (bit < 32 || (bit >= 44 && bit < 48) || bit >= 60)
			EXPECT_EQ(hv_hypercall(HV_EXT_CALL_MAX | 1ull << bit, 0, 0),
				  HV_STATUS_INVALID_HYPERCALL_INPUT, "bit %u", bit);
	expect_not_told();
}
