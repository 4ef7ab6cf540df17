// SPDX-License-Identifier: BSD-2-Clause
#include <kvm/area.h>

#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>

#define SIZE_2M (2ul << 20)
#define DEVICES 0xfec00000ull

uint64_t area_word(const volatile void *word, uint32_t seed)
{
	return (uint64_t)seed << 32 | (uint32_t)(uintptr_t)word | 1;
}

void area_fill(volatile void *start, size_t size, uint32_t seed)
{
	volatile uint64_t *words = start;

	for (size_t i = 0; i < size / sizeof(*words); i++)
		words[i] = area_word(&words[i], seed);
}

size_t area_changed(const volatile void *start, size_t size, uint32_t seed)
{
	const volatile uint64_t *words = start;
	size_t changed = 0;

	for (size_t i = 0; i < size / sizeof(*words); i++)
		changed += words[i] != area_word(&words[i], seed);
	return changed;
}

size_t area_not_zero(const volatile void *start, size_t size)
{
	const volatile uint64_t *words = start;
	size_t found = 0;

	for (size_t i = 0; i < size / sizeof(*words); i++)
		found += words[i] != 0;
	return found;
}

size_t area_changed_for_host(const volatile void *start, size_t size, uint32_t seed)
{
	size_t changed = 0;

	for (uintptr_t at = (uintptr_t)start; at < (uintptr_t)start + size; at += PAGE_SIZE) {
		uint64_t value;

		changed += vmm_host_read(at, &value) || value != area_word((const void *)at, seed);
	}
	return changed;
}

uint64_t area_beyond_ram(void)
{
	uint64_t start = memory_hole() + SIZE_2M;

	start -= start % SIZE_2M;
	REQUIRE(!memory_is_ram(start, PAGE_SIZE));
	REQUIRE(start + AREA_BEYOND_RAM <= DEVICES);
	return start;
}
