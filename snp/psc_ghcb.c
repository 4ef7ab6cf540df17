// SPDX-License-Identifier: BSD-2-Clause
/*
 * Page state change by the GHCB: small pages
 *
 * One VMGEXIT changes up to 253 pages. The request is a buffer: a header with the first and the
 * last entry to do, and entries of a GFN, an operation, a size, and how many pages of it are done.
 * The hypervisor moves the header's first entry on as it gets ahead, and writes what is done into
 * each entry, so that after an error, or an interruption, the guest knows where it stands and can
 * go on with the same buffer. Entries that follow each other in memory with the same operation and
 * size are passed to the VMM as one range.
 *
 * Each point here is one buffer, the states of eight pages before and after, and what the
 * hypervisor is to leave behind: the result, the header, the entries, and the ranges that the VMM
 * saw. A page that is off by one is some other page of the guest, taken or leaked; an entry that is
 * counted wrong is done twice or never. So all eight pages are looked at each time, for their state
 * by the VMM's word, and for their contents.
 *
 * Sources: GHCB specification, 4.1.6 "SNP Page State Change"; KVM:
 * arch/x86/kvm/svm/sev.c, snp_begin_psc, snp_do_psc, __snp_complete_one_psc. SW_EXITINFO1 is 0 in
 * any case, and SW_EXITINFO2 has the result. KVM takes operations other than private and shared
 * for done, without doing anything, and does not look at reserved bits.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <sev/ghcb.h>
#include <sev/instructions.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>

#define PAGES	    8
#define ENTRIES_MAX 6

/* A page that is not among the eight: one that the VMM refuses, as it is no RAM. */
#define NO_RAM 0xff

struct entry {
	uint8_t page, operation, cur_page;
};

struct range {
	uint8_t page, pages, operation;
};

struct request {
	uint16_t cur, end;
	struct entry entries[ENTRIES_MAX];
	const char *before, *after; /* P or S for each page */
	uint64_t result;
	uint16_t cur_after;
	const char *cur_pages;		  /* of the entries, afterwards; a digit each */
	struct range ranges[ENTRIES_MAX]; /* as the VMM sees them; the last one has no pages */
};

static uint8_t *pages[PAGES];

static bool is_private(const void *page)
{
	return vmm_private_pages((uintptr_t)page, PAGE_SIZE);
}

static uint64_t gfn_of(const void *page)
{
	return (uintptr_t)page >> PAGE_SHIFT;
}

static void validate(const void *page, bool valid)
{
	struct rmp_outcome outcome = pvalidate_raw((uintptr_t)page, RMP_4K, valid);

	EXPECT_EQ((uint32_t)outcome.rax, RMP_OK);
	EXPECT_FALSE(outcome.carry, "page 0x%lx is validated as it was", (unsigned long)page);
}

static void get_pages(void)
{
	uint8_t *block;

	if (pages[0])
		return;
	block = pages_alloc(3);
	for (unsigned int i = 0; i < PAGES; i++)
		pages[i] = block + i * PAGE_SIZE;
}

/* The pages as the request wants them; those that it is to share are no longer validated. */
static void set_up(const struct request *request)
{
	get_pages();
	for (unsigned int i = 0; i < PAGES; i++) {
		memset(pages[i], i + 1, PAGE_SIZE);
		if (request->before[i] == 'S')
			memset(page_share(pages[i]), 0x80 + i, PAGE_SIZE);
		else if (request->after[i] == 'S')
			validate(pages[i], false);
	}
}

static bool is_filled(const uint8_t *page, uint8_t byte)
{
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		if (page[i] != byte)
			return false;
	return true;
}

/* A page that has come back to private is validated first: it must not have been. */
static void check_page(const struct request *request, unsigned int i)
{
	bool private = request->after[i] == 'P', changed = request->before[i] != request->after[i];
	uint8_t byte = private ? i + 1 : 0x80 + i;

	EXPECT_EQ(is_private(pages[i]), private, "page %u is private", i);
	if (is_private(pages[i]) != private)
		return; /* to touch it would end the guest */
	if (changed && private)
		validate(pages[i], true);
	EXPECT_EQ(is_filled(private ? pages[i] : sev_shared(pages[i]), byte), !changed,
		  "page %u has kept its contents", i);
}

