/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sequences of instructions on a shadow stack: at CPL 0 and 3, in each mode that the guest's CPU
 * has
 *
 *	struct cet_call call = { .ssp = stack->end - 0x400 };
 *	struct x86_fault fault = cet_run(mode, 0, CET_SEQUENCE(call_relative), &call);
 *
 *	EXPECT_EQ(call.ssp_inside, call.ssp - mode->word);
 *
 * A sequence first moves SSP to call.ssp, so that what it does to the shadow stack can be told to
 * the byte, then does what its name says, and writes what it found into the struct. It needs no
 * matching shadow stack to get back: at CPL 0 it ends with IA32_S_CET zero, at CPL 3 by the
 * interrupt of user_call().
 *
 * The same source is assembled for 64-bit mode and, as seq32_..., for compatibility mode.
 */
#ifndef X86_CET_CALLS_H
#define X86_CET_CALLS_H

/* Offsets in struct cet_call, for cet_calls.S. */
#define CALL_ENTRY	    0x00
#define CALL_FAR	    0x08
#define CALL_FAR64	    0x10
#define CALL_SSP	    0x20
#define CALL_STACK	    0x28
#define CALL_ADDRESS	    0x30
#define CALL_VALUE	    0x38
#define CALL_FLAGS	    0x40
#define CALL_TAMPER	    0x48
#define CALL_TAMPER_AT	    0x50
#define CALL_TAMPER_OFFSET  0x58
#define CALL_POINTER	    0x60
#define CALL_HOME	    0x68
#define CALL_RETURN_ADDRESS 0x70
#define CALL_SP_BEFORE	    0x78
#define CALL_SSP_INSIDE	    0x80
#define CALL_SP_INSIDE	    0x88
#define CALL_SSP_AFTER	    0x90
#define CALL_SP_AFTER	    0x98
#define CALL_ON_STACK	    0xa0
#define CALL_STRAY	    0xa8
#define CALL_WORDS	    0xb0

/* What RET imm16 pops beyond the return address here. */
#define CALL_RET_IMM 16

/* The status flags, all of them: CF, PF, AF, ZF, SF and OF. */
#define FLAGS_STATUS 0x8d5

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <x86/fault.h>
#include <x86/shadow_stack.h>

/* A far pointer m16:32 in memory. */
struct cet_far {
	uint32_t offset;
	uint32_t selector;
};

struct cet_call {
	struct cet_far entry; /* cet_run()'s */

	/* What the sequence is to use. */
	struct cet_far far;	/* target of a far CALL: cet_target() */
	uint64_t far64[2];	/* the same as m16:64 */
	uint64_t ssp;		/* 0: as it is */
	uint64_t stack;		/* data stack; 0: the one in use */
	uint64_t address;	/* of a memory operand */
	uint64_t value;		/* of a register operand, and what that is afterwards */
	uint64_t flags;		/* before the instruction, and as it left them */
	uint64_t tamper;	/* the callee XORs this into the word ... */
	uint64_t tamper_at;	/* ... at this address; 0: on its data stack ... */
	uint64_t tamper_offset; /* ... so many bytes above SP */

	/* The sequence's own. */
	uint64_t pointer;
	uint64_t home;

	/* What it found. */
	uint64_t return_address; /* behind the CALL */
	uint64_t sp_before;	 /* where the CALL pushes */
	uint64_t ssp_inside;	 /* in the callee */
	uint64_t sp_inside;
	uint64_t
		ssp_after; /* behind the CALL, or the instruction at hand; 1 without shadow stack */
	uint64_t sp_after;
	uint64_t on_stack; /* the word on the data stack that the callee finds */

	/*
	 * If not 0: the callee replaces its return address by this one. CET_SEQUENCE(stray) raises
	 * #UD.
	 */
	uint64_t stray;

	/* The saveprevssp sequence puts these at "address" before that instruction. */
	uint64_t words[2];

	/*
	 * For cet_run() at CPL 0: IA32_PL0_SSP while the sequence runs; 0: that of its own
	 * stack.
	 */
	uint64_t pl0_ssp;
	/* By cet_run(): SSP when the fault came, or at the end. */
	uint64_t ssp_end;
};

