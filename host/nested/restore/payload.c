// SPDX-License-Identifier: BSD-2-Clause
#include "payload.h"

#include "../mailbox.h"
#include "die.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096ULL

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void put(int box, const void *bytes, size_t size, uint64_t offset)
{
	if (pwrite(box, bytes, size, offset) != (ssize_t)size)
		die("cannot write the mailbox: %s", strerror(errno));
}

/* Copies a file to where the next one is to go, and describes it. Returns the end of it. */
static uint64_t add_file(int box, const char *path, struct mailbox_file *file, uint64_t offset)
{
	struct stat stat;
	int from = open(path, O_RDONLY | O_CLOEXEC);

	if (from < 0 || fstat(from, &stat))
		die("cannot read %s: %s", path, strerror(errno));
	if (!S_ISREG(stat.st_mode))
		die("%s is not a file", path);
	if (strlen(last_part(path)) >= sizeof(file->name))
		die("the name of %s is longer than %zu bytes", path, sizeof(file->name) - 1);
	if ((uint64_t)stat.st_size > MAILBOX_SIZE - PAGE - offset)
		die("%s does not fit: L1 takes %u MiB in all", path, MAILBOX_SIZE >> 20);
	strcpy(file->name, last_part(path));
	file->offset = offset;
	file->size = stat.st_size;
	lseek(box, offset, SEEK_SET);
	for (uint64_t done = 0; done < file->size;) {
		ssize_t sent = sendfile(box, from, NULL, file->size - done);

		if (sent <= 0)
			die("cannot copy %s: %s", path, sent ? strerror(errno) : "it got shorter");
		done += sent;
	}
	close(from);
	return (offset + file->size + PAGE - 1) & -PAGE;
}

int payload_make(char *const files[], unsigned int file_count, char *const argv[])
{
	struct mailbox mailbox = { .magic = MAILBOX_MAGIC, .file_count = file_count };
	int box = memfd_create("mailbox", MFD_CLOEXEC);
	uint64_t end = PAGE;

	_Static_assert(sizeof(mailbox) <= PAGE, "the header is to fit in front of the first file");
	if (box < 0 || ftruncate(box, MAILBOX_SIZE))
		die("cannot make the mailbox: %s", strerror(errno));
	for (unsigned int i = 0; i < file_count; i++)
		end = add_file(box, files[i], &mailbox.files[i], end);
	mailbox.arguments_offset = end;
	while (argv[mailbox.argument_count]) {
		const char *argument = argv[mailbox.argument_count++];

		if (mailbox.argument_count > MAILBOX_ARGUMENTS ||
		    end + strlen(argument) >= MAILBOX_SIZE)
			die("too many arguments: L1 takes %u", MAILBOX_ARGUMENTS);
		put(box, argument, strlen(argument) + 1, end);
		end += strlen(argument) + 1;
	}
	mailbox.arguments_size = end - mailbox.arguments_offset;
	put(box, &mailbox, sizeof(mailbox), 0);
	return box;
}
