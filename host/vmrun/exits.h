/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words for what KVM_RUN returned with, and for where the vCPU was
 */
#ifndef VMRUN_EXITS_H
#define VMRUN_EXITS_H

#include <stdint.h>

struct vcpu;

/* The name of a KVM_EXIT_* number, with what it means where that helps. */
const char *exits_name(uint32_t reason);

/* Says what KVM tells about the exit in vcpu->run beyond its reason. */
void exits_say_details(const struct vcpu *vcpu);

/* Says the registers in vcpu->state and the code at RIP. */
void exits_say_registers(const struct vcpu *vcpu);

#endif