#define CET_OFFSET_IS(offset, member) \
	_Static_assert(offsetof(struct cet_call, member) == (offset), "as in the struct")
CET_OFFSET_IS(CALL_ENTRY, entry);
CET_OFFSET_IS(CALL_FAR, far);
CET_OFFSET_IS(CALL_FAR64, far64);
CET_OFFSET_IS(CALL_SSP, ssp);
CET_OFFSET_IS(CALL_STACK, stack);
CET_OFFSET_IS(CALL_ADDRESS, address);
CET_OFFSET_IS(CALL_VALUE, value);
CET_OFFSET_IS(CALL_FLAGS, flags);
CET_OFFSET_IS(CALL_TAMPER, tamper);
CET_OFFSET_IS(CALL_TAMPER_AT, tamper_at);
CET_OFFSET_IS(CALL_TAMPER_OFFSET, tamper_offset);
CET_OFFSET_IS(CALL_POINTER, pointer);
CET_OFFSET_IS(CALL_HOME, home);
CET_OFFSET_IS(CALL_RETURN_ADDRESS, return_address);
CET_OFFSET_IS(CALL_SP_BEFORE, sp_before);
CET_OFFSET_IS(CALL_SSP_INSIDE, ssp_inside);
CET_OFFSET_IS(CALL_SP_INSIDE, sp_inside);
CET_OFFSET_IS(CALL_SSP_AFTER, ssp_after);
CET_OFFSET_IS(CALL_SP_AFTER, sp_after);
CET_OFFSET_IS(CALL_ON_STACK, on_stack);
CET_OFFSET_IS(CALL_STRAY, stray);
CET_OFFSET_IS(CALL_WORDS, words);

/*
 * A sequence, or a target of a far CALL, by its addresses: in the mode of the guest, and in
 * compatibility mode.
 */
struct cet_sequence {
	const char *native;
	const char *compat;
};

#ifdef __x86_64__
#define CET_LABEL(name)	     extern const char seq_##name[], seq32_##name[]
#define CET_SEQUENCE(name)   ((struct cet_sequence){ seq_##name, seq32_##name })
#define CET_SEQUENCE64(name) ((struct cet_sequence){ seq_##name, NULL })
#else
#define CET_LABEL(name)	   extern const char seq_##name[]
#define CET_SEQUENCE(name) ((struct cet_sequence){ seq_##name, NULL })
#endif

CET_LABEL(stray);

/* CALLs of a function that records, tampers and returns; the last one by RET imm16. */
CET_LABEL(call_relative);
CET_LABEL(call_register);
CET_LABEL(call_memory);
CET_LABEL(call_ret_imm);

/* CALLs of the next instruction: E8 00000000, and through a register. The word is then popped. */
CET_LABEL(call_zero);
CET_LABEL(call_register_next);

/* Pushes the address behind the RET, tampers with it, and RET. */
CET_LABEL(push_ret);

/*
 * A function called by a function drops its caller's frame, does INCSSP "value", and returns past
 * it.
 */
CET_LABEL(unwind);

/* JMP and its kin, taken and not; the selector in "far" is that of the code. */
CET_LABEL(jumps);

/*
 * CALL far, by m16:32 in "far" and by m16:64 in "far64"; and functions for it: they take INCSSPD
 * "value" off the shadow stack, and tamper, before they return.
 */
CET_LABEL(call_far);
CET_LABEL(far_ret);
CET_LABEL(far_ret_imm);
CET_LABEL(far_iret);
#ifdef __x86_64__
extern const char seq_call_far64[], seq_far_retq[], seq_far64_retq[];
#endif

/*
 * One instruction each; its operands are "value" and "address", the status flags those in
 * "flags".
 */
CET_LABEL(nothing);
CET_LABEL(incssp_d);
CET_LABEL(rdssp_d);
CET_LABEL(rstorssp);
CET_LABEL(saveprevssp);
CET_LABEL(setssbsy);
CET_LABEL(clrssbsy);
CET_LABEL(wrss_d);
CET_LABEL(wruss_d);
#ifdef __x86_64__
extern const char seq_incssp_q[], seq_rdssp_q[], seq_wrss_q[], seq_wruss_q[];
#endif

