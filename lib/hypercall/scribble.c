// SPDX-License-Identifier: BSD-2-Clause
#include <hypercall/scribble.h>
#include <libc/string.h>
#include <x86/memory.h>

uint8_t *scribbled_page(void)
{
	uint8_t *page = page_alloc();

	memset(page, SCRIBBLE, PAGE_SIZE);
	return page;
}

const uint8_t *scribbled_bytes(void)
{
	static uint8_t bytes[PAGE_SIZE];

	memset(bytes, SCRIBBLE, PAGE_SIZE);
	return bytes;
}
