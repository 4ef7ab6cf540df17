// SPDX-License-Identifier: BSD-2-Clause
/*
 * What Hyper-V's CPUID leaves do not show, KVM refuses
 *
 * With KVM_CAP_HYPERV_ENFORCE_CPUID an MSR raises #GP unless the bit that stands for it is shown
 * (arch/x86/kvm/hyperv.c, hv_check_msr_access()), and a call is refused with
 * HV_STATUS_ACCESS_DENIED unless its privilege is (hv_check_hypercall_access()), before anything
 * else of it is looked at; XMM registers as input raise #UD (kvm_hv_hypercall()). TLFS, "Partition
 * Privileges". A check that looks at the wrong bit shows only where the right one is hidden and the
 * wrong one is not, or the other way round: this guest runs on five CPUs that hide different bits,
 * so that each two bits differ on one of them, and each is hidden on one and shown on another
 * (unittests.cfg, hyperv-hidden-*). What to expect it reads from CPUID. The kernel's own test of
 * this, tools/testing/selftests/kvm/x86/hyperv_features.c, shows the bits one after the other.
 *
 * The guest OS id, without which there are no hypercalls, is set by the VMM here, since the guest
 * may not be allowed to. The SynIC is active: the registers raise #GP for no other reason.
 */
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <hyperv/xmm.h>
#include <libc/array.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/cpuid.h>
#include <x86/memory.h>
#include <x86/msr.h>

#define FAST HV_HYPERCALL_FAST

static bool msr_shown(uint32_t bits)
{
	hv_skip_if_absent();
	return cpuid(HV_CPUID_FEATURES, 0).eax & bits;
}

static bool call_shown(uint32_t bits)
{
	hv_skip_if_absent();
	return cpuid(HV_CPUID_FEATURES, 0).ebx & bits;
}

static bool other_shown(uint32_t bits)
{
	hv_skip_if_absent();
	return cpuid(HV_CPUID_FEATURES, 0).edx & bits;
}

static bool recommended(uint32_t bits)
{
	hv_skip_if_absent();
	return (cpuid(HV_CPUID_RECOMMENDATIONS, 0).eax & bits) == bits;
}

static bool debugger_shown(void)
{
	return cpuid(HV_CPUID_SYNDBG_CAPABILITIES, 0).eax & HV_SYNDBG_ALLOW_DEBUGGING;
}

TEST("some MSRs are hidden here, and not all")
{
	const uint32_t some = HV_MSR_VP_INDEX_AVAILABLE | HV_MSR_RESET_AVAILABLE |
			      HV_MSR_REFERENCE_TSC_AVAILABLE | HV_MSR_APIC_ACCESS_AVAILABLE |
			      HV_MSR_SYNIC_AVAILABLE | HV_MSR_VP_RUNTIME_AVAILABLE;

	EXPECT_TRUE(msr_shown(some));
	EXPECT_NE(cpuid(HV_CPUID_FEATURES, 0).eax & some, some);
}

static void expect_read(uint32_t msr, bool allowed)
{
	uint64_t value;

	EXPECT_EQ(rdmsr_safe(msr, &value), allowed, "reading 0x%x", msr);
}

static void expect_write(uint32_t msr, uint64_t value, bool allowed)
{
	EXPECT_EQ(wrmsr_safe(msr, value), allowed, "writing 0x%llx to 0x%x",
		  (unsigned long long)value, msr);
}

/* Writes what was read, or 0 where that would do something. */
static void expect_access(uint32_t msr, bool allowed)
{
	uint64_t value;

	expect_read(msr, allowed);
	rdmsr_safe(msr, &value);
	expect_write(msr, value, allowed);
}

TEST("the guest OS id can be accessed if hypercalls are shown")
{
	expect_access(HV_X64_MSR_GUEST_OS_ID, msr_shown(HV_MSR_HYPERCALL_AVAILABLE));
}

TEST("the hypercall page can be accessed if hypercalls are shown")
{
	expect_access(HV_X64_MSR_HYPERCALL, msr_shown(HV_MSR_HYPERCALL_AVAILABLE));
}

TEST("the run time can be read if it is shown, and never written")
{
	expect_read(HV_X64_MSR_VP_RUNTIME, msr_shown(HV_MSR_VP_RUNTIME_AVAILABLE));
	expect_write(HV_X64_MSR_VP_RUNTIME, 0, false);
}

TEST("the reference counter can be read if it is shown, and never written")
{
	expect_read(HV_X64_MSR_TIME_REF_COUNT, msr_shown(HV_MSR_TIME_REF_COUNT_AVAILABLE));
	expect_write(HV_X64_MSR_TIME_REF_COUNT, 0, false);
}

