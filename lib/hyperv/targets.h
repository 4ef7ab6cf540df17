/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hypercalls to a set of CPUs: TLB flushes and IPIs, in each form that they have
 *
 * The plain calls name CPUs 0 to 63 by a mask, the extended ones (_EX) any CPUs by a "virtual
 * processor set"; each takes its input from memory, or fast, from registers: two general ones, then
 * the halves of XMM0 to XMM5 (TLFS, HvCallFlushVirtualAddressSpace and ..List, HvCallSendSynthetic-
 * ClusterIpi, and "Virtual Processor Sets").
 */
#ifndef HYPERV_TARGETS_H
#define HYPERV_TARGETS_H

#include <hyperv/abi.h>
#include <stdbool.h>
#include <stdint.h>

#define HV_BANKS_MAX 16

/* A form of a call: its code, and whether it is fast. */
struct hv_form {
	const char *name;
	uint16_t code;
	bool ex;
	bool list; /* flushes alone: of a list of addresses */
	bool fast;
};

/* The eight forms of a flush, and the four of an IPI. */
#define HV_FLUSH_FORMS 8
#define HV_IPI_FORMS   4
extern const struct hv_form hv_flush_forms[HV_FLUSH_FORMS], hv_ipi_forms[HV_IPI_FORMS];

/*
 * The set. A plain form has its first bank as mask, and "all" as the flag HV_FLUSH_ALL_PROCESSORS,
 * which IPIs do not have. An extended one has them all.
 */
struct hv_targets {
	bool all;
	uint64_t valid; /* which banks there are; their number goes into the header */
	uint64_t banks[HV_BANKS_MAX];
	int header_off_by; /* added to the number in the header */
};

/* The set of CPUs of one bank, the first. */
#define HV_TARGETS(mask) ((struct hv_targets){ .valid = 1, .banks = { (mask) } })

/* Flushes; list and count are for the forms with a list. Returns the result of the call. */
uint64_t hv_flush(const struct hv_form *form, const struct hv_targets *targets,
		  const uint64_t *list, unsigned int count);

/* Sends the interrupt. */
uint64_t hv_send_ipi(const struct hv_form *form, const struct hv_targets *targets, uint64_t vector);

/*
 * The last 64-bit words of RAM, behind which there is none: an input that begins there and goes on
 * cannot be read. What they held is to be put back.
 */
uint64_t *hv_last_words(unsigned int count);

#endif
