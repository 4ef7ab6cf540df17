// SPDX-License-Identifier: BSD-2-Clause
/*
 * A loop device on a file in L1's own memory. What matters is that reading it takes another thread: KVM's
 * first attempt at a page, which may not wait, then finds it still being read. zram and brd copy the page
 * at once (mm/memory.c, do_swap_page: SWP_SYNCHRONOUS_IO), and no page fault would be asynchronous.
 */
#include "swap.h"

#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/swap.h>
#include <unistd.h>

#define SWAP_FILE  "/swap"
#define SWAP_PAGE  4096
#define SWAP_PAGES 2048

/* The first page: include/linux/swap.h, union swap_header, of version 1; the signature is at its end. */
struct swap_header {
	uint8_t boot[1024];
	uint32_t version, last_page, bad_pages;
	uint8_t unused[SWAP_PAGE - 1024 - 12 - 10];
	char magic[10];
};

_Static_assert(sizeof(struct swap_header) == SWAP_PAGE, "the header is a page");

static int create_file(void)
{
	static struct swap_header header = { .version = 1, .last_page = SWAP_PAGES - 1 };
	int fd = open(SWAP_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	memcpy(header.magic, "SWAPSPACE2", sizeof(header.magic));
	if (fd < 0 || ftruncate(fd, (off_t)SWAP_PAGES * SWAP_PAGE) ||
	    write(fd, &header, sizeof(header)) != sizeof(header))
		fail("cannot create the file to swap to: %s", strerror(errno));
	return fd;
}

void swap_on(void)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), file, device, number;
	char path[32];

	if (control < 0 || access("/proc/swaps", F_OK))
		return;
	file = create_file();
	number = ioctl(control, LOOP_CTL_GET_FREE);
	snprintf(path, sizeof(path), "/dev/loop%d", number);
	device = open(path, O_RDWR | O_CLOEXEC);
	if (number < 0 || device < 0 || ioctl(device, LOOP_SET_FD, file) || swapon(path, 0))
		fail("cannot swap to %s: %s", path, strerror(errno));
	close(device);
	close(file);
	close(control);
	unlink(SWAP_FILE);
}
