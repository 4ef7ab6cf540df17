// SPDX-License-Identifier: BSD-2-Clause
/*
 * Entries of 2 MiB in the RMP: where KVM makes them, and what splits them
 *
 * KVM makes one entry for 2 MiB where the guest_memfd has them in one folio, of which no page has an entry
 * yet (arch/x86/kvm/svm/sev.c, sev_gmem_prepare, is_large_rmp_possible), and 512 of 4 KiB else. The attributes do
 * not count. It splits an entry (PSMASH) when the guest works on 4 KiB of it, when the nested page tables can map it
 * by 4 KiB only, since a part of the 2 MiB is shared (sev_handle_rmp_fault, cases 1 and 2), and when a part of it is
 * freed (sev_gmem_invalidate); the others of the 512 stay as they are.
 *
 * The size of an entry a guest tells, by a PVALIDATE of 2 MiB: FAIL_SIZEMISMATCH where the entry is one of 4 KiB (APM
 * volume 3, PVALIDATE).
 *
 * guest_memfd has no large folios yet; the patched kernel's parameter kvm.gmem_2m lets it have them in slots that
 * begin at 2 MiB of the guest and of the file, as KVM wants it (guest_memfd.c, kvm_gmem_prepare_folio).
 */
#include "common/guest.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define GPA		(16ull << 20)
#define PER_LARGE	512
#define WORD		0x1122334455667788ull

struct place {
	struct guest guest;
	uint8_t *shared;
	int file;
	uint64_t gpa; /* of the slot */
};

/* A guest that runs, and a slot that begins so many pages after GPA, and after the file's beginning. */
static struct place place(unsigned int first, unsigned int offset, unsigned int pages)
{
	struct place place = { .guest = guest_new(), .gpa = GPA + first * PAGE };

	snp_use_2m(true);
	place.file = snp_file(place.guest.vm, offset + pages);
	place.shared = snp_slot(place.guest.vm, 1, place.gpa, pages, place.file, offset * PAGE);
	REQUIRE(!snp_attributes(place.guest.vm, place.gpa, pages, true));
	guest_finish(&place.guest);
	return place;
}

static uint32_t validate_large(struct place *place, uint64_t gpa)
{
	struct outcome outcome = guest_pvalidate(&place->guest, PRIVATE(gpa), true, true);

	EXPECT_EQ(outcome.result, 0);
	return (uint32_t)outcome.value;
}

static void write_page(struct place *place, unsigned int page)
{
	EXPECT_EQ(guest_write(&place->guest, PRIVATE(GPA + page * PAGE), WORD + page).vc, 0,
		  "page %u", page);
}

static void expect_page(struct place *place, unsigned int page)
{
	guest_expect(&place->guest, PRIVATE(GPA + page * PAGE), WORD + page);
}

/* 2 MiB in one entry, validated, with a word in some of its pages. */
static const unsigned int written[] = { 0, 1, 4, 5, 6, 255, 511 };

static struct place validated(void)
{
	struct place new = place(0, 0, PER_LARGE);

	ASSERT_EQ(validate_large(&new, GPA), PVALIDATE_OK);
	for (size_t i = 0; i < COUNT_OF(written); i++)
		write_page(&new, written[i]);
	return new;
}

/* All but this page are as they were, and the entry is none of 2 MiB any more. */
static void expect_split(struct place *place, unsigned int but)
{
	for (size_t i = 0; i < COUNT_OF(written); i++)
		if (written[i] != but)
			expect_page(place, written[i]);
	EXPECT_TRUE(guest_pvalidate(&place->guest, PRIVATE(GPA + 6 * PAGE), false, true).carry);
	EXPECT_EQ(validate_large(place, GPA), PVALIDATE_SIZE);
}

