// SPDX-License-Identifier: BSD-2-Clause
/*
 * Hyper-V's CPUID leaves, as KVM shows them
 *
 * A guest reads there what it may use (TLFS, "Feature and Interface Discovery"): a bit too many leads
 * to a #GP later, one too few to a slow guest that nobody explains. vmrun passes on what
 * KVM_GET_SUPPORTED_HV_CPUID gives, unchanged, so that each value here is one of KVM's own:
 * arch/x86/kvm/hyperv.c, kvm_get_hv_cpuid(), the same in Linux 6.12 and 7.2. Whether what a bit
 * promises is there, and is refused without it, is in hyperv/hidden.c.
 */
#include <hyperv/abi.h>
#include <libc/array.h>
#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/smp.h>

/* The debugger's leaves are the last ones that KVM has. */
#define LAST_LEAF HV_CPUID_SYNDBG_CAPABILITIES

/* Build 14393, 10.0: Hyper-V of Windows Server 2016, whose functions KVM has. */
#define BUILD	 0x3839
#define VERSION	 0x000a0000
#define SPINS	 0xfff
#define LOGICALS 64
#define VS_1	 0x31235356 /* "VS#1" */

#define MSRS                                                                                      \
	(HV_MSR_VP_RUNTIME_AVAILABLE | HV_MSR_TIME_REF_COUNT_AVAILABLE | HV_MSR_SYNIC_AVAILABLE | \
	 HV_MSR_SYNTIMER_AVAILABLE | HV_MSR_APIC_ACCESS_AVAILABLE | HV_MSR_HYPERCALL_AVAILABLE |  \
	 HV_MSR_VP_INDEX_AVAILABLE | HV_MSR_RESET_AVAILABLE | HV_MSR_REFERENCE_TSC_AVAILABLE |    \
	 HV_ACCESS_FREQUENCY_MSRS | HV_ACCESS_REENLIGHTENMENT | HV_ACCESS_TSC_INVARIANT)
#define CALLS (HV_POST_MESSAGES | HV_SIGNAL_EVENTS | HV_DEBUGGING | HV_ENABLE_EXTENDED_HYPERCALLS)
#define OTHERS                                                                        \
	(HV_X64_GUEST_DEBUGGING_AVAILABLE | HV_X64_HYPERCALL_XMM_INPUT_AVAILABLE |    \
	 HV_FEATURE_FREQUENCY_MSRS_AVAILABLE | HV_FEATURE_GUEST_CRASH_MSR_AVAILABLE | \
	 HV_FEATURE_DEBUG_MSRS_AVAILABLE | HV_FEATURE_EXT_GVA_RANGES_FLUSH |          \
	 HV_STIMER_DIRECT_MODE_AVAILABLE)
#define RECOMMENDED                                                             \
	(HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED | HV_X64_APIC_ACCESS_RECOMMENDED | \
	 HV_X64_RELAXED_TIMING_RECOMMENDED | HV_DEPRECATING_AEOI_RECOMMENDED |  \
	 HV_X64_CLUSTER_IPI_RECOMMENDED | HV_X64_EX_PROCESSOR_MASKS_RECOMMENDED)
/* Those depend on the host's CPU: nested VMX with an enlightened VMCS; SMT. */
#define RECOMMENDED_BY_HOST (HV_X64_ENLIGHTENED_VMCS_RECOMMENDED | HV_X64_NO_NONARCH_CORESHARING)

/* No leaves at all are no reason to skip: the test is sent to where there is Hyper-V. */
static struct cpuid leaf(uint32_t number)
{
	return cpuid(number, 0);
}

static void expect_leaf(uint32_t number, struct cpuid expected)
{
	struct cpuid actual = leaf(number);

	EXPECT_EQ(actual.eax, expected.eax, "EAX of 0x%x", number);
	EXPECT_EQ(actual.ebx, expected.ebx, "EBX of 0x%x", number);
	EXPECT_EQ(actual.ecx, expected.ecx, "ECX of 0x%x", number);
	EXPECT_EQ(actual.edx, expected.edx, "EDX of 0x%x", number);
}

/* "Linux KVM Hv" */
TEST("the first leaf names the last one, and KVM as the vendor")
{
	expect_leaf(HV_CPUID_VENDOR,
		    (struct cpuid){ LAST_LEAF, 0x756e694c, 0x564b2078, 0x7648204d });
}

TEST("the interface is Hv#1, and its reserved registers are 0")
{
	expect_leaf(HV_CPUID_INTERFACE, (struct cpuid){ HV_INTERFACE, 0, 0, 0 });
}

