// SPDX-License-Identifier: BSD-2-Clause
/*
 * Brings up dom0 to where domains can be created: modules, xenstored, and dom0's own entries there
 *
 * This is what Debian's /etc/init.d/xen does, but for the console daemon: ../domain reads a domain's console itself.
 */
#include "../../nested/init/bringup.h"
#include "../../nested/init/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define XENSTORED_SOCKET "/run/xenstored/socket"
#define WAIT_MS		 10000

static void mount_one(const char *type, const char *place)
{
	mkdir(place, 0755);
	if (mount(type, place, type, 0, NULL))
		fail("cannot mount %s: %s", place, strerror(errno));
}

static void make_folders(void)
{
	static const char *const folders[] = {
		"/run/xen",	     "/run/xenstored", "/var",
		"/var/lib",	     "/var/lib/xen",   "/var/lib/xenstored",
		"/var/lib/xen/dump", "/var/log",       "/var/log/xen"
	};

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		if (mkdir(folders[i], 0755) && errno != EEXIST)
			fail("cannot make %s: %s", folders[i], strerror(errno));
	if (symlink("/run", "/var/run") && errno != EEXIST)
		fail("cannot make /var/run: %s", strerror(errno));
}

/* The folder's file "order" names the modules, one a line, each after those it depends on. */
static void load_modules(void)
{
	char line[256], path[300];
	FILE *order = fopen("/modules/order", "re");

	if (!order)
		fail("cannot read /modules/order: %s", strerror(errno));
	while (fgets(line, sizeof(line), order)) {
		line[strcspn(line, " \n")] = '\0';
		snprintf(path, sizeof(path), "/modules/%s", line);
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
			fail("cannot load %s: %s", line, strerror(errno));
		close(fd);
		unlink(path);
	}
	fclose(order);
}

/* A daemon must not keep what init waits for the end of. */
static void become_daemon(void)
{
	int log = open("/dev/console", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (log < 0 || dup2(log, fd) < 0)
			fail("a daemon gets no log: %s", strerror(errno));
}

static pid_t start(char *const argv[], bool is_daemon)
{
	pid_t pid = fork();

	if (!pid) {
		if (is_daemon)
			become_daemon();
		execv(argv[0], argv);
		fail("cannot run %s: %s", argv[0], strerror(errno));
	}
	return pid;
}

static void run(char *const argv[])
{
	int status;

	if (waitpid(start(argv, false), &status, 0) < 0 || status)
		fail("%s ends with status 0x%x", argv[0], status);
}

static void wait_for(const char *path)
{
	const struct timespec interval = { .tv_nsec = 1000000 };

	for (unsigned int i = 0; i < WAIT_MS; i++) {
		if (!access(path, F_OK))
			return;
		nanosleep(&interval, NULL);
	}
	fail("%s has not come up in %d ms", path, WAIT_MS);
}

void bringup(void)
{
	mount_one("devtmpfs", "/dev");
	mount_one("proc", "/proc");
	mount_one("sysfs", "/sys");
	mount_one("tmpfs", "/run");
	make_folders();
	load_modules();
	mount_one("xenfs", "/proc/xen");
	start((char *[]){ "/xen/xenstored", "--no-fork", NULL }, true);
	wait_for(XENSTORED_SOCKET);
	run((char *[]){ "/xen/xen-init-dom0", NULL });
}
