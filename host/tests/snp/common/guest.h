/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An SNP guest that does one thing at a time, as often as it is told: so is seen what the host has made of its
 * memory
 *
 * It is launched as any other, with a slot of its own below 64 KiB. Between guest_new() and guest_finish() a test
 * adds memory and launches pages of it. Each operation is one KVM_RUN, which ends by HLT.
 */
#ifndef SNP_GUEST_H
#define SNP_GUEST_H

#include "layout.h"
#include "sev.h"

struct guest {
	int vm, vcpu;
	struct kvm_run *run;
	volatile struct mailbox *box;
	bool stuck; /* in an operation that has ended with a memory fault */
};

/* An address as the guest sees the page with the C-bit, and without. */
#define PRIVATE(gpa) (gpa)
#define SHARED(gpa)  ((gpa) + VIEW_SHARED)

/* What an operation came to. */
struct outcome {
	int result;	/* of KVM_RUN: 0 or the negative errno */
	uint64_t value; /* what was read; or PVALIDATE's RAX */
	bool carry;	/* PVALIDATE: it was so before */
	uint64_t vc;	/* the error code of a #VC, or 0 */
};

#define VC_NOT_VALIDATED 0x404 /* APM volume 2, 15.36.10 */
#define PVALIDATE_OK	 0
#define PVALIDATE_SIZE	 6 /* FAIL_SIZEMISMATCH: APM volume 3, PVALIDATE */

struct guest guest_new(void);
void guest_finish(struct guest *guest);

struct outcome guest_read(struct guest *guest, uint64_t address);
struct outcome guest_write(struct guest *guest, uint64_t address, uint64_t value);
struct outcome guest_pvalidate(struct guest *guest, uint64_t address, bool large, bool valid);

/* The same with expectations: validates a page that is not; sees what is in a word; sees #VC. */
void guest_validate(struct guest *guest, uint64_t gpa);
void guest_expect(struct guest *guest, uint64_t address, uint64_t value);
void guest_expect_not_validated(struct guest *guest, uint64_t gpa);

/* An access to this address ends KVM_RUN as a memory fault of its page, private or not. */
void guest_expect_fault(struct guest *guest, uint64_t address, uint64_t gpa, bool private);

#endif
