/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What KVM's Xen ioctls set up for a guest that asks for it: <vmrun/xen.h>
 */
#ifndef VMRUN_XEN_STATE_H
#define VMRUN_XEN_STATE_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;
struct vm;
struct vmrun_request;

/* Does one of enum vmrun_xen_service; its status. */
int32_t xen_state_serve(struct vcpu *vcpu, struct vmrun_request *request);

/*
 * The two halves of a move: reads what KVM tells of the VM and its one vCPU, and writes it to new ones; of the VM when
 * its clock is set, of the vCPU when all else of it is. False with errno if KVM does not take it.
 */
void xen_state_get(const struct vm *vm);
bool xen_state_set_vm(const struct vm *vm);
bool xen_state_set_vcpu(const struct vm *vm);

#endif
