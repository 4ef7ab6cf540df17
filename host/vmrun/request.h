/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest asks of vmrun by the request port: <vmrun/abi.h>
 */
#ifndef VMRUN_REQUEST_H
#define VMRUN_REQUEST_H

#include <stdint.h>

struct vcpu;

/* Does what the request at this guest-physical address asks for, and answers it there. */
void request_serve(struct vcpu *vcpu, uint32_t address);

#endif
