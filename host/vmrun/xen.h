/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of Xen's ABI that KVM leaves to the VMM
 *
 * How hypercalls are answered is a promise to guests: <vmrun/abi.h>.
 */
#ifndef VMRUN_XEN_H
#define VMRUN_XEN_H

#include <linux/kvm.h>

#include "vm.h"

/* Turns KVM's own hypercall page and the interception of calls on; fail()s if KVM has none. */
void xen_enable(const struct vm *vm);

/* Answers a KVM_EXIT_XEN: returns false if it is of a kind that is not known. */
bool xen_exit(struct vcpu *vcpu, struct kvm_xen_exit *exit);

#endif