TEST("the version is that of Hyper-V 2016")
{
	expect_leaf(HV_CPUID_VERSION, (struct cpuid){ BUILD, VERSION, 0, 0 });
}

TEST("the MSRs shown are those that KVM has, each of them and no other")
{
	EXPECT_EQ(leaf(HV_CPUID_FEATURES).eax, MSRS);
}

TEST("the privileges of hypercalls shown are those that KVM checks, each and no other")
{
	EXPECT_EQ(leaf(HV_CPUID_FEATURES).ebx, CALLS);
}

TEST("no power management is shown")
{
	EXPECT_EQ(leaf(HV_CPUID_FEATURES).ecx, 0);
}

TEST("the other features shown are those that KVM has, each and no other")
{
	EXPECT_EQ(leaf(HV_CPUID_FEATURES).edx, OTHERS);
}

TEST("what is recommended is what KVM answers itself")
{
	EXPECT_EQ(leaf(HV_CPUID_RECOMMENDATIONS).eax & ~RECOMMENDED_BY_HOST, RECOMMENDED);
}

TEST("a spinning guest is to call after 4095 attempts")
{
	EXPECT_EQ(leaf(HV_CPUID_RECOMMENDATIONS).ebx, SPINS);
}

TEST("the reserved registers of the recommendations are 0")
{
	struct cpuid actual = leaf(HV_CPUID_RECOMMENDATIONS);

	EXPECT_EQ(actual.ecx, 0);
	EXPECT_EQ(actual.edx, 0);
}

/* KVM_MAX_VCPUS is 1024, or more by CONFIG_KVM_MAX_NR_VCPUS up to 4096 (asm/kvm_host.h). */
TEST("there may be as many CPUs as KVM has vCPUs, and 64 logical processors")
{
	struct cpuid limits = leaf(HV_CPUID_LIMITS);

	EXPECT_GE(limits.eax, 1024);
	EXPECT_LE(limits.eax, 4096);
	EXPECT_EQ(limits.ebx, LOGICALS);
	EXPECT_EQ(limits.ecx, 0);
	EXPECT_EQ(limits.edx, 0);
}

TEST("leaves that KVM has not between the others are 0")
{
	for (uint32_t number = HV_CPUID_LIMITS + 1; number < HV_CPUID_NESTED_FEATURES; number++)
		expect_leaf(number, (struct cpuid){ 0 });
	for (uint32_t number = HV_CPUID_NESTED_FEATURES + 1; number < 0x40000010; number++)
		expect_leaf(number, (struct cpuid){ 0 });
}

/* TLFS: direct virtual flush (EAX bit 17), enlightened MSR bitmap (19); the range 15:0 is eVMCS's. */
TEST("a nested hypervisor is shown direct flushes and the MSR bitmap")
{
	struct cpuid nested = leaf(HV_CPUID_NESTED_FEATURES);

	EXPECT_EQ(nested.eax & 0xffff0000, 1u << 17 | 1u << 19);
	EXPECT_EQ(nested.ebx, 1, "PERF_GLOBAL_CTRL in the enlightened VMCS");
}

TEST("the debugger's leaves name KVM as the vendor")
{
	expect_leaf(HV_CPUID_SYNDBG_VENDOR,
		    (struct cpuid){ 0, 0x756e694c, 0x564b2078, 0x7648204d });
}

TEST("the debugger's interface is VS#1")
{
	expect_leaf(HV_CPUID_SYNDBG_INTERFACE, (struct cpuid){ VS_1, 0, 0, 0 });
}

TEST("the debugger may debug the kernel")
{
	expect_leaf(HV_CPUID_SYNDBG_CAPABILITIES,
		    (struct cpuid){ HV_SYNDBG_ALLOW_DEBUGGING, 0, 0, 0 });
}

#define LEAVES (HV_CPUID_NESTED_FEATURES - HV_CPUID_VENDOR + 1)

static void read_leaves(void *leaves)
{
	for (uint32_t i = 0; i < LEAVES; i++)
		((struct cpuid *)leaves)[i] = cpuid(HV_CPUID_VENDOR + i, 0);
}

TEST("all CPUs show the same leaves")
{
	static struct cpuid first[LEAVES], other[LEAVES];

	REQUIRE(cpu_count() >= 2);
	read_leaves(first);
	on_cpu(1, read_leaves, other);
	EXPECT_MEM_EQ(other, first, sizeof(first));
}
