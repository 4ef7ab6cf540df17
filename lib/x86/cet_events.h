/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events and shadow stacks: the frame that an event leaves there, and the sequences of instructions
 * that tests of it need
 *
 * Intel SDM volume 2, "INT n/INTO/INT3/INT1" and "IRET/IRETD/IRETQ" (Operation); volume 1, "Shadow
 * Stacks". The sequences are in cet_events_entry.S.
 */
#ifndef X86_CET_EVENTS_H
#define X86_CET_EVENTS_H

#include <stdint.h>

#include <x86/exception.h>
#include <x86/shadow_stack.h>
#include <x86/user_entry.h>

/*
 * What an event pushes on a supervisor shadow stack unless it comes from CPL 3: from low to high
 * address, with SSP at its lowest byte. Above it are 4 bytes of 0 if SSP was 4 mod 8.
 */
struct shadow_frame {
	uint64_t ssp; /* as it was */
	uint64_t lip; /* CS base plus return address */
	uint64_t cs;
};

/* The frame at this SSP: shadow stack pages may be read as any other. */
static inline struct shadow_frame shadow_frame_at(uintptr_t ssp)
{
	return *(const volatile struct shadow_frame *)ssp;
}

/* Where SSP is after the push of such a frame. */
static inline uintptr_t shadow_frame_below(uintptr_t ssp)
{
	return (ssp & ~(uintptr_t)7) - sizeof(struct shadow_frame);
}

/* What the handler of an event finds. */
struct shadow_event {
	struct x86_frame frame;
	struct shadow_frame shadow; /* at frame.ssp; zero without a shadow stack */
	uintptr_t ssp;		    /* in the handler's own C */
};

static inline struct shadow_event shadow_event_of(const struct x86_frame *frame)
{
	struct shadow_event event = { .frame = *frame, .ssp = rdssp() };

	if (frame->ssp)
		event.shadow = shadow_frame_at(frame->ssp);
	return event;
}

/*
 * Sets EFLAGS.TF, and single-steps a near CALL, which leads to stepped_function and returns to
 * stepped_call; or a near RET, which leads to stepped_return. Both go on without TF if the #DB is handled so.
 */
void step_call(void);
void step_ret(void);
extern const char stepped_call[], stepped_function[], stepped_return[];

/*
 * On a shadow stack: pops from it until SSP is as given (255 words of 4 bytes at most), and executes IRET
 * to the next instruction, at the same CPL. IRET is at iret_at_instruction. If it does not fault, the
 * way back to the caller does, by #CP(NEAR-RET).
 */
void iret_at(uintptr_t ssp);
extern const char iret_at_instruction[];

/* What IRET to CPL 3 is to load, and what is done before it. */
struct user_entry {
	uintptr_t ip, cs, flags, sp, ss;
	uintptr_t argument; /* in RDI; 32-bit functions find theirs on the stack */
	uintptr_t s_cet;    /* IA32_S_CET, unless 0; with SH_STK_EN, SETSSBSY follows */
	uintptr_t pop;	    /* so many words of 4 bytes are popped from that shadow stack */
};

/* Goes there. IRET is at user_enter_iret. */
__attribute__((noreturn)) void user_enter_shadowed(const struct user_entry *entry);
extern const char user_enter_iret[];

/* The same, for user_run() of <x86/user_entry.h>. */
void user_enter_entry(void *entry);

/*
 * Fills in the entry that calls function(argument) on the user stack of this CPU, with these flags.
 * s_cet and pop are 0.
 */
struct user_entry user_entry_of(user_function *function, uintptr_t argument, uintptr_t flags);

/*
 * user_call(), by that entry, with a kernel that has IA32_S_CET = entry->s_cet from just before the
 * IRET on: the token that IA32_PL0_SSP names is made busy by SETSSBSY, freed by the IRET, and there
 * for each event from CPL 3. user is the shadow stack of the function, NULL for IA32_U_CET = 0. A fault
 * ends it at any CPL: a CPU may refuse an event from CPL 3 and say that it was at CPL 0.
 */
struct user_result user_call_shadowed(struct user_entry *entry, const struct shadow_stack *user);

#ifdef __x86_64__
/*
 * A copy of the table of shadow stacks for the IST, for a test to change, in force from now on. An exception
 * that is caught puts the runtime's own in force again: then ssp_table_use().
 */
uint64_t *ssp_table_new(void);

static inline void ssp_table_use(const uint64_t *table)
{
	wrmsr(MSR_IA32_INTERRUPT_SSP_TABLE_ADDR, (uintptr_t)table);
}

/* 32-bit code for CPL 3: returns SSP by VECTOR_USER_RETURN, 0 without a shadow stack. */
extern const char compat_user_ssp[];
#else
/*
 * Tasks that return by IRET, or by a far jump to TSS_SELECTOR. Before, each sets EAX to SSP and ECX to the
 * word at EBX, and flips the bits of EDX in the word at ESI: the registers are in its TSS then.
 */
extern const char task_iret[], task_jump[];

/* A task switch by CALL to the TSS with this selector, which must be a constant. */
#define call_task(selector) asm volatile("lcall %0, $0" ::"i"(selector) : "memory")
#endif

#endif
