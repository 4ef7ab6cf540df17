/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a PVH loader hands over: xen/include/public/arch-x86/hvm/start_info.h
 */
#ifndef START_START_INFO_H
#define START_START_INFO_H

#include <stdint.h>

#define START_INFO_MAGIC 0x336ec578 /* "xEn3" with bit 7 of the E set */

struct start_info {
	uint32_t magic;
	uint32_t version; /* the memory map is there from 1 on */
	uint32_t flags;
	uint32_t module_count;
	uint64_t module_list;
	uint64_t command_line;
	uint64_t rsdp;
	uint64_t memory_map;
	uint32_t memory_map_entries;
	uint32_t reserved;
};

#define MEMORY_RAM 1 /* E820's types */

struct start_info_memory {
	uint64_t address;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

#endif
