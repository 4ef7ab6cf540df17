// SPDX-License-Identifier: BSD-2-Clause
/*
 * What runs in the nested host in vmrun's place, or in Xen's dom0, to make that host go wrong
 *
 * make check runs it to see that a panic of L1 or of Xen, a fault in its log, and an L1 that does not answer are
 * told as what they are (scripts/tests/ends.bats, xen.bats). The option --append,
 * which would be the guest's command line, names the way.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	return fd < 0 || write(fd, text, strlen(text)) < 0;
}

/* What is printed goes through a pipe to init, which takes it out of L1: here it is out when this returns. */
static void pass_one_point(void)
{
	int waiting;

	printf("TAP version 13\n1..1\nok 1 - the guest saw nothing wrong\n");
	fflush(stdout);
	while (!ioctl(STDOUT_FILENO, FIONREAD, &waiting) && waiting > 0)
		usleep(1000);
	usleep(200000); /* for what init has read and not written yet */
}

/*
 * In Xen's dom0: sends Xen the debug key for an NMI that nobody expects (xen/include/public/sysctl.h, debug_keys;
 * arch/x86/nmi.c). The version of that interface is each Xen's own.
 */
static int panic_xen(void)
{
	static char key[] = "N";
	struct {
		uint32_t command, version;
		uint64_t keys;
		uint32_t count;
		uint8_t rest[128];
	} sysctl = { .command = 7, .keys = (uintptr_t)key, .count = 1 };
	struct {
		uint64_t number, arguments[5];
	} call = { 35, { (uintptr_t)&sysctl } };
	int privcmd = open("/dev/xen/privcmd", O_RDWR);

	for (sysctl.version = 0x10; sysctl.version < 0x40; sysctl.version++)
		if (!ioctl(privcmd, _IOC(_IOC_NONE, 'P', 0, sizeof(call)), &call))
			return 0;
	return 1;
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
	if (!strcmp(how, "xen-panic")) {
		pass_one_point();
		return panic_xen();
	}
	if (!strcmp(how, "no-answer"))
		pause();
	fprintf(stderr, "l1_program: unknown way '%s'\n", how);
	return 125;
}
