/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of vmrun, which any vCPU or the watchdog may bring about
 *
 * There is no way back from the run of a guest to main(): whoever ends it claims the end, says why,
 * and ends the process. The kernel takes the VM down.
 */
#ifndef VMRUN_END_H
#define VMRUN_END_H

#include <stdbool.h>
#include <stdint.h>

struct vm;

/* To be called first in main(): from here on time is measured. */
void end_start_clock(void);

/* Nanoseconds of CLOCK_MONOTONIC when end_start_clock() was called. */
uint64_t end_start_time(void);

/* Notes that the guest's first output was just written. */
void end_note_output(void);

/* True for the first who asks, who must then call end_now(); false for all others. */
bool end_claim(void);

/* Ends the process, after the statistics if --stats asked for them. */
__attribute__((noreturn)) void end_now(const struct vm *vm, int status);

#endif
