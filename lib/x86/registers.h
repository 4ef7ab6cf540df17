/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control, debug and flags registers: their bits, and one instruction each
 *
 * Intel SDM volume 3, "System Flags and Fields in the EFLAGS Register" and "Control
 * Registers"; AMD APM volume 2, section 3.1.
 */
#ifndef X86_REGISTERS_H
#define X86_REGISTERS_H

#include <stdint.h>

#define CR0_PE	       (1ul << 0)
#define CR0_MP	       (1ul << 1)
#define CR0_EM	       (1ul << 2)
#define CR0_TS	       (1ul << 3)
#define CR0_ET	       (1ul << 4)
#define CR0_NE	       (1ul << 5)
#define CR0_WP	       (1ul << 16)
#define CR0_AM	       (1ul << 18)
#define CR0_NW	       (1ul << 29)
#define CR0_CD	       (1ul << 30)
#define CR0_PG	       (1ul << 31)

#define CR4_TSD	       (1ul << 2)
#define CR4_DE	       (1ul << 3)
#define CR4_PSE	       (1ul << 4)
#define CR4_PAE	       (1ul << 5)
#define CR4_MCE	       (1ul << 6)
#define CR4_PGE	       (1ul << 7)
#define CR4_OSFXSR     (1ul << 9)
#define CR4_OSXMMEXCPT (1ul << 10)
#define CR4_UMIP       (1ul << 11)
#define CR4_LA57       (1ul << 12)
#define CR4_FSGSBASE   (1ul << 16)
#define CR4_OSXSAVE    (1ul << 18)
#define CR4_SMEP       (1ul << 20)
#define CR4_SMAP       (1ul << 21)
#define CR4_CET	       (1ul << 23)

#define FLAGS_CF       (1ul << 0)
#define FLAGS_ONE      (1ul << 1) /* always set */
#define FLAGS_ZF       (1ul << 6)
#define FLAGS_TF       (1ul << 8)
#define FLAGS_IF       (1ul << 9)
#define FLAGS_DF       (1ul << 10)
#define FLAGS_OF       (1ul << 11)
#define FLAGS_IOPL     (3ul << 12)
#define FLAGS_NT       (1ul << 14)
#define FLAGS_RF       (1ul << 16)
#define FLAGS_AC       (1ul << 18)

#define DR6_BS	       (1ul << 14) /* single step */
#define DR6_BD	       (1ul << 13) /* access to a debug register under DR7.GD */
#define DR6_DEFAULT    0xffff0ff0ul
#define DR7_DEFAULT    0x400ul

#define X86_READ(name)                                                       \
	static inline uintptr_t read_##name(void)                            \
	{                                                                    \
		uintptr_t value;                                             \
                                                                             \
		asm volatile("mov %%" #name ", %0" : "=r"(value)::"memory"); \
		return value;                                                \
	}

#define X86_WRITE(name)                                                   \
	static inline void write_##name(uintptr_t value)                  \
	{                                                                 \
		asm volatile("mov %0, %%" #name ::"r"(value) : "memory"); \
	}

X86_READ(cr0)
X86_READ(cr2)
X86_READ(cr3)
X86_READ(cr4)
X86_READ(dr0)
X86_READ(dr6)
X86_READ(dr7)
X86_WRITE(cr2)
X86_WRITE(cr3)
X86_WRITE(dr0)
X86_WRITE(dr6)
X86_WRITE(dr7)
#ifdef __x86_64__
X86_READ(cr8)
X86_WRITE(cr0)
X86_WRITE(cr4)
X86_WRITE(cr8)
#else
/* Here a change of some bits loads the PDPTEs. See cpu.c. */
void write_cr0(uintptr_t value);
void write_cr4(uintptr_t value);
#endif

static inline uintptr_t read_flags(void)
{
	uintptr_t value;

	asm volatile("pushf\n"
		     "pop %0"
		     : "=r"(value)::"memory");
	return value;
}

static inline void write_flags(uintptr_t value)
{
	asm volatile("push %0\n"
		     "popf" ::"r"(value)
		     : "memory", "cc");
}

#endif
