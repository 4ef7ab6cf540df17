/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypercall instruction in real mode, on another CPU
 *
 * The CPU is sent there by INIT and SIPI, and is started anew for the tests behind.
 */
#ifndef HYPERCALL_REAL_MODE_H
#define HYPERCALL_REAL_MODE_H

/* Offsets in struct real_mode_call, which lies at REAL_MODE_CALL in the page where the CPU begins. */
#define REAL_MODE_CALL	 0x400
#define REAL_MODE_EAX	 0
#define REAL_MODE_RESULT 4
#define REAL_MODE_END	 8
#define REAL_MODE_IP	 10

/* How it ended; 0: not yet. */
#define REAL_MODE_RETURNED 1
#define REAL_MODE_UD	   2
#define REAL_MODE_FAULT	   3 /* another exception */

#ifndef __ASSEMBLER__

#include <stdint.h>

struct real_mode_call {
	uint32_t eax;	 /* before; all other registers of a call are 0 */
	uint32_t result; /* eax behind it */
	uint16_t end;
	uint16_t ip; /* where it raised #UD, from the instruction on */
};

/* The call that CPU number makes with this eax. */
struct real_mode_call call_in_real_mode(unsigned int cpu, uint32_t eax);

#endif
#endif
