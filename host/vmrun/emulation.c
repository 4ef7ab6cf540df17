// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/kvm/x86.c, force_emulation_prefix: any value but 0 switches it on, bit 1 clears
 * RFLAGS.RF too; the others have no meaning (Linux 7.2). It can be changed at run time from 6.2 on.
 *
 * Several vmruns at once: each holds a shared lock on the parameter while it is on, and whoever can
 * get the lock for itself at its end is the last. The lock goes with the process, however that
 * ends.
 */
#include "emulation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "undo.h"

/* Tells what vmrun set from what the user did. */
#define OURS	  0x40
#define OURS_TEXT "64\n"

static int lock_fd = -1;

static long read_value(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return -1;
	/* A bool before Linux 6.2. */
	return text[0] == 'Y' ? 1 : text[0] == 'N' ? 0 : strtol(text, NULL, 10);
}

/* A kernel without CONFIG_FILE_LOCKING is a small one, such as L1's, where one vmrun is alone. */
static bool lock(int fd, int operation)
{
	return flock(fd, operation) == 0 || errno == ENOSYS;
}

static bool write_value(int fd, const char *text)
{
	return pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text);
}

static bool refuse_missing(const char *parameter, struct message *why)
{
	return refuse(why,
		      "%s: %s: the KVM here has no forced emulation: it takes Linux 6.2 or newer",
		      parameter, strerror(errno));
}

long emulation_value(const char *parameter, struct message *why)
{
	int fd = open(parameter, O_RDONLY | O_CLOEXEC);
	long value;

	if (fd < 0) {
		refuse_missing(parameter, why);
		return -1;
	}
	value = read_value(fd);
	if (value < 0)
		refuse(why, "%s: it cannot be read: %s", parameter, strerror(errno));
	close(fd);
	return value;
}

void emulation_end(void)
{
	int fd = lock_fd;

	lock_fd = -1;
	if (fd < 0 || !lock(fd, LOCK_EX | LOCK_NB))
		return;
	if (read_value(fd) == OURS)
		write_value(fd, "0\n");
	lock(fd, LOCK_UN);
}

/* access() alone would let root write to what the kernel has made read-only. */
static bool is_writable(const char *parameter)
{
	struct stat status;

	return stat(parameter, &status) == 0 && (status.st_mode & S_IWUSR) &&
	       access(parameter, W_OK) == 0;
}

bool emulation_offered(const char *parameter, struct message *detail)
{
	long value = emulation_value(parameter, detail);
	bool writable = is_writable(parameter);

	if (value < 0)
		return false;
	snprintf(detail->text, sizeof(detail->text),
		 "force_emulation_prefix is %ld, and can%s be changed", value,
		 writable ? "" : "not");
	return value > 0 || writable;
}

bool emulation_begin(const char *parameter, struct message *why)
{
	long value = emulation_value(parameter, why);
	int fd;

	if (value < 0)
		return false;
	if (value > 0 && value != OURS)
		return true;
	fd = open(parameter, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return refuse(why,
			      "%s: %s: run as root, or let root write 1 there; before Linux 6.2 it "
			      "can only be given when kvm is loaded",
			      parameter, strerror(errno));
	if (!lock(fd, LOCK_SH))
		return refuse(why, "%s: it cannot be locked: %s", parameter, strerror(errno));
	lock_fd = fd;
	undo_at_end(emulation_end);
	if (!write_value(fd, OURS_TEXT))
		return refuse(why, "%s: %s", parameter, strerror(errno));
	return true;
}
