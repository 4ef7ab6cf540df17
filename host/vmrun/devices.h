/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The I/O ports: COM1, the debug console and the exit port; all others are empty
 */
#ifndef VMRUN_DEVICES_H
#define VMRUN_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;

/* One KVM_EXIT_IO: count accesses of size bytes each (a string instruction has more than one). */
struct io {
	uint16_t port;
	unsigned int size;
	unsigned int count;
	uint8_t *data;
};

void devices_in(struct vcpu *vcpu, const struct io *io);

/* Returns whether the guest ends itself with this: its status is then the first byte of data. */
bool devices_out(struct vcpu *vcpu, const struct io *io);

#endif
