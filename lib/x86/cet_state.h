/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CET's state as XSAVES and XRSTORS see it: five MSRs, a word of 8 bytes each, in two components
 *
 * Intel SDM volume 1, "CET State": component 11, CET_U, is IA32_U_CET and IA32_PL3_SSP; component
 * 12, CET_S, is IA32_PL0_SSP to IA32_PL2_SSP.
 */
#ifndef X86_CET_STATE_H
#define X86_CET_STATE_H

#include <stdint.h>

#include <x86/cet.h>
#include <x86/xsave.h>

#define CET_STATE_U	 11
#define CET_STATE_S	 12
#define CET_STATE_U_SIZE 16
#define CET_STATE_S_SIZE 24
#define CET_STATE_WORDS	 5
#define XSTATE_CET	 (XSTATE_CET_U | XSTATE_CET_S)

/* An area of XSAVE, long enough for all that the tests enable. */
struct xsave_area {
	uint8_t bytes[4096];
} __attribute__((aligned(64)));

/* The MSRs in the order of their words, and the component of a word as a bit of IA32_XSS. */
extern const uint32_t cet_state_msrs[CET_STATE_WORDS];
uint64_t cet_state_component(unsigned int word);

/* Writes all five MSRs. */
void cet_state_write(const uint64_t values[CET_STATE_WORDS]);

/* Where a word lies in an area of this format, from its beginning. */
unsigned int cet_state_offset(uint64_t xcomp_bv, unsigned int word);

/*
 * Makes an area as XSAVES would write it: compacted, with these values where the format has room
 * for them.
 */
void cet_state_image(struct xsave_area *area, uint64_t xcomp_bv, uint64_t xstate_bv,
		     const uint64_t values[CET_STATE_WORDS]);

uint64_t xsave_word(const struct xsave_area *area, unsigned int offset);
void xsave_put_word(struct xsave_area *area, unsigned int offset, uint64_t word);

#endif
