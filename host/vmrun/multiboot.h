/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multiboot 1, for guests that have no PVH note
 *
 * Source: Multiboot Specification version 0.6.96. Modules, a.out addresses and video modes are not
 * offered.
 */
#ifndef VMRUN_MULTIBOOT_H
#define VMRUN_MULTIBOOT_H

#include "image.h"

#define MULTIBOOT_SEARCH	8192 /* bytes of the file that may hold the header */
#define MULTIBOOT_LOADER_MAGIC	0x2badb002
#define MULTIBOOT_HEADER_MAGIC	0x1badb002
#define MULTIBOOT_INFO_MEMORY	(1u << 0)
#define MULTIBOOT_INFO_COMMAND	(1u << 2)
#define MULTIBOOT_INFO_MAP	(1u << 6)
#define MULTIBOOT_INFO_NAME	(1u << 9)
#define MULTIBOOT_MAP_AVAILABLE 1
#define MULTIBOOT_MAP_RESERVED	2

struct multiboot_info {
	uint32_t flags;
	uint32_t mem_lower; /* KiB from 0 */
	uint32_t mem_upper; /* KiB from 1 MiB */
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count;
	uint32_t mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length;
	uint32_t mmap_addr;
	uint32_t drives_length;
	uint32_t drives_addr;
	uint32_t config_table;
	uint32_t boot_loader_name;
	uint32_t apm_table;
	uint32_t vbe[4];
};

struct multiboot_map_entry {
	uint32_t size; /* of what follows */
	uint64_t address;
	uint64_t length;
	uint32_t type;
} __attribute__((packed));

/*
 * Looks for the header. Returns false with the cause in *why if there is one that cannot be
 * honoured; *found tells whether there is one at all.
 */
bool multiboot_find_header(const uint8_t *file, size_t size, bool *found, struct message *why);

/*
 * Writes the information structure, its memory map and the command line: the guest's file name and
 * what --append gave, as GRUB Legacy and QEMU do. Returns its address in *address.
 */
bool multiboot_build(struct ram *ram, const char *name, const char *append, uint32_t *address,
		     struct message *why);

#endif
