// SPDX-License-Identifier: BSD-2-Clause
#include <x86/xsave.h>

#include <test/test.h>
#include <x86/cet.h>
#include <x86/cpuid.h>
#include <x86/msr.h>
#include <x86/registers.h>

#define FIRST_EXTENDED	2
#define LAST_EXTENDED	62
#define COMPACT_ALIGNED 64

uint64_t xcr0_supported(void)
{
	struct cpuid id = cpuid_checked(0xd, 0);

	return (uint64_t)id.edx << 32 | id.eax;
}

uint64_t xss_supported(void)
{
	struct cpuid id = cpuid_checked(0xd, 1);

	return id.eax & CPUID_D_1_EAX_XSAVES ? (uint64_t)id.edx << 32 | id.ecx : 0;
}

void xsave_enable(uint64_t xss)
{
	if (!(cpuid_checked(0xd, 1).eax & CPUID_D_1_EAX_XSAVES))
		SKIP("CPUID leaf 0xd, subleaf 1, shows no XSAVES");
	if (xss & ~xss_supported())
		SKIP("CPUID leaf 0xd, subleaf 1, does not offer 0x%llx in IA32_XSS",
		     (unsigned long long)(xss & ~xss_supported()));
	write_cr4(read_cr4() | CR4_OSXSAVE);
	xsetbv(0, XSTATE_X87);
	wrmsr(MSR_IA32_XSS, xss);
}

/* The end of the components below "end", and for "end" itself its alignment. */
static unsigned int place(uint64_t xcomp_bv, unsigned int end)
{
	unsigned int offset = XSAVE_EXTENDED;

	for (unsigned int i = FIRST_EXTENDED; i <= end && i <= LAST_EXTENDED; i++) {
		struct cpuid id;

		if (!(xcomp_bv >> i & 1))
			continue;
		id = cpuid_checked(0xd, i);
		if (id.ecx & CPUID_D_N_ECX_ALIGN)
			offset = (offset + COMPACT_ALIGNED - 1) & -COMPACT_ALIGNED;
		if (i < end)
			offset += id.eax;
	}
	return offset;
}

unsigned int xsave_compact_offset(uint64_t xcomp_bv, unsigned int component)
{
	return place(xcomp_bv, component);
}

unsigned int xsave_compact_size(uint64_t xcomp_bv)
{
	return place(xcomp_bv, LAST_EXTENDED + 1);
}
