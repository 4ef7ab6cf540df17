// SPDX-License-Identifier: BSD-2-Clause
#include "stream.h"

#include <string.h>

#define PAGE	 4096

#define ROM_SIZE 512 /* of loader.S, which says so itself */

/* loader.S */
extern const uint8_t loader[ROM_SIZE];

void stream_write_rom(FILE *file)
{
	uint8_t sum = 0;

	/* The last byte, which is 0, makes it right. */
	for (size_t i = 0; i < ROM_SIZE - 1; i++)
		sum += loader[i];
	fwrite(loader, ROM_SIZE - 1, 1, file);
	fputc((uint8_t)-sum, file);
}

static bool is_zero(const uint8_t *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

static void write_words(FILE *file, const uint32_t *words, size_t count)
{
	fwrite(words, sizeof(*words), count, file);
}

void stream_write(FILE *file, const struct ram *ram, uint32_t entry, uint32_t start_info)
{
	const uint32_t last[] = { entry, 0, start_info };

	for (uint64_t start = 0; start < ram->size; start += PAGE) {
		uint64_t end = start;

		while (end < ram->size && !is_zero(ram->data + end))
			end += PAGE;
		if (end == start)
			continue;
		const uint32_t head[] = { start, (end - start) / sizeof(uint32_t) };
		write_words(file, head, 2);
		fwrite(ram->data + start, end - start, 1, file);
		start = end;
	}
	write_words(file, last, 3);
}
