// SPDX-License-Identifier: BSD-2-Clause
/*
 * MADV_PAGEOUT writes a page to swap and unmaps it; but where writing takes time, the page is in the swap
 * cache afterwards, and a fault finds it there. Read once more it is mapped clean, and the next
 * MADV_PAGEOUT drops it (mm/vmscan.c, shrink_folio_list).
 */
#include "swap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "say.h"
#include "vm.h"

#define PAGE	  4096u
#define TRIES	  400
#define TRY_PAUSE (2500 * 1000) /* ns: one second in all */

/* mincore(2) says of a page of anonymous memory whether it is mapped, or in the swap cache. */
static bool in_memory(const uint8_t *page)
{
	unsigned char there = 1;

	return mincore((void *)page, PAGE, &there) < 0 || (there & 1);
}

static int32_t page_out(uint8_t *page)
{
	static const struct timespec pause = { .tv_nsec = TRY_PAUSE };

	for (unsigned int i = 0; i < TRIES; i++) {
		if (madvise(page, PAGE, MADV_PAGEOUT) < 0)
			return -errno;
		if (!in_memory(page))
			return 0;
		nanosleep(&pause, NULL);
		(void)*(volatile const uint8_t *)page;
	}
	return -EBUSY;
}

/* The first swap device of /proc/swaps: its path is the first word of the second line. */
static bool find_device(char *path, size_t size)
{
	FILE *swaps = fopen("/proc/swaps", "re");
	char line[256];
	bool found = swaps && fgets(line, sizeof(line), swaps) && fgets(path, (int)size, swaps);

	if (swaps)
		fclose(swaps);
	if (found)
		path[strcspn(path, " \t\n")] = 0;
	return found;
}

bool swap_offered(struct message *detail)
{
	char path[128];
	uint8_t *page;
	int32_t status;

	if (!find_device(path, sizeof(path)))
		return refuse(detail, "nothing to swap to: it takes CONFIG_SWAP, and swapon(8)");
	if (strncmp(path, "/dev/zram", 9) == 0 || strncmp(path, "/dev/ram", 8) == 0)
		return refuse(detail, "%s is read at once, without waiting", path);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return refuse(detail, "no memory to swap out: %s", strerror(errno));
	*page = 1;
	status = page_out(page);
	munmap(page, PAGE);
	if (status)
		return refuse(detail, "MADV_PAGEOUT to %s: %s", path, strerror(-status));
	snprintf(detail->text, sizeof(detail->text), "pages are swapped out to %s", path);
	return true;
}

int32_t swap_out(const struct vm *vm, uint64_t gpa)
{
	if (gpa % PAGE || gpa >= vm->ram.size)
		return -EINVAL;
	return page_out(vm->ram.data + gpa);
}
