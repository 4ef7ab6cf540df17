// SPDX-License-Identifier: BSD-2-Clause
/*
 * Private memory with several CPUs: conversions at once, beside pages that are in use
 *
 * A conversion takes pages out of the page tables of all CPUs, and changes what KVM knows of the 2 MiB
 * around them (arch/x86/kvm/mmu/mmu.c, kvm_arch_pre_set_memory_attributes and
 * kvm_arch_post_set_memory_attributes), one conversion at a time (virt/kvm/kvm_main.c,
 * kvm_vm_set_mem_attributes: slots_lock). Other CPUs that use pages beside them go on, and find all that
 * they wrote; a CPU that uses the page itself finds the private one or the shared one, and nothing else.
 * KVM may then call it a memory fault that it saw the attribute change in between
 * (kvm_mmu_faultin_pfn), after which the VMM runs the CPU again, as vmrun does.
 *
 * All rounds are bounded, and all CPUs work on pages of the same 2 MiB but where it says otherwise.
 */
#include <kvm/area.h>
#include <kvm/hypercall.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/paging.h>
#include <x86/smp.h>
#include <x86/time.h>

#define ORDER_2M      9
#define SIZE_2M	      LEVEL_SIZE(LEVEL_2M)
#define ROUNDS	      100
#define CPUS	      4
#define WAIT_MS	      5000
#define SHARED_VALUE  0x5a5a5a5a5a5a5a5aull
#define PRIVATE_VALUE 0xa5a5a5a5a5a5a5a5ull

#define WORD_OF(p)    (*(volatile uint64_t *)(p))

struct work {
	uint8_t *area;	     /* 2 MiB */
	unsigned int here;   /* how many CPUs have begun */
	unsigned int rounds; /* of those that use pages */
	bool done;	     /* those that convert are */
};

static bool is_done(const struct work *work)
{
	return __atomic_load_n(&work->done, __ATOMIC_SEQ_CST);
}

/* All begin at the same time. */
static void meet(struct work *work)
{
	__atomic_add_fetch(&work->here, 1, __ATOMIC_SEQ_CST);
	ASSERT_TRUE(WAIT_FOR(__atomic_load_n(&work->here, __ATOMIC_SEQ_CST) == CPUS, WAIT_MS));
}

/* Uses a page of its own until the others are done: each round finds what the one before wrote. */
static void use_page(struct work *work, unsigned int index)
{
	volatile uint64_t *words = (volatile uint64_t *)(work->area + index * PAGE_SIZE);
	uint64_t round = 0;

	for (unsigned int i = 0; i < 512; i++)
		words[i] = 0;
	meet(work);
	for (; !is_done(work); round++) {
		unsigned int at = round * 67 % 512;
		uint64_t before = round / 512;

		if (words[at] != before) {
			FAIL("page %u, word %u, round %llu: 0x%llx", index, at,
			     (unsigned long long)round, (unsigned long long)words[at]);
			return;
		}
		words[at] = before + 1;
	}
	__atomic_add_fetch(&work->rounds, round > 0, __ATOMIC_SEQ_CST);
}

/* Converts a range to and fro, and finds on each side what it left there. */
static void convert(struct work *work, unsigned int index, unsigned int count, unsigned int rounds)
{
	uint8_t *range = work->area + index * PAGE_SIZE;
	size_t size = count * PAGE_SIZE;

	meet(work);
	for (unsigned int round = 0; round < rounds && !test_failed(); round++) {
		WORD_OF(range) = WORD_OF(range + size - 8) = 2 * round;
		EXPECT_EQ(kvm_make_private((uintptr_t)range, size), 0);
		if (round > 0)
			EXPECT_EQ(WORD_OF(range), 2 * round - 1, "private, page %u", index);
		WORD_OF(range) = WORD_OF(range + size - 8) = 2 * round + 1;
		EXPECT_EQ(kvm_make_shared((uintptr_t)range, size), 0);
		EXPECT_EQ(WORD_OF(range), 2 * round, "shared, page %u", index);
		EXPECT_EQ(WORD_OF(range + size - 8), 2 * round, "shared, page %u", index);
	}
}

static void one_by_one(void *argument)
{
	struct work *work = argument;
	unsigned int cpu = cpu_id();

	/* Pages 0 and 2 are converted, 1 and 3 beside them are used. */
	if (cpu % 2) {
		use_page(work, cpu);
		return;
	}
	convert(work, cpu, 1, ROUNDS);
	if (__atomic_add_fetch(&work->rounds, 0x100, __ATOMIC_SEQ_CST) >> 8 == 2)
		__atomic_store_n(&work->done, true, __ATOMIC_SEQ_CST);
}

static struct work work_in(uint8_t *area)
{
	REQUIRE(cpu_count() >= CPUS);
	return (struct work){ .area = area };
}

TEST("two CPUs convert pages while two others use the pages in between")
{
	struct work work = work_in(pages_alloc(ORDER_2M));

	area_fill(work.area + CPUS * PAGE_SIZE, SIZE_2M - CPUS * PAGE_SIZE, 1);
	on_all_cpus(one_by_one, &work);
	EXPECT_EQ(work.rounds, 0x202, "two that converted, and two that got something done");
	EXPECT_EQ(area_changed(work.area + CPUS * PAGE_SIZE, SIZE_2M - CPUS * PAGE_SIZE, 1), 0);
}

