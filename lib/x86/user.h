/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Code at CPL 3, with a return
 */
#ifndef X86_USER_H
#define X86_USER_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/fault.h>

struct user_result {
	bool returned;		/* the function came to its end */
	uintptr_t value;	/* what it returned */
	struct x86_fault fault; /* else the exception that ended it; vector NO_FAULT if none did */
};

typedef uintptr_t user_function(uintptr_t argument);

/*
 * Runs function(argument) at CPL 3, on a stack of its own (16 KiB, one for each CPU), with the
 * interrupt flag as it is and IOPL 0. An exception ends it; interrupts with a handler do not.
 * The function may read and write all memory, but must not use EXPECT_ or call into the runtime
 * (the console is out of its reach): it hands back what it found. Does not nest.
 */
struct user_result user_call(user_function *function, uintptr_t argument);

/*
 * The same with interrupts enabled there, whatever they are here: what is pending comes in when
 * CPL 3 is entered, before the function's first instruction.
 */
struct user_result user_call_interruptible(user_function *function, uintptr_t argument);

#endif