TEST("an entry of 2 MiB is made where slot, file and range have room for it, and nowhere else")
{
	static const struct {
		unsigned int first, offset, pages, at; /* in pages; at: the 2 MiB looked at */
		uint32_t result;
	} cases[] = {
		{ 0, 0, 512, 0, PVALIDATE_OK },	       { 0, 0, 1024, 512, PVALIDATE_OK },
		{ 0, 512, 512, 0, PVALIDATE_OK },      { 512, 0, 512, 512, PVALIDATE_OK },
		{ 0, 0, 511, 0, PVALIDATE_SIZE },      { 0, 0, 1023, 512, PVALIDATE_SIZE },
		{ 0, 1, 512, 0, PVALIDATE_SIZE },      { 0, 256, 1024, 512, PVALIDATE_SIZE },
		{ 511, 0, 1024, 512, PVALIDATE_SIZE }, { 511, 511, 513, 512, PVALIDATE_SIZE },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct place new = place(cases[i].first, cases[i].offset, cases[i].pages);

		EXPECT_EQ(validate_large(&new, GPA + cases[i].at * PAGE), cases[i].result,
			  "case %zu", i);
	}
}

TEST("where a page of the 2 MiB has an entry already, the others get theirs one by one")
{
	struct place new = place(0, 0, PER_LARGE);

	snp_use_2m(false);
	guest_validate(&new.guest, GPA + 7 * PAGE);
	snp_use_2m(true);
	EXPECT_EQ(validate_large(&new, GPA), PVALIDATE_SIZE);
}

TEST("2 MiB that were validated at once are so, to the last page")
{
	struct place new = validated();

	for (size_t i = 0; i < COUNT_OF(written); i++)
		expect_page(&new, written[i]);
	EXPECT_TRUE(guest_pvalidate(&new.guest, PRIVATE(GPA), true, true).carry);
}

TEST("a PVALIDATE of 4 KiB splits the entry, and is of that page alone")
{
	struct place new = validated();
	struct outcome outcome = guest_pvalidate(&new.guest, PRIVATE(GPA + 5 * PAGE), false, false);

	EXPECT_EQ((uint32_t)outcome.value, PVALIDATE_OK);
	EXPECT_FALSE(outcome.carry);
	guest_expect_not_validated(&new.guest, GPA + 5 * PAGE);
	expect_split(&new, 5);
}

TEST("4 KiB of the 2 MiB that are freed split the entry, and come back without validation")
{
	struct place new = validated();

	EXPECT_EQ(snp_punch(new.file, 5, 1), 0);
	guest_expect_not_validated(&new.guest, GPA + 5 * PAGE);
	expect_split(&new, 5);
}

TEST("4 KiB of the 2 MiB that become shared split the entry, and are the host's")
{
	struct place new = validated();

	*(uint64_t *)(new.shared + 5 * PAGE) = ~WORD;
	EXPECT_EQ(snp_attributes(new.guest.vm, GPA + 5 * PAGE, 1, false), 0);
	EXPECT_EQ(snp_punch(new.file, 5, 1), 0);
	guest_expect(&new.guest, SHARED(GPA + 5 * PAGE), ~WORD);
	expect_split(&new, 5);
}

TEST("4 KiB that become shared, and are not freed, split the entry when a page beside them is used")
{
	struct place new = validated();

	*(uint64_t *)(new.shared + 5 * PAGE) = ~WORD;
	EXPECT_EQ(snp_attributes(new.guest.vm, GPA + 5 * PAGE, 1, false), 0);
	expect_page(&new, 4);
	EXPECT_EQ(validate_large(&new, GPA), PVALIDATE_SIZE);
	guest_expect(&new.guest, SHARED(GPA + 5 * PAGE), ~WORD);
	expect_split(&new, 5);
	EXPECT_EQ(snp_attributes(new.guest.vm, GPA + 5 * PAGE, 1, true), 0);
	expect_page(&new, 5);
}

TEST("2 MiB that are freed come back in one entry, without validation")
{
	struct place new = validated();

	EXPECT_EQ(snp_punch(new.file, 0, PER_LARGE), 0);
	guest_expect_not_validated(&new.guest, GPA);
	EXPECT_EQ(validate_large(&new, GPA), PVALIDATE_OK);
	for (size_t i = 0; i < COUNT_OF(written); i++)
		EXPECT_NE(guest_read(&new.guest, PRIVATE(GPA + written[i] * PAGE)).value,
			  WORD + written[i], "page %u", written[i]);
}
