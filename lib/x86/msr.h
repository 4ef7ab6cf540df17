/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model-specific registers
 *
 * rdmsr() and wrmsr() are for accesses that must work: a #GP there is an unexpected exception and
 * fails the test point, unless it stands in FAULT_OF(). The _safe ones report a #GP as false.
 */
#ifndef X86_MSR_H
#define X86_MSR_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/fixup.h>

/* Intel SDM volume 4, table 2-2; AMD APM volume 2, appendix A. */
#define MSR_IA32_TSC	      0x10
#define MSR_IA32_APIC_BASE    0x1b
#define MSR_IA32_PAT	      0x277
#define MSR_IA32_TSC_DEADLINE 0x6e0
#define MSR_EFER	      0xc0000080
#define MSR_STAR	      0xc0000081
#define MSR_LSTAR	      0xc0000082
#define MSR_CSTAR	      0xc0000083
#define MSR_SYSCALL_MASK      0xc0000084
#define MSR_FS_BASE	      0xc0000100
#define MSR_GS_BASE	      0xc0000101
#define MSR_KERNEL_GS_BASE    0xc0000102
#define MSR_TSC_AUX	      0xc0000103

#define EFER_SCE	      (1u << 0)
#define EFER_LME	      (1u << 8)
#define EFER_LMA	      (1u << 10)
#define EFER_NXE	      (1u << 11)

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
		     : "memory");
}

/* False on #GP, and *value is then 0. */
static inline bool rdmsr_safe(uint32_t msr, uint64_t *value)
{
	uint32_t low, high;
	bool fault;

	asm volatile("clc\n"
		     "1: rdmsr\n"
		     "2:\n" FIXUP("1b", "2b", FIXUP_GP)
		     : "=@ccc"(fault), "=a"(low), "=d"(high)
		     : "c"(msr));
	*value = fault ? 0 : (uint64_t)high << 32 | low;
	return !fault;
}

/* False on #GP. */
static inline bool wrmsr_safe(uint32_t msr, uint64_t value)
{
	bool fault;

	asm volatile("clc\n"
		     "1: wrmsr\n"
		     "2:\n" FIXUP("1b", "2b", FIXUP_GP)
		     : "=@ccc"(fault)
		     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
		     : "memory");
	return !fault;
}

#endif
