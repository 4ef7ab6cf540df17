/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses to mapped memory that the compiler must make, and what came of them
 *
 * Every access of the tests goes through a volatile pointer: of ordinary memory the compiler may
 * assume that what was written is still there, leave the read out, and so let a test pass that
 * never looked (the review of the kernel's guest_memfd_test.c found just that).
 *
 * A SIGBUS or SIGSEGV outside touch_read() and touch_write() fails the point and ends it.
 */
#ifndef GMEM_TOUCH_H
#define GMEM_TOUCH_H

#include <stddef.h>
#include <stdint.h>

struct touch {
	int signal; /* 0: the access went through */
	int code;
	const volatile void *address;
	uint64_t value; /* what was read */
};

struct touch touch_read(const volatile uint64_t *word);
struct touch touch_write(volatile uint64_t *word, uint64_t value);

/* Whole pages: each word of the file gets a value of its own, which no other seed gives. */
void pages_fill(volatile uint64_t *memory, unsigned int first, unsigned int count, uint32_t seed);

/* How many words are not what pages_fill() wrote there; how many are not zero. */
size_t pages_changed(const volatile uint64_t *memory, unsigned int first, unsigned int count,
		     uint32_t seed);
size_t pages_not_zero(const volatile uint64_t *memory, unsigned int first, unsigned int count);

#define PAGE_WORDS 512u

#endif
