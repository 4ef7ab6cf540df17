/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control-flow enforcement (CET): its bits, its MSRs, and its instructions, one a wrapper
 *
 * Intel SDM volume 1, "Control-Flow Enforcement Technology (CET)", volume 3 for the control registers,
 * page faults and event delivery, volume 4 for the MSRs; AMD APM volume 2, "Shadow Stacks", for the part
 * that AMD's CPUs have. KVM: arch/x86/kvm/{x86,cpuid}.c, vmx/vmx.c, svm/svm.c.
 *
 * The guests are compiled with ENDBR at the start of each function, and without jump tables, so that C
 * runs with indirect branch tracking on, too.
 *
 * An exception that FAULT_OF() or user_call() catches, and the end of a test point however it comes, write
 * 0 to IA32_S_CET: what is unwound leaves no matching shadow stack behind. The end of the point writes 0 to
 * the other MSRs as well, and clears CR4.CET.
 */
#ifndef X86_CET_H
#define X86_CET_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/msr.h>

/* Intel SDM volume 4, table 2-2. */
#define MSR_IA32_U_CET			  0x6a0
#define MSR_IA32_S_CET			  0x6a2
#define MSR_IA32_PL0_SSP		  0x6a4
#define MSR_IA32_PL1_SSP		  0x6a5
#define MSR_IA32_PL2_SSP		  0x6a6
#define MSR_IA32_PL3_SSP		  0x6a7
#define MSR_IA32_INTERRUPT_SSP_TABLE_ADDR 0x6a8
#define MSR_IA32_XSS			  0xda0

/* IA32_U_CET and IA32_S_CET. */
#define CET_SH_STK_EN	       (1ull << 0)
#define CET_WR_SHSTK_EN	       (1ull << 1)
#define CET_ENDBR_EN	       (1ull << 2)
#define CET_LEG_IW_EN	       (1ull << 3) /* legacy code page bitmap */
#define CET_NO_TRACK_EN	       (1ull << 4)
#define CET_SUPPRESS_DIS       (1ull << 5)
#define CET_RESERVED	       (0xfull << 6)
#define CET_SUPPRESS	       (1ull << 10)
#define CET_TRACKER	       (1ull << 11) /* WAIT_FOR_ENDBRANCH */
#define CET_EB_LEG_BITMAP_BASE (~0xfffull)

/* Error code of #CP: SDM volume 3, "Interrupt 21 - Control Protection Exception (#CP)". */
#define CP_NEAR_RET	1
#define CP_FAR_RET_IRET 2
#define CP_ENDBRANCH	3
#define CP_RSTORSSP	4
#define CP_SETSSBSY	5
#define CP_ENCLAVE	(1u << 15)

/*
 * Tokens: SDM volume 1, "Supervisor Shadow Stack Token" and "Shadow Stack Restore Token" ("shadow stack
 * switching"). A supervisor token holds its own address; a restore token the address right behind itself,
 * and bit 0 for 64-bit mode.
 */
#define SHADOW_TOKEN_BUSY     (1ull << 0) /* of a supervisor token */
#define SHADOW_TOKEN_64	      (1ull << 0) /* of a restore token */
#define SHADOW_TOKEN_PREVIOUS (1ull << 1) /* of a previous-SSP token, which SAVEPREVSSP takes */

/* XSAVE's state components, as bits of IA32_XSS and of its masks: SDM volume 1, "XSAVE-Managed Features". */
#define XSTATE_CET_U (1ull << 11) /* U_CET, PL3_SSP */
#define XSTATE_CET_S (1ull << 12) /* PL0_SSP, PL1_SSP, PL2_SSP */

/* Whether CPUID leaf 7 shows shadow stacks, or indirect branch tracking. */
bool has_shadow_stacks(void);
bool has_ibt(void);

/*
 * Sets CR4.CET; an error of the test point where CPUID shows neither. To be called in each point that
 * enables any of it, since this is how the runtime knows that there is something to end.
 */
void cet_enable(void);

/* For the runtime: at an unwinding, and at the end of a point. */
void cet_unwind(void);
void cet_end(void);

/* The shadow stack pointer; 0 where shadow stacks are off at this privilege level: RDSSP is a NOP then. */
static inline uintptr_t rdssp(void)
{
	uintptr_t ssp = 0;

#ifdef __x86_64__
	asm volatile("rdsspq %0" : "+r"(ssp)::"memory");
#else
	asm volatile("rdsspd %0" : "+r"(ssp)::"memory");
#endif
	return ssp;
}

/* The same with a value that stays if it is a NOP; and the 32-bit form, which zero-extends in 64-bit mode. */
static inline uintptr_t rdssp_over(uintptr_t value)
{
#ifdef __x86_64__
	asm volatile("rdsspq %0" : "+r"(value)::"memory");
#else
	asm volatile("rdsspd %0" : "+r"(value)::"memory");
#endif
	return value;
}

static inline uintptr_t rdssp32_over(uintptr_t value)
{
	asm volatile("rdsspd %k0" : "+r"(value)::"memory");
	return value;
}

/* Pops so many entries (of 8 bytes in 64-bit mode, 4 in the form of 32 bits); bits 7:0 count. */
static inline void incssp(uintptr_t entries)
{
#ifdef __x86_64__
	asm volatile("incsspq %0" ::"r"(entries) : "memory");
#else
	asm volatile("incsspd %0" ::"r"(entries) : "memory");
#endif
}

static inline void incssp32(uint32_t entries)
{
	asm volatile("incsspd %0" ::"r"(entries) : "memory");
}

static inline void saveprevssp(void)
{
	asm volatile("saveprevssp" ::: "memory");
}

/* CF tells that the token was of ... see the SDM's RSTORSSP: returned as the flag is after it. */
static inline bool rstorssp(uintptr_t token)
{
	bool carry;

	asm volatile("rstorssp (%1)" : "=@ccc"(carry) : "r"(token) : "memory");
	return carry;
}

static inline void setssbsy(void)
{
	asm volatile("setssbsy" ::: "memory");
}

/* The carry flag after CLRSSBSY: set if the token was not a valid busy one. */
static inline bool clrssbsy(uintptr_t token)
{
	bool carry;

	asm volatile("clrssbsy (%1)" : "=@ccc"(carry) : "r"(token) : "memory");
	return carry;
}

static inline void wrss32(uintptr_t address, uint32_t value)
{
	asm volatile("wrssd %1, (%0)" ::"r"(address), "r"(value) : "memory");
}

static inline void wruss32(uintptr_t address, uint32_t value)
{
	asm volatile("wrussd %1, (%0)" ::"r"(address), "r"(value) : "memory");
}

#ifdef __x86_64__
static inline void wrss64(uintptr_t address, uint64_t value)
{
	asm volatile("wrssq %1, (%0)" ::"r"(address), "r"(value) : "memory");
}

static inline void wruss64(uintptr_t address, uint64_t value)
{
	asm volatile("wrussq %1, (%0)" ::"r"(address), "r"(value) : "memory");
}
#endif

/* A word of the natural size. */
static inline void wrss(uintptr_t address, uintptr_t value)
{
#ifdef __x86_64__
	wrss64(address, value);
#else
	wrss32(address, value);
#endif
}

static inline void wruss(uintptr_t address, uintptr_t value)
{
#ifdef __x86_64__
	wruss64(address, value);
#else
	wruss32(address, value);
#endif
}

#endif
