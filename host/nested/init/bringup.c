// SPDX-License-Identifier: BSD-2-Clause
#include "bringup.h"

#include "fail.h"
#include "kvm_warm.h"
#include "swap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

static void mount_all(void)
{
	static const char *const mounts[][2] = { { "/dev", "devtmpfs" },
						 { "/proc", "proc" },
						 { "/sys", "sysfs" } };

	for (size_t i = 0; i < sizeof(mounts) / sizeof(*mounts); i++)
		if (mount(mounts[i][1], mounts[i][0], mounts[i][1], 0, NULL))
			fail("cannot mount %s: %s", mounts[i][0], strerror(errno));
}

/*
 * The folder's file "order" names the modules, one a line, each after those it depends on. What else is
 * in a line are the module's parameters.
 */
static void load_modules(void)
{
	char line[256], path[300];
	FILE *order = fopen("/modules/order", "re");

	if (!order)
		fail("cannot read /modules/order: %s", strerror(errno));
	while (fgets(line, sizeof(line), order)) {
		char *parameters = line;
		const char *name = strsep(&parameters, " \n");

		snprintf(path, sizeof(path), "/modules/%s", name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || syscall(SYS_finit_module, fd, parameters, 0))
			fail("cannot load %s: %s", name, strerror(errno));
		close(fd);
		unlink(path);
	}
	fclose(order);
}

void bringup(void)
{
	const char *step;

	mount_all();
	load_modules();
	swap_on();
	int error = kvm_warm(&step);
	if (error)
		fail("KVM does not work in L1: %s: %s", step, strerror(-error));
}
