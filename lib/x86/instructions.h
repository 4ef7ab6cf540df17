/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions that raise an exception, or that C cannot express; one a wrapper
 *
 * Those of the x87 and SSE keep nothing in their registers from one wrapper to the next but what
 * they say: the compiler itself uses neither.
 */
#ifndef X86_INSTRUCTIONS_H
#define X86_INSTRUCTIONS_H

#include <stdint.h>

static inline void ud2(void)
{
	asm volatile("ud2" ::: "memory");
}

static inline void int3(void)
{
	asm volatile("int3" ::: "memory");
}

/* The vector must be a constant. */
#define int_n(vector) asm volatile("int %0" ::"i"(vector) : "memory")

static inline void hlt(void)
{
	asm volatile("hlt" ::: "memory");
}

static inline void nop(void)
{
	asm volatile("nop" ::: "memory");
}

static inline uint16_t read_cs(void)
{
	uint16_t selector;

	asm volatile("mov %%cs, %0" : "=r"(selector));
	return selector;
}

static inline uint16_t read_ss(void)
{
	uint16_t selector;

	asm volatile("mov %%ss, %0" : "=r"(selector));
	return selector;
}

/*
 * Reads a word by the one instruction in the interrupt shadow of STI; and of MOV SS, with interrupts
 * enabled before. Both end with interrupts disabled.
 */
static inline uint32_t read_behind_sti(uintptr_t address)
{
	uint32_t value;

	asm volatile("sti\n"
		     "movl (%1), %0\n"
		     "cli"
		     : "=r"(value)
		     : "r"(address)
		     : "memory");
	return value;
}

static inline uint32_t read_behind_mov_ss(uintptr_t address)
{
	uint32_t value;

	asm volatile("sti\n"
		     "nop\n"
		     "movl %2, %%ss\n"
		     "movl (%1), %0\n"
		     "cli"
		     : "=&r"(value)
		     : "r"(address), "r"((uint32_t)read_ss())
		     : "memory");
	return value;
}

/* high:low / divisor; #DE if that has no place in 32 bits. */
static inline uint32_t divl(uint32_t high, uint32_t low, uint32_t divisor)
{
	asm volatile("divl %2" : "+a"(low), "+d"(high) : "r"(divisor) : "cc");
	return low;
}

/* Pushes a word on this stack, and does not come back: for stacks on which that faults. */
static inline void push_on(uintptr_t stack)
{
#ifdef __x86_64__
	asm volatile("mov %0, %%rsp\n"
		     "push %%rax" ::"r"(stack)
		     : "memory");
#else
	asm volatile("mov %0, %%esp\n"
		     "push %%eax" ::"r"(stack)
		     : "memory");
#endif
}

#ifndef __x86_64__
/* INTO with the overflow flag set. */
static inline void into(void)
{
	asm volatile("movb $0x7f, %%al\n"
		     "addb $1, %%al\n"
		     "into" ::
			     : "eax", "cc", "memory");
}

/* #BR unless bounds[0] <= index <= bounds[1]. */
static inline void bound(int32_t index, const int32_t bounds[2])
{
	asm volatile("bound %0, (%1)" ::"r"(index), "r"(bounds) : "memory");
}

/* A task switch to the TSS with this selector, which must be a constant. */
#define jump_to_task(selector) asm volatile("ljmp %0, $0" ::"i"(selector) : "memory")
#endif

static inline void fninit(void)
{
	asm volatile("fninit" ::: "memory");
}

static inline void fldcw(uint16_t control)
{
	asm volatile("fldcw %0" ::"m"(control));
}

/* 1 / 0; the exception, if it is unmasked, comes with the FWAIT. */
static inline void x87_divide_by_zero(void)
{
	asm volatile("fld1\n"
		     "fldz\n"
		     "fdivrp\n"
		     "fwait" ::
			     : "memory");
}

static inline void fnop(void)
{
	asm volatile("fnop" ::: "memory");
}

static inline void ldmxcsr(uint32_t control)
{
	asm volatile("ldmxcsr %0" ::"m"(control));
}

/* 1 / 0 */
static inline void sse_divide_by_zero(void)
{
	const float one = 1, zero = 0;

	asm volatile("movss %0, %%xmm0\n"
		     "divss %1, %%xmm0" ::"m"(one),
		     "m"(zero));
}

#endif
