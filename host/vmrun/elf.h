/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loader of guest images: ELF64 or ELF32 for x86, entered by PVH or multiboot
 */
#ifndef VMRUN_ELF_H
#define VMRUN_ELF_H

#include "image.h"

/*
 * Copies the segments of the ELF file to their physical addresses, and says how to enter it: by PVH
 * where it has the note, else by multiboot where it has that header. On failure returns false with
 * the cause in *why; the RAM may then hold a part of the image.
 */
bool elf_load(const uint8_t *file, size_t size, struct ram *ram, struct image *image,
	      struct message *why);

#endif
