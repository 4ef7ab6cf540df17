// SPDX-License-Identifier: BSD-2-Clause
#include <x86/descriptors.h>

#include <x86/cpu.h>

uint64_t descriptor(uint32_t base, uint32_t limit, uint64_t bits)
{
	return bits | (limit & 0xffff) | (uint64_t)(limit >> 16 & 0xf) << 48 |
	       (uint64_t)(base & 0xffffff) << 16 | (uint64_t)(base >> 24) << 56;
}

void gdt_write(uint16_t selector, uint64_t value)
{
	REQUIRE(selector >= FREE_SELECTOR && selector / 8 < GDT_ENTRIES);
	this_cpu()->gdt[selector / 8] = value;
	asm volatile("" ::: "memory"); /* for the CPU to read */
}

struct x86_tss *cpu_tss(void)
{
	return &this_cpu()->tss;
}

/* LTR takes no TSS that is marked busy, as the last LTR left this one. */
void load_cpu_tss(void)
{
	uint64_t *entry = &this_cpu()->gdt[TSS_SELECTOR / 8];

	*entry &= ~SEGMENT_TSS_BUSY;
	load_tr(TSS_SELECTOR);
}
