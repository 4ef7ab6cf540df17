/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The XSAVE feature set beyond <x86/fpu.h>: the compacted format, and the components of IA32_XSS
 *
 * Intel SDM volume 1, "Managing State Using the XSAVE Feature Set": "XSAVE Area", "Operation of
 * XSAVES", "Operation of XRSTORS"; volume 2, CPUID leaf 0DH; AMD APM volume 2, "XSAVE/XRSTOR
 * Instructions".
 */
#ifndef X86_XSAVE_H
#define X86_XSAVE_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/fpu.h>

/* Behind XSAVE_HEADER: where XCOMP_BV is, and where the components from 2 on begin. */
#define XSAVE_XCOMP_BV	 (XSAVE_HEADER + 8)
#define XSAVE_EXTENDED	 (XSAVE_HEADER + 64)
#define XCOMP_BV_COMPACT (1ull << 63)

/* CPUID leaf 0xd, subleaf 1, EAX. */
#define CPUID_D_1_EAX_XSAVEC   (1u << 1)
#define CPUID_D_1_EAX_XGETBV_1 (1u << 2)
#define CPUID_D_1_EAX_XSAVES   (1u << 3)
/* Subleaf of a component, ECX. */
#define CPUID_D_N_ECX_XSS   (1u << 0) /* it is one of IA32_XSS, not of XCR0 */
#define CPUID_D_N_ECX_ALIGN (1u << 1) /* it begins at a multiple of 64 in the compacted format */

/* What IA32_XSS, and XCR0, may have set. */
uint64_t xss_supported(void);
uint64_t xcr0_supported(void);

/*
 * Sets CR4.OSXSAVE, XCR0 to x87 alone, and IA32_XSS to this. Skips the test point where CPUID shows
 * no XSAVES, or does not offer these components. All of it stays: each point that uses it is to
 * call this.
 */
void xsave_enable(uint64_t xss);

/*
 * Where this component lies in the compacted format of the components in xcomp_bv, and how long an
 * area of that format is. In bytes from its beginning.
 */
unsigned int xsave_compact_offset(uint64_t xcomp_bv, unsigned int component);
unsigned int xsave_compact_size(uint64_t xcomp_bv);

/* The area is aligned to 64 bytes; the mask says which components. */
static inline void xsavec(void *area, uint64_t mask)
{
	asm volatile("xsavec (%0)" ::"r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
		     : "memory");
}

static inline void xsaves(void *area, uint64_t mask)
{
	asm volatile("xsaves (%0)" ::"r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
		     : "memory");
}

static inline void xrstors(const void *area, uint64_t mask)
{
	asm volatile("xrstors (%0)" ::"r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
		     : "memory");
}

#endif
