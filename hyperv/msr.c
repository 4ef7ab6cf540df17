// SPDX-License-Identifier: BSD-2-Clause
/*
 * Hyper-V's MSRs: values, what may be written, reserved bits, and to whom each belongs
 *
 * TLFS, appendix "Hypervisor Synthetic MSRs", and the section of each; KVM's is
 * arch/x86/kvm/hyperv.c, kvm_hv_set_msr(), kvm_hv_set_msr_pw() (those of the whole partition) and
 * their _get_. A #GP on a register that a guest was promised ends that guest, and one that is
 * missing lets it go on with what it believes it has set. The SynIC is not active here: its
 * registers raise #GP (synic_set_msr(), stimer_set_config()); see hyperv/synic.c and stimer.c for
 * those. The guest OS id and the hypercall page are in hyperv/page.c; the APIC's registers in apic.c;
 * time in time.c; which bit of CPUID stands for which register in hidden.c. Linux 6.12 and 7.2 do the same in all of this.
 */
#include <hyperv/abi.h>
#include <hyperv/page.h>
#include <libc/array.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/cpuid.h>
#include <x86/msr.h>
#include <x86/smp.h>

static void expect_not_writable(uint32_t msr)
{
	static const uint64_t values[] = { 0, 1, 0xff, 1ull << 32, ~0ull };

	hv_skip_if_absent();
	for (size_t i = 0; i < COUNT_OF(values); i++)
		EXPECT_FAULT(GP, 0, wrmsr(msr, values[i]));
	EXPECT_FAULT(GP, 0, wrmsr(msr, rdmsr(msr)));
}

TEST("writing the CPU's index raises #GP")
{
	expect_not_writable(HV_X64_MSR_VP_INDEX);
}

TEST("writing the run time raises #GP")
{
	expect_not_writable(HV_X64_MSR_VP_RUNTIME);
}

TEST("writing the reference counter raises #GP")
{
	expect_not_writable(HV_X64_MSR_TIME_REF_COUNT);
}

TEST("writing the TSC's frequency raises #GP")
{
	expect_not_writable(HV_X64_MSR_TSC_FREQUENCY);
}

TEST("writing the APIC's frequency raises #GP")
{
	expect_not_writable(HV_X64_MSR_APIC_FREQUENCY);
}

static void read_vp_index(void *index)
{
	*(uint64_t *)index = rdmsr(HV_X64_MSR_VP_INDEX);
}

/* It is the number in which KVM made the vCPUs (kvm_hv_vcpu_init); vmrun makes CPU 0 first. */
TEST("each CPU has its number as its index")
{
	hv_skip_if_absent();
	REQUIRE(cpu_count() >= 2);
	for (unsigned int cpu = 0; cpu < cpu_count(); cpu++) {
		uint64_t index = ~0ull;

		on_cpu(cpu, read_vp_index, &index);
		EXPECT_EQ(index, cpu);
	}
}

TEST("an index that the VMM gives is shown, and that of other CPUs stays")
{
	uint64_t other;

	hv_skip_if_absent();
	EXPECT_EQ(vmm_msr_write(HV_X64_MSR_VP_INDEX, 77), 0);
	EXPECT_EQ(rdmsr(HV_X64_MSR_VP_INDEX), 77);
	on_cpu(1, read_vp_index, &other);
	EXPECT_EQ(other, 1);
	EXPECT_EQ(vmm_msr_write(HV_X64_MSR_VP_INDEX, 0), 0);
	EXPECT_EQ(vmm_msr_write(HV_X64_MSR_VP_INDEX, 4096), VMRUN_EINVAL, "more than any KVM has");
}

TEST("RESET reads as 0")
{
	hv_skip_if_absent();
	EXPECT_EQ(rdmsr(HV_X64_MSR_RESET), 0);
}

