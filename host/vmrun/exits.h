/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words for what KVM_RUN returned with, and for where the vCPU was
 */
#ifndef VMRUN_EXITS_H
#define VMRUN_EXITS_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;

/* The name of a KVM_EXIT_* number, with what it means where that helps. */
const char *exits_name(uint32_t reason);

/* Says what KVM tells about the exit in vcpu->run beyond its reason. */
void exits_say_details(const struct vcpu *vcpu);

/*
 * For an encrypted guest, whose registers are not to be seen: says in one line how it ended, where that can be told.
 * With reason vcpu->run tells; else only the cause is said.
 */
void exits_say_encrypted(const struct vcpu *vcpu, const char *cause, bool reason);

/* Says the registers in vcpu->state and the code at RIP. */
void exits_say_registers(const struct vcpu *vcpu);

#endif
