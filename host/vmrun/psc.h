/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page state changes: what an SEV-SNP guest asks KVM for, and KVM leaves to vmrun
 *
 * How they are answered, and what a guest can learn of them, is a promise: <vmrun/snp.h>, <vmrun/abi.h>.
 */
#ifndef VMRUN_PSC_H
#define VMRUN_PSC_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;
struct vm;

/* Answers a KVM_HC_MAP_GPA_RANGE, the vCPU's exit of this number: 0, or an error as KVM wants it. */
uint64_t psc_answer(struct vcpu *vcpu, uint64_t number, uint64_t gpa, uint64_t pages,
		    uint64_t attributes);

/* Makes pages of RAM private or shared, and gives back what they have held; 0 or an error as -errno. */
int32_t psc_change(const struct vm *vm, uint64_t gpa, uint64_t size, bool private);

/* The requests; 0 or an error as -errno. */
int32_t psc_record(const struct vcpu *vcpu, uint64_t number, uint64_t *gpa, uint32_t *pages,
		   uint32_t *attributes);
int32_t psc_fail(struct vcpu *vcpu, uint64_t skip);
/* KVM_CAP_EXIT_HYPERCALL, given or taken back. */
int32_t psc_capability(const struct vcpu *vcpu, bool on);
int32_t psc_private_pages(const struct vcpu *vcpu, uint64_t gpa, uint64_t size, uint64_t *count);

#endif
