/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loader, and the form in which it takes what it loads (loader.S)
 */
#ifndef PACK_STREAM_H
#define PACK_STREAM_H

#include <vmrun/image.h>

/* Errors are left in the file, as stdio does. */
void stream_write_rom(FILE *file);

/* Writes the pages of RAM that are not all zero: Bochs's memory is zero in the beginning. */
void stream_write(FILE *file, const struct ram *ram, uint32_t entry, uint32_t start_info);

#endif
