/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest image that was loaded, and the memory that it was loaded into
 *
 * The loaders work on memory buffers alone, so that they can be tested without KVM.
 */
#ifndef VMRUN_IMAGE_H
#define VMRUN_IMAGE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Guest RAM: guest physical address 0 is data[0]. Must be zeroed before an image is loaded. */
struct ram {
	uint8_t *data;
	uint64_t size;
};

enum boot_protocol { BOOT_PVH, BOOT_MULTIBOOT };

struct image {
	enum boot_protocol protocol;
	uint32_t entry; /* guest physical address */
	bool is_64;
	/* The way in as an encrypted guest: <vmrun/snp.h>. */
	bool has_sev_entry;
	uint64_t sev_entry;
};

/* One line that says what is wrong and what helps; without prefix and newline. */
struct message {
	char text[512];
};

/* Writes the message and returns false, so that a check can end in "return refuse(...)". */
__attribute__((format(printf, 2, 3))) static inline bool refuse(struct message *why,
								const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	/* cppcheck-suppress ctuuninitvar ; it is written here, not read */
	vsnprintf(why->text, sizeof(why->text), format, arguments);
	va_end(arguments);
	return false;
}

#endif
