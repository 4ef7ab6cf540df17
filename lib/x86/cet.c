// SPDX-License-Identifier: BSD-2-Clause
#include <x86/cet.h>

#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/registers.h>
#include <x86/shadow_stack.h>

/* Reading CR4 or an MSR costs an exit on some hosts, so that no test without CET is to pay for it. */
static bool in_use;

bool has_shadow_stacks(void)
{
	return cpuid_checked(7, 0).ecx & CPUID_7_ECX_SHSTK;
}

bool has_ibt(void)
{
	return cpuid_checked(7, 0).edx & CPUID_7_EDX_IBT;
}

void cet_enable(void)
{
	REQUIRE(has_shadow_stacks() || has_ibt());
	in_use = true;
	shadow_stacks_of_gates();
	write_cr4(read_cr4() | CR4_CET);
}

void cet_unwind(void)
{
	if (!in_use)
		return;
	wrmsr(MSR_IA32_S_CET, 0);
	shadow_stacks_of_gates();
}

void cet_end(void)
{
	if (!in_use)
		return;
	wrmsr(MSR_IA32_S_CET, 0);
	wrmsr(MSR_IA32_U_CET, 0);
	write_cr4(read_cr4() & ~CR4_CET);
	if (has_shadow_stacks()) {
		for (uint32_t msr = MSR_IA32_PL0_SSP; msr <= MSR_IA32_PL3_SSP; msr++)
			wrmsr(msr, 0);
#ifdef __x86_64__
		wrmsr(MSR_IA32_INTERRUPT_SSP_TABLE_ADDR, 0);
#endif
	}
	in_use = false;
}
