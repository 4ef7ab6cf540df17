// SPDX-License-Identifier: BSD-2-Clause
/*
 * What runs in the nested host in vmrun's place, to make that host go wrong
 *
 * make check runs it to see that a panic of L1, a fault in its log, and an L1 that does not answer are
 * told as what they are (scripts/tests/ends.bats). The option --append,
 * which would be the guest's command line, names the way.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	return fd < 0 || write(fd, text, strlen(text)) < 0;
}

static void pass_one_point(void)
{
	printf("TAP version 13\n1..1\nok 1 - the guest saw nothing wrong\n");
	fflush(stdout);
}

static const char *way(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i++)
		if (!strcmp(argv[i], "--append"))
			return argv[i + 1];
	return "";
}

int main(int argc, char **argv)
{
	const char *how = way(argc, argv);

	if (!strcmp(how, "panic")) {
		pass_one_point();
		return write_file("/proc/sysrq-trigger", "c");
	}
	if (!strcmp(how, "log-fault")) {
		pass_one_point();
		return write_file("/dev/kmsg", "<4>WARNING: CPU: 0 PID: 1 at here\n");
	}
	if (!strcmp(how, "no-answer"))
		pause();
	fprintf(stderr, "l1_program: unknown way '%s'\n", how);
	return 125;
}
