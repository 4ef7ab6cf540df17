/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls with every general register and the flags chosen before and captured after
 *
 * A hypercall ABI promises two things: which registers carry the arguments and the result, and that
 * all others stay as they were. A call made through here can be held to both.
 */
#ifndef HYPERCALL_REGISTERS_H
#define HYPERCALL_REGISTERS_H

/* Indices into struct registers, in the order in which call.S stores them. */
#define REG_AX	  0
#define REG_BX	  1
#define REG_CX	  2
#define REG_DX	  3
#define REG_SI	  4
#define REG_DI	  5
#define REG_BP	  6
#define REG_FLAGS 7
#ifdef __x86_64__
#define REG_R8	  8
#define REG_R9	  9
#define REG_R10	  10
#define REG_R11	  11
#define REG_R12	  12
#define REG_R13	  13
#define REG_R14	  14
#define REG_R15	  15
#define REGISTERS 16
#else
#define REGISTERS 8
#endif

/* CF, PF, AF, ZF, SF and OF: the flags that call_with_registers() loads. */
#define FLAGS_STATUS 0x8d5

#ifndef __ASSEMBLER__

#include <stdint.h>

struct registers {
	uintptr_t value[REGISTERS];
};

#define REG_BIT(reg) (1u << (reg))

/*
 * Gives every register a value of its own, with bits set in each byte, so that a register that was
 * not left alone shows as such. Two seeds share no value.
 */
void registers_fill(struct registers *registers, unsigned int seed);

/*
 * Calls code (a function that takes nothing and returns by RET) with the registers of before, and
 * stores what it left in after. Of the flags only FLAGS_STATUS are taken from before; then before
 * gets the whole of the flags register as it was at the call, to compare with after. Runs at any
 * CPL.
 */
void call_with_registers(const void *code, struct registers *before, struct registers *after);

/* Expects all registers to be the same, but those in the mask: REG_BIT(REG_AX) | ... */
void expect_registers_kept(const struct registers *before, const struct registers *after,
			   unsigned int but, const char *call);

#endif
#endif
