/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages that the guest makes private or shared, and accesses to which KVM finds no page
 *
 * How hypercalls are answered, and what a guest can ask for, is a promise: <vmrun/abi.h>.
 */
#ifndef VMRUN_CONVERSION_H
#define VMRUN_CONVERSION_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;
struct vm;

/* Has KVM_HC_MAP_GPA_RANGE come to vmrun; fail()s if KVM refuses. */
void conversion_enable(const struct vm *vm);

/* Answers a KVM_EXIT_HYPERCALL: returns false if it is of a kind that is not known. */
bool conversion_call(struct vcpu *vcpu);

/* After a KVM_EXIT_MEMORY_FAULT: whether the guest goes on, by what it has asked for. */
bool conversion_fault(struct vcpu *vcpu);

/* The requests; 0 or an error as -errno. */
int32_t conversion_set(const struct vm *vm, uint64_t gpa, uint64_t size, uint64_t attributes);
int32_t conversion_fault_way(struct vcpu *vcpu, uint64_t way, uint64_t attributes);
int32_t conversion_record(const struct vcpu *vcpu, uint64_t word, uint64_t *value);

#endif
