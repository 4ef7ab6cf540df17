/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What Linux is told by PVH, on a PC with Bochs's BIOS
 */
#ifndef PACK_LINUX_H
#define PACK_LINUX_H

#include <vmrun/image.h>

/*
 * Puts the initrd at the end of memory, and start_info with memory map and command line into its first
 * 640 KiB. Returns start_info's address in *start_info; false with the cause in *why if that cannot be.
 */
bool linux_build(struct ram *ram, const uint8_t *initrd, size_t initrd_size,
		 const char *command_line, uint32_t *start_info, struct message *why);

#endif
