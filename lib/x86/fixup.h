/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fix-ups: instructions that may fault, inside a wrapper that reports it as a value
 *
 * FIXUP(from, to, vector) in an asm statement enters a row in the table of such instructions: if
 * the one at label "from" raises this exception at CPL 0, it goes on at label "to" with the carry
 * flag set. The wrapper clears the flag before, and takes it as output operand "=@ccc".
 */
#ifndef X86_FIXUP_H
#define X86_FIXUP_H

#include <stdbool.h>

#include <x86/exception.h>
#include <x86/vectors.h>

#ifdef __x86_64__
#define FIXUP_WORD ".quad"
#else
#define FIXUP_WORD ".long"
#endif

#define FIXUP_STRING_(text) #text
#define FIXUP_STRING(text)  FIXUP_STRING_(text)
#define FIXUP(from, to, vector)                                     \
	".pushsection .fixups, \"a\"\n" FIXUP_WORD " " from ", " to \
	", " FIXUP_STRING(vector) "\n.popsection\n"

/* The vectors by number, since an asm statement cannot see an enum. */
#define FIXUP_UD 6
#define FIXUP_GP 13
#define FIXUP_PF 14

_Static_assert(FIXUP_UD == UD && FIXUP_GP == GP && FIXUP_PF == PF, "as in <x86/vectors.h>");

/* Applies the row that fits the frame. False: there is none. */
bool fixup_apply(struct x86_frame *frame);

#endif