/*
 * To the stack whose restore token is at "address" and, after a CALL there, back by the token that
 * SAVEPREVSSP left on the old one, whose address is "value".
 */
CET_LABEL(switch_stacks);

/* A privilege level and a size of code, and the shadow stack that cet_run() uses there. */
struct cet_mode {
	bool user;
	bool compat;
	bool wide;	   /* 64-bit mode */
	unsigned int word; /* bytes that a near CALL pushes */
	uint16_t cs;	   /* of the code, and that segment's base */
	uint32_t cs_base;
	uintptr_t va; /* of the shadow stack's page, between two that are not present */
};

extern const struct cet_mode cet_cpl0, cet_cpl3;
#ifdef __x86_64__
extern const struct cet_mode cet_compat0, cet_compat3;
#endif

/* TEST points for each mode: check(mode). */
#define CET_TEST_AT(at, mode, statement, check)                \
	TEST_(at ": " statement, TEST_CAT(check, mode))        \
	{                                                      \
		if (!has_shadow_stacks())                      \
			SKIP("this CPU has no shadow stacks"); \
		check(&mode);                                  \
	}
#define CET_TEST_CPL0(statement, check) CET_TEST_AT("CPL 0", cet_cpl0, statement, check)
#define CET_TEST_CPL3(statement, check) CET_TEST_AT("CPL 3", cet_cpl3, statement, check)
#ifdef __x86_64__
#define CET_TEST_COMPAT0(statement, check) \
	CET_TEST_AT("CPL 0, compatibility mode", cet_compat0, statement, check)
#define CET_TEST_COMPAT3(statement, check) \
	CET_TEST_AT("CPL 3, compatibility mode", cet_compat3, statement, check)
#else
#define CET_TEST_COMPAT0(statement, check)
#define CET_TEST_COMPAT3(statement, check)
#endif
#define CET_TEST_SUPERVISOR(statement, check) \
	CET_TEST_CPL0(statement, check)       \
	CET_TEST_COMPAT0(statement, check)
#define CET_TEST_USER(statement, check) \
	CET_TEST_CPL3(statement, check) \
	CET_TEST_COMPAT3(statement, check)
#define CET_TEST(statement, check)            \
	CET_TEST_SUPERVISOR(statement, check) \
	CET_TEST_USER(statement, check)

/*
 * The shadow stack of the mode, with nothing on it: each byte is SHADOW_FILL. The same page each
 * time.
 */
#define SHADOW_FILL 0x5a
struct shadow_stack cet_stack(const struct cet_mode *mode);

/* Another page of the same kind, whose neighbours are not present either; "number" from 1 on. */
struct shadow_stack cet_stack_number(const struct cet_mode *mode, unsigned int number);

/* The address of a sequence or function in this mode, with its code segment. */
struct cet_far cet_target(const struct cet_mode *mode, struct cet_sequence sequence);

/*
 * Runs the sequence with SH_STK_EN and the further bits "cet" in IA32_S_CET or IA32_U_CET, on the
 * mode's stack. Returns the fault that ended it; call->ssp_end is SSP then, as the event saved it.
 * Enables CR4.CET.
 *
 * In 64-bit guests #PF has a data stack and a shadow stack of its own meanwhile, so that it may be
 * due to these. In 32-bit ones no gate has that, and what leaves no place for the frame of #PF is
 * #DF at CPL 0.
 */
struct x86_fault cet_run(const struct cet_mode *mode, uint64_t cet, struct cet_sequence sequence,
			 struct cet_call *call);

/*
 * The same with IA32_S_CET (at CPL 0) or IA32_U_CET as it is, and CR4.CET as it is: for what is
 * off.
 */
struct x86_fault cet_run_off(const struct cet_mode *mode, struct cet_sequence sequence,
			     struct cet_call *call);

/*
 * Expects these bytes right below the address "ssp" of the stack, and nothing written below them.
 */
void cet_expect_pushed(const struct shadow_stack *stack, uintptr_t ssp, const void *bytes,
		       size_t size);

/*
 * Lets the callee flip this bit of the 8 bytes at an address of the shadow stack, through its other
 * mapping.
 */
void cet_tamper(struct cet_call *call, const struct shadow_stack *stack, uintptr_t address,
		unsigned int bit);

#endif
#endif
