// SPDX-License-Identifier: BSD-2-Clause
/*
 * Page state change by the GHCB: 2 MiB at once, part of it, and full buffers
 *
 * An entry may name 2 MiB, and cur_page then says how many of its 512 pages are done: who was
 * interrupted in the middle goes on there. Here each edge of that: an entry that is begun, nearly
 * done, done, or more than done; one that is not aligned; neighbours of the same and of the other
 * size; and buffers with all of their 253 entries in use, as one range and as 253.
 *
 * It is where a hypervisor's arithmetic meets: an entry that goes on in the middle is no longer
 * aligned, its length is no longer its size, and what follows it is adjacent to its end and not to
 * its beginning. All pages of 4 MiB are looked at each time.
 *
 * Sources: GHCB specification, 4.1.6 "SNP Page State Change"; KVM:
 * arch/x86/kvm/svm/sev.c, snp_do_psc: cur_page beyond the size or a GFN that is not aligned to it
 * is a bad entry; ranges are merged if operation and size are the same and the second begins where
 * the first ends, but none with one that goes on in the middle.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <sev/instructions.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>

#define LARGE	    512 /* pages of an entry of 2 MiB */
#define PAGES	    (2 * LARGE)
#define RANGES_MAX  4
#define ENTRIES_MAX 4

struct entry {
	uint16_t page, is_2m, cur_page;
};

struct range {
	uint16_t page, pages;
};

struct request {
	/*
	 * PSC_SHARED; or PSC_PRIVATE of pages that are private, which changes nothing, where the ranges are what
	 * matters, and many pages are concerned: to validate a page takes its time.
	 */
	enum psc_operation operation;
	struct entry entries[ENTRIES_MAX];
	unsigned int count;
	uint64_t result;
	uint16_t cur_after;
	struct range ranges[RANGES_MAX];
};

static uint8_t *memory; /* 4 MiB */
static bool is_shared[PAGES];

static uint8_t *page_at(unsigned int page)
{
	return memory + page * PAGE_SIZE;
}

static uint64_t gfn_at(unsigned int page)
{
	return (uintptr_t)page_at(page) >> PAGE_SHIFT;
}

static void get_memory(void)
{
	uint8_t *upper;

	if (memory)
		return;
	upper = pages_alloc(PAGE_ORDER_MAX);
	memory = pages_alloc(PAGE_ORDER_MAX);
	REQUIRE(upper == memory + LARGE * PAGE_SIZE);
	for (unsigned int page = 0; page < PAGES; page++)
		*(uint64_t *)page_at(page) = page + 1;
}

static void validate(unsigned int page, bool valid)
{
	struct rmp_outcome outcome = pvalidate_raw((uintptr_t)page_at(page), RMP_4K, valid);

	EXPECT_EQ((uint32_t)outcome.rax, RMP_OK, "page %u", page);
	EXPECT_FALSE(outcome.carry, "page %u is validated as it was", page);
}

/* For pages that become shared, unless an earlier range has them. */
static void take_validation(unsigned int page, unsigned int count)
{
	for (unsigned int i = page; i < page + count; i++)
		if (!is_shared[i]) {
			validate(i, false);
			is_shared[i] = true;
		}
}

/* The pages of one state that follow each other from this one on. */
static unsigned int run_length(unsigned int page)
{
	unsigned int end = page;

	while (end < PAGES && is_shared[end] == is_shared[page])
		end++;
	return end - page;
}

/* By the VMM's word, and a private page by its contents, too. */
static bool check_run(unsigned int page, unsigned int count)
{
	uint64_t private = vmm_private_pages((uintptr_t)page_at(page), count * PAGE_SIZE);

	if (!EXPECT_EQ(private, is_shared[page] ? 0 : count, "private pages of %u from %u on",
		       count, page))
		return false; /* to touch them would end the guest */
	for (unsigned int i = page; i < page + count && private; i++)
		EXPECT_EQ(*(uint64_t *)page_at(i), i + 1, "page %u", i);
	return true;
}

static bool check_pages(void)
{
	bool right = true;

	for (unsigned int page = 0; page < PAGES; page += run_length(page))
		right &= check_run(page, run_length(page));
	return right;
}

static void take_back(struct psc_buffer *buffer, const unsigned int *taken, unsigned int count)
{
	buffer->header.cur_entry = 0;
	buffer->header.end_entry = count - 1;
	REQUIRE(psc_ghcb(buffer).info_2 == PSC_DONE);
	for (unsigned int i = 0; i < count; i++) {
		validate(taken[i], true);
		*(uint64_t *)page_at(taken[i]) = taken[i] + 1;
		is_shared[taken[i]] = false;
	}
}

