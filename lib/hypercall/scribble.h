/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory with a known content that no hypervisor writes: what was not written shows
 */
#ifndef HYPERCALL_SCRIBBLE_H
#define HYPERCALL_SCRIBBLE_H

#include <stdint.h>

/* Every byte. */
#define SCRIBBLE 0xa5

/* A new page full of it. */
uint8_t *scribbled_page(void);

/* A page full of it to compare with: EXPECT_MEM_EQ(page, scribbled_bytes(), PAGE_SIZE). */
const uint8_t *scribbled_bytes(void);

#endif
