// SPDX-License-Identifier: BSD-2-Clause
/*
 * RAM that is a guest_memfd, with several CPUs: holes and mappings that come and go under their hands
 *
 * A hole takes the page from the page tables of the guest before it takes it from the file, and no CPU
 * gets it again in between (virt/kvm/guest_memfd.c, kvm_gmem_punch_hole: kvm_gmem_invalidate_start, then
 * truncate_inode_pages_range, then kvm_gmem_invalidate_end). So a CPU that uses the page finds what was
 * written before the hole, or zero, or what was written after it; once the hole is done nobody finds
 * anything older; and pages beside it stay. What the host maps and unmaps does not matter at all.
 */
#include <kvm/area.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>
#include <x86/smp.h>
#include <x86/time.h>

#define CPUS	   2
#define ROUNDS	   200
#define USES	   100 /* of CPU 1, while CPU 0 does its rounds and some more */
#define WAIT_MS	   5000
#define OLD	   0x5a5a5a5a5a5a5a5aull

#define WORD_OF(p) (*(volatile uint64_t *)(p))

struct work {
	uint8_t *pages;
	unsigned int here;
	bool done;
	unsigned int rounds; /* of the CPU that uses the pages */
};

static void meet(struct work *work)
{
	__atomic_add_fetch(&work->here, 1, __ATOMIC_SEQ_CST);
	ASSERT_TRUE(WAIT_FOR(__atomic_load_n(&work->here, __ATOMIC_SEQ_CST) == CPUS, WAIT_MS));
}

static bool is_done(const struct work *work)
{
	return __atomic_load_n(&work->done, __ATOMIC_SEQ_CST);
}

static bool is_used(const struct work *work)
{
	return __atomic_load_n(&work->rounds, __ATOMIC_RELAXED) >= USES;
}

static struct work work_in(unsigned int order)
{
	REQUIRE(cpu_count() >= CPUS);
	return (struct work){ .pages = pages_alloc(order) };
}

/* Runs one function on CPU 1, and another here until it is done with its rounds. */
static void run(struct work *work, cpu_function *other, void (*round)(struct work *))
{
	struct deadline deadline = { .start = rdtsc() };
	unsigned int i = 0;

	on_cpu_start(1, other, work);
	meet(work);
	/* The host may run the CPUs one after the other for a while. */
	while (!test_failed() &&
	       (i++ < ROUNDS || (!is_used(work) && !deadline_passed(&deadline, WAIT_MS))))
		round(work);
	__atomic_store_n(&work->done, true, __ATOMIC_SEQ_CST);
	on_cpu_wait(1);
	EXPECT_TRUE(is_used(work));
}

/* Finds the page old or zero in each of its words, and writes it anew. */
static void use_punched(void *argument)
{
	struct work *work = argument;
	volatile uint64_t *words = (volatile uint64_t *)work->pages;

	meet(work);
	for (; !is_done(work); work->rounds++) {
		volatile uint64_t *word = &words[work->rounds * 67 % 512];
		uint64_t value = *word;

		if (value != 0 && value != OLD) {
			FAIL("0x%llx was never written", (unsigned long long)value);
			return;
		}
		*word = OLD;
	}
}

static void punch_used(struct work *work)
{
	EXPECT_EQ(vmm_punch((uintptr_t)work->pages, PAGE_SIZE), 0);
}

TEST("a CPU that uses a page while it is punched finds what it wrote, or zero")
{
	struct work work = work_in(0);

	run(&work, use_punched, punch_used);
	EXPECT_EQ(vmm_punch((uintptr_t)work.pages, PAGE_SIZE), 0);
	EXPECT_EQ(area_not_zero(work.pages, PAGE_SIZE), 0);
}

/* Counts up in every word of the second of three pages: nothing may be lost. */
static void use_beside(void *argument)
{
	struct work *work = argument;
	volatile uint64_t *words = (volatile uint64_t *)(work->pages + PAGE_SIZE);

	for (unsigned int i = 0; i < 512; i++)
		words[i] = 0;
	meet(work);
	for (; !is_done(work); work->rounds++) {
		volatile uint64_t *word = &words[work->rounds * 67 % 512];

		if (*word != work->rounds / 512) {
			FAIL("round %u: 0x%llx", work->rounds, (unsigned long long)*word);
			return;
		}
		(*word)++;
	}
}

static void punch_beside(struct work *work)
{
	uint8_t *third = work->pages + 2 * PAGE_SIZE;

	WORD_OF(work->pages) = WORD_OF(third) = OLD;
	EXPECT_EQ(vmm_punch((uintptr_t)work->pages, PAGE_SIZE), 0);
	EXPECT_EQ(WORD_OF(work->pages), 0);
	EXPECT_EQ(WORD_OF(third), OLD);
	EXPECT_EQ(vmm_punch((uintptr_t)third, PAGE_SIZE), 0);
	EXPECT_EQ(WORD_OF(third), 0);
}

TEST("a CPU loses nothing in a page between two that are punched")
{
	struct work work = work_in(2);

	run(&work, use_beside, punch_beside);
}

static void map_used(struct work *work)
{
	EXPECT_EQ(vmm_host_unmap((uintptr_t)work->pages, 4 * PAGE_SIZE), 0);
	EXPECT_EQ(vmm_host_map((uintptr_t)work->pages, 4 * PAGE_SIZE), 0);
}

TEST("a CPU loses nothing in a page that the host maps and unmaps")
{
	struct work work = work_in(2);

	run(&work, use_beside, map_used);
}

/* Both CPUs punch, each its own page, which lie side by side. */
static void punch_own(void *argument)
{
	struct work *work = argument;
	uint8_t *page = work->pages + cpu_id() * PAGE_SIZE;

	meet(work);
	for (unsigned int i = 0; i < ROUNDS && !test_failed(); i++) {
		WORD_OF(page) = WORD_OF(page + PAGE_SIZE - 8) = OLD;
		EXPECT_EQ(vmm_punch((uintptr_t)page, PAGE_SIZE), 0);
		EXPECT_EQ(WORD_OF(page), 0);
		EXPECT_EQ(WORD_OF(page + PAGE_SIZE - 8), 0);
	}
}

TEST("two CPUs punch pages that lie side by side, at once")
{
	struct work work = work_in(1);

	on_all_cpus(punch_own, &work);
}

static void expect_old(void *argument)
{
	EXPECT_EQ(WORD_OF(argument), OLD);
}

static void expect_zero(void *argument)
{
	EXPECT_EQ(WORD_OF(argument), 0);
}

TEST("once a hole is done, no CPU finds the old page")
{
	struct work work = work_in(0);

	for (unsigned int i = 0; i < ROUNDS / 10; i++) {
		WORD_OF(work.pages) = OLD;
		on_all_cpus(expect_old, work.pages);
		EXPECT_EQ(vmm_punch((uintptr_t)work.pages, PAGE_SIZE), 0);
		on_all_cpus(expect_zero, work.pages);
	}
}
