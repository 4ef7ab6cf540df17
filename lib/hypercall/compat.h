/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls from 32-bit code in a 64-bit guest: compatibility mode, at CPL 0
 *
 * There a hypercall has the ABI of a 32-bit guest: what counts is the code segment, not the guest.
 */
#ifndef HYPERCALL_COMPAT_H
#define HYPERCALL_COMPAT_H

/* Offsets in struct compat_registers. */
#define COMPAT_EAX 0
#define COMPAT_EBX 4
#define COMPAT_ECX 8
#define COMPAT_EDX 12
#define COMPAT_ESI 16
#define COMPAT_EDI 20

#ifndef __ASSEMBLER__

#include <stdint.h>

struct compat_registers {
	uint32_t eax, ebx, ecx, edx, esi, edi;
};

/*
 * Calls code (a function that takes nothing and returns by RET, below 4 GiB) in compatibility mode,
 * with the registers of before, and stores what it left in after.
 */
void call_in_compatibility_mode(const void *code, const struct compat_registers *before,
				struct compat_registers *after);

#endif
#endif