TEST("the CPU's index can be read if it is shown, and never written")
{
	expect_read(HV_X64_MSR_VP_INDEX, msr_shown(HV_MSR_VP_INDEX_AVAILABLE));
	expect_write(HV_X64_MSR_VP_INDEX, 0, false);
}

TEST("the reset can be accessed if it is shown")
{
	expect_access(HV_X64_MSR_RESET, msr_shown(HV_MSR_RESET_AVAILABLE));
}

TEST("a reset reaches the VMM if it is shown")
{
	const bool shown = msr_shown(HV_MSR_RESET_AVAILABLE);

	vmm_expect_event(VMRUN_EVENT_RESET);
	expect_write(HV_X64_MSR_RESET, 1, shown);
	EXPECT_EQ(vmm_expect_event(0), shown ? 1 : 0);
}

TEST("the TSC page can be accessed if it is shown")
{
	expect_access(HV_X64_MSR_REFERENCE_TSC, msr_shown(HV_MSR_REFERENCE_TSC_AVAILABLE));
}

TEST("the SynIC's registers can be accessed if it is shown")
{
	static const uint32_t msrs[] = { HV_X64_MSR_SCONTROL, HV_X64_MSR_SIEFP, HV_X64_MSR_SIMP,
					 HV_X64_MSR_EOM };
	const bool shown = msr_shown(HV_MSR_SYNIC_AVAILABLE);

	for (size_t i = 0; i < COUNT_OF(msrs); i++)
		expect_access(msrs[i], shown);
	expect_read(HV_X64_MSR_SVERSION, shown);
	expect_write(HV_X64_MSR_SVERSION, HV_SYNIC_VERSION_1, false);
}

TEST("each SINT can be accessed if the SynIC is shown")
{
	for (uint32_t sint = 0; sint < HV_SYNIC_SINTS; sint++)
		expect_access(HV_X64_MSR_SINT0 + sint, msr_shown(HV_MSR_SYNIC_AVAILABLE));
}

TEST("each synthetic timer can be accessed if they are shown")
{
	for (uint32_t i = 0; i < 2 * HV_STIMERS; i++)
		expect_access(HV_X64_MSR_STIMER0_CONFIG + i, msr_shown(HV_MSR_SYNTIMER_AVAILABLE));
}

TEST("a timer can be direct if that is shown too")
{
	const bool allowed = msr_shown(HV_MSR_SYNTIMER_AVAILABLE) &&
			     other_shown(HV_STIMER_DIRECT_MODE_AVAILABLE);

	for (uint32_t i = 0; i < HV_STIMERS; i++) {
		const uint32_t msr = HV_X64_MSR_STIMER0_CONFIG + 2 * i;

		expect_write(msr, HV_STIMER_DIRECT | HV_STIMER_VECTOR(0x40), allowed);
		wrmsr_safe(msr, 0);
	}
}

TEST("EOI can be written if the APIC's MSRs are shown, and never read")
{
	expect_write(HV_X64_MSR_EOI, 0, msr_shown(HV_MSR_APIC_ACCESS_AVAILABLE));
	expect_read(HV_X64_MSR_EOI, false);
}

TEST("TPR can be accessed, and ICR read, if the APIC's MSRs are shown")
{
	expect_access(HV_X64_MSR_TPR, msr_shown(HV_MSR_APIC_ACCESS_AVAILABLE));
	expect_read(HV_X64_MSR_ICR, msr_shown(HV_MSR_APIC_ACCESS_AVAILABLE));
}

TEST("ICR can be written if the APIC's MSRs are shown")
{
	/* A lowest-priority interrupt to no CPU at all. */
	expect_write(HV_X64_MSR_ICR, 0xfeull << 56 | 0x40, msr_shown(HV_MSR_APIC_ACCESS_AVAILABLE));
}

TEST("the VP assist page can be accessed if the APIC's MSRs are shown")
{
	expect_access(HV_X64_MSR_VP_ASSIST_PAGE, msr_shown(HV_MSR_APIC_ACCESS_AVAILABLE));
}

TEST("the frequencies can be read if they are shown, and never written")
{
	const bool shown = msr_shown(HV_ACCESS_FREQUENCY_MSRS);

	expect_read(HV_X64_MSR_TSC_FREQUENCY, shown);
	expect_write(HV_X64_MSR_TSC_FREQUENCY, 0, false);
	expect_read(HV_X64_MSR_APIC_FREQUENCY, shown);
	expect_write(HV_X64_MSR_APIC_FREQUENCY, 0, false);
}

TEST("re-enlightenment can be controlled if it is shown")
{
	const bool shown = msr_shown(HV_ACCESS_REENLIGHTENMENT);

	expect_access(HV_X64_MSR_REENLIGHTENMENT_CONTROL, shown);
	expect_access(HV_X64_MSR_TSC_EMULATION_CONTROL, shown);
	expect_access(HV_X64_MSR_TSC_EMULATION_STATUS, shown);
}