TEST("writing 1 to RESET asks the VMM for a reset, once")
{
	hv_skip_if_absent();
	vmm_expect_event(VMRUN_EVENT_RESET);
	wrmsr(HV_X64_MSR_RESET, 1);
	EXPECT_EQ(vmm_expect_event(VMRUN_EVENT_RESET), 1);
	EXPECT_EQ(rdmsr(HV_X64_MSR_RESET), 0);
	EXPECT_EQ(vmm_expect_event(0), 0);
}

TEST("writing 0 to RESET does nothing")
{
	hv_skip_if_absent();
	vmm_expect_event(VMRUN_EVENT_RESET);
	wrmsr(HV_X64_MSR_RESET, 0);
	EXPECT_EQ(vmm_expect_event(0), 0);
}

/* RESET's other bits are reserved; KVM asks for all 64 to be 1. */
TEST("no reserved bit of RESET alone resets")
{
	hv_skip_if_absent();
	vmm_expect_event(VMRUN_EVENT_RESET);
	for (unsigned int bit = 1; bit < 64; bit++)
		wrmsr(HV_X64_MSR_RESET, 1ull << bit);
	EXPECT_EQ(vmm_expect_event(0), 0);
}

static uint64_t crash_value(unsigned int parameter)
{
	return 0xfedcba9876543210 ^ 0x1111111111111111 * parameter;
}

static void expect_crash_values(void *unused)
{
	(void)unused;
	for (unsigned int i = 0; i < HV_CRASH_PARAMETERS; i++)
		EXPECT_EQ(rdmsr(HV_X64_MSR_CRASH_P0 + i), crash_value(i), "P%u", i);
}

TEST("the five crash parameters keep all 64 bits, and are those of all CPUs")
{
	hv_skip_if_absent();
	for (unsigned int i = 0; i < HV_CRASH_PARAMETERS; i++)
		wrmsr(HV_X64_MSR_CRASH_P0 + i, crash_value(i));
	expect_crash_values(NULL);
	on_cpu(1, expect_crash_values, NULL);
}

TEST("a crash is told to the VMM, which finds the parameters")
{
	uint64_t value;

	hv_skip_if_absent();
	for (unsigned int i = 0; i < HV_CRASH_PARAMETERS; i++)
		wrmsr(HV_X64_MSR_CRASH_P0 + i, crash_value(i));
	vmm_expect_event(VMRUN_EVENT_CRASH);
	wrmsr(HV_X64_MSR_CRASH_CTL, HV_CRASH_CTL_CRASH_NOTIFY);
	EXPECT_EQ(vmm_expect_event(0), 1);
	for (unsigned int i = 0; i < HV_CRASH_PARAMETERS; i++) {
		EXPECT_EQ(vmm_msr_read(HV_X64_MSR_CRASH_P0 + i, &value), 0);
		EXPECT_EQ(value, crash_value(i), "P%u", i);
	}
}

TEST("CRASH_CTL without bit 63 tells nobody")
{
	hv_skip_if_absent();
	vmm_expect_event(VMRUN_EVENT_CRASH);
	for (unsigned int bit = 0; bit < 63; bit++)
		wrmsr(HV_X64_MSR_CRASH_CTL, 1ull << bit);
	EXPECT_EQ(vmm_expect_event(0), 0);
}

/* It reads as what the hypervisor offers: bit 63 where the VMM said so, and nothing else. */
TEST("CRASH_CTL shows what the VMM offers, not what the guest wrote")
{
	hv_skip_if_absent();
	wrmsr(HV_X64_MSR_CRASH_CTL, 0x1234);
	EXPECT_EQ(rdmsr(HV_X64_MSR_CRASH_CTL), 0);
	EXPECT_EQ(vmm_msr_write(HV_X64_MSR_CRASH_CTL, ~0ull), 0);
	EXPECT_EQ(rdmsr(HV_X64_MSR_CRASH_CTL), HV_CRASH_CTL_CRASH_NOTIFY);
	wrmsr(HV_X64_MSR_CRASH_CTL, 0);
	EXPECT_EQ(rdmsr(HV_X64_MSR_CRASH_CTL), HV_CRASH_CTL_CRASH_NOTIFY);
	EXPECT_EQ(vmm_msr_write(HV_X64_MSR_CRASH_CTL, 0), 0);
}

