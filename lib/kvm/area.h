/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Areas of memory with a known content, for tests of what happens to pages
 *
 * Each word of an area gets a value that depends on its address and a seed, none of them 0: a page that was
 * lost, replaced, zeroed, or taken for another shows.
 */
#ifndef KVM_AREA_H
#define KVM_AREA_H

#include <stddef.h>
#include <stdint.h>

/* What area_fill() gives the word there. */
uint64_t area_word(const volatile void *word, uint32_t seed);

void area_fill(volatile void *start, size_t size, uint32_t seed);

/* How many words of 8 bytes are not what they were filled with; and how many are not 0. */
size_t area_changed(const volatile void *start, size_t size, uint32_t seed);
size_t area_not_zero(const volatile void *start, size_t size);

/*
 * The first word of each page, as the host sees it: how many are not what the area was filled with. One
 * that the host cannot read counts as changed.
 */
size_t area_changed_for_host(const volatile void *start, size_t size, uint32_t seed);

/*
 * A 2 MiB-aligned guest-physical address where nothing is, for AREA_BEYOND_RAM bytes: for regions
 * (vmm_region_add). Virtual addresses are the same there.
 */
#define AREA_BEYOND_RAM (16ul << 20)
uint64_t area_beyond_ram(void);

#endif
