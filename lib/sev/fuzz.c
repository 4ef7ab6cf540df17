// SPDX-License-Identifier: BSD-2-Clause
#ifdef __x86_64__
#include <sev/fuzz.h>

#include <libc/random.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>
#include <x86/platform.h>
#include <x86/time.h>

#define LARGE	512
#define SECONDS 1

struct fuzz_memory fuzz_memory;
static struct random random;

uint64_t fuzz_next(void)
{
	return random_next(&random);
}

uint32_t fuzz_below(uint32_t limit)
{
	return random_below(&random, limit);
}

bool fuzz_one_in(uint32_t count)
{
	return !fuzz_below(count);
}

uint64_t fuzz_number(void)
{
	uint64_t power = 1ull << fuzz_below(64);

	switch (fuzz_below(4)) {
	case 0:
		return fuzz_below(20);
	case 1:
		return power - 1 + fuzz_below(3);
	case 2:
		return -(uint64_t)fuzz_below(20);
	default:
		return random_next(&random);
	}
}

static void number(uint8_t *memory, uint64_t seed)
{
	for (unsigned int i = 0; i < LARGE * PAGE_SIZE / sizeof(uint64_t); i++)
		((uint64_t *)memory)[i] = seed + i;
}

static void expect_untouched(uint8_t *memory, uint64_t seed, const char *name)
{
	EXPECT_EQ(vmm_private_pages((uintptr_t)memory, LARGE * PAGE_SIZE), LARGE, "%s", name);
	for (unsigned int i = 0; i < LARGE * PAGE_SIZE / sizeof(uint64_t); i++)
		if (!EXPECT_EQ(((uint64_t *)memory)[i], seed + i, "%s, word %u", name, i))
			return;
}

static void set_up(void)
{
	uint64_t seed = cmdline_number("seed", rdtsc());

	random.state = seed;
	test_diag("seed=%llu", (unsigned long long)seed);
	if (fuzz_memory.block)
		return;
	fuzz_memory.above = pages_alloc(PAGE_ORDER_MAX);
	fuzz_memory.block = memory_untouched();
	fuzz_memory.below = pages_alloc(PAGE_ORDER_MAX);
	REQUIRE(fuzz_memory.below + LARGE * PAGE_SIZE == fuzz_memory.block &&
		fuzz_memory.block + LARGE * PAGE_SIZE == fuzz_memory.above);
	number(fuzz_memory.below, 0x100000000);
	number(fuzz_memory.above, 0x200000000);
}

static void check_memory(void)
{
	expect_untouched(fuzz_memory.below, 0x100000000, "the 2 MiB below");
	expect_untouched(fuzz_memory.above, 0x200000000, "the 2 MiB above");
}

void fuzz_run(const char *(*round)(void))
{
	uint64_t milliseconds = cmdline_number("seconds", SECONDS) * 1000, rounds = 0;
	struct deadline deadline;
	const char *wrong = NULL;

	set_up();
	deadline = (struct deadline){ .start = rdtsc() };
	while (!wrong && !deadline_passed(&deadline, milliseconds)) {
		wrong = round();
		rounds++;
	}
	test_diag("%llu rounds", (unsigned long long)rounds);
	if (wrong)
		FAIL("round %llu: %s", (unsigned long long)rounds, wrong);
	check_memory();
}
#endif
