// SPDX-License-Identifier: BSD-2-Clause
#include "pvh.h"

#include <string.h>

#include "layout.h"

bool pvh_build(struct ram *ram, const char *append, uint32_t *address, struct message *why)
{
	const struct hvm_memmap_table_entry map[] = {
		{ 0, LAYOUT_RESERVED_START, PVH_MAP_RAM, 0 },
		{ LAYOUT_RESERVED_START, LAYOUT_RESERVED_END - LAYOUT_RESERVED_START,
		  PVH_MAP_RESERVED, 0 },
		{ LAYOUT_RESERVED_END, ram->size - LAYOUT_RESERVED_END, PVH_MAP_RAM, 0 },
	};
	const struct hvm_start_info info = {
		.magic = PVH_MAGIC,
		.version = PVH_VERSION,
		.cmdline_paddr = LAYOUT_COMMAND,
		.rsdp_paddr = LAYOUT_RSDP,
		.memmap_paddr = LAYOUT_MAP,
		.memmap_entries = sizeof(map) / sizeof(map[0]),
	};
	size_t length = strlen(append);

	if (length >= LAYOUT_COMMAND_SIZE)
		return refuse(why,
			      "--append: the command line has %zu bytes, and %u is the most: "
			      "shorten it",
			      length, LAYOUT_COMMAND_SIZE - 1);
	memcpy(ram->data + LAYOUT_INFO, &info, sizeof(info));
	memcpy(ram->data + LAYOUT_MAP, map, sizeof(map));
	memcpy(ram->data + LAYOUT_COMMAND, append, length + 1);
	*address = LAYOUT_INFO;
	return true;
}
