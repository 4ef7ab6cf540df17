/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMSAs, and AP creation as an event
 */
#ifndef SEV_AP_H
#define SEV_AP_H

#include <stdbool.h>
#include <stdint.h>

#include <sev/abi.h>
#include <sev/vmsa.h>

/* A page with the state of a CPU in 64-bit mode, on the runtime's tables, with no IDT. */
struct vmsa *vmsa_new(uintptr_t entry, uintptr_t stack);

/* Makes the page a VMSA by RMPADJUST; from then on it cannot be written. False: it is none. */
bool vmsa_seal(struct vmsa *vmsa);

/* The event, with whatever it is given; returns SW_EXITINFO1's result. */
uint32_t ap_creation(enum ap_creation request, unsigned int apic_id, uint64_t vmsa_gpa,
		     uint64_t features, uint64_t *info_2);

#endif
