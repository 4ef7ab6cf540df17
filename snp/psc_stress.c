// SPDX-License-Identifier: BSD-2-Clause
/*
 * Page state changes at random on all CPUs at once: nothing is lost, and nothing is seen that should not be
 *
 * Each CPU picks pages at random, of its own and of a pool that all share, and changes their state: between
 * private and shared, by the MSR protocol and by the GHCB, one page and many in one buffer, in both directions
 * in the same buffer, and 2 MiB at once; private pages are validated at once or later, and validations taken back.
 * So the entries of one 2 MiB region are in motion on several CPUs, while others of it are read and written.
 * A model of each page's state says what must be:
 *
 * - a valid page, and a shared one, holds what was written to it last, on whichever CPU, word by word;
 * - after a change no word of what the page held before is seen in it;
 * - a private page that is not validated raises #VC with error code 0x404, and nothing else does;
 * - each request and each PVALIDATE succeeds, and changes something;
 * - in the end the VMM has as private just the pages that are.
 *
 * It is the host's locking that is tested: the RMP, the nested page tables, the guest_memfd and the attributes must
 * agree on each page whatever happens beside it (arch/x86/kvm/svm/sev.c, sev_gmem_prepare, sev_gmem_invalidate,
 * sev_handle_rmp_fault; virt/kvm/guest_memfd.c).
 *
 * Sources: GHCB specification, 4.1.6 and 2.3.1, request 0x014; AMD APM volume 2, 15.36.6, 15.36.10; volume 3,
 * PVALIDATE: 2 MiB at once need an entry of the RMP of 2 MiB (else 6, FAIL_SIZEMISMATCH).
 *
 * The command line has seed=N (default: the TSC; it is printed) and seconds=N (default 2).
 */
#include <sev/instructions.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>
#include <x86/platform.h>
#include <x86/smp.h>
#include <x86/time.h>

#define WORDS	     (PAGE_SIZE / sizeof(uint64_t))
#define BATCH	     24	 /* pages of a step, at most */
#define SLICE_MS     400 /* as long all run, until it is looked whether the time is up */
#define OWN_ORDER    5
#define COMMON_ORDER 7

enum state { VALID, SHARED, INVALID };

struct page {
	bool taken; /* a CPU works on it */
	uint8_t state;
	uint32_t written; /* how often */
};

/* Pages that lie together. Those of one CPU's own are taken by nobody else. */
struct pool {
	uint8_t *memory;
	unsigned int pages;
	struct page *page;
};

/* What one CPU does. */
struct walker {
	uint32_t random;
	unsigned int steps, changes, large;
	struct psc_buffer buffer;
};

static struct page common_pages[1 << COMMON_ORDER], large_pages[1 << PAGE_ORDER_MAX];
static struct page own_pages[CPU_MAX][1 << OWN_ORDER];
static struct pool common, large, own[CPU_MAX];
static struct walker walkers[CPU_MAX];
static bool clean; /* nothing has failed so far */

/* xorshift, by Marsaglia: period 2^32 - 1, never 0. */
static uint32_t random(struct walker *walker, uint32_t limit)
{
	walker->random ^= walker->random << 13;
	walker->random ^= walker->random >> 17;
	walker->random ^= walker->random << 5;
	return (walker->random >> 4) % limit;
}

/* --- a page -------------------------------------------------------------- */

static uint8_t *address(const struct pool *pool, unsigned int page)
{
	return pool->memory + page * PAGE_SIZE;
}

static uint64_t gfn(const struct pool *pool, unsigned int page)
{
	return (uintptr_t)address(pool, page) >> PAGE_SHIFT;
}

/* Where the page is seen in its state. */
static volatile uint64_t *words(const struct pool *pool, unsigned int page)
{
	uint8_t *memory = address(pool, page);

	return pool->page[page].state == SHARED ? sev_shared(memory) : (void *)memory;
}

