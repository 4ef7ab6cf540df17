/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the fuzzers of the SEV-SNP ABI share: random values, rounds, and memory that must not change
 *
 * The seed is the TSC, or seed=N of the command line, and is told; seconds=N is how long a test point
 * takes.
 */
#ifndef SEV_FUZZ_H
#define SEV_FUZZ_H

#include <stdbool.h>
#include <stdint.h>

#include <libc/array.h>

uint64_t fuzz_next(void);
/* 0 to limit - 1 */
uint32_t fuzz_below(uint32_t limit);
bool fuzz_one_in(uint32_t count);
/* A number as mistakes are made of: small, near a power of two, or anything. */
uint64_t fuzz_number(void);

#define FUZZ_ONE_OF(array) ((array)[fuzz_below(COUNT_OF(array))])

/*
 * Three adjacent blocks of 2 MiB. What the fuzzer changes is in the middle one, which nobody has touched; the
 * two around it are private, and looked at in the end.
 */
struct fuzz_memory {
	uint8_t *below, *block, *above;
};

extern struct fuzz_memory fuzz_memory;

/* Runs rounds for so long; each returns what was wrong with it, or NULL. */
void fuzz_run(const char *(*round)(void));

#endif
