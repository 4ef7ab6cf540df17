// SPDX-License-Identifier: BSD-2-Clause
#include "multiboot.h"

#include <string.h>

#include "layout.h"

#define HEADER_SIZE    12u /* magic, flags, checksum */
#define FLAG_VIDEO     (1u << 2)
#define FLAG_ADDRESSES (1u << 16)
/* What the header may demand (bits 0-15): modules on page boundaries, and the memory's size. */
#define FLAGS_KNOWN 0x3u

static bool check_header(uint32_t flags, struct message *why)
{
	if (flags & FLAG_VIDEO)
		return refuse(why, "its multiboot header demands a video mode (flag bit 2), and "
				   "vmrun has no display");
	if (flags & FLAG_ADDRESSES)
		return refuse(why, "its multiboot header gives load addresses of its own (flag bit "
				   "16): vmrun loads by ELF program headers, clear the flag");
	if (flags & 0xffff & ~FLAGS_KNOWN)
		return refuse(why,
			      "its multiboot header demands what vmrun does not know (flags %#x)",
			      flags & 0xffff & ~FLAGS_KNOWN);
	return true;
}

static uint32_t word(const uint8_t *file, size_t at)
{
	uint32_t value;

	memcpy(&value, file + at, sizeof(value));
	return value;
}

bool multiboot_find_header(const uint8_t *file, size_t size, bool *found, struct message *why)
{
	size_t end = size < MULTIBOOT_SEARCH ? size : MULTIBOOT_SEARCH;

	*found = false;
	for (size_t at = 0; at + HEADER_SIZE <= end; at += 4) {
		uint32_t magic = word(file, at), flags = word(file, at + 4);

		/* With a wrong sum it is a chance match of the magic number, not a header. */
		if (magic != MULTIBOOT_HEADER_MAGIC || magic + flags + word(file, at + 8) != 0)
			continue;
		*found = true;
		return check_header(flags, why);
	}
	return true;
}

static uint32_t build_map(struct ram *ram)
{
	const struct multiboot_map_entry map[] = {
		{ 20, 0, LAYOUT_RESERVED_START, MULTIBOOT_MAP_AVAILABLE },
		{ 20, LAYOUT_RESERVED_START, LAYOUT_RESERVED_END - LAYOUT_RESERVED_START,
		  MULTIBOOT_MAP_RESERVED },
		{ 20, LAYOUT_RESERVED_END, ram->size - LAYOUT_RESERVED_END,
		  MULTIBOOT_MAP_AVAILABLE },
	};

	memcpy(ram->data + LAYOUT_MAP, map, sizeof(map));
	return sizeof(map);
}

bool multiboot_build(struct ram *ram, const char *name, const char *append, uint32_t *address,
		     struct message *why)
{
	static const char loader[] = "vmrun";
	struct multiboot_info info = {
		.flags = MULTIBOOT_INFO_MEMORY | MULTIBOOT_INFO_COMMAND | MULTIBOOT_INFO_MAP |
			 MULTIBOOT_INFO_NAME,
		.mem_lower = LAYOUT_RESERVED_START >> 10,
		.mem_upper = (uint32_t)((ram->size - LAYOUT_RESERVED_END) >> 10),
		.cmdline = LAYOUT_COMMAND,
		.mmap_addr = LAYOUT_MAP,
		.boot_loader_name = LAYOUT_NAME,
	};
	size_t length;

	info.mmap_length = build_map(ram);
	memcpy(ram->data + LAYOUT_INFO, &info, sizeof(info));
	memcpy(ram->data + LAYOUT_NAME, loader, sizeof(loader));
	length = (size_t)snprintf((char *)ram->data + LAYOUT_COMMAND, LAYOUT_COMMAND_SIZE,
				  *append ? "%s %s" : "%s", name, append);
	if (length >= LAYOUT_COMMAND_SIZE)
		return refuse(why,
			      "--append: the command line with the guest's name has %zu bytes, and "
			      "%u is the most: shorten it",
			      length, LAYOUT_COMMAND_SIZE - 1);
	*address = LAYOUT_INFO;
	return true;
}
