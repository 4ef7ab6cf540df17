// SPDX-License-Identifier: BSD-2-Clause
/*
 * Several vmruns at once: each holds a shared lock on the parameter while it is on, and whoever can get the lock for itself is the
 * first, or the last. The lock goes with the process, however that ends.
 */
#include "gmem_2m.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "undo.h"

static int lock_fd = -1;

static int open_parameter(const char *parameter, struct message *why)
{
	int fd = open(parameter, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		refuse(why, "%s: %s: %s", parameter, strerror(errno),
		       errno == ENOENT ? "it takes the software SNP platform (docs/snp.md)"
				       : "run as root");
	return fd;
}

/* A kernel without CONFIG_FILE_LOCKING is a small one, such as L1's, where one vmrun is alone. */
static bool lock(int fd, int operation)
{
	return flock(fd, operation) == 0 || errno == ENOSYS;
}

bool gmem_2m_offered(const char *parameter, struct message *detail)
{
	int fd = open_parameter(parameter, detail);

	if (fd < 0)
		return false;
	close(fd);
	refuse(detail, "kvm.gmem_2m can be set");
	return true;
}

void gmem_2m_end(void)
{
	int fd = lock_fd;

	lock_fd = -1;
	if (fd >= 0 && lock(fd, LOCK_EX | LOCK_NB) && pwrite(fd, "N\n", 2, 0) == 2)
		lock(fd, LOCK_UN);
}

bool gmem_2m_begin(const char *parameter, struct message *why)
{
	int fd = open_parameter(parameter, why);
	char value;

	if (fd < 0)
		return false;
	if (pread(fd, &value, 1, 0) == 1 && value == 'Y' && lock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		return true;
	}
	if (!lock(fd, LOCK_SH) || pwrite(fd, "Y\n", 2, 0) != 2) {
		refuse(why, "%s: %s", parameter, strerror(errno));
		close(fd);
		return false;
	}
	lock_fd = fd;
	undo_at_end(gmem_2m_end);
	return true;
}
