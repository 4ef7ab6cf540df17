// SPDX-License-Identifier: BSD-2-Clause
#include "end.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "options.h"
#include "say.h"
#include "undo.h"
#include "vcpu.h"
#include "vm.h"

#define NANOSECONDS 1000000000ull

static uint64_t start, first_output;
static atomic_flag claimed = ATOMIC_FLAG_INIT;

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * NANOSECONDS + (uint64_t)time.tv_nsec;
}

void end_start_clock(void)
{
	start = now();
}

uint64_t end_start_time(void)
{
	return start;
}

void end_note_output(void)
{
	first_output = now();
}

bool end_claim(void)
{
	return !atomic_flag_test_and_set(&claimed);
}

static void say_statistics(const struct vm *vm)
{
	uint64_t end = now(), exits = 0, output = first_output;

	for (unsigned int i = 0; i < vm->options->smp; i++)
		exits += vm->vcpus[i].exits;
	if (output)
		say("stats: first_output_ms=%" PRIu64 ".%03" PRIu64 " end_ms=%" PRIu64 ".%03" PRIu64
		    " exits=%" PRIu64,
		    (output - start) / 1000000, (output - start) / 1000 % 1000,
		    (end - start) / 1000000, (end - start) / 1000 % 1000, exits);
	else
		say("stats: first_output_ms=none end_ms=%" PRIu64 ".%03" PRIu64 " exits=%" PRIu64,
		    (end - start) / 1000000, (end - start) / 1000 % 1000, exits);
}

void end_now(const struct vm *vm, int status)
{
	if (vm->options->stats)
		say_statistics(vm);
	undo_now();
	_exit(status);
}
