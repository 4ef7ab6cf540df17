// SPDX-License-Identifier: BSD-2-Clause
#include "rom.h"

#include <stdlib.h>
#include <string.h>

#define PAGE	  4096
#define ROM_END	  (1ull << 32)
#define STUB_SIZE 0x10000

/*
 * A PC shows the last 128 KiB of the ROM below 1 MiB too, in place of RAM: what a loader puts into the
 * first half of them stands there already, and the stub lies in the other.
 */
#define SHADOW	    0xe0000
#define SHADOW_SIZE 0x10000
#define SHADOW_END  0x100000
#define TAIL_SIZE   (SHADOW_SIZE + STUB_SIZE)

/* stub.S */
extern const uint8_t rom_stub[STUB_SIZE];
extern const uint32_t rom_stub_table_offset;

struct row {
	uint32_t source, destination, words;
};

#define ROW_MAX 256 /* there is room for 5000; a guest has a handful */

struct table {
	struct row rows[ROW_MAX];
	unsigned int count;
	size_t size; /* of all that the rows name */
};

static bool is_zero(const uint8_t *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

/* One row for each run of pages that have something in them; source is still an offset. */
static bool find_runs(struct table *table, const struct ram *ram)
{
	struct row *row = NULL;

	for (uint64_t at = 0; at < ram->size; at += PAGE) {
		if (is_zero(ram->data + at) || (at >= SHADOW && at < SHADOW_END)) {
			row = NULL;
			continue;
		}
		if (!row) {
			if (table->count == ROW_MAX - 1)
				return false;
			row = &table->rows[table->count++];
			*row = (struct row){ .source = table->size, .destination = at };
		}
		row->words += PAGE / sizeof(uint32_t);
		table->size += PAGE;
	}
	return true;
}

static size_t rom_size(const struct table *table)
{
	size_t size = ROM_MIN;

	while (size < table->size + TAIL_SIZE)
		size *= 2;
	return size;
}

bool rom_build(struct rom *rom, const struct ram *ram, uint32_t entry, uint32_t start_info,
	       struct message *why)
{
	struct table table = {};

	if (!find_runs(&table, ram))
		return refuse(why, "the guest's memory is in more than %u pieces", ROW_MAX);
	rom->size = rom_size(&table);
	if (rom->size > ROM_MAX)
		return refuse(why, "the guest is too large for a ROM: %zu KiB of at most %u",
			      table.size >> 10, (ROM_MAX - TAIL_SIZE) >> 10);
	rom->data = calloc(1, rom->size);
	if (!rom->data)
		return refuse(why, "no memory for a ROM of %zu KiB", rom->size >> 10);
	for (unsigned int i = 0; i < table.count; i++) {
		struct row *row = &table.rows[i];

		memcpy(rom->data + row->source, ram->data + row->destination,
		       row->words * sizeof(uint32_t));
		row->source += ROM_END - rom->size;
	}
	table.rows[table.count++] = (struct row){ .source = start_info, .destination = entry };

	uint8_t *tail = rom->data + rom->size - TAIL_SIZE;
	memcpy(tail, ram->data + SHADOW, SHADOW_SIZE);
	uint8_t *stub = tail + SHADOW_SIZE;
	memcpy(stub, rom_stub, STUB_SIZE);
	memcpy(stub + rom_stub_table_offset, table.rows, table.count * sizeof(struct row));
	return true;
}