/* Pages 1 to 255 and 257 to 511, with what is used before each. */
static void by_halves(void *argument)
{
	struct work *work = argument;
	unsigned int cpu = cpu_id();

	if (cpu % 2) {
		use_page(work, cpu / 2 * 256);
		return;
	}
	convert(work, cpu / 2 * 256 + 1, 255, ROUNDS / 5);
	if (__atomic_add_fetch(&work->rounds, 0x100, __ATOMIC_SEQ_CST) >> 8 == 2)
		__atomic_store_n(&work->done, true, __ATOMIC_SEQ_CST);
}

TEST("two CPUs convert all but a page of 1 MiB each, while two others use these")
{
	struct work work = work_in(pages_alloc(ORDER_2M));

	on_all_cpus(by_halves, &work);
	EXPECT_EQ(work.rounds, 0x202, "two that converted, and two that got something done");
}

/* CPU 0 converts 2 MiB, CPU 2 single pages of the 2 MiB behind, where 1 and 3 use others. */
static void beside_2m(void *argument)
{
	struct work *work = argument;
	struct work *whole = work - 1;
	unsigned int cpu = cpu_id();

	if (cpu % 2) {
		use_page(work, cpu * 100);
		return;
	}
	if (cpu == 0) {
		meet(work);
		whole->here = CPUS - 1;
		convert(whole, 0, 512, ROUNDS / 5);
	} else {
		convert(work, 200, 1, ROUNDS);
	}
	if (__atomic_add_fetch(&work->rounds, 0x100, __ATOMIC_SEQ_CST) >> 8 == 2)
		__atomic_store_n(&work->done, true, __ATOMIC_SEQ_CST);
}

TEST("a CPU converts 2 MiB, another one pages of 2 MiB whose others are in use")
{
	struct work works[2] = { work_in(pages_alloc(ORDER_2M)), work_in(pages_alloc(ORDER_2M)) };

	on_all_cpus(beside_2m, &works[1]);
	EXPECT_EQ(works[1].rounds, 0x202, "two that converted, and two that got something done");
}

/* The page itself: CPU 0 converts it, the others look. */
static void look(void *argument)
{
	struct work *work = argument;
	unsigned int seen[2] = { 0, 0 };

	if (cpu_id() == 0) {
		meet(work);
		for (unsigned int round = 0; round < ROUNDS; round++) {
			EXPECT_EQ(kvm_make_private((uintptr_t)work->area, PAGE_SIZE), 0);
			EXPECT_EQ(WORD_OF(work->area), PRIVATE_VALUE);
			EXPECT_EQ(kvm_make_shared((uintptr_t)work->area, PAGE_SIZE), 0);
			EXPECT_EQ(WORD_OF(work->area), SHARED_VALUE);
		}
		__atomic_store_n(&work->done, true, __ATOMIC_SEQ_CST);
		return;
	}
	meet(work);
	while (!is_done(work)) {
		uint64_t value = WORD_OF(work->area);

		if (value != SHARED_VALUE && value != PRIVATE_VALUE) {
			FAIL("0x%llx is neither", (unsigned long long)value);
			return;
		}
		seen[value == PRIVATE_VALUE]++;
	}
	__atomic_add_fetch(&work->rounds, seen[0] && seen[1], __ATOMIC_SEQ_CST);
}

TEST("a CPU that looks at a page while it is converted finds the one or the other")
{
	struct work work = work_in(page_alloc());

	WORD_OF(work.area) = SHARED_VALUE;
	EXPECT_EQ(kvm_make_private((uintptr_t)work.area, PAGE_SIZE), 0);
	WORD_OF(work.area) = PRIVATE_VALUE;
	EXPECT_EQ(kvm_make_shared((uintptr_t)work.area, PAGE_SIZE), 0);
	on_all_cpus(look, &work);
	EXPECT_GE(work.rounds, 1, "CPUs that saw both");
}

/* Once one CPU has the answer to its conversion, no other has the old page. */
static void see_old(void *argument)
{
	EXPECT_EQ(WORD_OF(argument), SHARED_VALUE);
}

static void see_new(void *argument)
{
	EXPECT_EQ(WORD_OF(argument), PRIVATE_VALUE);
}

TEST("when a conversion is done, every CPU finds the new page")
{
	struct work work = work_in(page_alloc());

	for (unsigned int round = 0; round < ROUNDS / 5; round++) {
		WORD_OF(work.area) = SHARED_VALUE;
		on_all_cpus(see_old, work.area);
		EXPECT_EQ(kvm_make_private((uintptr_t)work.area, PAGE_SIZE), 0);
		WORD_OF(work.area) = PRIVATE_VALUE;
		on_all_cpus(see_new, work.area);
		EXPECT_EQ(kvm_make_shared((uintptr_t)work.area, PAGE_SIZE), 0);
		on_all_cpus(see_old, work.area);
	}
}
