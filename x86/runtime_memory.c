// SPDX-License-Identifier: BSD-2-Clause
/*
 * The runtime: memory and the command line, as the loader gave them
 *
 * By PVH both come from struct hvm_start_info (xen/include/public/arch-x86/hvm/start_info.h); a
 * flat boot has the size of memory from CMOS, and no command line. The start code copies them
 * before it writes anywhere else, and the allocator hands out nothing that the loader marked as
 * used.
 *
 * This test wants the command line "alpha=1 beta gamma=0x20 alpha=two".
 */
#include <libc/string.h>
#include <test/test.h>
#include <x86/memory.h>
#include <x86/paging.h>
#include <x86/platform.h>

#define MANY_PAGES 64

extern char __image_end[];

static bool is_zero(const void *memory, size_t size)
{
	const uint8_t *bytes = memory;

	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

TEST("words of the command line are found, and only whole ones")
{
	EXPECT_STR_EQ(cmdline(), "alpha=1 beta gamma=0x20 alpha=two");
	EXPECT_TRUE(cmdline_has("beta"));
	EXPECT_TRUE(cmdline_has("alpha=1"));
	EXPECT_FALSE(cmdline_has("bet"));
	EXPECT_FALSE(cmdline_has("alpha"));
}

TEST("a value is that of the last word with its key")
{
	EXPECT_STR_EQ(cmdline_value("alpha"), "two");
	EXPECT_STR_EQ(cmdline_value("gamma"), "0x20");
	EXPECT_EQ((uintptr_t)cmdline_value("beta"), 0);
	EXPECT_EQ((uintptr_t)cmdline_value("alph"), 0);
}

TEST("a number is read in decimal or with 0x, and anything else gives the default")
{
	EXPECT_EQ(cmdline_number("gamma", 7), 0x20);
	EXPECT_EQ(cmdline_number("alpha", 7), 7);
	EXPECT_EQ(cmdline_number("delta", 7), 7);
}

TEST("pages are RAM, aligned, zeroed, outside of the image, and none is given twice")
{
	uint8_t *pages[MANY_PAGES];

	for (unsigned int i = 0; i < MANY_PAGES; i++) {
		pages[i] = page_alloc();
		EXPECT_EQ((uintptr_t)pages[i] % PAGE_SIZE, 0);
		EXPECT_GE((uintptr_t)pages[i], (uintptr_t)__image_end);
		EXPECT_TRUE(memory_is_ram((uintptr_t)pages[i], PAGE_SIZE));
		EXPECT_TRUE(is_zero(pages[i], PAGE_SIZE), "page %u", i);
		memset(pages[i], i + 1, PAGE_SIZE);
	}
	for (unsigned int i = 0; i < MANY_PAGES; i++) {
		EXPECT_EQ(pages[i][0], i + 1);
		EXPECT_EQ(pages[i][PAGE_SIZE - 1], i + 1);
		page_free(pages[i]);
	}
}

TEST("a page that was freed comes back zeroed")
{
	uint8_t *page = page_alloc();

	memset(page, 0xff, PAGE_SIZE);
	page_free(page);
	page = page_alloc();
	EXPECT_TRUE(is_zero(page, PAGE_SIZE));
	page_free(page);
}

TEST("blocks are aligned to their size, and zeroed")
{
	for (unsigned int order = 1; order <= PAGE_ORDER_MAX; order++) {
		uint8_t *block = pages_alloc(order);

		EXPECT_EQ((uintptr_t)block % (PAGE_SIZE << order), 0, "order %u", order);
		EXPECT_TRUE(memory_is_ram((uintptr_t)block, PAGE_SIZE << order), "order %u", order);
		EXPECT_TRUE(is_zero(block, PAGE_SIZE << order), "order %u", order);
		for (unsigned int i = 0; i < 1u << order; i++)
			page_free(block + i * PAGE_SIZE);
	}
}

TEST("all of RAM below 2 GiB can be written where it lies")
{
	uint8_t *last = (uint8_t *)(uintptr_t)(memory_size() - 1);

	/* RAM ends there, or where the map has a hole below 1 MiB a little above. */
	REQUIRE(memory_is_ram((uintptr_t)last, 1));
	*(volatile uint8_t *)last = 0x5a;
	EXPECT_EQ(*(volatile uint8_t *)last, 0x5a);
}

TEST("the hole has no RAM")
{
	uint64_t hole = memory_hole();

	EXPECT_EQ(hole % PAGE_SIZE, 0);
	EXPECT_LT(hole, 1ull << 32);
	EXPECT_FALSE(memory_is_ram(hole, PAGE_SIZE));
}
