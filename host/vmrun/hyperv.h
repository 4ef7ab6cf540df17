/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of Hyper-V's ABI that KVM leaves to the VMM
 *
 * How hypercalls are answered is a promise to guests: <vmrun/abi.h>. The SynIC: synic.h.
 */
#ifndef VMRUN_HYPERV_H
#define VMRUN_HYPERV_H

#include <linux/kvm.h>

#include "vm.h"

/* fail()s unless KVM can do what --hyperv and --enforce-cpuid ask for. */
void hyperv_require(const struct vm *vm);

/* All Hyper-V leaves that KVM supports. */
void hyperv_get_cpuid(const struct vm *vm, struct cpuid *cpuid);

/* Makes KVM refuse the vCPU what its CPUID leaves do not offer. */
void hyperv_enforce_cpuid(int vcpu_fd);

/* Answers a KVM_EXIT_HYPERV: returns false if it is of a kind that is not known. */
bool hyperv_exit(struct vcpu *vcpu, struct kvm_hyperv_exit *exit);

/* A KVM_EXIT_SYSTEM_EVENT: returns false if the guest does not expect one of this type. */
bool hyperv_event(struct vcpu *vcpu, uint32_t type);

/* VMRUN_EXPECT_EVENT, VMRUN_HYPERV_EXIT: the status of the request. */
int32_t hyperv_expect_event(struct vcpu *vcpu, uint64_t type, uint64_t *value);
int32_t hyperv_recorded(const struct vcpu *vcpu, uint64_t word, uint64_t *value);

#endif
