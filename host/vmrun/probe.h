/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --probe: what the KVM here offers of what tests can require
 */
#ifndef VMRUN_PROBE_H
#define VMRUN_PROBE_H

/* Prints one line for each capability to stdout: its name, "yes" or "no", and the detail. */
void probe(void);

#endif
