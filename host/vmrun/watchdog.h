/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The time limit: a thread that stops all vCPUs when it is reached, and says what they were doing
 */
#ifndef VMRUN_WATCHDOG_H
#define VMRUN_WATCHDOG_H

#include <stdbool.h>

struct vm;

/* How long a vCPU may take to leave KVM_RUN before it counts as stuck in the host's kernel. */
#define WATCHDOG_GRACE_SECONDS 2

/* Starts its thread. The limit counts from the start of vmrun. */
void watchdog_start(struct vm *vm);

/* Whether vCPUs are to park; asked after KVM_RUN was interrupted. */
bool watchdog_wants_stop(void);

/* A vCPU reports that its state can be read. */
void watchdog_note_parked(void);

#endif
