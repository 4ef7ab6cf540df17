/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vectors of the exceptions, and those interrupt vectors that the runtime keeps for itself
 *
 * Intel SDM volume 3, table 7-1 "Protected-Mode Exceptions and Interrupts"; AMD APM volume 2,
 * table 8-1. The short names are those of both manuals.
 */
#ifndef X86_VECTORS_H
#define X86_VECTORS_H

enum x86_vector {
	DE = 0,
	DB = 1,
	NMI = 2,
	BP = 3,
	OF = 4,
	BR = 5,
	UD = 6,
	NM = 7,
	DF = 8,
	TS = 10,
	NP = 11,
	SS = 12,
	GP = 13,
	PF = 14,
	MF = 16,
	AC = 17,
	MC = 18,
	XM = 19,
	VE = 20,
	CP = 21,
	HV = 28, /* of AMD alone, these three */
	VC = 29,
	SX = 30,

	/* What FAULT_OF() gives for a statement that raised nothing. */
	NO_FAULT = 256,
};

/* Vectors below this one are the CPU's own; a test may use those from here to 0xef. */
#define VECTOR_IRQ_FIRST 32

/* The runtime's own: the return from CPL 3, the wake-up of another CPU, the APIC's spurious one. */
#define VECTOR_USER_RETURN 0xf0
#define VECTOR_WAKE	   0xf1
#define VECTOR_SPURIOUS	   0xff

#define VECTOR_COUNT	   256

#endif
