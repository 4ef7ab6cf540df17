/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shadow stacks: memory for them, and C that runs on them
 *
 *	struct shadow_stack stack = shadow_stack_new(SHADOW_VA, SHADOW_SUPERVISOR);
 *
 *	cet_enable();
 *	ON_SHADOW_STACK(&stack, 0, EXPECT_EQ(rdssp(), ...); function());
 *
 * The statement runs as a function of its own at CPL 0, with IA32_S_CET.SH_STK_EN: calls and returns,
 * expectations, interrupts and their handlers work there as they do elsewhere. An exception that is caught
 * there, and a user_call(), end that: they return with IA32_S_CET zero (see <x86/cet.h>), and the rest of
 * the statement runs without a shadow stack.
 *
 * Each page of a shadow stack is mapped twice: as one, at an address of the caller's choice, and as the
 * ordinary memory that it is, where its words can be read and written by "words" and shadow_word().
 */
#ifndef X86_SHADOW_STACK_H
#define X86_SHADOW_STACK_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/cet.h>
#include <x86/paging.h>
#include <x86/user.h>

/* What the leaf of a shadow stack page has: SDM volume 3, "Access Rights": read-only and dirty. */
#define PTE_SHADOW_SUPERVISOR (PTE_P | PTE_D | PTE_A)
#define PTE_SHADOW_USER	      (PTE_SHADOW_SUPERVISOR | PTE_U)

/*
 * Where tests may put theirs, a page each: in the first 512 MiB of VA_FREE; and below 4 GiB in 64-bit
 * guests too, where the runtime maps nothing that is there.
 */
#define SHADOW_VA VA_FREE
#ifdef __x86_64__
#define SHADOW_VA_LOW 0x60000000ul
#else
#define SHADOW_VA_LOW VA_FREE
#endif

enum shadow_kind { SHADOW_SUPERVISOR, SHADOW_USER };

struct shadow_stack {
	uintptr_t base;	 /* where it is a shadow stack */
	uintptr_t end;	 /* behind its last byte */
	uintptr_t words; /* where the same page is ordinary memory */
};

/* A zeroed page, mapped as a shadow stack page at va, and nothing on it. */
struct shadow_stack shadow_stack_new(uintptr_t va, enum shadow_kind kind);

/* The 8 bytes at this address of the shadow stack, in ordinary memory. */
static inline volatile uint64_t *shadow_word(const struct shadow_stack *stack, uintptr_t address)
{
	return (volatile uint64_t *)(stack->words + (address - stack->base));
}

/* Puts a supervisor token that is not busy at its upper end, and returns that token's address. */
uintptr_t shadow_stack_token(const struct shadow_stack *stack);

/*
 * Runs function() with IA32_S_CET = SH_STK_EN | s_cet, after SETSSBSY on that token. When the function is
 * entered, SSP is the token's address less one return address; the token is busy, and stays so.
 * IA32_PL0_SSP keeps the token's address: events from CPL 3 want another one there.
 */
void shadow_stack_run(const struct shadow_stack *stack, uint64_t s_cet, void (*function)(void));

#define ON_SHADOW_STACK(stack, s_cet, ...)                         \
	({                                                         \
		void shadow_statement_(void)                       \
		{                                                  \
			__VA_ARGS__;                               \
		}                                                  \
		shadow_stack_run(stack, s_cet, shadow_statement_); \
	})

/*
 * user_call() with IA32_U_CET = SH_STK_EN | u_cet: the user's shadow stack holds the address that the
 * function returns to, and IA32_PL3_SSP points there. IA32_U_CET stays set.
 */
struct user_result shadow_user_call(const struct shadow_stack *stack, uint64_t u_cet,
				    user_function *function, uintptr_t argument);

/*
 * For points that have a #DF at CPL 0 with shadow stacks or branch tracking on: skips them where there can be none.
 * In 32-bit guests #DF is a switch to a task, which KVM refuses to emulate then (arch/x86/kvm/x86.c,
 * kvm_task_switch).
 */
void skip_without_task_switch(void);

/*
 * For the runtime: the shadow stacks of the runtime's own gates (IST in 64-bit guests, the task of #DF in
 * 32-bit ones), made when first needed, and fresh tokens on them.
 */
void shadow_stacks_of_gates(void);

#endif
