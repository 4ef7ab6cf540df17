// SPDX-License-Identifier: BSD-2-Clause
/*
 * How many pages change their state in a second
 *
 * By the MSR protocol each page is an exit of its own to KVM and on to the VMM, by a GHCB with one
 * entry likewise, a full buffer saves the first of the two for 252 of 253 pages, and one of adjacent
 * pages the second one, too. Each way changes pages to shared and back for a while, and tells how
 * many. What is checked is that every request was done; how fast it is, is for make bench.
 *
 * The pages are of 2 MiB that nobody has validated, so that it is the requests alone that are
 * measured.
 */
#include <sev/psc.h>
#include <test/test.h>
#include <x86/memory.h>
#include <x86/time.h>

#define MILLISECONDS 250

static uint64_t first_gfn(void)
{
	static uint8_t *block;

	if (!block)
		block = memory_untouched();
	return (uintptr_t)block >> PAGE_SHIFT;
}

/* One request, of so many pages. */
static bool by_msr(enum psc_operation operation)
{
	return psc_msr(first_gfn(), operation) == GHCB_MSR_PSC_RESP;
}

static bool by_buffer(enum psc_operation operation, unsigned int count, unsigned int step)
{
	static struct psc_buffer buffer;

	buffer.header = (struct psc_header){ .end_entry = (uint16_t)(count - 1) };
	for (unsigned int i = 0; i < count; i++)
		buffer.entries[i] = PSC_ENTRY(first_gfn() + i * step, operation, false, 0);
	return psc_ghcb(&buffer).info_2 == PSC_DONE;
}

static bool by_entry(enum psc_operation operation)
{
	return by_buffer(operation, 1, 1);
}

static bool by_scattered(enum psc_operation operation)
{
	return by_buffer(operation, PSC_ENTRIES, 2);
}

static bool by_adjacent(enum psc_operation operation)
{
	return by_buffer(operation, PSC_ENTRIES, 1);
}

static void measure(const char *name, bool (*request)(enum psc_operation operation),
		    unsigned int pages)
{
	struct deadline deadline;
	uint64_t changed = 0, ticks;

	REQUIRE(tsc_khz());
	first_gfn();
	deadline = (struct deadline){ .start = rdtsc() };
	do {
		if (!EXPECT_TRUE(request(PSC_SHARED)) || !EXPECT_TRUE(request(PSC_PRIVATE)))
			return;
		changed += 2 * pages;
	} while (!deadline_passed(&deadline, MILLISECONDS));
	ticks = rdtsc() - deadline.start;
	test_diag("pages changed per second by %s: %llu", name,
		  (unsigned long long)(changed * 1000 * tsc_khz() / ticks));
}

TEST("pages change one by one by the MSR protocol")
{
	measure("MSR", by_msr, 1);
}

TEST("pages change one by one by the GHCB")
{
	measure("GHCB, one entry", by_entry, 1);
}

TEST("pages apart from each other change by full buffers")
{
	measure("GHCB, 253 entries apart", by_scattered, PSC_ENTRIES);
}

TEST("adjacent pages change by full buffers")
{
	measure("GHCB, 253 entries adjacent", by_adjacent, PSC_ENTRIES);
}
