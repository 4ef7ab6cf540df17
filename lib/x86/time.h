/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time, by the TSC
 *
 * The frequency is looked for when first needed: under a hypervisor by CPUID leaf 0x40000010, or leaf
 * 0x15; else by 10 ms of the PIT. It serves for limits and rough delays, and is not for exact measurements.
 */
#ifndef X86_TIME_H
#define X86_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/smp.h>

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
	return (uint64_t)high << 32 | low;
}

/* The same with what is in TSC_AUX. Where CPUID leaf 0x80000001 has EDX bit 27. */
static inline uint64_t rdtscp(uint32_t *aux)
{
	uint32_t low, high;

	asm volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(*aux)::"memory");
	return (uint64_t)high << 32 | low;
}

/* TSC ticks in a millisecond. */
uint64_t tsc_khz(void);

/* Spins for this many microseconds. */
void delay_us(uint64_t microseconds);

/* A wait with an end. Use WAIT_FOR(). */
struct deadline {
	uint64_t start;
	uint64_t ticks; /* 0: not yet known */
};

/*
 * Whether so many milliseconds have passed since deadline->start. Asks for the TSC's frequency only
 * after the first couple of million ticks, which no sane frequency makes a millisecond.
 */
bool deadline_passed(struct deadline *deadline, uint64_t milliseconds);

/* Whether the condition became true within this time; it is looked at once more at the end. */
#define WAIT_FOR(condition, milliseconds)                              \
	({                                                             \
		struct deadline wait_deadline = { .start = rdtsc() };  \
		bool wait_done;                                        \
		while (!(wait_done = (condition)) &&                   \
		       !deadline_passed(&wait_deadline, milliseconds)) \
			cpu_relax();                                   \
		wait_done || (condition);                              \
	})

#endif
