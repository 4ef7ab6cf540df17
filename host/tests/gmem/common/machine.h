/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM with one vCPU that makes one access to an address, as often as it is told
 *
 * It runs in real mode. Its code is in ordinary memory of its own, at address 0; the address that it
 * reads, writes or runs at is anywhere below 4 GiB, by the base of a segment.
 */
#ifndef GMEM_MACHINE_H
#define GMEM_MACHINE_H

#include "gmem.h"

struct machine {
	int vm, vcpu;
	struct kvm_run *run;
	volatile uint64_t *code;
	volatile uint64_t *shared; /* where machine_memory() was asked for: what the host maps */
};

enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_FETCH, ACCESSES };

/* A machine of this type; skips the point where the kernel has none. */
struct machine machine_new(unsigned long type);

/*
 * Ordinary memory in slot 1, with the pages of a file behind it (or none: -1), at this address. Every byte of
 * it is MACHINE_BYTE, a HLT: to be run as it is.
 */
void machine_memory(struct machine *machine, uint64_t gpa, unsigned int pages, int file);
#define MACHINE_BYTE 0xf4

/* Has the guest make the access: 0, or KVM_RUN's error, negative; what it read is in *value. */
int machine_access(const struct machine *machine, uint64_t gpa, enum access access, uint8_t *value);

/* KVM_SET_MEMORY_ATTRIBUTES: 0 or the negative errno. */
int machine_attributes(int vm, uint64_t gpa, uint64_t size, uint64_t attributes);

/*
 * Expects the read of an address to give this byte; or all accesses to be faults of a private page that is
 * not there.
 */
void machine_expect_byte(const struct machine *machine, uint64_t gpa, uint8_t byte);
void machine_expect_fault(const struct machine *machine, uint64_t gpa);

#endif
