/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ROM image that puts into RAM what a boot loader would, and enters the guest
 *
 * A PC without a BIOS: the CPU begins in the ROM's last bytes (stub.S), whatever machine the ROM is
 * given to: Bochs, or QEMU by -bios.
 */
#ifndef BOCHS_ROM_H
#define BOCHS_ROM_H

#include <vmrun/image.h>

/* Bochs takes no more; of 128 and 256 KiB it makes a flash memory. */
#define ROM_MIN (512u << 10)
#define ROM_MAX (4u << 20)

struct rom {
	uint8_t *data; /* to be freed by the caller */
	size_t size;   /* a power of two: it ends at 4 GiB */
};

/*
 * Packs the pages of RAM that are not all zero. The guest is entered at "entry", with start_info's
 * address in EBX. False if it is too large, with the cause in *why.
 */
bool rom_build(struct rom *rom, const struct ram *ram, uint32_t entry, uint32_t start_info,
	       struct message *why);

#endif
