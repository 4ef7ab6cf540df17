// SPDX-License-Identifier: BSD-2-Clause
/*
 * Punching holes: what lies in the hole is given back and reads zero, and nothing else changes
 *
 * A hole begins and ends at pages (virt/kvm/guest_memfd.c, kvm_gmem_fallocate), and may reach
 * beyond the end of the file, where there is nothing to give back; the file's size stays
 * (kvm_gmem_punch_hole). Its pages leave every mapping there is, before they are freed
 * (mm/truncate.c, truncate_inode_pages_range), and the next access gets new ones.
 */
#include "common/gmem.h"
#include "common/touch.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGES 8
#define SIZE  (PAGES * PAGE)

struct hole {
	const char *what;
	int64_t offset, size; /* bytes */
};

static const struct hole holes[] = {
	{ "the first page", 0, PAGE },
	{ "the last page", (PAGES - 1) * PAGE, PAGE },
	{ "one in the middle", 3 * PAGE, PAGE },
	{ "three in the middle", 2 * PAGE, 3 * PAGE },
	{ "all but the first", PAGE, (PAGES - 1) * PAGE },
	{ "all but the last", 0, (PAGES - 1) * PAGE },
	{ "all", 0, SIZE },
	{ "over the end", (PAGES - 2) * PAGE, 4 * PAGE },
	{ "from the end", SIZE, PAGE },
	{ "behind the end", 4 * SIZE, 2 * PAGE },
	{ "all, and far beyond", 0, 1ll << 50 },
};

static const struct hole misaligned[] = {
	{ "half a page", 0, PAGE / 2 },
	{ "from a half", PAGE / 2, PAGE },
	{ "a byte too few", 0, PAGE - 1 },
	{ "a byte too many", 0, PAGE + 1 },
	{ "from the second byte", 1, PAGE },
	{ "from byte 1 to a page's end", 1, PAGE - 1 },
	{ "one byte", PAGE, 1 },
	{ "nothing", PAGE, 0 },
	{ "less than nothing", PAGE, -PAGE },
	{ "before the file", -(int64_t)PAGE, 2 * PAGE },
	{ "half past the end", SIZE, PAGE / 2 },
};

struct memory {
	int file;
	volatile uint64_t *words;
};

static struct memory filled(void)
{
	int file = gmem_new(gmem_vm(KVM_X86_DEFAULT_VM), PAGES, MAPPABLE);
	struct memory memory = { file, gmem_map(file, PAGES) };

	pages_fill(memory.words, 0, PAGES, 1);
	return memory;
}

/* Every page is either zero or as it was. */
static void expect_holes(const struct memory *memory, const bool in_hole[PAGES], const char *what)
{
	for (unsigned int page = 0; page < PAGES; page++) {
		if (in_hole[page])
			EXPECT_EQ(pages_not_zero(memory->words, page, 1), 0, "%s: page %u", what,
				  page);
		else
			EXPECT_EQ(pages_changed(memory->words, page, 1, 1), 0, "%s: page %u", what,
				  page);
	}
}

static void punch(const struct memory *memory, const struct hole *hole, bool in_hole[PAGES])
{
	EXPECT_EQ(gmem_punch(memory->file, hole->offset, hole->size), 0, "%s", hole->what);
	for (int64_t page = 0; page < PAGES; page++)
		in_hole[page] |= page * (int64_t)PAGE >= hole->offset &&
				 page * (int64_t)PAGE < hole->offset + hole->size;
}

TEST("a hole reads zero, and what lies around it keeps its contents")
{
	struct memory memory = filled();

	for (size_t i = 0; i < sizeof(holes) / sizeof(*holes); i++) {
		bool in_hole[PAGES] = {};

		pages_fill(memory.words, 0, PAGES, 1);
		punch(&memory, &holes[i], in_hole);
		expect_holes(&memory, in_hole, holes[i].what);
	}
}

TEST("holes that overlap, touch and repeat add up")
{
	static const struct hole steps[] = {
		{ "pages 2 to 3", 2 * PAGE, 2 * PAGE }, { "pages 3 to 4", 3 * PAGE, 2 * PAGE },
		{ "page 5", 5 * PAGE, PAGE },		{ "page 3, again", 3 * PAGE, PAGE },
		{ "pages 1 to 5", PAGE, 5 * PAGE },	{ "all", 0, PAGES * PAGE },
	};
	struct memory memory = filled();
	bool in_hole[PAGES] = {};

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		punch(&memory, &steps[i], in_hole);
		expect_holes(&memory, in_hole, steps[i].what);
	}
}

