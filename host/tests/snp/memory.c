// SPDX-License-Identifier: BSD-2-Clause
/*
 * Memory of an SNP VM: what attributes, holes and launch commands make of its pages
 *
 * A page of private memory has an entry in the RMP as long as it is in the guest_memfd: it is made when the guest
 * first needs the page (arch/x86/kvm/svm/sev.c, sev_gmem_prepare), and goes when the page is freed
 * (sev_gmem_invalidate), by a hole or with the file. KVM_SET_MEMORY_ATTRIBUTES changes none: it says which of its two
 * memories an address means (virt/kvm/kvm_main.c, kvm_vm_set_mem_attributes). So
 *
 * - a range whose pages were in part never touched changes as any other, and what has no entry is nothing to do;
 * - a page that was freed is a new one when the guest comes back: it holds nothing of the old, and is not validated;
 * - a page that was not freed is as the guest left it, validated and with its contents;
 * - where a slot has no guest_memfd a private access is a memory fault, and the launch refuses it;
 * - a launch command that ends in the middle says where.
 *
 * What has become of a page a guest tells, by reading, writing and PVALIDATE (common/guest.h), so that the same is
 * tested where the RMP is hardware. Sources: APM volume 2, 15.36.6, 15.36.10; volume 3, PVALIDATE;
 * Documentation/virt/kvm/x86/amd-memory-encryption.rst, KVM_SEV_SNP_LAUNCH_UPDATE; sev.c, snp_launch_update,
 * sev_gmem_post_populate; guest_memfd.c, kvm_gmem_populate.
 */
#include "common/guest.h"

#include <errno.h>
#include <string.h>

#define GPA	  (16ull << 20)
#define PAGES	  8
#define AT(page)  (GPA + (page)*PAGE)
#define WORD	  0x1122334455667788ull
#define SET(page) (1u << (page))

struct place {
	struct guest guest;
	uint8_t *shared;
	int file;
};

/* A guest, and the slot with PAGES pages, all private. */
static struct place place(void)
{
	struct place place = { .guest = guest_new() };

	place.file = snp_file(place.guest.vm, PAGES);
	place.shared = snp_slot(place.guest.vm, 1, GPA, PAGES, place.file, 0);
	for (unsigned int page = 0; page < PAGES; page++)
		memset(place.shared + page * PAGE, 0x40 + page, PAGE);
	REQUIRE(!snp_attributes(place.guest.vm, GPA, PAGES, true));
	return place;
}

static struct place running(void)
{
	struct place new = place();

	guest_finish(&new.guest);
	return new;
}

static uint64_t shared_word(unsigned int page)
{
	return 0x4040404040404040ull + 0x0101010101010101ull * page;
}

static void validate_and_write(struct guest *guest, unsigned int page)
{
	guest_validate(guest, AT(page));
	EXPECT_EQ(guest_write(guest, PRIVATE(AT(page)), WORD + page).vc, 0, "page %u", page);
	guest_expect(guest, PRIVATE(AT(page)), WORD + page);
}

static void set(const struct place *place, unsigned int page, unsigned int count, bool private)
{
	EXPECT_EQ(snp_attributes(place->guest.vm, AT(page), count, private), 0, "page %u", page);
}

TEST("a page that nobody has touched is private, and not validated")
{
	struct place new = running();

	for (unsigned int page = 0; page < PAGES; page++)
		guest_expect_not_validated(&new.guest, AT(page));
}

TEST("a range that was in part never touched becomes shared, and private again")
{
	static const unsigned int touched[] = { 0, SET(0), SET(7), SET(2) | SET(5), 0xff };

	for (size_t i = 0; i < sizeof(touched) / sizeof(*touched); i++) {
		struct place new = running();

		for (unsigned int page = 0; page < PAGES; page++)
			if (touched[i] & SET(page))
				validate_and_write(&new.guest, page);
		set(&new, 0, PAGES, false);
		EXPECT_EQ(snp_punch(new.file, 0, PAGES), 0);
		for (unsigned int page = 0; page < PAGES; page++)
			guest_expect(&new.guest, SHARED(AT(page)), shared_word(page));
		set(&new, 0, PAGES, true);
		for (unsigned int page = 0; page < PAGES; page++)
			guest_expect_not_validated(&new.guest, AT(page));
	}
}

TEST("only the pages of the range change, and their neighbours keep what they have")
{
	struct place new = running();

	for (unsigned int page = 0; page < PAGES; page++)
		validate_and_write(&new.guest, page);
	set(&new, 2, 3, false);
	EXPECT_EQ(snp_punch(new.file, 2, 3), 0);
	for (unsigned int page = 0; page < PAGES; page++)
		if (page >= 2 && page < 5)
			guest_expect(&new.guest, SHARED(AT(page)), shared_word(page));
		else
			guest_expect(&new.guest, PRIVATE(AT(page)), WORD + page);
}

TEST("a page with a hole in its place is a new one, without validation and contents")
{
	struct place new = running();

	for (unsigned int page = 0; page < PAGES; page++)
		validate_and_write(&new.guest, page);
	EXPECT_EQ(snp_punch(new.file, 3, 2), 0);
	for (unsigned int page = 3; page < 5; page++) {
		guest_expect_not_validated(&new.guest, AT(page));
		guest_validate(&new.guest, AT(page));
		EXPECT_NE(guest_read(&new.guest, PRIVATE(AT(page))).value, WORD + page);
	}
	guest_expect(&new.guest, PRIVATE(AT(2)), WORD + 2);
	guest_expect(&new.guest, PRIVATE(AT(5)), WORD + 5);
}

