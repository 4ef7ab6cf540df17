// SPDX-License-Identifier: BSD-2-Clause
#include <x86/symbols.h>

#include <libc/format.h>

struct symbol {
	uintptr_t address;
	const char *name;
};

extern const struct symbol __symbols_start[], __symbols_end[];
extern const char __text_end[];

/* The table is sorted; a function goes on until the next one begins. */
static const struct symbol *find(uintptr_t address)
{
	const struct symbol *found = NULL;

	if (address >= (uintptr_t)__text_end)
		return NULL;
	/* cppcheck-suppress comparePointers */
	for (const struct symbol *symbol = __symbols_start; symbol < __symbols_end; symbol++) {
		if (symbol->address > address)
			break;
		found = symbol;
	}
	return found;
}

void symbol_format(char *buffer, size_t size, uintptr_t address)
{
	const struct symbol *symbol = find(address);
	unsigned long number = address;

	if (symbol)
		format_text(buffer, size, "0x%lx %s+0x%lx", number, symbol->name,
			    number - (unsigned long)symbol->address);
	else
		format_text(buffer, size, "0x%lx", number);
}