TEST("a hole that is not of whole pages is refused, and changes nothing")
{
	struct memory memory = filled();

	for (size_t i = 0; i < sizeof(misaligned) / sizeof(*misaligned); i++) {
		EXPECT_EQ(gmem_punch(memory.file, misaligned[i].offset, misaligned[i].size),
			  -EINVAL, "%s", misaligned[i].what);
		EXPECT_EQ(pages_changed(memory.words, 0, PAGES, 1), 0, "%s", misaligned[i].what);
	}
}

TEST("a hole whose end is no offset is refused, and changes nothing")
{
	struct memory memory = filled();

	EXPECT_EQ(gmem_punch(memory.file, PAGE, INT64_MAX & -(int64_t)PAGE), -EFBIG);
	EXPECT_EQ(pages_changed(memory.words, 0, PAGES, 1), 0);
}

TEST("a hole can be written again, and keeps that")
{
	struct memory memory = filled();

	EXPECT_EQ(gmem_punch(memory.file, 2 * PAGE, 2 * PAGE), 0);
	pages_fill(memory.words, 2, 2, 2);
	EXPECT_EQ(pages_changed(memory.words, 2, 2, 2), 0);
	EXPECT_EQ(gmem_punch(memory.file, 3 * PAGE, PAGE), 0);
	EXPECT_EQ(pages_changed(memory.words, 2, 1, 2), 0);
	EXPECT_EQ(pages_not_zero(memory.words, 3, 1), 0);
}

TEST("a hole does not change the file's size")
{
	struct memory memory = filled();
	struct stat status;

	for (size_t i = 0; i < sizeof(holes) / sizeof(*holes); i++) {
		EXPECT_EQ(gmem_punch(memory.file, holes[i].offset, holes[i].size), 0);
		EXPECT_EQ(fstat(memory.file, &status), 0);
		EXPECT_EQ(status.st_size, PAGES * PAGE, "%s", holes[i].what);
	}
}

TEST("a hole shows in every mapping of the file")
{
	struct memory memory = filled();
	volatile uint64_t *other = gmem_map(memory.file, PAGES);

	EXPECT_EQ(pages_changed(other, 0, PAGES, 1), 0);
	EXPECT_EQ(gmem_punch(memory.file, 4 * PAGE, PAGE), 0);
	EXPECT_EQ(pages_not_zero(other, 4, 1), 0);
	other[4 * PAGE_WORDS] = 5;
	EXPECT_EQ(memory.words[4 * PAGE_WORDS], 5);
}

TEST("allocating a hole leaves it zero, and what is not one as it is")
{
	struct memory memory = filled();

	EXPECT_EQ(gmem_punch(memory.file, 2 * PAGE, PAGE), 0);
	EXPECT_EQ(gmem_fallocate(memory.file, FALLOC_FL_KEEP_SIZE, 0, PAGES * PAGE), 0);
	EXPECT_EQ(pages_not_zero(memory.words, 2, 1), 0);
	EXPECT_EQ(pages_changed(memory.words, 0, 2, 1), 0);
	EXPECT_EQ(pages_changed(memory.words, 3, PAGES - 3, 1), 0);
}

TEST("removing pages by their mapping (MADV_REMOVE) is a hole")
{
	struct memory memory = filled();
	bool in_hole[PAGES] = { [1] = true, [2] = true };

	EXPECT_EQ(madvise((void *)(memory.words + PAGE_WORDS), 2 * PAGE, MADV_REMOVE), 0);
	expect_holes(&memory, in_hole, "pages 1 to 2");
}

TEST("a hole in memory that the host cannot touch is taken just so")
{
	int file = gmem_new(gmem_vm(KVM_X86_DEFAULT_VM), PAGES, 0);

	EXPECT_EQ(gmem_fallocate(file, FALLOC_FL_KEEP_SIZE, 0, PAGES * PAGE), 0);
	for (size_t i = 0; i < sizeof(holes) / sizeof(*holes); i++)
		EXPECT_EQ(gmem_punch(file, holes[i].offset, holes[i].size), 0, "%s", holes[i].what);
	for (size_t i = 0; i < sizeof(misaligned) / sizeof(*misaligned); i++)
		EXPECT_EQ(gmem_punch(file, misaligned[i].offset, misaligned[i].size), -EINVAL, "%s",
			  misaligned[i].what);
}
