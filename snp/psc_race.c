// SPDX-License-Identifier: BSD-2-Clause
/*
 * A buffer that changes while the hypervisor works on it
 *
 * The request lies in shared memory, and another CPU of the guest can write to it at any time:
 * between the hypervisor's check of an entry and its use, and between the VMM's answer to one range
 * and the next. Nothing is promised of what such a guest gets done. But no page changes its state
 * that was in none of the entries, whatever was read when; the request comes to its end with one of
 * the results that there are; cur_entry and end_entry of the hypervisor's own copy keep it inside of
 * the buffer; and when the disturbance is over everything works. Here one CPU requests and the other
 * writes: other pages, other operations, sizes, counts of pages done, and the header. All pages it
 * names are of one block of 2 MiB that nobody uses; the blocks around it must not notice.
 *
 * Sources: GHCB specification, 4.1.6; KVM: arch/x86/kvm/svm/sev.c, snp_begin_psc, snp_do_psc,
 * __snp_complete_one_psc: "The PSC descriptor buffer can be modified by a misbehaved guest after
 * validation".
 */
#include <libc/array.h>
#include <libc/random.h>
#include <libc/string.h>
#include <sev/ghcb.h>
#include <sev/instructions.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>
#include <x86/platform.h>
#include <x86/smp.h>
#include <x86/time.h>

#define LARGE	  512
#define ROUNDS_MS 600

static uint8_t *below, *block, *above;
static bool stop;

static uint64_t first_gfn(void)
{
	return (uintptr_t)block >> PAGE_SHIFT;
}

static void number(uint8_t *memory, uint64_t seed)
{
	for (unsigned int i = 0; i < LARGE; i++)
		*(uint64_t *)(memory + i * PAGE_SIZE) = seed + i;
}

static void expect_numbers(uint8_t *memory, uint64_t seed)
{
	EXPECT_EQ(vmm_private_pages((uintptr_t)memory, LARGE * PAGE_SIZE), LARGE);
	for (unsigned int i = 0; i < LARGE; i++)
		if (!EXPECT_EQ(*(uint64_t *)(memory + i * PAGE_SIZE), seed + i, "page %u", i))
			return;
}

static void set_up(void)
{
	if (cpu_count() < 2)
		SKIP("needs 2 CPUs, and there is one");
	if (block)
		return;
	above = pages_alloc(PAGE_ORDER_MAX);
	block = memory_untouched();
	below = pages_alloc(PAGE_ORDER_MAX);
	REQUIRE(below + LARGE * PAGE_SIZE == block && block + LARGE * PAGE_SIZE == above);
	number(below, 0x1000);
	number(above, 0x2000);
}

/*
 * An entry that leads nowhere but into the block. None is 2 MiB half done: what KVM makes of its neighbours is
 * snp/psc_large.c's.
 */
static uint64_t random_entry(struct random *random)
{
	bool is_2m = !random_below(random, 8);
	uint64_t page = is_2m ? 0 : random_below(random, LARGE);
	uint64_t done = random_below(random, 4) ? 0 : random_below(random, 3);

	if (is_2m)
		done = done ? LARGE - 1 + done : 0;
	return PSC_ENTRY(first_gfn() + page, random_below(random, 6), is_2m, done);
}

static void fill(struct random *random, struct psc_buffer *buffer)
{
	memset(buffer, 0, sizeof(*buffer));
	buffer->header.end_entry = random_below(random, 24);
	for (unsigned int i = 0; i < 24; i++)
		buffer->entries[i] = random_entry(random);
}

/* What each writer does, over and over. */
struct disturbance {
	volatile struct psc_buffer *buffer;
	void (*write)(struct random *random, volatile struct psc_buffer *buffer);
	uint64_t writes;
};

static void write_entries(struct random *random, volatile struct psc_buffer *buffer)
{
	buffer->entries[random_below(random, 24)] = random_entry(random);
}

