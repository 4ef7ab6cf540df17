// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET where CPUID does not show it
 *
 * A hypervisor that hides CET, or whose CPU has none, must not let the guest at it all the same: what is neither
 * saved nor restored would be shared by all. So CR4.CET is a reserved bit, the MSRs do not exist, IA32_XSS does
 * not take their components, and CPUID leaf 0xd does not show these.
 *
 * Sources: Intel SDM volume 3, "Control Registers" (CR4.CET), volume 4, table 2-2 (the MSRs exist if CPUID.07H has
 * CET_SS or CET_IBT), volume 1, "Enumerating Support for XSAVE"; Linux 7.2, arch/x86/kvm/cpuid.c
 * (__cr4_reserved_bits), x86.c (__kvm_set_msr, __kvm_get_msr).
 */
#include <test/test.h>
#include <x86/cet.h>
#include <x86/cpuid.h>
#include <x86/registers.h>
#include <x86/user.h>

static const uint32_t msrs[] = { MSR_IA32_U_CET,
				 MSR_IA32_S_CET,
				 MSR_IA32_PL0_SSP,
				 MSR_IA32_PL1_SSP,
				 MSR_IA32_PL2_SSP,
				 MSR_IA32_PL3_SSP,
				 MSR_IA32_INTERRUPT_SSP_TABLE_ADDR };

#define COUNT (sizeof(msrs) / sizeof(*msrs))

static void begin(void)
{
	if (has_shadow_stacks() || has_ibt())
		SKIP("this CPU has CET");
}

TEST("CR4.CET cannot be set, and CR4 stays as it was")
{
	uintptr_t cr4 = read_cr4();

	begin();
	EXPECT_FAULT(GP, 0, write_cr4(cr4 | CR4_CET));
	EXPECT_EQ(read_cr4(), cr4);
}

TEST("none of the MSRs can be read")
{
	begin();
	for (unsigned int i = 0; i < COUNT; i++) {
		struct x86_fault fault = FAULT_OF(rdmsr(msrs[i]));

		EXPECT_FAULT_EQ(fault, GP, 0, "MSR 0x%x", msrs[i]);
	}
}

TEST("none of the MSRs can be written, whatever the value")
{
	static const uint64_t values[] = { 0, CET_SH_STK_EN, 0x1000, ~0ull };

	begin();
	for (unsigned int i = 0; i < COUNT; i++) {
		for (unsigned int n = 0; n < sizeof(values) / sizeof(*values); n++) {
			struct x86_fault fault = FAULT_OF(wrmsr(msrs[i], values[n]));

			EXPECT_FAULT_EQ(fault, GP, 0, "MSR 0x%x, 0x%llx", msrs[i],
					(unsigned long long)values[n]);
		}
	}
}

static uintptr_t read_msr(uintptr_t msr)
{
	return rdmsr(msr);
}

TEST("at CPL 3 none of the MSRs can be read either")
{
	begin();
	for (unsigned int i = 0; i < COUNT; i++)
		EXPECT_FAULT_EQ(user_call(read_msr, msrs[i]).fault, GP, 0, "MSR 0x%x", msrs[i]);
}

TEST("IA32_XSS takes neither component of CET")
{
	begin();
	EXPECT_FAULT(GP, 0, wrmsr(MSR_IA32_XSS, XSTATE_CET_U));
	EXPECT_FAULT(GP, 0, wrmsr(MSR_IA32_XSS, XSTATE_CET_S));
	EXPECT_FAULT(GP, 0, wrmsr(MSR_IA32_XSS, XSTATE_CET_U | XSTATE_CET_S));
}

TEST("CPUID leaf 0xd shows neither component of CET")
{
	struct cpuid component;

	begin();
	EXPECT_EQ(cpuid_checked(0xd, 1).ecx & (XSTATE_CET_U | XSTATE_CET_S), 0);
	for (unsigned int subleaf = 11; subleaf <= 12; subleaf++) {
		component = cpuid_checked(0xd, subleaf);
		EXPECT_EQ(component.eax | component.ebx | component.ecx | component.edx, 0,
			  "subleaf %u", subleaf);
	}
}
