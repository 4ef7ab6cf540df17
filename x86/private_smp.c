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
 * A host may run the CPUs one after the other for a while: those that convert go on until the others have
 * got something done in the meantime. All CPUs work on pages of the same 2 MiB but where it says otherwise.
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
#define USES	      100 /* of each CPU that uses a page, while others convert */
#define WAIT_MS	      5000
#define SHARED_VALUE  0x5a5a5a5a5a5a5a5aull
#define PRIVATE_VALUE 0xa5a5a5a5a5a5a5a5ull

#define WORD_OF(p)    (*(volatile uint64_t *)(p))

struct work {
	uint8_t *area;	    /* 2 MiB */
	unsigned int here;  /* how many CPUs have begun */
	unsigned int used;  /* how many CPUs have used their page USES times */
	unsigned int users; /* how many are to */
	unsigned int done;  /* how many CPUs that convert are done */
	unsigned int converters;
};

static bool is_done(const struct work *work)
{
	return __atomic_load_n(&work->done, __ATOMIC_SEQ_CST) == work->converters;
}

static bool is_used(const struct work *work)
{
	return __atomic_load_n(&work->used, __ATOMIC_SEQ_CST) == work->users;
}

/* For a loop of a CPU that converts: so many rounds at least, and more until the others were at it. */
static bool goes_on(const struct work *work, unsigned int round, unsigned int rounds,
		    struct deadline *deadline)
{
	if (test_failed())
		return false;
	if (round < rounds)
		return true;
	return !is_used(work) && !deadline_passed(deadline, WAIT_MS);
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
		if (round == USES)
			__atomic_add_fetch(&work->used, 1, __ATOMIC_SEQ_CST);
	}
}

/* Converts a range to and fro, and finds on each side what it left there. */
static void convert(struct work *work, unsigned int index, unsigned int count, unsigned int rounds)
{
	uint8_t *range = work->area + index * PAGE_SIZE;
	size_t size = count * PAGE_SIZE;
	struct deadline deadline = { .start = rdtsc() };

	for (unsigned int round = 0; goes_on(work, round, rounds, &deadline); round++) {
		WORD_OF(range) = WORD_OF(range + size - 8) = 2 * round;
		EXPECT_EQ(kvm_make_private((uintptr_t)range, size), 0);
		if (round > 0)
			EXPECT_EQ(WORD_OF(range), 2 * round - 1, "private, page %u", index);
		WORD_OF(range) = WORD_OF(range + size - 8) = 2 * round + 1;
		EXPECT_EQ(kvm_make_shared((uintptr_t)range, size), 0);
		EXPECT_EQ(WORD_OF(range), 2 * round, "shared, page %u", index);
		EXPECT_EQ(WORD_OF(range + size - 8), 2 * round, "shared, page %u", index);
	}
	__atomic_add_fetch(&work->done, 1, __ATOMIC_SEQ_CST);
}

static void one_by_one(void *argument)
{
	struct work *work = argument;
	unsigned int cpu = cpu_id();

	/* Pages 0 and 2 are converted, 1 and 3 beside them are used. */
	if (cpu % 2) {
		use_page(work, cpu);
	} else {
		meet(work);
		convert(work, cpu, 1, ROUNDS);
	}
}

/* Two CPUs convert, and two use pages. */
static struct work work_in(uint8_t *area)
{
	REQUIRE(cpu_count() >= CPUS);
	return (struct work){ .area = area, .users = 2, .converters = 2 };
}

TEST("two CPUs convert pages while two others use the pages in between")
{
	struct work work = work_in(pages_alloc(ORDER_2M));

	area_fill(work.area + CPUS * PAGE_SIZE, SIZE_2M - CPUS * PAGE_SIZE, 1);
	on_all_cpus(one_by_one, &work);
	EXPECT_TRUE(is_used(&work));
	EXPECT_EQ(area_changed(work.area + CPUS * PAGE_SIZE, SIZE_2M - CPUS * PAGE_SIZE, 1), 0);
}

