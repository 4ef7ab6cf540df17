// SPDX-License-Identifier: BSD-2-Clause
#include "touch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <test/test.h>
#include <unistd.h>

#define CHILD_FAULTED 99

static sigjmp_buf escape;
static volatile bool expected;
static volatile struct touch caught;
static pid_t owner;

/* The signals are synchronous: what they interrupt is an access of this program, no library. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (expected) {
		caught.signal = signal;
		caught.code = info->si_code;
		caught.address = info->si_addr;
		siglongjmp(escape, 1);
	}
	if (getpid() != owner)
		_exit(CHILD_FAULTED);
	FAIL("an access to %p got signal %d (%s), code %d", info->si_addr, signal,
	     strsignal(signal), info->si_code);
	test_abort();
}

/* SA_NODEFER: the handler is left by jumps, and must be entered again. */
__attribute__((constructor)) static void catch_faults(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };

	owner = getpid();
	if (sigaction(SIGBUS, &action, NULL) || sigaction(SIGSEGV, &action, NULL))
		_exit(CHILD_FAULTED);
}

static void begin(void)
{
	caught.signal = 0;
	caught.code = 0;
	caught.address = NULL;
	caught.value = 0;
	expected = true;
}

static struct touch end(void)
{
	expected = false;
	return (struct touch){ caught.signal, caught.code, caught.address, caught.value };
}

struct touch touch_read(const volatile uint64_t *word)
{
	begin();
	if (!sigsetjmp(escape, 0))
		caught.value = *word;
	return end();
}

struct touch touch_write(volatile uint64_t *word, uint64_t value)
{
	begin();
	if (!sigsetjmp(escape, 0))
		*word = value;
	return end();
}

static uint64_t pattern(size_t word, uint32_t seed)
{
	return (uint64_t)seed << 32 | (uint32_t)word | 1ull << 31;
}

void pages_fill(volatile uint64_t *memory, unsigned int first, unsigned int count, uint32_t seed)
{
	for (size_t i = first * PAGE_WORDS; i < (first + count) * PAGE_WORDS; i++)
		memory[i] = pattern(i, seed);
}

size_t pages_changed(const volatile uint64_t *memory, unsigned int first, unsigned int count,
		     uint32_t seed)
{
	size_t changed = 0;

	for (size_t i = first * PAGE_WORDS; i < (first + count) * PAGE_WORDS; i++)
		changed += memory[i] != pattern(i, seed);
	return changed;
}

size_t pages_not_zero(const volatile uint64_t *memory, unsigned int first, unsigned int count)
{
	size_t found = 0;

	for (size_t i = first * PAGE_WORDS; i < (first + count) * PAGE_WORDS; i++)
		found += memory[i] != 0;
	return found;
}
