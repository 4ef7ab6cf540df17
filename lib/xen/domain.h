/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine as the real Xen gives it, where nothing answers at vmrun's ports: a console, and a way to end
 *
 * Not for tests: what these need lies beside what a test looks at. One that takes the console's event channel, or
 * unmaps its page, will not be heard.
 */
#ifndef XEN_DOMAIN_H
#define XEN_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether CPUID shows Xen, and Xen has a console for this guest. The first call looks; no two CPUs may make it. */
bool xen_domain_find(void);

/* Writes to the console, and waits as long as it takes whoever reads it. */
void xen_domain_write(const char *text, size_t size);

/* Ends the machine with this status, if xen_domain_find() has found one; returns otherwise. */
void xen_domain_exit(uint8_t status);

#endif
