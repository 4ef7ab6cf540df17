/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Transfers between privilege levels and modes, and shadow stacks: call gates, far CALL, JMP and RET, and
 * the two pairs of system call instructions
 *
 * Intel SDM volume 2, "CALL", "JMP", "RET", "SYSCALL", "SYSRET", "SYSENTER" and "SYSEXIT" (Operation);
 * volume 1, "Shadow Stacks". AMD APM volume 2, "Shadow Stack Operation for Far Transfers".
 *
 * What these lead to, in cet_transfers.S, writes down what it finds before it does anything else, and then
 * calls a function of the test, which runs at the privilege level that was reached.
 */
#ifndef X86_CET_TRANSFERS_H
#define X86_CET_TRANSFERS_H

/* Offsets in words, for cet_transfers.S, of struct far_trip, ... */
#define FAR_SSP_BEFORE 0
#define FAR_SSP_AFTER  1
#define FAR_ELSEWHERE  2
#define FAR_TARGET     3

/* ... of struct gate_visit, ... */
#define VISIT_HOOK 0
#define VISIT_POP  1
#define VISIT_CS   2
#define VISIT_SP   3
#define VISIT_SSP  4
#define VISIT_SIZE 5

/* ... and of struct system_call. */
#define SYSTEM_HOOK	 0
#define SYSTEM_SETSSBSY	 1
#define SYSTEM_CALL	 2
#define SYSTEM_LEAVE	 3
#define SYSTEM_SP	 4
#define SYSTEM_IP	 5
#define SYSTEM_USER_SP	 6
#define SYSTEM_FLAGS	 7
#define SYSTEM_SSP	 8
#define SYSTEM_SSP_READY 9
#define SYSTEM_BEFORE	 10
#define SYSTEM_AFTER	 11

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <x86/cet_events.h>
#include <x86/shadow_stack.h>

/* A far pointer m16:32. */
struct far_pointer {
	uint32_t offset;
	uint32_t selector;
};

/* A far CALL or JMP, and what it was like for the one who made it. */
struct far_trip {
	uintptr_t ssp_before; /* 0 without a shadow stack */
	uintptr_t ssp_after;
	uintptr_t elsewhere; /* it came back at far_call_elsewhere */
	struct far_pointer target;
};

/*
 * CALL far to that target, at any privilege level. The next instruction is at far_call_return. far_jump() is a
 * JMP to far_jump_landing, by a pointer or a gate that leads there.
 */
void far_call(struct far_trip *trip);
void far_jump(struct far_trip *trip);
extern const char far_call_instruction[], far_call_return[], far_call_elsewhere[];
extern const char far_jump_landing[];

/*
 * What gate_target finds and does, by the privilege level that it runs at. It goes back by RET far.
 * gate_target_bare does not begin with ENDBR.
 */
struct gate_visit {
	void (*hook)(void); /* called there, unless NULL */
	uintptr_t pop;	    /* then so many words of 4 bytes are popped from the shadow stack */
	uintptr_t cs;
	uintptr_t sp;
	uintptr_t ssp; /* 0 without a shadow stack */
};

extern struct gate_visit gate_visits[4];
extern const char gate_target[], gate_target_bare[], gate_target_return[];

/* The far pointer to return to that a CALL has left on the stack of such a target. */
static inline uintptr_t *return_pointer(const struct gate_visit *visit)
{
	return (uintptr_t *)visit->sp;
}

/*
 * Writes a call gate into this CPU's GDT: one entry in 32-bit guests, two in 64-bit ones. It takes no
 * parameters.
 */
void gate_write(uint16_t selector, uint16_t target_cs, const void *target, unsigned int dpl);

#ifdef __x86_64__
#define GATE_ENTRIES 2
#else
#define GATE_ENTRIES 1
#endif

/*
 * Makes a privilege level, 1 or 2, one that a gate may lead to: a code segment at this selector of the
 * GDT (in 32-bit guests one for its stack behind it: LEVEL_ENTRIES), and a stack in the TSS.
 */
void level_write(uint16_t selector, unsigned int level);

#ifdef __x86_64__
#define LEVEL_ENTRIES 1
#else
#define LEVEL_ENTRIES 2
#endif

/*
 * Calls function(0) at CPL 3 with IA32_S_CET = s_cet, by IRET, as user_call_shadowed() does: the token named
 * by IA32_PL0_SSP is free when it is there. user is its shadow stack (NULL: none); IA32_U_CET and
 * IA32_PL3_SSP are set for it. An exception at CPL 3, or one at CPL 0 to 2, ends it, or
 * either.
 */
struct user_result transfer_call(user_function *function, uint64_t s_cet,
				 const struct shadow_stack *user, enum user_faults faults);

#ifdef __x86_64__
/*
 * In compatibility mode: compat_target records SSP and goes back by RET far; compat_escape does so by JMP,
 * to far_call_return with KERNEL_CS.
 */
extern const char compat_target[], compat_escape[];
extern uint32_t compat_ssp, compat_cs;

/* From 64-bit mode to compatibility mode and back, and what RDSSP gives on the way. */
struct compat_trip {
	struct far_pointer to_compat; /* compat_begin; compat_begin_bare has no ENDBR32 */
	struct far_pointer call_long; /* long_target; if the offset is 0 no call is made */
	struct far_pointer to_long;   /* compat_end */
	uint32_t ssp_begin;
	uint32_t ssp_near;    /* in a function that was called by a near CALL */
	uint32_t near_return; /* the address that the CALL pushed */
	uint32_t
		ssp_before; /* before the far CALL to 64-bit mode, with one more word on the stack */
	uint32_t ssp_long;  /* in there */
	uint32_t long_return; /* the address that it goes back to */
	uint32_t ssp_after;   /* behind it */
};

void compat_trip(struct compat_trip *trip);
extern const char compat_trip_jump[], compat_begin[], compat_begin_bare[], compat_begin_long[],
	compat_end[], long_target[];
#endif

/*
 * What the entry of a system call finds and does. It takes a stack of its own, and SETSSBSY if so told; at the
 * end CLRSSBSY then.
 */
struct system_call {
	void (*hook)(void); /* called there, unless NULL */
	uintptr_t setssbsy;
	uintptr_t call;	   /* a near CALL, at system_call_near, comes before SETSSBSY */
	const char *leave; /* leave_... */
	uintptr_t sp;	   /* the kernel's stack */
	uintptr_t ip, user_sp, flags;
	uintptr_t ssp;			 /* what RDSSP makes of ~0 at the entry */
	uintptr_t ssp_ready;		 /* after SETSSBSY */
	uintptr_t ssp_before, ssp_after; /* the caller's */
};

extern struct system_call system_call;
extern const char system_call_near[], system_call_near_return[];

/* User functions that make one; the entries for it, the second one without ENDBR; the ways back. */
uintptr_t do_sysenter(uintptr_t unused);
extern const char sysenter_instruction[], sysenter_entry[], sysenter_entry_bare[];
extern const char leave_sysexit[];
#ifdef __x86_64__
uintptr_t do_syscall(uintptr_t unused);
extern const char syscall_instruction[], syscall_entry[], syscall_entry_bare[];
extern const char leave_sysret[], leave_sysret_compat[], leave_sysexit_compat[];
#endif

/* JMP, to a caller at CPL 0; IA32_S_CET is zero then. */
extern const char leave_jump[];

#endif
#endif
