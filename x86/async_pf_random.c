// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults in many rounds, on several CPUs and in random order: no token gets lost
 *
 * Each CPU does at random one of three things: it makes a page of its own absent, brings any page back, or
 * reads any page at CPL 3. So a page may come back before its fault is worked on, go again before its "page
 * ready" has arrived, be waited for by several CPUs, or come back with many others at once. Whatever the order
 *
 * - each token that a CPU is told becomes ready there, once, and no other does (virt/kvm/async_pf.c; x86.c,
 *   kvm_arch_async_page_present);
 * - no token is in use twice at a time;
 * - a page that can be read has its contents: its number, and how often its owner has written it, which
 *   never goes back.
 *
 * A CPU does not read a page that it waits for: it would be halted, and not told (mmu.c,
 * __kvm_mmu_faultin_pfn). And CPU 0 reads none: before it tells of a page KVM maps it, and waits for it, in
 * KVM_RUN, if it is absent again (x86.c, kvm_arch_async_page_ready). If all CPUs could wait like that, nobody
 * might be left to bring a page back. The random numbers begin with seed=N of the command line, or else with
 * the TSC, and the first is printed.
 */
#include <kvm/async_pf_log.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/platform.h>
#include <x86/smp.h>
#include <x86/time.h>

#define CPUS	   4
#define PAGES_EACH 8
#define PAGES	   (CPUS * PAGES_EACH)
#define KEEPER	   0
#define STEPS	   400
#define ENOUGH	   10 /* as often each of the others is told at least, or the walk would prove little */
#define WALK_MS	   20000
#define FINISH_MS  8000

struct page {
	uintptr_t address;
	uint32_t written; /* how often, by its owner */
};

/* What one CPU knows. */
struct walker {
	uint32_t random;
	uint32_t waiting[PAGES]; /* for each page the token that it waits with, or 0 */
	uint32_t seen[PAGES];	 /* how often the page had been written when it was last read */
	unsigned int looked;	 /* at so many entries of the log */
	unsigned int steps, told, read;
};

static struct page pages[PAGES];
static struct walker walkers[CPUS];
static volatile unsigned int finished;

/* xorshift, by Marsaglia: period 2^32 - 1, never 0. */
static uint32_t random(struct walker *walker)
{
	walker->random ^= walker->random << 13;
	walker->random ^= walker->random >> 17;
	walker->random ^= walker->random << 5;
	return walker->random;
}

static uint32_t contents(unsigned int page, uint32_t written)
{
	return (page + 1) << 16 | written;
}

/* Each token that is new in the log is one that this CPU waits with. */
static void look_at_log(struct walker *walker)
{
	irq_window();
	for (; walker->looked < async_pf_log_count(cpu_id()); walker->looked++) {
		uint32_t token = async_pf_log_token(cpu_id(), walker->looked);
		unsigned int found = 0;

		for (unsigned int page = 0; page < PAGES; page++) {
			if (walker->waiting[page] != token)
				continue;
			walker->waiting[page] = 0;
			found++;
		}
		ASSERT_EQ(found, 1, "CPU %u, number %u: those who wait with token 0x%x", cpu_id(),
			  walker->looked, token);
	}
}

static unsigned int count_waiting(const struct walker *walker)
{
	unsigned int count = 0;

	for (unsigned int page = 0; page < PAGES; page++)
		count += walker->waiting[page] != 0;
	return count;
}

static void note_told(struct walker *walker, unsigned int page, uint32_t token)
{
	ASSERT_NE(token, 0);
	for (unsigned int other = 0; other < PAGES; other++)
		EXPECT_NE(walker->waiting[other], token, "page %u and %u", page, other);
	walker->waiting[page] = token;
	walker->told++;
}

static void read_page(struct walker *walker, unsigned int page)
{
	struct async_pf_touch touch;

	if (walker->waiting[page])
		return;
	touch = async_pf_touch(pages[page].address);
	if (touch.told) {
		note_told(walker, page, touch.token);
		return;
	}
	EXPECT_EQ(touch.value >> 16, page + 1);
	EXPECT_GE(touch.value & 0xffff, walker->seen[page], "page %u went back", page);
	walker->seen[page] = touch.value & 0xffff;
	walker->read++;
}

