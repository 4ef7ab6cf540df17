// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmrun's multiboot: where the header is found, and what the guest is handed
 *
 * Multiboot Specification 0.6.96, 3.1: the header lies within the first 8192 bytes of the file,
 * aligned to 4 bytes, and magic, flags and checksum add up to zero. 3.3: the information structure.
 */
#include <stdlib.h>
#include <test/test.h>

#include "../layout.h"
#include "../multiboot.h"
#include "build.h"

static struct build build;

static void expect_header(bool expected, const char *what)
{
	struct message why;
	bool found;

	ASSERT_TRUE(multiboot_find_header(build.file, build.size, &found, &why), "%s", what);
	EXPECT_EQ(found, expected, "%s", what);
}

static void empty_file(size_t size)
{
	memset(&build, 0, sizeof(build));
	build.size = size;
}

TEST("a header is found up to the last place in the first 8192 bytes, not later")
{
	static const struct {
		size_t at;
		bool found;
	} cases[] = { { 0, true }, { 4, true }, { 8180, true }, { 8184, false }, { 8192, false } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		empty_file(BUILD_SIZE);
		build_multiboot(&build, cases[i].at, 3);
		expect_header(cases[i].found, "by place");
	}
}

TEST("a header that is not aligned, or cut off by the end of the file, is none")
{
	empty_file(BUILD_SIZE);
	build_multiboot(&build, 0x102, 0);
	expect_header(false, "not aligned");
	empty_file(0x100 + 11);
	build_multiboot(&build, 0x100, 0);
	expect_header(false, "one byte missing");
	build.size++;
	expect_header(true, "complete");
}

TEST("a header with a wrong checksum is none, and does not hide one that follows")
{
	empty_file(BUILD_SIZE);
	build_multiboot(&build, 0x100, 0);
	build.file[0x108]++;
	expect_header(false, "wrong checksum");
	build_multiboot(&build, 0x200, 0);
	expect_header(true, "a second one");
}

TEST("a header that demands what vmrun has not is refused")
{
	static const struct {
		uint32_t flags;
		const char *says;
	} cases[] = { { 1u << 2, "video mode" },
		      { 1u << 16, "load addresses" },
		      { 1u << 5, "does not know (flags 0x20)" } };
	struct message why;
	bool found;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		empty_file(BUILD_SIZE);
		build_multiboot(&build, 0, cases[i].flags);
		ASSERT_FALSE(multiboot_find_header(build.file, build.size, &found, &why));
		EXPECT_TRUE(found);
		EXPECT_TRUE(strstr(why.text, cases[i].says), "%s", why.text);
	}
}

TEST("the information structure tells memory and command line")
{
	struct ram ram = { .data = calloc(1, 4 << 20), .size = 4 << 20 };
	const struct multiboot_info *info;
	const struct multiboot_map_entry *map;
	struct message why;
	uint32_t address;

	REQUIRE(ram.data);
	ASSERT_TRUE(multiboot_build(&ram, "guest.elf", "a=1 b", &address, &why));
	info = (const void *)(ram.data + address);
	EXPECT_EQ(info->flags, MULTIBOOT_INFO_MEMORY | MULTIBOOT_INFO_COMMAND | MULTIBOOT_INFO_MAP |
				       MULTIBOOT_INFO_NAME);
	EXPECT_EQ(info->mem_lower, 636);
	EXPECT_EQ(info->mem_upper, 3072);
	EXPECT_STR_EQ((char *)ram.data + info->cmdline, "guest.elf a=1 b");
	EXPECT_STR_EQ((char *)ram.data + info->boot_loader_name, "vmrun");
	EXPECT_EQ(info->mmap_length, 3 * sizeof(*map));
	map = (const void *)(ram.data + info->mmap_addr);
	EXPECT_EQ(map[0].size, 20);
	EXPECT_EQ(map[0].address, 0);
	EXPECT_EQ(map[0].length, 0x9f000);
	EXPECT_EQ(map[0].type, MULTIBOOT_MAP_AVAILABLE);
	EXPECT_EQ(map[1].address, 0x9f000);
	EXPECT_EQ(map[1].type, MULTIBOOT_MAP_RESERVED);
	EXPECT_EQ(map[2].address, 0x100000);
	EXPECT_EQ(map[2].length, 0x300000);
	EXPECT_EQ(map[2].type, MULTIBOOT_MAP_AVAILABLE);
	free(ram.data);
}

TEST("the command line is the name alone if there is nothing to append, and has a limit")
{
	struct ram ram = { .data = calloc(1, 2 << 20), .size = 2 << 20 };
	static char text[LAYOUT_COMMAND_SIZE];
	struct message why;
	uint32_t address;

	REQUIRE(ram.data);
	ASSERT_TRUE(multiboot_build(&ram, "g", "", &address, &why));
	EXPECT_STR_EQ((char *)ram.data + LAYOUT_COMMAND, "g");
	memset(text, 'x', sizeof(text) - 3);
	EXPECT_TRUE(multiboot_build(&ram, "g", text, &address, &why), "2047 bytes");
	text[sizeof(text) - 3] = 'x';
	EXPECT_FALSE(multiboot_build(&ram, "g", text, &address, &why), "2048 bytes");
	EXPECT_TRUE(strstr(why.text, "has 2048 bytes, and 2047 is the most"), "%s", why.text);
	free(ram.data);
}
