// SPDX-License-Identifier: BSD-2-Clause
/*
 * tsc: prints the frequency of this machine's TSC in kHz
 *
 * It is L1's as well: the RDTSC of QEMU's TCG is that of the machine under it, less an offset
 * (include/qemu/timer.h, cpu_get_host_ticks). Left to itself L1 measures it by an emulated PIT while
 * QEMU's thread may not run for milliseconds at a time: on a busy machine a tenth of the truth was
 * seen, and every time limit in that snapshot came ten times too early.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define ATTEMPTS     50
#define INTERVAL_NS  50000000ull
#define KHZ_PER_TICK 1000000ull /* for ticks per nanosecond */

struct moment {
	uint64_t tsc, ns;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Both clocks at once: of several attempts the one that least came between. */
static struct moment moment(void)
{
	struct moment best = { 0, 0 };
	uint64_t least = UINT64_MAX;

	for (unsigned int i = 0; i < ATTEMPTS; i++) {
		uint64_t before = __rdtsc(), ns = now_ns(), after = __rdtsc();

		if (after - before >= least)
			continue;
		least = after - before;
		best = (struct moment){ before + least / 2, ns };
	}
	return best;
}

int main(void)
{
	struct timespec interval = { .tv_nsec = INTERVAL_NS };
	struct moment first = moment(), last;

	nanosleep(&interval, NULL);
	last = moment();
	printf("%llu\n",
	       (unsigned long long)((last.tsc - first.tsc) * KHZ_PER_TICK / (last.ns - first.ns)));
	return fflush(stdout) ? 1 : 0;
}