/*
 * All pages private, validated and numbered, for the next point. What is wrong with one that should have stayed
 * private is not known then: the block is left to itself.
 */
static void clean_up(bool right)
{
	static struct psc_buffer buffer;
	unsigned int taken[PSC_ENTRIES], count = 0;

	for (unsigned int page = 0; page < PAGES && right; page++) {
		if (is_shared[page]) {
			buffer.entries[count] = PSC_ENTRY(gfn_at(page), PSC_PRIVATE, false, 0);
			taken[count++] = page;
		}
		if (count == PSC_ENTRIES || (count && page == PAGES - 1)) {
			take_back(&buffer, taken, count);
			count = 0;
		}
	}
	if (!right) {
		memory = NULL;
		memset(is_shared, 0, sizeof(is_shared));
	}
}

static void check_ranges(const struct range *ranges, uint64_t first)
{
	uint64_t seen = vmm_map_count() - first;
	unsigned int count = 0;

	for (; count < RANGES_MAX && ranges[count].pages && count < seen; count++) {
		struct vmm_map map = vmm_map_record(first + count);

		EXPECT_EQ(map.gpa >> PAGE_SHIFT, gfn_at(ranges[count].page), "range %u", count);
		EXPECT_EQ(map.pages, ranges[count].pages, "range %u", count);
	}
	EXPECT_EQ(seen, count, "ranges that the VMM saw");
	if (count < RANGES_MAX)
		EXPECT_EQ(ranges[count].pages, 0, "a range that the VMM did not see");
}

static void fill_buffer(struct psc_buffer *buffer, const struct request *request)
{
	memset(buffer, 0, sizeof(*buffer));
	buffer->header.end_entry = request->count - 1;
	for (unsigned int i = 0; i < request->count; i++) {
		const struct entry *entry = &request->entries[i];

		buffer->entries[i] = PSC_ENTRY(gfn_at(entry->page), request->operation,
					       entry->is_2m, entry->cur_page);
	}
}

/* The ranges say which pages are to change; their validation is taken back before. */
static void check_request(const struct request *request)
{
	struct psc_buffer buffer;
	struct psc_outcome outcome;
	uint64_t first;

	get_memory();
	for (unsigned int i = 0; i < RANGES_MAX && request->operation == PSC_SHARED; i++)
		take_validation(request->ranges[i].page, request->ranges[i].pages);
	fill_buffer(&buffer, request);
	first = vmm_map_count();
	outcome = psc_ghcb(&buffer);

	EXPECT_EQ(outcome.info_1, GHCB_NO_ACTION);
	EXPECT_EQ(outcome.info_2, request->result);
	EXPECT_EQ(buffer.header.cur_entry, request->cur_after);
	for (unsigned int i = 0; i < request->cur_after; i++)
		EXPECT_EQ(PSC_CUR_PAGE(buffer.entries[i]), request->entries[i].is_2m ? LARGE : 1,
			  "entry %u", i);
	check_ranges(request->ranges, first);
	clean_up(check_pages());
}

#define CHECK(operation_, ...) \
	check_request(&(const struct request){ .operation = operation_, __VA_ARGS__ })
#define SMALL(page)        \
	{                  \
		page, 0, 0 \
	}
#define LARGE_FROM(page, done) \
	{                      \
		page, 1, done  \
	}

TEST("2 MiB become shared as one range, and no page beyond")
{
	CHECK(PSC_SHARED, .entries = { LARGE_FROM(0, 0) }, .count = 1, .cur_after = 1,
	      .ranges = { { 0, LARGE } });
}

TEST("two adjacent entries of 2 MiB are one range")
{
	CHECK(PSC_PRIVATE, .entries = { LARGE_FROM(0, 0), LARGE_FROM(LARGE, 0) }, .count = 2,
	      .cur_after = 2, .ranges = { { 0, PAGES } });
}

TEST("2 MiB and an adjacent page are ranges of their own")
{
	CHECK(PSC_PRIVATE, .entries = { LARGE_FROM(0, 0), SMALL(LARGE) }, .count = 2,
	      .cur_after = 2, .ranges = { { 0, LARGE }, { LARGE, 1 } });
}

TEST("pages and 2 MiB behind them are ranges of their own")
{
	CHECK(PSC_PRIVATE, .entries = { SMALL(LARGE - 2), SMALL(LARGE - 1), LARGE_FROM(LARGE, 0) },
	      .count = 3, .cur_after = 3, .ranges = { { LARGE - 2, 2 }, { LARGE, LARGE } });
}

