/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --synic: the VMM's part of Hyper-V's synthetic interrupt controller
 *
 * KVM has the registers, and raises a SINT's vector; messages, event flags and connections are the
 * VMM's. Which connections there are is a promise to guests: <vmrun/abi.h>.
 */
#ifndef VMRUN_SYNIC_H
#define VMRUN_SYNIC_H

#include <linux/kvm.h>
#include <stdint.h>

#include "vm.h"

/* fail()s unless KVM can do what --synic asks for. */
void synic_require(const struct vm *vm);

/* Makes the SynIC of a vCPU active. */
void synic_activate(int vcpu_fd);

/* After that of all vCPUs: gives each SINT an interrupt line, and the guest its connections. */
void synic_connect(const struct vm *vm);

/* A KVM_EXIT_HYPERV_SYNIC: the guest has moved the pages of this vCPU. */
void synic_moved(struct vcpu *vcpu, const struct kvm_hyperv_exit *exit);

/* HvCallPostMessage and HvCallSignalEvent. Return the status of the call. */
uint64_t synic_post_message(struct vm *vm, uint64_t gpa);
uint64_t synic_signal_event(struct vm *vm, uint64_t event);

/* VMRUN_SINT_ACKS, VMRUN_CONNECTION_SIGNALS: the status of the request. */
int32_t synic_acks(const struct vm *vm, uint64_t id, uint64_t *value);
int32_t synic_signals(uint64_t *value);

#endif
