// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET: its components in CPUID, IA32_XSS and XCR0
 *
 * CET_U (11) and CET_S (12) are supervisor components: IA32_XSS enables them, with the bits that
 * CPUID leaf 0DH, subleaf 1, offers in ECX and EDX, and XCR0 cannot. Subleaves 11 and 12 have their
 * sizes; EBX of subleaf 1 is the size of an area with what XCR0 and IA32_XSS enable at the moment.
 * Intel SDM volume 1, "Managing State Using the XSAVE Feature Set", in it "Enabling the XSAVE
 * Feature Set" and "CET State"; volume 2, CPUID; AMD APM volume 2, "XSAVE/XRSTOR Instructions".
 * KVM: arch/x86/kvm/x86.c (KVM_SUPPORTED_XSS, MSR_IA32_XSS) and cpuid.c,
 * kvm_update_cpuid_runtime(), which has to run when the guest has written either.
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet_state.h>
#include <x86/cpuid.h>
#include <x86/registers.h>
#include <x86/user.h>

static struct xsave_area area;

TEST("CPUID offers CET_U and CET_S both or neither, and in IA32_XSS alone")
{
	uint64_t offered = xss_supported() & XSTATE_CET;

	EXPECT_TRUE(offered == 0 || offered == XSTATE_CET);
	EXPECT_EQ(xcr0_supported() & XSTATE_CET, 0);
}

TEST("CPUID gives CET_U 16 bytes and CET_S 24, as supervisor components")
{
	static const struct {
		unsigned int component, size;
	} cases[] = { { CET_STATE_U, CET_STATE_U_SIZE }, { CET_STATE_S, CET_STATE_S_SIZE } };

	xsave_enable(XSTATE_CET);
	for (unsigned int i = 0; i < COUNT_OF(cases); i++) {
		struct cpuid id = cpuid(0xd, cases[i].component);

		EXPECT_EQ(id.eax, cases[i].size, "component %u", cases[i].component);
		EXPECT_EQ(id.ebx, 0, "component %u", cases[i].component);
		EXPECT_EQ(id.ecx & ~CPUID_D_N_ECX_ALIGN, CPUID_D_N_ECX_XSS, "component %u",
			  cases[i].component);
		EXPECT_EQ(id.edx, 0, "component %u", cases[i].component);
	}
}

TEST("IA32_XSS takes each bit that CPUID offers, and refuses each other")
{
	xsave_enable(0);
	for (unsigned int bit = 0; bit < 64; bit++) {
		bool offered = xss_supported() >> bit & 1;

		EXPECT_EQ(wrmsr_safe(MSR_IA32_XSS, 1ull << bit), offered, "bit %u", bit);
		EXPECT_EQ(rdmsr(MSR_IA32_XSS), offered ? 1ull << bit : 0, "bit %u", bit);
		wrmsr(MSR_IA32_XSS, 0);
	}
}

TEST("IA32_XSS takes CET_U and CET_S together; beside a bit that is not offered, neither")
{
	uint64_t refused;

	xsave_enable(XSTATE_CET);
	refused = XSTATE_CET | (~xss_supported() & (xss_supported() + 1));
	EXPECT_EQ(rdmsr(MSR_IA32_XSS), XSTATE_CET);
	wrmsr(MSR_IA32_XSS, XSTATE_CET_U);
	EXPECT_FAULT(GP, 0, wrmsr(MSR_IA32_XSS, refused));
	EXPECT_EQ(rdmsr(MSR_IA32_XSS), XSTATE_CET_U);
}

static const uint64_t subsets[] = { 0, XSTATE_CET_U, XSTATE_CET_S, XSTATE_CET };

TEST("XCR0 refuses CET_U and CET_S")
{
	xsave_enable(0);
	for (unsigned int i = 1; i < COUNT_OF(subsets); i++) {
		EXPECT_FAULT_EQ(FAULT_OF(xsetbv(0, XSTATE_X87 | subsets[i])), GP, 0, "case %u", i);
		EXPECT_EQ(xgetbv(0), XSTATE_X87, "case %u", i);
	}
}

TEST("the size that CPUID gives for XSAVES follows IA32_XSS and XCR0")
{
	const uint64_t xcr0[] = { XSTATE_X87, XSTATE_X87 | XSTATE_SSE,
				  XSTATE_X87 | XSTATE_SSE | XSTATE_AVX };

	xsave_enable(XSTATE_CET);
	for (unsigned int i = 0; i < COUNT_OF(xcr0) * COUNT_OF(subsets); i++) {
		uint64_t user = xcr0[i / COUNT_OF(subsets)], xss = subsets[i % COUNT_OF(subsets)];

		if ((user & xcr0_supported()) != user)
			continue;
		xsetbv(0, user);
		wrmsr(MSR_IA32_XSS, xss);
		EXPECT_EQ(cpuid(0xd, 1).ebx, xsave_compact_size(user | xss),
			  "XCR0 0x%llx, IA32_XSS 0x%llx", (unsigned long long)user,
			  (unsigned long long)xss);
	}
	EXPECT_EQ(xsave_compact_size(XSTATE_CET),
		  XSAVE_EXTENDED + CET_STATE_U_SIZE + CET_STATE_S_SIZE);
	xsetbv(0, XSTATE_X87);
}

static uintptr_t user_xsaves(uintptr_t area)
{
	xsaves((void *)area, XSTATE_CET);
	return 0;
}

static uintptr_t user_xrstors(uintptr_t area)
{
	xrstors((const void *)area, XSTATE_CET);
	return 0;
}

static uintptr_t user_write_xss(uintptr_t value)
{
	wrmsr(MSR_IA32_XSS, value);
	return 0;
}

static const uint64_t zeros[CET_STATE_WORDS];

TEST("XSAVES, XRSTORS and IA32_XSS are CPL 0's")
{
	xsave_enable(XSTATE_CET);
	cet_state_image(&area, XSTATE_CET, 0, zeros);
	EXPECT_NO_FAULT(xrstors(&area, XSTATE_CET));
	EXPECT_NO_FAULT(xsaves(&area, XSTATE_CET));
	cet_state_image(&area, XSTATE_CET, 0, zeros);
	EXPECT_FAULT_EQ(user_call(user_xsaves, (uintptr_t)&area).fault, GP, 0);
	EXPECT_FAULT_EQ(user_call(user_xrstors, (uintptr_t)&area).fault, GP, 0);
	EXPECT_FAULT_EQ(user_call(user_write_xss, 0).fault, GP, 0);
	EXPECT_EQ(rdmsr(MSR_IA32_XSS), XSTATE_CET);
}

TEST("XSAVES and XRSTORS raise UD while CR4.OSXSAVE is clear")
{
	xsave_enable(XSTATE_CET);
	cet_state_image(&area, XSTATE_CET, 0, zeros);
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
	EXPECT_FAULT(UD, 0, xsaves(&area, XSTATE_CET));
	EXPECT_FAULT(UD, 0, xrstors(&area, XSTATE_CET));
}