TEST("2 MiB of which one page is done go on at the second")
{
	CHECK(PSC_SHARED, .entries = { LARGE_FROM(0, 1) }, .count = 1, .cur_after = 1,
	      .ranges = { { 1, LARGE - 1 } });
}

TEST("2 MiB of which half is done go on in the middle")
{
	CHECK(PSC_SHARED, .entries = { LARGE_FROM(LARGE, LARGE / 2) }, .count = 1, .cur_after = 1,
	      .ranges = { { LARGE + LARGE / 2, LARGE / 2 } });
}

TEST("2 MiB of which all but one page are done end with the last")
{
	CHECK(PSC_SHARED, .entries = { LARGE_FROM(0, LARGE - 1) }, .count = 1, .cur_after = 1,
	      .ranges = { { LARGE - 1, 1 } });
}

TEST("2 MiB that are done are passed over")
{
	CHECK(PSC_SHARED, .entries = { LARGE_FROM(0, LARGE), SMALL(LARGE + 7) }, .count = 2,
	      .cur_after = 2, .ranges = { { LARGE + 7, 1 } });
}

TEST("2 MiB of which more is done than there is are a bad entry")
{
	CHECK(PSC_SHARED, .entries = { SMALL(3), LARGE_FROM(0, LARGE + 1) }, .count = 2,
	      .cur_after = 1, .result = PSC_BAD_ENTRY, .ranges = { { 3, 1 } });
}

TEST("2 MiB with all bits of cur_page set are a bad entry")
{
	CHECK(PSC_SHARED, .entries = { LARGE_FROM(0, 0xfff) }, .count = 1, .result = PSC_BAD_ENTRY);
}

TEST("2 MiB that begin one page too late are a bad entry")
{
	CHECK(PSC_SHARED, .entries = { LARGE_FROM(1, 0) }, .count = 1, .result = PSC_BAD_ENTRY);
}

TEST("2 MiB that begin in the middle are a bad entry, begun or not")
{
	CHECK(PSC_SHARED, .entries = { LARGE_FROM(LARGE / 2, 0) }, .count = 1,
	      .result = PSC_BAD_ENTRY);
	CHECK(PSC_SHARED, .entries = { LARGE_FROM(LARGE / 2, LARGE / 2) }, .count = 1,
	      .result = PSC_BAD_ENTRY);
}

TEST("2 MiB begun, and 2 MiB behind them, are ranges of their own")
{
	CHECK(PSC_PRIVATE, .entries = { LARGE_FROM(0, LARGE - 3), LARGE_FROM(LARGE, 0) },
	      .count = 2, .cur_after = 2, .ranges = { { LARGE - 3, 3 }, { LARGE, LARGE } });
}

/*
 * The rest of the first entry are the pages from 256 on, and the second entry names page 256, where
 * the first entry would end if it began at its own beginning.
 */
TEST("2 MiB half done, and a page of that half, change no page beyond them")
{
	CHECK(PSC_SHARED, .entries = { LARGE_FROM(0, LARGE / 2), SMALL(LARGE / 2) }, .count = 2,
	      .cur_after = 2, .ranges = { { LARGE / 2, LARGE / 2 }, { LARGE / 2, 1 } });
}

static struct psc_buffer full;

static void check_full(unsigned int step, unsigned int ranges)
{
	uint64_t first;

	get_memory();
	memset(&full, 0, sizeof(full));
	full.header.end_entry = PSC_ENTRIES - 1;
	for (unsigned int i = 0; i < PSC_ENTRIES; i++) {
		unsigned int page = 5 + i * step;

		take_validation(page, 1);
		full.entries[i] = PSC_ENTRY(gfn_at(page), PSC_SHARED, false, 0);
	}
	first = vmm_map_count();
	EXPECT_EQ(psc_ghcb(&full).info_2, PSC_DONE);
	EXPECT_EQ(vmm_map_count() - first, ranges, "ranges that the VMM saw");
	EXPECT_EQ(full.header.cur_entry, PSC_ENTRIES);
	for (unsigned int i = 0; i < PSC_ENTRIES; i++)
		EXPECT_EQ(PSC_CUR_PAGE(full.entries[i]), 1, "entry %u", i);
	clean_up(check_pages());
}

TEST("a full buffer of 253 adjacent pages is one range")
{
	check_full(1, 1);
}

TEST("a full buffer of 253 pages with gaps between them is 253 ranges")
{
	check_full(3, PSC_ENTRIES);
}
