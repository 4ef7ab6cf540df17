/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages change between private and shared: GHCB specification, "SNP Page State Change", and the
 * PVALIDATE that goes with it
 *
 * The contents of a page do not survive. A page that is shared must not be used at its identity
 * address, which has the C-bit, and must be private and validated again before page_free().
 */
#ifndef SEV_PSC_H
#define SEV_PSC_H

#include <stdint.h>

#include <sev/abi.h>

/*
 * Makes a private, validated page shared, and back; by the MSR protocol. A failure is an error of
 * the test point. Both do nothing for SEV-ES without SNP, where the C-bit alone decides.
 * page_share() returns the address at which the page is seen.
 */
void *page_share(void *page);
void page_unshare(void *page);

/* A request of the MSR protocol; returns the response as it is. */
uint64_t psc_msr(uint64_t gfn, unsigned int operation);

/* What a request by the GHCB came to. */
struct psc_outcome {
	uint32_t info_1; /* GHCB_NO_ACTION, also where info_2 tells of an error */
	uint64_t info_2; /* PSC_DONE, PSC_BAD_HEADER, .. */
};

/* The buffer is copied to the GHCB's and back, as the hypervisor left it. */
struct psc_outcome psc_ghcb(struct psc_buffer *buffer);

#endif
