/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way to CPL 3, in user_entry.S
 */
#ifndef X86_USER_ENTRY_H
#define X86_USER_ENTRY_H

#include <stdint.h>

#include <x86/user.h>

/*
 * Calls function(argument) at CPL 3 with that stack and those flags. When the function returns, the
 * code there raises interrupt VECTOR_USER_RETURN.
 */
__attribute__((noreturn)) void user_enter(user_function *function, uintptr_t argument,
					  uintptr_t stack, uintptr_t flags);

/* Where the function returns to, at CPL 3. */
extern const char user_return[];

/*
 * What is behind user_call(): enter(context) goes to CPL 3 and does not return. The CPU comes back to CPL 0 on
 * this stack, below what is in use. Exceptions raised at CPL 3, at CPL 0 or at both end it.
 */
enum user_faults { FAULTS_OF_USER, FAULTS_OF_SUPERVISOR, FAULTS_OF_BOTH };

struct user_result user_run(enum user_faults faults, void (*enter)(void *context), void *context);

#endif
