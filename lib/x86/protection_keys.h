/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Protection keys of user pages (PKU) and of supervisor pages (PKS): 4-level paging only
 *
 * Intel SDM volume 3, "Protection Keys", "Control Registers"; volume 4, IA32_PKRS; AMD APM volume 2, "Memory
 * Protection Keys" (PKU alone).
 */
#ifndef X86_PROTECTION_KEYS_H
#define X86_PROTECTION_KEYS_H

#include <stdint.h>

#include <x86/cpuid.h>
#include <x86/msr.h>

#define CR4_PKE		(1ul << 22)
#define CR4_PKS		(1ul << 24)
#define CPUID_7_ECX_PKS (1u << 31)
#define MSR_IA32_PKRS	0x6e1

/* The key of a leaf, in its flags. */
#define PTE_KEY(key) ((uint64_t)(key) << 59)

/* PKRU and IA32_PKRS have two bits for each key. */
#define KEY_NO_ACCESS(key) (1u << ((key)*2))
#define KEY_NO_WRITE(key)  (2u << ((key)*2))

/* #UD unless CR4.PKE is set. */
static inline void wrpkru(uint32_t value)
{
	asm volatile("wrpkru" ::"a"(value), "c"(0), "d"(0) : "memory");
}

#endif