static void check_pages(const struct request *request)
{
	for (unsigned int i = 0; i < PAGES; i++)
		check_page(request, i);
	for (unsigned int i = 0; i < PAGES; i++)
		if (!is_private(pages[i]))
			page_unshare(pages[i]);
}

static unsigned int entry_count(const struct request *request)
{
	return strlen(request->cur_pages);
}

static void fill_buffer(struct psc_buffer *buffer, const struct request *request)
{
	memset(buffer, 0, sizeof(*buffer));
	buffer->header.cur_entry = request->cur;
	buffer->header.end_entry = request->end;
	for (unsigned int i = 0; i < entry_count(request); i++) {
		const struct entry *entry = &request->entries[i];
		uint64_t gfn = entry->page == NO_RAM ? memory_hole() >> PAGE_SHIFT
						     : gfn_of(pages[entry->page]);

		buffer->entries[i] = PSC_ENTRY(gfn, entry->operation, false, entry->cur_page);
	}
}

static void check_buffer(const struct psc_buffer *before, const struct psc_buffer *after,
			 const struct request *request)
{
	EXPECT_EQ(after->header.cur_entry, request->cur_after, "cur_entry");
	EXPECT_EQ(after->header.end_entry, request->end, "end_entry");
	for (unsigned int i = 0; i < entry_count(request); i++) {
		EXPECT_EQ(PSC_CUR_PAGE(after->entries[i]), request->cur_pages[i] - '0',
			  "cur_page of entry %u", i);
		EXPECT_EQ(after->entries[i] >> 12, before->entries[i] >> 12, "entry %u", i);
	}
}

static void check_ranges(const struct request *request, uint64_t first)
{
	uint64_t seen = vmm_map_count() - first;
	unsigned int count = 0;

	for (; request->ranges[count].pages; count++) {
		const struct range *range = &request->ranges[count];
		struct vmm_map map;

		if (count >= seen)
			break;
		map = vmm_map_record(first + count);
		EXPECT_EQ(map.pages, range->pages, "range %u", count);
		EXPECT_EQ(map.attributes, range->operation == PSC_PRIVATE ? VMRUN_MAP_ENCRYPTED : 0,
			  "range %u", count);
		if (range->page != NO_RAM)
			EXPECT_EQ(map.gpa, (uintptr_t)pages[range->page], "range %u", count);
	}
	EXPECT_EQ(seen, count, "ranges that the VMM saw");
}

static void check_request(const struct request *request)
{
	struct psc_buffer before, after;
	struct psc_outcome outcome;
	uint64_t first;

	set_up(request);
	fill_buffer(&before, request);
	after = before;
	first = vmm_map_count();
	outcome = psc_ghcb(&after);
	check_ranges(request, first);
	EXPECT_EQ(outcome.info_1, GHCB_NO_ACTION);
	EXPECT_EQ(outcome.info_2, request->result);
	check_buffer(&before, &after, request);
	check_pages(request);
}

#define CHECK(...) check_request(&(const struct request){ __VA_ARGS__ })

#define S(page)                     \
	{                           \
		page, PSC_SHARED, 0 \
	}
#define P(page)                      \
	{                            \
		page, PSC_PRIVATE, 0 \
	}
#define DONE_S(page)                \
	{                           \
		page, PSC_SHARED, 1 \
	}
#define RANGE_S(page, pages)            \
	{                               \
		page, pages, PSC_SHARED \
	}
#define RANGE_P(page, pages)             \
	{                                \
		page, pages, PSC_PRIVATE \
	}

TEST("one page becomes shared")
{
	CHECK(.entries = { S(3) }, .cur_pages = "1", .cur_after = 1, .before = "PPPPPPPP",
	      .after = "PPPSPPPP", .ranges = { RANGE_S(3, 1) });
}

TEST("one page becomes private")
{
	CHECK(.entries = { P(3) }, .cur_pages = "1", .cur_after = 1, .before = "SSSSPPPP",
	      .after = "SSSPPPPP", .ranges = { RANGE_P(3, 1) });
}

