/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages of the guest's RAM that are absent until the guest wants them back
 *
 * KVM then meets what it would meet with memory that the host has swapped out, but for as long as the
 * guest wants: it is userfaultfd(2) that makes whoever touches such a page wait. Made ready at the
 * first request, so that other guests pay nothing.
 *
 * The results are 0 or an error as -errno, as requests have it.
 */
#ifndef VMRUN_PAGES_H
#define VMRUN_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "image.h"

struct vm;

/* Whether pages can be made absent. The reason, either way, is in *detail. */
bool pages_offered(struct message *detail);

/* Makes the pages of [gpa, gpa + size) absent. Their contents are kept. */
int32_t pages_out(const struct vm *vm, uint64_t gpa, uint64_t size);

/* Brings the page at gpa back, and lets go on who waits for it. */
int32_t pages_in(const struct vm *vm, uint64_t gpa);

/* How many faults on the absent page at gpa have begun to wait for it. */
int32_t pages_waiting(const struct vm *vm, uint64_t gpa, uint64_t *count);

/*
 * Whether vmrun itself can touch [gpa, gpa + size), which must lie in RAM, without having to wait for
 * the guest. Only a guest that pages this out at the same moment makes the answer worthless.
 */
bool pages_present(uint64_t gpa, uint64_t size);

#endif