TEST("TSC_INVARIANT_CONTROL can be accessed if it is shown")
{
	expect_access(HV_X64_MSR_TSC_INVARIANT_CONTROL, msr_shown(HV_ACCESS_TSC_INVARIANT));
}

TEST("the crash MSRs can be accessed if they are shown")
{
	const bool shown = other_shown(HV_FEATURE_GUEST_CRASH_MSR_AVAILABLE);

	for (uint32_t i = 0; i < HV_CRASH_PARAMETERS; i++)
		expect_access(HV_X64_MSR_CRASH_P0 + i, shown);
	expect_access(HV_X64_MSR_CRASH_CTL, shown);
}

TEST("a crash reaches the VMM if it is shown")
{
	const bool shown = other_shown(HV_FEATURE_GUEST_CRASH_MSR_AVAILABLE);

	vmm_expect_event(VMRUN_EVENT_CRASH);
	expect_write(HV_X64_MSR_CRASH_CTL, HV_CRASH_CTL_CRASH_NOTIFY, shown);
	EXPECT_EQ(vmm_expect_event(0), shown ? 1 : 0);
}

/* Also with the bit of the MSRs they need that of the debugger (syndbg_set_msr). */
TEST("the debugger's MSRs can be accessed if they and the debugger are shown")
{
	const bool shown = other_shown(HV_FEATURE_DEBUG_MSRS_AVAILABLE) && debugger_shown();

	for (uint32_t msr = HV_X64_MSR_SYNDBG_CONTROL; msr <= HV_X64_MSR_SYNDBG_PENDING_BUFFER;
	     msr++)
		expect_access(msr, shown);
	expect_access(HV_X64_MSR_SYNDBG_OPTIONS, shown);
}

/* All zeros, so that no call does anything. */
static void expect_call(uint64_t control, uint64_t input, uint64_t expected)
{
	EXPECT_EQ(vmm_msr_write(HV_X64_MSR_GUEST_OS_ID, HV_GUEST_OS_ID_VMABI), 0);
	EXPECT_EQ(hv_hypercall(control, input, 0), expected, "call 0x%llx",
		  (unsigned long long)control);
}

static void expect_slow_call(uint64_t control, bool allowed, uint64_t expected)
{
	expect_call(control, (uintptr_t)page_alloc(), allowed ? expected : HV_STATUS_ACCESS_DENIED);
}

/* Which of these is refused first does not matter but for one that is denied. */
#define RSVD (1ull << 60)

