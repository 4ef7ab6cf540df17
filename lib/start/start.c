// SPDX-License-Identifier: BSD-2-Clause
/*
 * From the assembly to the tests: what the loader left is copied away before anything can land on
 * it
 */
#include <libc/string.h>
#include <start/start_info.h>
#include <test/test.h>
#include <x86/acpi.h>
#include <x86/cpu.h>
#include <x86/idt.h>
#include <x86/io.h>
#include <x86/platform.h>
#include <x86/ram.h>

/* The PC's CMOS: RAM above 16 MiB in units of 64 KiB. All there is to ask in a flat boot. */
#define PORT_CMOS_INDEX	 0x70
#define PORT_CMOS_DATA	 0x71
#define CMOS_MEMORY_LOW	 0x34
#define CMOS_MEMORY_HIGH 0x35
#define CMOS_MEMORY_UNIT 0x10000ull
#define CMOS_MEMORY_BASE 0x1000000ull

#define PORT_PIC1_MASK	 0x21
#define PORT_PIC2_MASK	 0xa1

/* boot.S writes it: 0 in a flat boot. */
uint32_t start_info_address;

void start_c(void);

static uint8_t cmos_read(uint8_t index)
{
	outb(PORT_CMOS_INDEX, index);
	return inb(PORT_CMOS_DATA);
}

static void ask_cmos(void)
{
	uint64_t size = (uint64_t)(cmos_read(CMOS_MEMORY_HIGH) << 8 | cmos_read(CMOS_MEMORY_LOW)) *
			CMOS_MEMORY_UNIT;

	ram_add(0x100000, CMOS_MEMORY_BASE - 0x100000 + size);
}

static void copy_start_info(const struct start_info *info)
{
	const struct start_info_memory *map = (const void *)(uintptr_t)info->memory_map;

	if (info->version >= 1) {
		for (uint32_t i = 0; i < info->memory_map_entries; i++)
			if (map[i].type == MEMORY_RAM)
				ram_add(map[i].address, map[i].size);
	} else {
		ask_cmos();
	}
	if (info->command_line)
		cmdline_set((const char *)(uintptr_t)info->command_line);
	acpi_set_rsdp(info->rsdp);
}

void start_c(void)
{
	const struct start_info *info = (const void *)(uintptr_t)start_info_address;

	if (info && info->magic == START_INFO_MAGIC)
		copy_start_info(info);
	else
		ask_cmos();

	idt_init();
	cpu_init(0);
	/* A PIC that nobody programmed would answer the first STI at an exception's vector. */
	outb(PORT_PIC1_MASK, 0xff);
	outb(PORT_PIC2_MASK, 0xff);

	platform_exit(test_main());
}
