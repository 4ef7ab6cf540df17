// SPDX-License-Identifier: BSD-2-Clause
#include <x86/cet_state.h>

#include <libc/string.h>

#define U_WORDS (CET_STATE_U_SIZE / sizeof(uint64_t))

const uint32_t cet_state_msrs[CET_STATE_WORDS] = { MSR_IA32_U_CET, MSR_IA32_PL3_SSP,
						   MSR_IA32_PL0_SSP, MSR_IA32_PL1_SSP,
						   MSR_IA32_PL2_SSP };

uint64_t cet_state_component(unsigned int word)
{
	return word < U_WORDS ? XSTATE_CET_U : XSTATE_CET_S;
}

void cet_state_write(const uint64_t values[CET_STATE_WORDS])
{
	for (unsigned int word = 0; word < CET_STATE_WORDS; word++)
		wrmsr(cet_state_msrs[word], values[word]);
}

unsigned int cet_state_offset(uint64_t xcomp_bv, unsigned int word)
{
	if (word < U_WORDS)
		return xsave_compact_offset(xcomp_bv, CET_STATE_U) + sizeof(uint64_t) * word;
	return xsave_compact_offset(xcomp_bv, CET_STATE_S) + sizeof(uint64_t) * (word - U_WORDS);
}

void cet_state_image(struct xsave_area *area, uint64_t xcomp_bv, uint64_t xstate_bv,
		     const uint64_t values[CET_STATE_WORDS])
{
	memset(area, 0, sizeof(*area));
	xsave_put_word(area, XSAVE_HEADER, xstate_bv);
	xsave_put_word(area, XSAVE_XCOMP_BV, xcomp_bv | XCOMP_BV_COMPACT);
	for (unsigned int word = 0; word < CET_STATE_WORDS; word++)
		if (xcomp_bv & cet_state_component(word))
			xsave_put_word(area, cet_state_offset(xcomp_bv, word), values[word]);
}

uint64_t xsave_word(const struct xsave_area *area, unsigned int offset)
{
	uint64_t word;

	memcpy(&word, area->bytes + offset, sizeof(word));
	return word;
}

void xsave_put_word(struct xsave_area *area, unsigned int offset, uint64_t word)
{
	memcpy(area->bytes + offset, &word, sizeof(word));
}