static void read_msr(void *at)
{
	uint64_t *value = at;

	*value = rdmsr((uint32_t)*value);
}

/* Vector 0x40, enabled, to CPU 1. */
#define REENLIGHTENMENT (1ull << 32 | 1ull << 16 | 0x40)

TEST("re-enlightenment keeps its vector, target and enable bit, for all CPUs")
{
	uint64_t other = HV_X64_MSR_REENLIGHTENMENT_CONTROL;

	hv_skip_if_absent();
	EXPECT_EQ(rdmsr(HV_X64_MSR_REENLIGHTENMENT_CONTROL), 0);
	wrmsr(HV_X64_MSR_REENLIGHTENMENT_CONTROL, REENLIGHTENMENT);
	EXPECT_EQ(rdmsr(HV_X64_MSR_REENLIGHTENMENT_CONTROL), REENLIGHTENMENT);
	on_cpu(1, read_msr, &other);
	EXPECT_EQ(other, REENLIGHTENMENT);
	wrmsr(HV_X64_MSR_REENLIGHTENMENT_CONTROL, 0);
}

TEST("TSC emulation can be switched, for all CPUs")
{
	uint64_t other = HV_X64_MSR_TSC_EMULATION_CONTROL;

	hv_skip_if_absent();
	EXPECT_EQ(rdmsr(HV_X64_MSR_TSC_EMULATION_CONTROL), 0);
	wrmsr(HV_X64_MSR_TSC_EMULATION_CONTROL, 1);
	EXPECT_EQ(rdmsr(HV_X64_MSR_TSC_EMULATION_CONTROL), 1);
	on_cpu(1, read_msr, &other);
	EXPECT_EQ(other, 1);
	wrmsr(HV_X64_MSR_TSC_EMULATION_CONTROL, 0);
	EXPECT_EQ(rdmsr(HV_X64_MSR_TSC_EMULATION_CONTROL), 0);
}

TEST("a guest may write nothing but 0 to TSC_EMULATION_STATUS")
{
	hv_skip_if_absent();
	for (unsigned int bit = 0; bit < 64; bit++)
		EXPECT_FAULT(GP, 0, wrmsr(HV_X64_MSR_TSC_EMULATION_STATUS, 1ull << bit));
	EXPECT_EQ(vmm_msr_write(HV_X64_MSR_TSC_EMULATION_STATUS, 1), 0);
	EXPECT_EQ(rdmsr(HV_X64_MSR_TSC_EMULATION_STATUS), 1);
	EXPECT_NO_FAULT(wrmsr(HV_X64_MSR_TSC_EMULATION_STATUS, 0));
	EXPECT_EQ(rdmsr(HV_X64_MSR_TSC_EMULATION_STATUS), 0);
}

/* CPUID leaf 0x80000007, EDX bit 8 (cpuid.c, kvm_cpuid; hyperv.h, kvm_hv_invtsc_suppressed). */
static bool invariant_tsc_shown(void)
{
	return cpuid_checked(0x80000007, 0).edx & 1u << 8;
}

TEST("the TSC is not shown as invariant before the guest takes it")
{
	hv_skip_if_absent();
	EXPECT_EQ(rdmsr(HV_X64_MSR_TSC_INVARIANT_CONTROL), 0);
	EXPECT_FALSE(invariant_tsc_shown());
}

TEST("each reserved bit of TSC_INVARIANT_CONTROL raises #GP")
{
	hv_skip_if_absent();
	for (unsigned int bit = 1; bit < 64; bit++) {
		EXPECT_FAULT(GP, 0, wrmsr(HV_X64_MSR_TSC_INVARIANT_CONTROL, 1ull << bit));
		EXPECT_FAULT(GP, 0, wrmsr(HV_X64_MSR_TSC_INVARIANT_CONTROL, 1ull << bit | 1));
	}
	EXPECT_EQ(rdmsr(HV_X64_MSR_TSC_INVARIANT_CONTROL), 0);
}