/* Pages 1 to 255 and 257 to 511, with what is used before each. */
static void by_halves(void *argument)
{
	struct work *work = argument;
	unsigned int cpu = cpu_id();

	if (cpu % 2) {
		use_page(work, cpu / 2 * 256);
	} else {
		meet(work);
		convert(work, cpu / 2 * 256 + 1, 255, ROUNDS / 5);
	}
}

TEST("two CPUs convert all but a page of 1 MiB each, while two others use these")
{
	struct work work = work_in(pages_alloc(ORDER_2M));

	on_all_cpus(by_halves, &work);
	EXPECT_TRUE(is_used(&work));
}

/* CPU 0 converts 2 MiB, CPU 2 a page of the 2 MiB behind, where 1 and 3 use others. */
static void beside_2m(void *argument)
{
	struct work *work = argument;
	unsigned int cpu = cpu_id();
	struct work whole = *work;

	whole.area += SIZE_2M;
	if (cpu % 2) {
		use_page(work, cpu * 100);
		return;
	}
	meet(work);
	if (cpu == 2) {
		convert(work, 200, 1, ROUNDS);
		return;
	}
	whole.used = whole.users;
	convert(&whole, 0, 512, ROUNDS / 5);
	__atomic_add_fetch(&work->done, 1, __ATOMIC_SEQ_CST);
}

TEST("a CPU converts 2 MiB, another one a page of 2 MiB whose others are in use")
{
	uint64_t gpa = area_beyond_ram();
	struct work work = work_in((uint8_t *)(uintptr_t)gpa);

	REQUIRE(vmm_region_add(gpa, 2 * SIZE_2M, VMRUN_REGION_GMEM) == 0);
	on_all_cpus(beside_2m, &work);
	EXPECT_TRUE(is_used(&work));
	EXPECT_EQ(vmm_region_remove(gpa), 0);
}

/* CPU 0 converts the page itself. */
static void convert_looked_at(struct work *work)
{
	struct deadline deadline = { .start = rdtsc() };

	for (unsigned int round = 0; goes_on(work, round, ROUNDS, &deadline); round++) {
		EXPECT_EQ(kvm_make_private((uintptr_t)work->area, PAGE_SIZE), 0);
		EXPECT_EQ(WORD_OF(work->area), PRIVATE_VALUE);
		EXPECT_EQ(kvm_make_shared((uintptr_t)work->area, PAGE_SIZE), 0);
		EXPECT_EQ(WORD_OF(work->area), SHARED_VALUE);
	}
	__atomic_add_fetch(&work->done, 1, __ATOMIC_SEQ_CST);
}

/* The others look, until all is done. */
static void look(void *argument)
{
	struct work *work = argument;
	unsigned int seen[2] = { 0, 0 };

	meet(work);
	if (cpu_id() == 0) {
		convert_looked_at(work);
		return;
	}
	while (!is_done(work)) {
		uint64_t value = WORD_OF(work->area);
		bool private = value == PRIVATE_VALUE;

		if (!private && value != SHARED_VALUE) {
			FAIL("0x%llx is neither", (unsigned long long)value);
			return;
		}
		if (seen[private]++ == 0 && seen[!private])
			__atomic_add_fetch(&work->used, 1, __ATOMIC_SEQ_CST);
	}
}

TEST("CPUs that look at a page while it is converted find the one or the other, and both in time")
{
	struct work work = work_in(page_alloc());

	work.users = CPUS - 1;
	work.converters = 1;
	WORD_OF(work.area) = SHARED_VALUE;
	EXPECT_EQ(kvm_make_private((uintptr_t)work.area, PAGE_SIZE), 0);
	WORD_OF(work.area) = PRIVATE_VALUE;
	EXPECT_EQ(kvm_make_shared((uintptr_t)work.area, PAGE_SIZE), 0);
	on_all_cpus(look, &work);
	EXPECT_TRUE(is_used(&work));
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
