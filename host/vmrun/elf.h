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

/* Where a segment lies in memory: its bytes of the file reach to file_end, zeros from there to end. */
struct elf_extent {
	uint64_t start, file_end, end;
};

/* Segment number index, from 0 on, of a file that elf_load() has loaded. False: it has no more. */
bool elf_extent(const uint8_t *file, size_t size, unsigned int index, struct elf_extent *extent);

#endif