TEST("adjacent pages of one operation are one range")
{
	CHECK(.end = 2, .entries = { S(2), S(3), S(4) }, .cur_pages = "111", .cur_after = 3,
	      .before = "PPPPPPPP", .after = "PPSSSPPP", .ranges = { RANGE_S(2, 3) });
}

TEST("pages with a gap between them are two ranges, and the gap stays")
{
	CHECK(.end = 2, .entries = { S(1), S(2), S(4) }, .cur_pages = "111", .cur_after = 3,
	      .before = "PPPPPPPP", .after = "PSSPSPPP",
	      .ranges = { RANGE_S(1, 2), RANGE_S(4, 1) });
}

TEST("adjacent pages in falling order are ranges of their own")
{
	CHECK(.end = 2, .entries = { S(5), S(4), S(3) }, .cur_pages = "111", .cur_after = 3,
	      .before = "PPPPPPPP", .after = "PPPSSSPP",
	      .ranges = { RANGE_S(5, 1), RANGE_S(4, 1), RANGE_S(3, 1) });
}

TEST("adjacent pages of different operations are ranges of their own")
{
	CHECK(.end = 3, .entries = { S(0), P(1), P(2), S(3) }, .cur_pages = "1111", .cur_after = 4,
	      .before = "PSSPPPPP", .after = "SPPSPPPP",
	      .ranges = { RANGE_S(0, 1), RANGE_P(1, 2), RANGE_S(3, 1) });
}

TEST("the same page twice is done twice")
{
	CHECK(.end = 1, .entries = { S(6), S(6) }, .cur_pages = "11", .cur_after = 2,
	      .before = "PPPPPPPP", .after = "PPPPPPSP",
	      .ranges = { RANGE_S(6, 1), RANGE_S(6, 1) });
}

TEST("a page that is asked for in both states in one request ends in the last")
{
	CHECK(.end = 1, .entries = { P(6), S(6) }, .cur_pages = "11", .cur_after = 2,
	      .before = "PPPPPPPP", .after = "PPPPPPSP",
	      .ranges = { RANGE_P(6, 1), RANGE_S(6, 1) });
}

TEST("a page in the wanted state is asked for again, and keeps what it has")
{
	CHECK(.end = 1, .entries = { P(0), S(1) }, .cur_pages = "11", .cur_after = 2,
	      .before = "PSPPPPPP", .after = "PSPPPPPP",
	      .ranges = { RANGE_P(0, 1), RANGE_S(1, 1) });
}

TEST("the entries before cur_entry and behind end_entry are left alone")
{
	CHECK(.cur = 1, .end = 2, .entries = { S(0), S(1), S(2), S(3) }, .cur_pages = "0110",
	      .cur_after = 3, .before = "PPPPPPPP", .after = "PSSPPPPP",
	      .ranges = { RANGE_S(1, 2) });
}

TEST("entries that are done already are passed over")
{
	CHECK(.end = 3, .entries = { DONE_S(0), DONE_S(1), S(2), DONE_S(3) }, .cur_pages = "1111",
	      .cur_after = 4, .before = "PPPPPPPP", .after = "PPSPPPPP",
	      .ranges = { RANGE_S(2, 1) });
}

TEST("a request of done entries alone succeeds, and the VMM sees nothing")
{
	CHECK(.end = 1, .entries = { DONE_S(0), DONE_S(1) }, .cur_pages = "11", .cur_after = 2,
	      .before = "PPPPPPPP", .after = "PPPPPPPP");
}

TEST("cur_entry behind end_entry succeeds, and nothing is done")
{
	CHECK(.cur = 2, .end = 1, .entries = { S(0), S(1), S(2) }, .cur_pages = "000",
	      .cur_after = 2, .before = "PPPPPPPP", .after = "PPPPPPPP");
}

TEST("end_entry of 253 is a bad header, and nothing is done")
{
	CHECK(.end = 253, .entries = { S(0) }, .cur_pages = "0", .cur_after = 0,
	      .result = PSC_BAD_HEADER, .before = "PPPPPPPP", .after = "PPPPPPPP");
}

