/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random numbers that a seed repeats: SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom
 * Number Generators", 2014). Any seed will do.
 */
#ifndef LIBC_RANDOM_H
#define LIBC_RANDOM_H

#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
	uint64_t value = random->state += 0x9e3779b97f4a7c15ull;

	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
	value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
	return value ^ (value >> 31);
}

/* 0 to limit - 1, near enough evenly; limit is not 0. */
static inline uint32_t random_below(struct random *random, uint32_t limit)
{
	return (uint32_t)((random_next(random) >> 32) * limit >> 32);
}

#endif