TEST("TSC_INVARIANT_CONTROL can be set, by all CPUs at once, and not be cleared")
{
	uint64_t other = HV_X64_MSR_TSC_INVARIANT_CONTROL;

	hv_skip_if_absent();
	EXPECT_NO_FAULT(wrmsr(HV_X64_MSR_TSC_INVARIANT_CONTROL, 0));
	EXPECT_NO_FAULT(wrmsr(HV_X64_MSR_TSC_INVARIANT_CONTROL, 1));
	EXPECT_NO_FAULT(wrmsr(HV_X64_MSR_TSC_INVARIANT_CONTROL, 1));
	EXPECT_FAULT(GP, 0, wrmsr(HV_X64_MSR_TSC_INVARIANT_CONTROL, 0));
	EXPECT_EQ(rdmsr(HV_X64_MSR_TSC_INVARIANT_CONTROL), 1);
	on_cpu(1, read_msr, &other);
	EXPECT_EQ(other, 1);
	EXPECT_EQ(vmm_msr_write(HV_X64_MSR_TSC_INVARIANT_CONTROL, 0), 0, "the VMM may");
}

/* hyperv/abi.h has those that there are. */
static const struct {
	uint32_t first, last;
} holes[] = {
	{ 0x40000004, 0x4000000f }, { 0x40000011, 0x4000001f }, { 0x40000024, 0x4000002f },
	{ 0x40000060, 0x4000006f }, { 0x40000074, 0x4000007f }, { 0x40000085, 0x4000008f },
	{ 0x400000a0, 0x400000af }, { 0x400000b8, 0x400000bf }, { 0x400000f0, 0x400000f0 },
	{ 0x400000f6, 0x400000fe }, { 0x40000109, 0x40000117 }, { 0x40000119, 0x4000011f },
	{ 0x40001080, 0x40001084 }, { 0x40001090, 0x4000109f },
};

TEST("MSRs of Hyper-V's that KVM does not have raise #GP")
{
	hv_skip_if_absent();
	for (size_t i = 0; i < COUNT_OF(holes); i++) {
		for (uint32_t msr = holes[i].first; msr <= holes[i].last; msr++) {
			uint64_t value;

			EXPECT_FALSE(rdmsr_safe(msr, &value), "reading 0x%x", msr);
			EXPECT_FALSE(wrmsr_safe(msr, 0), "writing 0x%x", msr);
		}
	}
}

TEST("the SynIC's registers raise #GP while it is not active")
{
	uint64_t value;

	hv_skip_if_absent();
	for (uint32_t msr = HV_X64_MSR_SCONTROL; msr <= HV_X64_MSR_EOM; msr++) {
		EXPECT_FALSE(rdmsr_safe(msr, &value), "reading 0x%x", msr);
		EXPECT_FALSE(wrmsr_safe(msr, 0), "writing 0x%x", msr);
	}
	for (uint32_t sint = 0; sint < HV_SYNIC_SINTS; sint++) {
		EXPECT_FALSE(rdmsr_safe(HV_X64_MSR_SINT0 + sint, &value), "SINT%u", sint);
		EXPECT_FALSE(wrmsr_safe(HV_X64_MSR_SINT0 + sint, HV_SYNIC_SINT_MASKED), "SINT%u",
			     sint);
	}
}

/* They are read from where they always are (stimer_get_config). */
TEST("the synthetic timers read as 0 and raise #GP when written while the SynIC is not active")
{
	hv_skip_if_absent();
	for (uint32_t i = 0; i < 2 * HV_STIMERS; i++) {
		const uint32_t msr = HV_X64_MSR_STIMER0_CONFIG + i;

		EXPECT_EQ(rdmsr(msr), 0, "reading 0x%x", msr);
		EXPECT_FAULT(GP, 0, wrmsr(msr, 0));
		EXPECT_FAULT(GP, 0, wrmsr(msr, HV_STIMER_SINT(1) | HV_STIMER_ENABLE));
	}
}