/* Writes a page of this CPU's own and makes it absent, unless it is so. */
static void take_out(unsigned int page)
{
	struct page *own = &pages[page];

	if (vmm_page_out(own->address, PAGE_SIZE) == 0)
		return;
	if (vmm_page_in(own->address) != 0)
		return;
	own->written++;
	*(volatile uint32_t *)own->address = contents(page, own->written);
}

static void step(struct walker *walker)
{
	uint32_t choice = random(walker);
	unsigned int page = (choice >> 8) % PAGES;

	look_at_log(walker);
	switch (choice % 8) {
	case 0:
	case 1:
	case 2:
		take_out(cpu_id() * PAGES_EACH + page % PAGES_EACH);
		break;
	case 3:
	case 4:
		vmm_page_in(pages[page].address);
		break;
	default:
		if (cpu_id() != KEEPER)
			read_page(walker, page);
	}
	walker->steps++;
}

static void bring_all_back(void)
{
	for (unsigned int page = 0; page < PAGES; page++)
		vmm_page_in(pages[page].address);
}

/* One more step. CPU 0 walks as long as any other. */
static bool walked(struct walker *walker)
{
	step(walker);
	if (cpu_id() == KEEPER)
		return finished == CPUS - 1;
	return walker->steps >= STEPS && walker->told >= ENOUGH && walker->read >= ENOUGH;
}

/* Nothing more is made absent by this CPU; others may still wait for what it can bring back. */
static bool all_ready(struct walker *walker)
{
	bring_all_back();
	look_at_log(walker);
	return finished == CPUS && !count_waiting(walker);
}

static void walk(void *unused)
{
	struct walker *walker = &walkers[cpu_id()];

	(void)unused;
	EXPECT_TRUE(WAIT_FOR(walked(walker), WALK_MS), "CPU %u: told %u times, read %u times",
		    cpu_id(), walker->told, walker->read);
	__atomic_fetch_add(&finished, 1, __ATOMIC_RELEASE);
	EXPECT_TRUE(WAIT_FOR(all_ready(walker), FINISH_MS), "CPU %u: %u pages are not ready",
		    cpu_id(), count_waiting(walker));
}

static void switch_on(void *unused)
{
	(void)unused;
	async_pf_log_on(0);
}

static void switch_off(void *unused)
{
	(void)unused;
	async_pf_log_off();
}

static void prepare(uint32_t seed)
{
	finished = 0;
	for (unsigned int page = 0; page < PAGES; page++) {
		pages[page] = (struct page){ .address = (uintptr_t)page_alloc() };
		*(uint32_t *)pages[page].address = contents(page, 0);
	}
	for (unsigned int cpu = 0; cpu < CPUS; cpu++) {
		walkers[cpu] = (struct walker){ .random = seed + cpu * 0x9e3779b9u };
		walkers[cpu].random |= 1;
		on_cpu(cpu, switch_on, NULL);
	}
}

TEST("in many rounds on several CPUs each token becomes ready, once, and on its CPU")
{
	uint32_t seed = (uint32_t)cmdline_number("seed", (uint32_t)rdtsc());

	async_pf_need();
	REQUIRE(cpu_count() == CPUS);
	test_diag("seed=0x%x", seed);
	prepare(seed);
	on_all_cpus(walk, NULL);
	for (unsigned int cpu = 0; cpu < CPUS; cpu++)
		EXPECT_EQ(async_pf_log_count(cpu), walkers[cpu].told, "CPU %u", cpu);
	test_diag("told %u, %u, %u times", walkers[1].told, walkers[2].told, walkers[3].told);
	for (unsigned int page = 0; page < PAGES; page++)
		EXPECT_EQ(*(volatile uint32_t *)pages[page].address,
			  contents(page, pages[page].written));
	for (unsigned int cpu = 0; cpu < CPUS; cpu++)
		on_cpu(cpu, switch_off, NULL);
}
