// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmrun's PVH start_info and ACPI tables, as a guest reads them
 *
 * Xen, public/arch-x86/hvm/start_info.h, gives the offsets, which are written out here once more
 * and not taken from vmrun's structures. ACPI Specification 6.5, 5.2: tables add up to zero.
 */
#include <stdlib.h>
#include <string.h>
#include <test/test.h>

#include "../acpi.h"
#include "../layout.h"
#include "../pvh.h"

#define RAM_SIZE (64u << 20)

static struct ram ram;

static void new_ram(void)
{
	free(ram.data);
	ram.size = RAM_SIZE;
	ram.data = calloc(1, RAM_SIZE);
	REQUIRE(ram.data);
}

static uint64_t value(uint64_t address, unsigned int size)
{
	uint64_t result = 0;

	memcpy(&result, ram.data + address, size);
	return result;
}

static unsigned int sum(uint64_t address, uint64_t size)
{
	uint8_t result = 0;

	for (uint64_t i = 0; i < size; i++)
		result += ram.data[address + i];
	return result;
}

TEST("start_info has the layout and content of version 1")
{
	struct message why;
	uint32_t at;

	new_ram();
	ASSERT_TRUE(pvh_build(&ram, "hello world", &at, &why));
	EXPECT_EQ(value(at, 4), 0x336ec578);
	EXPECT_EQ(value(at + 4, 4), 1, "version");
	EXPECT_EQ(value(at + 8, 4), 0, "flags");
	EXPECT_EQ(value(at + 12, 4), 0, "modules");
	EXPECT_EQ(value(at + 16, 8), 0, "module list");
	EXPECT_STR_EQ((char *)ram.data + value(at + 24, 8), "hello world");
	EXPECT_EQ(value(at + 32, 8), LAYOUT_RSDP);
	EXPECT_EQ(value(at + 48, 4), 3, "entries of the memory map");
	EXPECT_EQ(value(at + 52, 4), 0, "reserved");
}

TEST("the memory map is in order, without gaps, and ends with memory")
{
	static const uint64_t expected[][3] = {
		{ 0, 0x9f000, 1 },
		{ 0x9f000, 0x61000, 2 },
		{ 0x100000, RAM_SIZE - 0x100000, 1 },
	};
	struct message why;
	uint64_t map;
	uint32_t at;

	new_ram();
	ASSERT_TRUE(pvh_build(&ram, "", &at, &why));
	map = value(at + 40, 8);
	for (unsigned int i = 0; i < 3; i++) {
		EXPECT_EQ(value(map + 24 * i, 8), expected[i][0], "start of %u", i);
		EXPECT_EQ(value(map + 24 * i + 8, 8), expected[i][1], "size of %u", i);
		EXPECT_EQ(value(map + 24 * i + 16, 4), expected[i][2], "type of %u", i);
		EXPECT_EQ(value(map + 24 * i + 20, 4), 0, "padding of %u", i);
	}
}

TEST("a command line of 2047 bytes fits, and a longer one is refused")
{
	static char text[LAYOUT_COMMAND_SIZE + 1];
	struct message why;
	uint32_t at;

	new_ram();
	memset(text, 'x', LAYOUT_COMMAND_SIZE - 1);
	ASSERT_TRUE(pvh_build(&ram, text, &at, &why));
	EXPECT_EQ(strlen((char *)ram.data + LAYOUT_COMMAND), LAYOUT_COMMAND_SIZE - 1);
	text[LAYOUT_COMMAND_SIZE - 1] = 'x';
	EXPECT_FALSE(pvh_build(&ram, text, &at, &why));
	EXPECT_TRUE(strstr(why.text, "has 2048 bytes, and 2047 is the most"), "%s", why.text);
}

TEST("nothing is written outside the reserved area, with all CPUs and the longest command line")
{
	static char text[LAYOUT_COMMAND_SIZE];
	struct message why;
	uint32_t at;
	uint64_t outside = 0;

	new_ram();
	memset(text, 'x', sizeof(text) - 1);
	acpi_build(&ram, LAYOUT_MAX_CPUS);
	ASSERT_TRUE(pvh_build(&ram, text, &at, &why));
	for (uint64_t i = 0; i < RAM_SIZE; i++)
		if ((i < LAYOUT_RESERVED_START || i >= LAYOUT_RESERVED_END) && ram.data[i])
			outside++;
	EXPECT_EQ(outside, 0);
}

TEST("RSDP, XSDT and MADT add up to zero, and lead from one to the next")
{
	for (unsigned int cpus = 1; cpus <= LAYOUT_MAX_CPUS; cpus++) {
		uint64_t rsdp = LAYOUT_RSDP, xsdt, madt;

		new_ram();
		acpi_build(&ram, cpus);
		EXPECT_EQ(rsdp % 16, 0);
		EXPECT_MEM_EQ(ram.data + rsdp, "RSD PTR ", 8);
		EXPECT_EQ(sum(rsdp, 20), 0, "first part of RSDP, %u CPUs", cpus);
		EXPECT_EQ(value(rsdp + 15, 1), 2, "revision");
		EXPECT_EQ(value(rsdp + 20, 4), 36);
		EXPECT_EQ(sum(rsdp, 36), 0, "RSDP, %u CPUs", cpus);
		xsdt = value(rsdp + 24, 8);
		EXPECT_MEM_EQ(ram.data + xsdt, "XSDT", 4);
		EXPECT_EQ(value(xsdt + 4, 4), 36 + 8);
		EXPECT_EQ(sum(xsdt, 44), 0, "XSDT, %u CPUs", cpus);
		madt = value(xsdt + 36, 8);
		EXPECT_MEM_EQ(ram.data + madt, "APIC", 4);
		EXPECT_EQ(sum(madt, value(madt + 4, 4)), 0, "MADT, %u CPUs", cpus);
		if (test_failed())
			return;
	}
}

TEST("the MADT lists every CPU once, one I/O APIC, and has no bytes to spare")
{
	uint64_t at = LAYOUT_MADT + 44, end;
	unsigned int cpus = 0, ioapics = 0, nmis = 0;

	new_ram();
	acpi_build(&ram, 5);
	end = LAYOUT_MADT + value(LAYOUT_MADT + 4, 4);
	EXPECT_EQ(value(LAYOUT_MADT + 36, 4), 0xfee00000);
	EXPECT_EQ(value(LAYOUT_MADT + 40, 4), 1, "the PC's PICs are there");
	for (; at < end; at += value(at + 1, 1)) {
		ASSERT_NE(value(at + 1, 1), 0);
		if (value(at, 1) == 0) {
			EXPECT_EQ(value(at + 1, 1), 8);
			EXPECT_EQ(value(at + 3, 1), cpus, "APIC id");
			EXPECT_EQ(value(at + 4, 4), 1, "enabled");
			cpus++;
		} else if (value(at, 1) == 1) {
			EXPECT_EQ(value(at + 4, 4), 0xfec00000);
			EXPECT_EQ(value(at + 8, 4), 0, "first interrupt");
			ioapics++;
		} else {
			nmis++;
		}
	}
	EXPECT_EQ(at, end);
	EXPECT_EQ(cpus, 5);
	EXPECT_EQ(ioapics, 1);
	EXPECT_EQ(nmis, 1);
}
