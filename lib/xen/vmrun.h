/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What vmrun says of the Xen hypercalls that reached it: see <vmrun/abi.h>
 *
 * A VMM that does not answer is an error of the test point: the test was sent to the wrong host.
 */
#ifndef XEN_VMRUN_H
#define XEN_VMRUN_H

#include <stdbool.h>
#include <stdint.h>
#include <vmrun/abi.h>
#include <xen/abi.h>

/* In 32-bit code each word is cut to 32 bits: that is what the register of the result holds. */
struct xen_record {
	uintptr_t number;
	uintptr_t arguments[XEN_ARGUMENTS];
	unsigned int cpl;
	bool longmode;
};

/* Ends the test point with a skip where there is no vmrun that Xen's calls come to, since Xen itself or QEMU takes them. */
void xen_skip_without_vmrun(void);

/* This CPU's last call to reach vmrun, reading the record apart. */
struct xen_record xen_last_call(void);

/* How many calls have reached vmrun, from all CPUs; asking does not count. */
unsigned long xen_calls_counted(void);

#endif
