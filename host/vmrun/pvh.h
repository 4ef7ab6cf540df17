/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PVH, the boot protocol of Xen that QEMU, Linux and others share
 *
 * Source: Xen, docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h. Version 1 of the
 * structure, which brings the memory map; there are no modules.
 */
#ifndef VMRUN_PVH_H
#define VMRUN_PVH_H

#include "image.h"

#define PVH_MAGIC	 0x336ec578
#define PVH_VERSION	 1
#define PVH_MAP_RAM	 1
#define PVH_MAP_RESERVED 2

struct hvm_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
	uint64_t rsdp_paddr;
	uint64_t memmap_paddr;
	uint32_t memmap_entries;
	uint32_t reserved;
};

struct hvm_memmap_table_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

/* Writes start_info, memory map and command line. Returns start_info's address in *address. */
bool pvh_build(struct ram *ram, const char *append, uint32_t *address, struct message *why);

#endif
