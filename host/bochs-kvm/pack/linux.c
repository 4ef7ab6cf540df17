// SPDX-License-Identifier: BSD-2-Clause
#include "linux.h"

#include <string.h>
#include <vmrun/pvh.h>

#define PAGE 4096

/*
 * The ACPI tables lie in the last 64 KiB of memory, where Bochs's BIOS puts them (bios/rombios32.c,
 * ACPI_DATA_SIZE). Linux finds them by the RSDP, which it looks for in the BIOS's own memory.
 */
#define ACPI_SIZE	0x10000

#define INFO		0x10000
#define MAP		0x10100
#define MODULE		0x10200
#define COMMAND		0x11000
#define COMMAND_SIZE	2048 /* Linux, COMMAND_LINE_SIZE */
#define BIOS_DATA_START 0x9f000
#define BIOS_END	0x100000

/* Xen, public/arch-x86/hvm/start_info.h */
struct hvm_modlist_entry {
	uint64_t paddr;
	uint64_t size;
	uint64_t cmdline_paddr;
	uint64_t reserved;
};

static bool is_free(const struct ram *ram, uint64_t start, uint64_t size)
{
	const uint8_t *from = ram->data + start;

	return !size || (!*from && !memcmp(from, from + 1, size - 1));
}

bool linux_build(struct ram *ram, const uint8_t *initrd, size_t initrd_size,
		 const char *command_line, uint32_t *start_info, struct message *why)
{
	uint64_t end = ram->size - ACPI_SIZE;
	const struct hvm_memmap_table_entry map[] = {
		{ 0, BIOS_DATA_START, PVH_MAP_RAM, 0 },
		{ BIOS_DATA_START, BIOS_END - BIOS_DATA_START, PVH_MAP_RESERVED, 0 },
		{ BIOS_END, end - BIOS_END, PVH_MAP_RAM, 0 },
		{ end, ACPI_SIZE, PVH_MAP_RESERVED, 0 },
	};
	const struct hvm_start_info info = {
		.magic = PVH_MAGIC,
		.version = PVH_VERSION,
		.nr_modules = 1,
		.modlist_paddr = MODULE,
		.cmdline_paddr = COMMAND,
		.memmap_paddr = MAP,
		.memmap_entries = sizeof(map) / sizeof(map[0]),
	};
	uint64_t room = end - BIOS_END;

	if (initrd_size > room || !is_free(ram, (end - initrd_size) & -PAGE, initrd_size))
		return refuse(why, "it does not fit into %u MiB with its initrd of %zu KiB",
			      (unsigned int)(ram->size >> 20), initrd_size >> 10);
	const struct hvm_modlist_entry module = { .paddr = (end - initrd_size) & -PAGE,
						  .size = initrd_size };
	if (strlen(command_line) >= COMMAND_SIZE)
		return refuse(why, "its command line is longer than %u bytes", COMMAND_SIZE - 1);
	memcpy(ram->data + module.paddr, initrd, initrd_size);
	memcpy(ram->data + INFO, &info, sizeof(info));
	memcpy(ram->data + MAP, map, sizeof(map));
	memcpy(ram->data + MODULE, &module, sizeof(module));
	strcpy((char *)ram->data + COMMAND, command_line);
	*start_info = INFO;
	return true;
}
