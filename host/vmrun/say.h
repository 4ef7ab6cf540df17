/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What vmrun says on stderr, and its own exit statuses
 */
#ifndef VMRUN_SAY_H
#define VMRUN_SAY_H

/* The guest's own status is what it writes to VMRUN_PORT_EXIT. */
enum {
	STATUS_TIMEOUT = 124, /* the time limit was reached, and the guest still ran */
	STATUS_FAILED = 125,  /* vmrun could not do what it was asked for */
	STATUS_DIED = 126,    /* the guest, its vCPU or KVM cannot go on */
};

/* Writes "vmrun: " and one line to stderr, whole even if several threads do so. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* Says so and ends with STATUS_FAILED. For the time before the guest runs. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

#endif