TEST("a page that becomes shared and private without a hole is as it was")
{
	struct place new = running();

	validate_and_write(&new.guest, 1);
	set(&new, 1, 1, false);
	guest_expect(&new.guest, SHARED(AT(1)), shared_word(1));
	set(&new, 1, 1, true);
	guest_expect(&new.guest, PRIVATE(AT(1)), WORD + 1);
	EXPECT_TRUE(guest_pvalidate(&new.guest, PRIVATE(AT(1)), false, true).carry);
}

TEST("an access that does not fit the attribute is a memory fault, until it does")
{
	struct place new = running();

	validate_and_write(&new.guest, 0);
	guest_expect_fault(&new.guest, SHARED(AT(0)), AT(0), false);
	set(&new, 0, 1, false);
	guest_expect(&new.guest, SHARED(AT(0)), shared_word(0));
	guest_expect_fault(&new.guest, PRIVATE(AT(0)), AT(0), true);
	set(&new, 0, 1, true);
	guest_expect(&new.guest, PRIVATE(AT(0)), WORD);
}

TEST("where a slot has no guest_memfd, private accesses are memory faults, and the launch refuses it")
{
	struct place new = place();
	uint8_t *plain = snp_slot(new.guest.vm, 2, GPA + (1 << 20), PAGES, -1, 0);
	struct sev_snp_update update = { .gfn_start = (GPA + (1 << 20)) / PAGE,
					 .uaddr = (uintptr_t)plain,
					 .len = PAGE,
					 .type = SEV_PAGE_NORMAL };
	uint32_t error;

	EXPECT_EQ(snp_attributes(new.guest.vm, GPA + (1 << 20), PAGES, true), 0);
	EXPECT_EQ(snp_update(new.guest.vm, &update, &error), -EINVAL);
	EXPECT_EQ(update.len, PAGE);
	guest_finish(&new.guest);
	guest_expect_fault(&new.guest, PRIVATE(GPA + (1 << 20)), GPA + (1 << 20), true);
}

/* --- launch commands that end in the middle -------------------------------- */

static struct sev_snp_update update_of(const struct place *place, unsigned int page,
				       unsigned int count)
{
	return (struct sev_snp_update){ .gfn_start = AT(page) / PAGE,
					.uaddr = (uintptr_t)place->shared + page * PAGE,
					.len = count * PAGE,
					.type = SEV_PAGE_NORMAL };
}

/* What is left of the update begins with this page. */
static void expect_left(const struct place *place, const struct sev_snp_update *update,
			unsigned int page, unsigned int count)
{
	EXPECT_EQ(update->gfn_start, AT(page) / PAGE);
	EXPECT_EQ(update->uaddr, (uintptr_t)place->shared + page * PAGE);
	EXPECT_EQ(update->len, count * PAGE);
}

TEST("a launch of pages of which one is there already stops before it, and says so")
{
	struct place new = place();
	struct sev_snp_update update = update_of(&new, 5, 1);
	uint32_t error;

	EXPECT_EQ(snp_update(new.guest.vm, &update, &error), 0);
	update = update_of(&new, 2, 6);
	EXPECT_EQ(snp_update(new.guest.vm, &update, &error), 0);
	expect_left(&new, &update, 5, 3);
	EXPECT_EQ(snp_update(new.guest.vm, &update, &error), -EIO, "the one that is there");
	EXPECT_EQ(error, 0, "the firmware was not asked");
	expect_left(&new, &update, 5, 3);
	guest_finish(&new.guest);
	for (unsigned int page = 0; page < PAGES; page++)
		if (page >= 2 && page < 6)
			guest_expect(&new.guest, PRIVATE(AT(page)), shared_word(page));
		else
			guest_expect_not_validated(&new.guest, AT(page));
}

TEST("a launch of pages of which one is not private stops before it, and says so")
{
	struct place new = place();
	struct sev_snp_update update = update_of(&new, 0, PAGES);
	uint32_t error;

	set(&new, 3, 1, false);
	EXPECT_EQ(snp_update(new.guest.vm, &update, &error), 0);
	expect_left(&new, &update, 3, PAGES - 3);
	EXPECT_EQ(snp_update(new.guest.vm, &update, &error), -EIO);
	expect_left(&new, &update, 3, PAGES - 3);
	set(&new, 3, 1, true);
	EXPECT_EQ(snp_update(new.guest.vm, &update, &error), 0);
	EXPECT_EQ(update.len, 0);
	guest_finish(&new.guest);
	for (unsigned int page = 0; page < PAGES; page++)
		guest_expect(&new.guest, PRIVATE(AT(page)), shared_word(page));
}

TEST("a launch that reaches past its slot stops at the end, and says so")
{
	struct place new = place();
	struct sev_snp_update update = update_of(&new, PAGES - 2, 4);
	uint32_t error;

	EXPECT_EQ(snp_update(new.guest.vm, &update, &error), 0);
	expect_left(&new, &update, PAGES, 2);
	EXPECT_EQ(snp_update(new.guest.vm, &update, &error), -EINVAL);
	guest_finish(&new.guest);
	guest_expect(&new.guest, PRIVATE(AT(PAGES - 1)), shared_word(PAGES - 1));
}

TEST("a launch whose data cannot be read stops before it, and the page can be launched then")
{
	struct place new = place();
	struct sev_snp_update update = update_of(&new, 0, 1);
	uint32_t error;

	update.uaddr = PAGE; /* nothing is mapped there */
	EXPECT_EQ(snp_update(new.guest.vm, &update, &error), -EIO);
	EXPECT_EQ(error, 0, "the firmware was not asked");
	EXPECT_EQ(update.len, PAGE);
	update.uaddr = (uintptr_t) new.shared;
	EXPECT_EQ(snp_update(new.guest.vm, &update, &error), 0);
	guest_finish(&new.guest);
	guest_expect(&new.guest, PRIVATE(AT(0)), shared_word(0));
}
