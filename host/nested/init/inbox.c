// SPDX-License-Identifier: BSD-2-Clause
#include "inbox.h"

#include "../mailbox.h"
#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* QEMU's device; its place is fixed by the machine's command line (host/nested/machine.sh). */
#define DEVICE "/sys/bus/pci/devices/0000:00:04.0/"

static char *box; /* NULL: it is still in the ports */
static uint64_t box_size = MAILBOX_SIZE;

static const struct timespec interval = { .tv_nsec = 500000 };

void inbox_open(void)
{
	if (access(DEVICE, F_OK)) {
		if (inl(L1_PORT_LEFT) == UINT32_MAX)
			fail("this machine has no mailbox");
		return;
	}
	int enable = open(DEVICE "enable", O_WRONLY | O_CLOEXEC);

	if (enable < 0 || write(enable, "1", 1) != 1)
		fail("the mailbox device does not come up: %s", strerror(errno));
	close(enable);
	int memory = open(DEVICE "resource2", O_RDWR | O_CLOEXEC);
	box = mmap(NULL, MAILBOX_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (box == MAP_FAILED)
		fail("the mailbox does not map: %s", strerror(errno));
	close(memory);
}

/* The machine may be saved at any of these writes, and restored right behind it. */
static void wait_for_ports(void)
{
	while (!(box_size = inl(L1_PORT_LEFT))) {
		nanosleep(&interval, NULL);
		outl(0, L1_PORT_IDLE);
	}
	box = mmap(NULL, box_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (box == MAP_FAILED)
		fail("the mailbox (%llu bytes) does not fit: %s", (unsigned long long)box_size,
		     strerror(errno));
	insl(L1_PORT_INPUT, box, box_size / 4);
}

void inbox_wait(void)
{
	if (!box)
		wait_for_ports();
	while (!*(volatile uint64_t *)box)
		nanosleep(&interval, NULL);
}

static bool inside(uint64_t offset, uint64_t size)
{
	return offset <= box_size && size <= box_size - offset;
}

static void create_file(const struct mailbox_file *file)
{
	char path[MAILBOX_NAME + 2] = "/";

	strncpy(path + 1, file->name, MAILBOX_NAME);
	if (!inside(file->offset, file->size))
		fail("%s does not lie inside the mailbox", path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (fd < 0)
		fail("cannot create %s: %s", path, strerror(errno));
	for (uint64_t done = 0; done < file->size;) {
		ssize_t written = write(fd, box + file->offset + done, file->size - done);

		if (written <= 0)
			fail("cannot write %s (%llu bytes): %s", path,
			     (unsigned long long)file->size, strerror(errno));
		done += written;
	}
	close(fd);
}

static void split_arguments(const struct mailbox *mailbox, char *argv[])
{
	char *next = box + mailbox->arguments_offset;
	char *end = next + mailbox->arguments_size;

	if (!inside(mailbox->arguments_offset, mailbox->arguments_size) ||
	    !mailbox->argument_count || mailbox->argument_count > MAILBOX_ARGUMENTS)
		fail("the arguments (%u) do not fit", mailbox->argument_count);
	for (unsigned int i = 0; i < mailbox->argument_count; i++) {
		argv[i] = next;
		next += strnlen(next, end - next) + 1;
		if (next > end)
			fail("argument %u is cut off", i);
	}
	argv[mailbox->argument_count] = NULL;
}

void inbox_unpack(char *argv[])
{
	const struct mailbox *mailbox = (const struct mailbox *)box;

	if (box_size < sizeof(*mailbox) || mailbox->magic != MAILBOX_MAGIC ||
	    mailbox->file_count > MAILBOX_FILES)
		fail("the mailbox is not of this version of vmabi");
	for (unsigned int i = 0; i < mailbox->file_count; i++)
		create_file(&mailbox->files[i]);
	split_arguments(mailbox, argv);
}
