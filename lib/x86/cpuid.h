/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUID, and the search for a hypervisor's leaves
 */
#ifndef X86_CPUID_H
#define X86_CPUID_H

#include <stdbool.h>
#include <stdint.h>

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

/*
 * A leaf beyond the CPU's last one gives what the CPU gives: zeros (AMD) or its last leaf (Intel).
 */
static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid result;

	asm volatile("cpuid"
		     : "=a"(result.eax), "=b"(result.ebx), "=c"(result.ecx), "=d"(result.edx)
		     : "a"(leaf), "c"(subleaf));
	return result;
}

/* As cpuid(), but all zero if the leaf lies beyond the last one of its range. */
struct cpuid cpuid_checked(uint32_t leaf, uint32_t subleaf);

/*
 * The base leaf of the hypervisor with this signature (12 characters; "XenVMMXenVMM", "Microsoft
 * Hv", "KVMKVMKVM\0\0\0"), searched from 0x40000000 up to 0x40010000 in steps of 0x100, as Xen's
 * xen_cpuid_base() and Linux do: one hypervisor may show several. False, and *base untouched: none.
 */
bool cpuid_hypervisor(const char signature[12], uint32_t *base);

/* Leaf 1. */
#define CPUID_1_ECX_X2APIC	 (1u << 21)
#define CPUID_1_ECX_TSC_DEADLINE (1u << 24)
#define CPUID_1_EDX_SSE		 (1u << 25)
#define CPUID_1_ECX_HYPERVISOR	 (1u << 31)

/* Leaf 7, subleaf 0. */
#define CPUID_7_EBX_SMEP  (1u << 7)
#define CPUID_7_EBX_SMAP  (1u << 20)
#define CPUID_7_ECX_PKU	  (1u << 3)
#define CPUID_7_ECX_SHSTK (1u << 7)
#define CPUID_7_EDX_IBT	  (1u << 20)

/* Leaf 0x80000001. */
#define CPUID_80000001_EDX_NX	  (1u << 20)
#define CPUID_80000001_EDX_1G	  (1u << 26)
#define CPUID_80000001_EDX_RDTSCP (1u << 27) /* and TSC_AUX */
#define CPUID_80000001_EDX_LONG	  (1u << 29)

/*
 * Whether the CPU is AMD's or a copy of it ("AuthenticAMD", "HygonGenuine"): its calls are VMMCALL.
 */
bool cpu_is_amd(void);

#endif
