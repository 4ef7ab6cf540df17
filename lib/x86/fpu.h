/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of x87, SSE and AVX, as FXSAVE and XSAVE lay it out
 *
 * The compiler uses none of these registers: what is loaded stays until it is stored.
 *
 * Intel SDM volume 1, "FXSAVE Area" and "Managing State Using the XSAVE Feature Set".
 */
#ifndef X86_FPU_H
#define X86_FPU_H

#include <stdint.h>

#define XSTATE_X87  (1ull << 0)
#define XSTATE_SSE  (1ull << 1)
#define XSTATE_AVX  (1ull << 2)

#define FXSAVE_SIZE 512
/* What FXSAVE stores of x87 and SSE: the 16 or 8 registers XMM lie at its end. */
#ifdef __x86_64__
#define FXSAVE_WRITTEN 416
#else
#define FXSAVE_WRITTEN 288
#endif
/* Offset of XSTATE_BV in an area of XSAVE. */
#define XSAVE_HEADER 512

/* The area is aligned to 16 bytes. */
static inline void fxsave(void *area)
{
	asm volatile("fxsave (%0)" ::"r"(area) : "memory");
}

static inline void fxrstor(const void *area)
{
	asm volatile("fxrstor (%0)" ::"r"(area) : "memory");
}

static inline uint64_t xgetbv(uint32_t index)
{
	uint32_t low, high;

	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
	return (uint64_t)high << 32 | low;
}

static inline void xsetbv(uint32_t index, uint64_t value)
{
	asm volatile("xsetbv" ::"c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
		     : "memory");
}

/* The area is aligned to 64 bytes; the mask says which components. */
static inline void xsave(void *area, uint64_t mask)
{
	asm volatile("xsave (%0)" ::"r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
		     : "memory");
}

static inline void xrstor(const void *area, uint64_t mask)
{
	asm volatile("xrstor (%0)" ::"r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
		     : "memory");
}

#endif