TEST("a long spin wait can be told if a number of spins is shown")
{
	const uint32_t spins = cpuid(HV_CPUID_RECOMMENDATIONS, 0).ebx;
	const bool allowed = spins != 0 && spins != UINT32_MAX;

	hv_skip_if_absent();
	expect_slow_call(HVCALL_NOTIFY_LONG_SPIN_WAIT, allowed, HV_STATUS_SUCCESS);
	expect_slow_call(HVCALL_NOTIFY_LONG_SPIN_WAIT | RSVD, allowed,
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST("messages can be posted if that is shown")
{
	const bool allowed = call_shown(HV_POST_MESSAGES);

	expect_slow_call(HVCALL_POST_MESSAGE, allowed, HV_STATUS_INVALID_CONNECTION_ID);
	expect_slow_call(HVCALL_POST_MESSAGE | RSVD, allowed, HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST("events can be signalled if that is shown")
{
	const bool allowed = call_shown(HV_SIGNAL_EVENTS);

	expect_slow_call(HVCALL_SIGNAL_EVENT, allowed, HV_STATUS_INVALID_CONNECTION_ID);
	expect_slow_call(HVCALL_SIGNAL_EVENT | RSVD, allowed, HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST("debug calls are denied without the privilege, and unknown without the debugger")
{
	static const uint16_t codes[] = { HVCALL_POST_DEBUG_DATA, HVCALL_RETRIEVE_DEBUG_DATA,
					  HVCALL_RESET_DEBUG_SESSION };
	const bool allowed = !debugger_shown() || call_shown(HV_DEBUGGING);

	for (size_t i = 0; i < COUNT_OF(codes); i++)
		expect_slow_call(codes[i], allowed,
				 debugger_shown() ? HV_STATUS_OPERATION_DENIED
						  : HV_STATUS_INVALID_HYPERCALL_CODE);
}

TEST("flushes are done if they are recommended")
{
	const bool allowed = recommended(HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED);

	expect_slow_call(HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE, allowed, HV_STATUS_SUCCESS);
	expect_slow_call(HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST | 1ull << HV_HYPERCALL_REP_COUNT,
			 allowed, 1ull << HV_RESULT_REPS_SHIFT);
}

TEST("extended flushes are done if both they and sets of CPUs are recommended")
{
	const bool allowed = recommended(HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED |
					 HV_X64_EX_PROCESSOR_MASKS_RECOMMENDED);

	expect_slow_call(HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX, allowed, HV_STATUS_SUCCESS);
	expect_slow_call(HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX | 1ull << HV_HYPERCALL_REP_COUNT,
			 allowed, 1ull << HV_RESULT_REPS_SHIFT);
}

/* Vector 0 is refused, in a call that is not. */
TEST("IPIs are sent if they are recommended")
{
	expect_slow_call(HVCALL_SEND_IPI, recommended(HV_X64_CLUSTER_IPI_RECOMMENDED),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST("extended IPIs are sent if both they and sets of CPUs are recommended")
{
	expect_slow_call(
		HVCALL_SEND_IPI_EX,
		recommended(HV_X64_CLUSTER_IPI_RECOMMENDED | HV_X64_EX_PROCESSOR_MASKS_RECOMMENDED),
		HV_STATUS_SUCCESS);
}

TEST("extended calls reach the VMM if they are shown")
{
	const bool allowed = call_shown(HV_ENABLE_EXTENDED_HYPERCALLS);

	expect_slow_call(HV_EXT_CALL_QUERY_CAPABILITIES, allowed, HV_STATUS_INVALID_HYPERCALL_CODE);
	expect_slow_call(HV_EXT_CALL_MAX, allowed, HV_STATUS_INVALID_HYPERCALL_CODE);
	expect_slow_call(HV_EXT_CALL_QUERY_CAPABILITIES | FAST, allowed,
			 HV_STATUS_INVALID_PARAMETER);
}

TEST("unknown calls are so, whatever is shown")
{
	expect_slow_call(HV_CODE_UNKNOWN, true, HV_STATUS_INVALID_HYPERCALL_CODE);
	expect_slow_call(HV_EXT_CALL_MAX + 1, true, HV_STATUS_INVALID_HYPERCALL_CODE);
}

/* The calls that take XMM registers; the last does not look at them. */
static const struct {
	uint64_t control;
	uint32_t needs;
	uint64_t expected;
} xmm_calls[] = {
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE, HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED,
	  HV_STATUS_SUCCESS },
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST | 1ull << HV_HYPERCALL_REP_COUNT,
	  HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED, 1ull << HV_RESULT_REPS_SHIFT },
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX,
	  HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED | HV_X64_EX_PROCESSOR_MASKS_RECOMMENDED,
	  HV_STATUS_SUCCESS },
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX | 1ull << HV_HYPERCALL_REP_COUNT,
	  HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED | HV_X64_EX_PROCESSOR_MASKS_RECOMMENDED,
	  1ull << HV_RESULT_REPS_SHIFT },
	{ HVCALL_SEND_IPI_EX,
	  HV_X64_CLUSTER_IPI_RECOMMENDED | HV_X64_EX_PROCESSOR_MASKS_RECOMMENDED,
	  HV_STATUS_SUCCESS },
};

TEST("a call with XMM registers raises #UD unless they are shown, but when it is denied")
{
	static const uint64_t halves[HV_XMM_HALVES];
	const bool shown = other_shown(HV_X64_HYPERCALL_XMM_INPUT_AVAILABLE);

	EXPECT_EQ(vmm_msr_write(HV_X64_MSR_GUEST_OS_ID, HV_GUEST_OS_ID_VMABI), 0);
	for (size_t i = 0; i < COUNT_OF(xmm_calls); i++) {
		const bool allowed = recommended(xmm_calls[i].needs);
		uint64_t result = ~0ull;
		struct x86_fault fault =
			FAULT_OF(result = hv_xmm_call(xmm_calls[i].control, 0, 0, halves));

		EXPECT_FAULT_EQ(fault, allowed && !shown ? UD : NO_FAULT, 0, "case %u",
				(unsigned int)i);
		if (!allowed)
			EXPECT_EQ(result, HV_STATUS_ACCESS_DENIED, "case %u", (unsigned int)i);
		else if (shown)
			EXPECT_EQ(result, xmm_calls[i].expected, "case %u", (unsigned int)i);
	}
}

TEST("a fast call that fits into its two parameters needs no XMM registers")
{
	expect_call(HVCALL_SEND_IPI | FAST, 0,
		    recommended(HV_X64_CLUSTER_IPI_RECOMMENDED) ? HV_STATUS_INVALID_HYPERCALL_INPUT
								: HV_STATUS_ACCESS_DENIED);
}