/* No two pages, writings or states have it in common, and noise does not have it. */
static uint64_t contents(const struct pool *pool, unsigned int page, unsigned int word)
{
	const struct page *is = &pool->page[page];

	return (uint64_t)is->written << 32 | (gfn(pool, page) & 0xfffff) << 12 | word << 2 |
	       is->state;
}

static void fill(struct pool *pool, unsigned int page)
{
	volatile uint64_t *memory = words(pool, page);

	pool->page[page].written++;
	for (unsigned int i = 0; i < WORDS; i++)
		memory[i] = contents(pool, page, i);
}

/* Nothing is left of what the page held in its former state. */
static void expect_gone(const struct pool *pool, unsigned int page, enum state before)
{
	volatile uint64_t *memory = words(pool, page);
	unsigned int found = 0;

	for (unsigned int i = 0; i < WORDS; i++)
		found += memory[i] == ((contents(pool, page, i) & ~3ull) | before);
	ASSERT_EQ(found, 0, "page 0x%lx, state %u after %u: words of what it held",
		  (unsigned long)address(pool, page), pool->page[page].state, before);
}

static void expect_contents(const struct pool *pool, unsigned int page)
{
	volatile uint64_t *memory = words(pool, page);
	unsigned int wrong = 0, first = 0;

	for (unsigned int i = WORDS; i-- > 0;)
		if (memory[i] != contents(pool, page, i)) {
			wrong++;
			first = i;
		}
	ASSERT_EQ(wrong, 0, "page 0x%lx, state %u: word %u is 0x%llx, for 0x%llx",
		  (unsigned long)address(pool, page), pool->page[page].state, first,
		  (unsigned long long)memory[first],
		  (unsigned long long)contents(pool, page, first));
}

static void expect_vc(const struct pool *pool, unsigned int page)
{
	EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, *(volatile uint8_t *)address(pool, page));
}

static void look_at(const struct pool *pool, unsigned int page)
{
	if (pool->page[page].state == INVALID)
		expect_vc(pool, page);
	else
		expect_contents(pool, page);
}

static void pvalidate(const struct pool *pool, unsigned int page, bool valid)
{
	struct rmp_outcome outcome = pvalidate_raw((uintptr_t)address(pool, page), RMP_4K, valid);

	ASSERT_EQ((uint32_t)outcome.rax, RMP_OK, "page 0x%lx to %u",
		  (unsigned long)address(pool, page), valid);
	ASSERT_FALSE(outcome.carry, "page 0x%lx to %u", (unsigned long)address(pool, page), valid);
}

/* --- a step: some pages of a pool ----------------------------------------- */

static bool take(struct pool *pool, unsigned int page)
{
	return !__atomic_test_and_set(&pool->page[page].taken, __ATOMIC_ACQUIRE);
}

static void give_back(struct pool *pool, unsigned int page)
{
	__atomic_clear(&pool->page[page].taken, __ATOMIC_RELEASE);
}

/*
 * Takes up to so many pages: a run, or each anywhere. What another CPU has is left out, so that nobody waits.
 * Returns how many.
 */
static unsigned int take_some(struct walker *walker, struct pool *pool, uint16_t *pages)
{
	unsigned int wanted = 1 + random(walker, BATCH), count = 0;
	unsigned int page = random(walker, pool->pages);
	bool run = random(walker, 2);

	for (unsigned int i = 0; i < wanted; i++) {
		if (take(pool, page))
			pages[count++] = page;
		page = run ? (page + 1) % pool->pages : random(walker, pool->pages);
	}
	return count;
}

static enum psc_operation opposite(const struct pool *pool, unsigned int page)
{
	return pool->page[page].state == SHARED ? PSC_PRIVATE : PSC_SHARED;
}

static void request_by_msr(const struct pool *pool, const uint16_t *pages, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		ASSERT_EQ(psc_msr(gfn(pool, pages[i]), opposite(pool, pages[i])), GHCB_MSR_PSC_RESP,
			  "page 0x%lx", (unsigned long)address(pool, pages[i]));
}

