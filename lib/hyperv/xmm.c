// SPDX-License-Identifier: BSD-2-Clause
#include <hyperv/xmm.h>
#include <libc/string.h>
#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/fpu.h>
#include <x86/registers.h>

/* Where FXSAVE has XMM0; 16 bytes a register. */
#define FXSAVE_XMM 160

uint64_t hv_xmm_call(uint64_t control, uint64_t input, uint64_t output,
		     const uint64_t halves[HV_XMM_HALVES])
{
	uint8_t area[FXSAVE_SIZE] __attribute__((aligned(16)));

	REQUIRE(cpuid(1, 0).edx & CPUID_1_EDX_SSE);
	write_cr4(read_cr4() | CR4_OSFXSR);
	fxsave(area);
	memcpy(area + FXSAVE_XMM, halves, HV_XMM_HALVES * sizeof(*halves));
	fxrstor(area);
	return hv_hypercall(control | HV_HYPERCALL_FAST, input, output);
}

bool hv_xmm_kept(const uint64_t halves[HV_XMM_HALVES])
{
	uint8_t area[FXSAVE_SIZE] __attribute__((aligned(16)));

	fxsave(area);
	return memcmp(area + FXSAVE_XMM, halves, HV_XMM_HALVES * sizeof(*halves)) == 0;
}
