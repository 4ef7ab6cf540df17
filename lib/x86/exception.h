/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers of an interrupted context, as the exception entry saves them
 *
 * Laid out by lib/x86/entry_*.S. A handler may change them: they are loaded again on its return.
 */
#ifndef X86_EXCEPTION_H
#define X86_EXCEPTION_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/vectors.h>

#ifdef __x86_64__
struct x86_frame {
	uint64_t
		ssp; /* as the event left it, so that its own frame is there; 0 without a shadow stack */
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t di, si, bp, bx, dx, cx, ax;
	uint64_t vector;
	uint64_t error_code; /* 0 where the CPU pushes none */
	uint64_t ip, cs, flags, sp, ss;
};
_Static_assert(__builtin_offsetof(struct x86_frame, vector) == 128, "as in exception_entry.S");
#else
struct x86_frame {
	uint32_t ssp;
	uint32_t gs, fs, es, ds;
	uint32_t di, si, bp, ignored_sp, bx, dx, cx, ax;
	uint32_t vector;
	uint32_t error_code;
	uint32_t ip, cs, flags;
	uint32_t sp, ss; /* only there if the CPU came from another privilege level */
};
#endif

/* Whether the context was at CPL 3. */
static inline bool frame_is_user(const struct x86_frame *frame)
{
	return (frame->cs & 3) == 3;
}

/*
 * The stack pointer of the context, which a 32-bit CPU does not push at the same CPL; #DF has it.
 */
static inline uintptr_t frame_sp(const struct x86_frame *frame)
{
#ifndef __x86_64__
	if (!frame_is_user(frame) && frame->vector != DF)
		return (uintptr_t)&frame->sp;
#endif
	return frame->sp;
}

#endif
