/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A way out of nested calls: setjmp and longjmp under names that do not hide the C library's
 *
 * jump_save() returns 0 when called, and 1 when jump_restore() comes back to it. Kept are the
 * stack, the registers that a call preserves and the flags, so the interrupt flag is as it was,
 * too. The function that called jump_save() must not have returned.
 */
#ifndef LIBC_JUMP_H
#define LIBC_JUMP_H

#include <stdint.h>

struct jump {
	uintptr_t ip, sp, bp, bx, flags;
#ifdef __x86_64__
	uintptr_t r12, r13, r14, r15;
#else
	uintptr_t si, di;
#endif
};

/* The argument of jump_restore() comes in a register, so that an exception frame can lead there. */
#ifdef __x86_64__
#define JUMP_ARGUMENT
#else
#define JUMP_ARGUMENT __attribute__((regparm(1)))
#endif

__attribute__((returns_twice)) int jump_save(struct jump *jump);
JUMP_ARGUMENT __attribute__((noreturn)) void jump_restore(const struct jump *jump);

#endif