static void request_by_ghcb(struct walker *walker, const struct pool *pool, const uint16_t *pages,
			    unsigned int count)
{
	struct psc_outcome outcome;

	walker->buffer.header = (struct psc_header){ .end_entry = count - 1 };
	for (unsigned int i = 0; i < count; i++)
		walker->buffer.entries[i] =
			PSC_ENTRY(gfn(pool, pages[i]), opposite(pool, pages[i]), 0, 0);
	outcome = psc_ghcb(&walker->buffer);
	ASSERT_EQ(outcome.info_1, GHCB_NO_ACTION);
	ASSERT_EQ(outcome.info_2, PSC_DONE, "%u entries, of 0x%lx first", count,
		  (unsigned long)address(pool, pages[0]));
	ASSERT_EQ(walker->buffer.header.cur_entry, count);
}

/* The page has changed: private now, or shared. */
static void go_on(struct walker *walker, struct pool *pool, unsigned int page)
{
	struct page *is = &pool->page[page];

	walker->changes++;
	if (is->state != SHARED) {
		enum state before = is->state;

		is->state = SHARED;
		expect_gone(pool, page, before == INVALID ? VALID : before);
		fill(pool, page);
		return;
	}
	is->state = INVALID;
	if (!random(walker, 8))
		expect_vc(pool, page);
	if (!random(walker, 4))
		return;
	pvalidate(pool, page, true);
	is->state = VALID;
	expect_gone(pool, page, SHARED);
	fill(pool, page);
}

static void change(struct walker *walker, struct pool *pool, const uint16_t *pages,
		   unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (pool->page[pages[i]].state == VALID)
			pvalidate(pool, pages[i], false);
	if (count <= 4 && random(walker, 2))
		request_by_msr(pool, pages, count);
	else
		request_by_ghcb(walker, pool, pages, count);
	for (unsigned int i = 0; i < count; i++)
		go_on(walker, pool, pages[i]);
}

/* A validation comes or goes, and the contents stay as they are. */
static void change_validation(struct pool *pool, unsigned int page)
{
	struct page *is = &pool->page[page];

	if (is->state == SHARED)
		return;
	pvalidate(pool, page, is->state == INVALID);
	is->state = is->state == INVALID ? VALID : INVALID;
	if (is->state == VALID)
		fill(pool, page);
	else
		expect_vc(pool, page);
}

static void step(struct walker *walker, struct pool *pool)
{
	uint16_t pages[BATCH];
	unsigned int count = take_some(walker, pool, pages), what = random(walker, 8);

	for (unsigned int i = 0; i < count; i++)
		look_at(pool, pages[i]);
	if (count && what < 5)
		change(walker, pool, pages, count);
	for (unsigned int i = 0; i < count && what == 5; i++)
		change_validation(pool, pages[i]);
	for (unsigned int i = 0; i < count && what > 5; i++)
		if (pool->page[pages[i]].state != INVALID)
			fill(pool, pages[i]);
	for (unsigned int i = 0; i < count; i++)
		give_back(pool, pages[i]);
	walker->steps++;
}

/* --- 2 MiB at once, by CPU 0 ---------------------------------------------- */

static uint32_t pvalidate_large(bool valid)
{
	return (uint32_t)pvalidate_raw((uintptr_t)large.memory, RMP_2M, valid).rax;
}

static void request_large(struct walker *walker, enum psc_operation operation)
{
	struct psc_outcome outcome;

	walker->buffer.header = (struct psc_header){ 0 };
	walker->buffer.entries[0] = PSC_ENTRY(gfn(&large, 0), operation, 1, 0);
	outcome = psc_ghcb(&walker->buffer);
	ASSERT_EQ(outcome.info_1, GHCB_NO_ACTION);
	ASSERT_EQ(outcome.info_2, PSC_DONE);
}

