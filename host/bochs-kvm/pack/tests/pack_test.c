// SPDX-License-Identifier: BSD-2-Clause
/*
 * What boots L1 in Bochs, as its BIOS and the loader take it
 *
 * The option ROM: BIOS Boot Specification 1.01, 3.1. start_info: Xen, public/arch-x86/hvm/start_info.h,
 * whose offsets are written out here once more. The loader's form is that of loader.S.
 */
#include <stdlib.h>
#include <string.h>
#include <test/test.h>

#include "../linux.h"
#include "../stream.h"

#define RAM_SIZE    (16u << 20)
#define ENTRY	    0x1000000
#define START_INFO  0x10000
#define INITRD_SIZE 5000
#define OUTPUT_MAX  (4u << 20)
#define BIOS_DATA   0x9f000
#define ABOVE_BIOS  0x100000
#define ACPI_TABLES (RAM_SIZE - 0x10000)
#define TYPE_RAM    1

static struct ram ram;
static uint32_t output[OUTPUT_MAX / 4];
static size_t output_size;

static void new_ram(void)
{
	free(ram.data);
	ram.size = RAM_SIZE;
	ram.data = calloc(1, RAM_SIZE);
	REQUIRE(ram.data);
}

static FILE *open_output(void)
{
	FILE *file = fmemopen(output, sizeof(output), "w");

	REQUIRE(file);
	return file;
}

static void close_output(FILE *file)
{
	output_size = ftell(file);
	fclose(file);
}

/* What loader.S does. Returns start_info's address; the entry is to be ENTRY. */
static uint32_t load(uint8_t *memory)
{
	const uint32_t *next = output;

	for (;;) {
		uint32_t destination = *next++, count = *next++;

		if (!count) {
			EXPECT_EQ(destination, ENTRY);
			EXPECT_EQ((size_t)((const char *)(next + 1) - (const char *)output),
				  output_size);
			return *next;
		}
		ASSERT_TRUE(destination + count * 4ull <= RAM_SIZE);
		memcpy(memory + destination, next, count * 4);
		next += count;
	}
}

static uint64_t value(uint64_t address, unsigned int size)
{
	uint64_t result = 0;

	memcpy(&result, ram.data + address, size);
	return result;
}

TEST("the loader is an option ROM that a BIOS takes")
{
	const uint8_t *rom = (const uint8_t *)output;
	uint8_t sum = 0;
	FILE *file = open_output();

	stream_write_rom(file);
	close_output(file);
	EXPECT_EQ(rom[0], 0x55);
	EXPECT_EQ(rom[1], 0xaa);
	EXPECT_EQ(output_size, rom[2] * 512ul);
	for (size_t i = 0; i < output_size; i++)
		sum += rom[i];
	EXPECT_EQ(sum, 0);
}

TEST("what is loaded is what was in memory")
{
	static uint8_t memory[RAM_SIZE];
	FILE *file = open_output();

	new_ram();
	ram.data[0] = 1;
	ram.data[0x1fff] = 2;
	ram.data[0x3000] = 6;
	memset(ram.data + 0x200800, 3, 0x3000);
	ram.data[RAM_SIZE - 1] = 4;
	stream_write(file, &ram, ENTRY, START_INFO);
	close_output(file);
	EXPECT_EQ(load(memory), START_INFO);
	EXPECT_TRUE(!memcmp(memory, ram.data, RAM_SIZE));
}

TEST("pages of zeros are left out")
{
	FILE *file = open_output();

	new_ram();
	ram.data[0x5000] = 1;
	stream_write(file, &ram, ENTRY, START_INFO);
	close_output(file);
	EXPECT_EQ(output_size, 4096 + 5 * sizeof(uint32_t));
}

TEST("start_info names the command line, the initrd and the memory")
{
	static uint8_t initrd[INITRD_SIZE];
	struct message why;
	uint32_t at;

	new_ram();
	memset(initrd, 5, sizeof(initrd));
	ASSERT_TRUE(linux_build(&ram, initrd, sizeof(initrd), "quiet panic=-1", &at, &why));
	EXPECT_EQ(value(at, 4), 0x336ec578);
	EXPECT_STR_EQ((char *)ram.data + value(at + 24, 8), "quiet panic=-1");
	EXPECT_EQ(value(at + 12, 4), 1, "modules");
	uint64_t module = value(at + 16, 8);
	EXPECT_EQ(value(module + 8, 8), INITRD_SIZE);
	EXPECT_MEM_EQ(ram.data + value(module, 8), initrd, INITRD_SIZE);
	EXPECT_TRUE(value(module, 8) + INITRD_SIZE <= ACPI_TABLES);

	uint64_t map = value(at + 40, 8), usable = 0;
	for (unsigned int i = 0; i < value(at + 48, 4); i++, map += 24)
		if (value(map + 16, 4) == TYPE_RAM)
			usable += value(map + 8, 8);
	EXPECT_EQ(usable, BIOS_DATA + ACPI_TABLES - ABOVE_BIOS);
}

TEST("an initrd that does not fit beside the kernel is refused")
{
	static uint8_t initrd[INITRD_SIZE];
	struct message why;
	uint32_t at;

	new_ram();
	ram.data[ACPI_TABLES - INITRD_SIZE] = 1;
	EXPECT_TRUE(!linux_build(&ram, initrd, sizeof(initrd), "", &at, &why));
	EXPECT_STR_EQ(why.text, "it does not fit into 16 MiB with its initrd of 4 KiB");
	EXPECT_TRUE(!linux_build(&ram, initrd, RAM_SIZE, "", &at, &why));
}

TEST("a command line that Linux would cut off is refused")
{
	static char line[2048 + 1];
	struct message why;
	uint32_t at;

	new_ram();
	memset(line, 'x', 2048);
	EXPECT_TRUE(!linux_build(&ram, NULL, 0, line, &at, &why));
	line[2047] = '\0';
	EXPECT_TRUE(linux_build(&ram, NULL, 0, line, &at, &why), "%s", why.text);
}