static void write_header(struct random *random, volatile struct psc_buffer *buffer)
{
	static const uint16_t values[] = { 0, 1, 7, 23, 24, 252, 253, 254, 0x7fff, 0xffff };

	buffer->header.cur_entry = values[random_below(random, COUNT_OF(values))];
	buffer->header.end_entry = values[random_below(random, COUNT_OF(values))];
}

static void write_all(struct random *random, volatile struct psc_buffer *buffer)
{
	write_entries(random, buffer);
	if (!random_below(random, 4))
		write_header(random, buffer);
}

static void disturb(void *argument)
{
	struct disturbance *disturbance = argument;
	struct random random = { .state = 0x5eed };

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		disturbance->write(&random, disturbance->buffer);
		disturbance->writes++;
	}
}

/* The one CPU's requests, with interrupts on in between, so that both have their turns. */
static bool is_result(uint64_t result)
{
	return result == PSC_DONE || result == PSC_BAD_HEADER || result == PSC_BAD_ENTRY ||
	       result == PSC_GENERIC;
}

/* Everything private again, and as one that nobody has validated. */
static void expect_block_usable(void)
{
	struct psc_buffer buffer = { .entries = { PSC_ENTRY(first_gfn(), PSC_PRIVATE, true, 0) } };

	EXPECT_EQ(psc_ghcb(&buffer).info_2, PSC_DONE);
	EXPECT_EQ(vmm_private_pages((uintptr_t)block, LARGE * PAGE_SIZE), LARGE);
	for (unsigned int i = 0; i < LARGE; i += 73) {
		uintptr_t page = (uintptr_t)block + i * PAGE_SIZE;
		struct rmp_outcome outcome = pvalidate_raw(page, RMP_4K, 1);

		EXPECT_EQ((uint32_t)outcome.rax, RMP_OK, "page %u", i);
		EXPECT_FALSE(outcome.carry, "page %u is validated", i);
		*(volatile uint64_t *)page = i;
		EXPECT_EQ(*(volatile uint64_t *)page, i, "page %u", i);
		pvalidate_raw(page, RMP_4K, 0);
	}
}

/* The GHCB of CPU 0, as CPU 1 sees it. */
static volatile struct psc_buffer *shared_buffer(void)
{
	return (void *)((uintptr_t)sev_shared((void *)(uintptr_t)ghcb_gpa()) +
			__builtin_offsetof(struct ghcb, shared_buffer));
}

static void check(void (*write)(struct random *random, volatile struct psc_buffer *buffer))
{
	struct disturbance disturbance = { .write = write };
	struct random random = { .state = cmdline_number("seed", 1) };
	struct deadline deadline;
	static struct psc_buffer buffer;
	unsigned int requests = 0, wrong = 0;
	uint64_t result = 0;

	set_up();
	disturbance.buffer = shared_buffer();
	stop = false;
	on_cpu_start(1, disturb, &disturbance);
	deadline = (struct deadline){ .start = rdtsc() };
	for (; !deadline_passed(&deadline, ROUNDS_MS); requests++) {
		uint64_t got;

		fill(&random, &buffer);
		got = psc_ghcb(&buffer).info_2;
		if (!is_result(got)) {
			wrong++;
			result = got;
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
	on_cpu_wait(1);
	test_diag("%u requests, %llu writes", requests, (unsigned long long)disturbance.writes);
	EXPECT_EQ(wrong, 0, "results that there are not, the last one 0x%llx",
		  (unsigned long long)result);
	expect_numbers(below, 0x1000);
	expect_numbers(above, 0x2000);
	expect_block_usable();
}

TEST("entries that change meanwhile change no page that none of them names")
{
	check(write_entries);
}

TEST("a header that changes meanwhile leads the hypervisor nowhere else")
{
	check(write_header);
}

TEST("header and entries that change meanwhile change no page that none of them names")
{
	check(write_all);
}
