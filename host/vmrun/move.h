/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A running VM replaced by a new one on the same memory
 */
#ifndef VMRUN_MOVE_H
#define VMRUN_MOVE_H

#include <stdbool.h>

#include "saved.h"

struct vcpu;

/*
 * To be called by the thread of the VM's only vCPU, between two KVM_RUN, with no I/O of it under
 * way. With shadow the state that moves has an interrupt shadow over the next instruction. False
 * with the step in *error: the vCPU is in the old VM then, as if nothing had been.
 */
bool move(struct vcpu *vcpu, bool shadow, struct saved_error *error);

#endif
