/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages of the guest's RAM that the host's kernel has swapped out
 *
 * What pages.h does by userfaultfd for as long as the guest wants, the kernel's memory management does
 * here as it does under pressure: the page is written to swap, and read when it is touched.
 */
#ifndef VMRUN_SWAP_H
#define VMRUN_SWAP_H

#include <stdbool.h>
#include <stdint.h>

#include "image.h"

struct vm;

/* Whether there is swap from which a page is not read at once. The reason, either way, is in *detail. */
bool swap_offered(struct message *detail);

/* Swaps the page at gpa out. 0, or an error as -errno. */
int32_t swap_out(const struct vm *vm, uint64_t gpa);

#endif
