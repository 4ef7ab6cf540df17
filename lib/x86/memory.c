// SPDX-License-Identifier: BSD-2-Clause
#include <x86/memory.h>

#include <libc/string.h>
#include <sev/sev.h>
#include <test/test.h>
#include <x86/lock.h>
#include <x86/ram.h>

#define RAM_RANGES   32
#define IDENTITY_END 0x80000000ull
#define HOLE_SIZE    0x200000ull
#define HOLE_FIRST   0xd0000000ull /* no device of QEMU, Bochs or vmrun is between here */
#define HOLE_END     0xf0000000ull /* and here */
#define HOLE_STEP    0x1000000ull

struct range {
	uint64_t start, end;
};

/* What is not yet handed out of a range of RAM, and pages that came back. */
struct free_page {
	struct free_page *next;
};

extern char __image_end[];

static struct range ram[RAM_RANGES];
static struct range unused[RAM_RANGES];
static unsigned int range_count;
static struct free_page *free_pages;
static struct lock lock;

static uint64_t at_least(uint64_t value, uint64_t limit)
{
	return value < limit ? limit : value;
}

static uint64_t at_most(uint64_t value, uint64_t limit)
{
	return value > limit ? limit : value;
}

void ram_add(uint64_t address, uint64_t size)
{
	struct range range = { .start = (address + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1),
			       .end = (address + size) & ~(uint64_t)(PAGE_SIZE - 1) };
	uint64_t image_end = (uintptr_t)__image_end;

	if (range_count == RAM_RANGES || range.start >= range.end)
		return;
	ram[range_count] = range;
	/* The first MiB is not handed out: the AP trampoline is there, and what firmware keeps. */
	range.start = at_least(range.start, image_end);
	range.end = at_most(range.end, IDENTITY_END);
	if (range.start < range.end)
		unused[range_count] = range;
	range_count++;
}

static void *first_use(uint64_t address, uint64_t size)
{
	void *memory = (void *)(uintptr_t)address;

	if (sev_snp())
		sev_accept(memory, size);
	return memory;
}

/* Single pages come from the lower end of a range, larger blocks from the upper one. */
static void *take_page(void)
{
	struct free_page *page = free_pages;

	if (page) {
		free_pages = page->next;
		return page;
	}
	for (unsigned int i = 0; i < range_count; i++) {
		if (unused[i].start < unused[i].end) {
			unused[i].start += PAGE_SIZE;
			return first_use(unused[i].start - PAGE_SIZE, PAGE_SIZE);
		}
	}
	return NULL;
}

static uint64_t take_block(uint64_t size)
{
	for (unsigned int i = 0; i < range_count; i++) {
		uint64_t block = (unused[i].end - size) & ~(size - 1);

		if (unused[i].end < size || block < unused[i].start)
			continue;
		/* What lies behind the block is lost: less than one block, and rarely anything. */
		unused[i].end = block;
		return block;
	}
	return 0;
}

void *memory_untouched(void)
{
	uint64_t block;

	lock_take(&lock);
	block = take_block(PAGE_SIZE << PAGE_ORDER_MAX);
	lock_release(&lock);
	if (!block)
		test_error(TEST_SITE("memory_untouched", true), "out of memory: no 2 MiB free");
	return (void *)(uintptr_t)block;
}

static void *take_pages(unsigned int order)
{
	uint64_t size = PAGE_SIZE << order, block;

	if (!order)
		return take_page();
	block = take_block(size);
	return block ? first_use(block, size) : NULL;
}

void *pages_alloc(unsigned int order)
{
	uint64_t size = PAGE_SIZE << order;
	void *block;

	REQUIRE(order <= PAGE_ORDER_MAX);
	lock_take(&lock);
	block = take_pages(order);
	lock_release(&lock);
	if (!block)
		test_error(TEST_SITE("pages_alloc", true), "out of memory: no %llu KiB free",
			   (unsigned long long)size / 1024);
	return memset(block, 0, size);
}

void *page_alloc(void)
{
	return pages_alloc(0);
}

void page_free(void *page)
{
	struct free_page *entry = page;

	lock_take(&lock);
	entry->next = free_pages;
	free_pages = entry;
	lock_release(&lock);
}

static bool overlaps_ram(uint64_t address, uint64_t size)
{
	for (unsigned int i = 0; i < range_count; i++)
		if (address < ram[i].end && address + size > ram[i].start)
			return true;
	return false;
}

uint64_t memory_hole(void)
{
	for (uint64_t hole = HOLE_FIRST; hole < HOLE_END; hole += HOLE_STEP)
		if (!overlaps_ram(hole, HOLE_SIZE))
			return hole;
	test_error(TEST_SITE("memory_hole", true), "RAM fills all addresses below 4 GiB");
}

bool memory_is_ram(uint64_t address, uint64_t size)
{
	for (unsigned int i = 0; i < range_count; i++)
		if (address >= ram[i].start && address + size <= ram[i].end)
			return true;
	return false;
}

uint64_t memory_size(void)
{
	uint64_t size = 0;

	for (unsigned int i = 0; i < range_count; i++)
		if (ram[i].end <= 1ull << 32)
			size += ram[i].end - ram[i].start;
	return size;
}
