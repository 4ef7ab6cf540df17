/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fast hypercalls with more input than two registers hold: XMM0 to XMM5
 *
 * TLFS, "Extended Fast Hypercalls". The guest's code uses no XMM register, so what is loaded stays
 * until the call is made.
 */
#ifndef HYPERV_XMM_H
#define HYPERV_XMM_H

#include <hyperv/hypercall.h>
#include <stdbool.h>

/* The input behind the two parameters, in 64-bit halves: XMM0 low, XMM0 high, XMM1 low... */
#define HV_XMM_HALVES 12

/* hv_hypercall() with HV_HYPERCALL_FAST and these registers. CR4.OSFXSR is left set. */
uint64_t hv_xmm_call(uint64_t control, uint64_t input, uint64_t output,
		     const uint64_t halves[HV_XMM_HALVES]);

/* Whether the registers are still those; to be asked right after a call. */
bool hv_xmm_kept(const uint64_t halves[HV_XMM_HALVES]);

#endif
