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

#endif