TEST("end_entry of 65535 is a bad header, cur_entry behind all notwithstanding")
{
	CHECK(.cur = 0xffff, .end = 0xffff, .entries = { S(0) }, .cur_pages = "0",
	      .cur_after = 0xffff, .result = PSC_BAD_HEADER, .before = "PPPPPPPP",
	      .after = "PPPPPPPP");
}

TEST("more pages done than there are is a bad entry, and those before it are done")
{
	CHECK(.end = 2, .entries = { S(0), { 2, PSC_SHARED, 2 }, S(4) }, .cur_pages = "120",
	      .cur_after = 1, .result = PSC_BAD_ENTRY, .before = "PPPPPPPP", .after = "SPPPPPPP",
	      .ranges = { RANGE_S(0, 1) });
}

TEST("a range that the VMM refuses fails as such, and those before it are done")
{
	CHECK(.end = 2, .entries = { S(0), { NO_RAM, PSC_SHARED, 0 }, S(4) }, .cur_pages = "100",
	      .cur_after = 1, .result = PSC_GENERIC, .before = "PPPPPPPP", .after = "SPPPPPPP",
	      .ranges = { RANGE_S(0, 1), RANGE_S(NO_RAM, 1) });
}

/* 3 and 4 are for pages of a larger RMP entry; the others are not defined. */
TEST("operations other than private and shared are taken for done, and change nothing")
{
	CHECK(.end = 5,
	      .entries = { { 0, 0, 0 },
			   { 1, PSC_SMASH, 0 },
			   { 2, PSC_UNSMASH, 0 },
			   { 3, 5, 0 },
			   { 4, 15, 0 },
			   S(6) },
	      .cur_pages = "111111", .cur_after = 6, .before = "PPPPPPPP", .after = "PPPPPPSP",
	      .ranges = { RANGE_S(6, 1) });
}

static struct psc_outcome share_one(struct psc_buffer *buffer, unsigned int page)
{
	get_pages();
	memset(pages[page], page, PAGE_SIZE);
	validate(pages[page], false);
	buffer->entries[0] |= PSC_ENTRY(gfn_of(pages[page]), PSC_SHARED, false, 0);
	return psc_ghcb(buffer);
}

TEST("reserved bits of header and entry do not matter, and stay")
{
	struct psc_buffer buffer = { .header.reserved = 0xa5a5a5a5, .entries = { 0x7full << 57 } };
	struct psc_outcome outcome = share_one(&buffer, 1);

	EXPECT_EQ(outcome.info_1, GHCB_NO_ACTION);
	EXPECT_EQ(outcome.info_2, PSC_DONE);
	EXPECT_EQ(buffer.header.reserved, 0xa5a5a5a5);
	EXPECT_EQ(buffer.entries[0] >> 57, 0x7f);
	ASSERT_FALSE(is_private(pages[1]));
	page_unshare(pages[1]);
}

/* What the VMM refuses now it may grant the next time: the guest calls again, and is done. */
TEST("after the VMM's error the same buffer, given again, does the rest")
{
	struct psc_buffer buffer = { .header.end_entry = 3 };
	struct psc_outcome outcome;

	get_pages();
	for (unsigned int i = 0; i < 4; i++) {
		validate(pages[2 * i], false);
		buffer.entries[i] = PSC_ENTRY(gfn_of(pages[2 * i]), PSC_SHARED, false, 0);
	}
	vmm_map_fail(2);
	outcome = psc_ghcb(&buffer);
	EXPECT_EQ(outcome.info_1, GHCB_NO_ACTION);
	EXPECT_EQ(outcome.info_2, PSC_GENERIC);
	EXPECT_EQ(buffer.header.cur_entry, 2);
	for (unsigned int i = 0; i < 4; i++)
		EXPECT_EQ(is_private(pages[2 * i]), i >= 2, "entry %u", i);

	EXPECT_EQ(psc_ghcb(&buffer).info_2, PSC_DONE);
	EXPECT_EQ(buffer.header.cur_entry, 4);
	for (unsigned int i = 0; i < 4; i++) {
		EXPECT_FALSE(is_private(pages[2 * i]), "entry %u", i);
		page_unshare(pages[2 * i]);
	}
}