/* To shared, and back; where the host's RMP has the 2 MiB in one entry, validated at once. */
static void step_large(struct walker *walker)
{
	bool at_once = large.page[0].state == VALID && pvalidate_large(false) == RMP_OK;

	for (unsigned int i = 0; i < large.pages; i++) {
		if (large.page[i].state == VALID && !at_once)
			pvalidate(&large, i, false);
		large.page[i].state = SHARED;
	}
	request_large(walker, PSC_SHARED);
	for (unsigned int i = 0; i < large.pages; i += 1 + random(walker, 64))
		fill(&large, i);
	request_large(walker, PSC_PRIVATE);
	at_once = pvalidate_large(true) == RMP_OK;
	for (unsigned int i = 0; i < large.pages; i++) {
		large.page[i].state = at_once ? VALID : INVALID;
		if (at_once)
			fill(&large, i);
	}
	walker->large++;
	walker->steps++;
}

/* --- all of it ------------------------------------------------------------ */

static void walk(void *unused)
{
	struct walker *walker = &walkers[cpu_id()];
	struct deadline deadline = { .start = rdtsc() };

	(void)unused;
	while (!deadline_passed(&deadline, SLICE_MS) && !test_failed()) {
		unsigned int which = random(walker, 64);

		if (cpu_id() == 0 && (!walker->large || which == 0))
			step_large(walker);
		else if (cpu_id() == 0 && which < 16)
			step(walker, &large);
		else
			step(walker, which % 2 ? &common : &own[cpu_id()]);
	}
}

static void get_pool(struct pool *pool, struct page *page, unsigned int order)
{
	*pool = (struct pool){ pages_alloc(order), 1u << order, page };
	for (unsigned int i = 0; i < pool->pages; i++)
		fill(pool, i);
}

static void prepare(uint32_t seed)
{
	get_pool(&large, large_pages, PAGE_ORDER_MAX);
	get_pool(&common, common_pages, COMMON_ORDER);
	for (unsigned int cpu = 0; cpu < cpu_count(); cpu++) {
		get_pool(&own[cpu], own_pages[cpu], OWN_ORDER);
		walkers[cpu].random = (seed + cpu * 0x9e3779b9u) | 1;
	}
}

/* Of all pools, by one CPU. */
static void for_each_pool(void (*function)(const struct pool *pool))
{
	function(&large);
	function(&common);
	for (unsigned int cpu = 0; cpu < cpu_count(); cpu++)
		function(&own[cpu]);
}

static void look_at_all(const struct pool *pool)
{
	for (unsigned int page = 0; page < pool->pages; page++)
		look_at(pool, page);
}

static void expect_vmm_agrees(const struct pool *pool)
{
	for (unsigned int page = 0; page < pool->pages; page++)
		EXPECT_EQ(vmm_private_pages((uintptr_t)address(pool, page), PAGE_SIZE),
			  pool->page[page].state != SHARED, "page 0x%lx",
			  (unsigned long)address(pool, page));
}

TEST("changes at random on all CPUs succeed, and each page holds what was written to it last")
{
	uint32_t seed = (uint32_t)cmdline_number("seed", (uint32_t)rdtsc());
	uint64_t seconds = cmdline_number("seconds", 2);
	struct deadline deadline = { .start = rdtsc() };

	if (!sev_snp())
		SKIP("this is no SNP guest");
	test_diag("seed=0x%x seconds=%llu", seed, (unsigned long long)seconds);
	prepare(seed);
	do
		on_all_cpus(walk, NULL);
	while (!test_failed() && !deadline_passed(&deadline, seconds * 1000));
	for (unsigned int cpu = 0; cpu < cpu_count(); cpu++) {
		const struct walker *walker = &walkers[cpu];

		test_diag("CPU %u: %u steps, %u pages changed, %u times 2 MiB", cpu, walker->steps,
			  walker->changes, walker->large);
		EXPECT_GE(walker->steps, 1, "CPU %u", cpu);
	}
	clean = !test_failed();
}

TEST("in the end each page holds what was written to it last, seen from the first CPU")
{
	REQUIRE(clean);
	for_each_pool(look_at_all);
}

TEST("in the end the VMM has as private just the pages that are")
{
	REQUIRE(clean);
	for_each_pool(expect_vmm_agrees);
}
