// SPDX-License-Identifier: BSD-2-Clause
/*
 * L1's init: brings up KVM, waits to be restored, runs one command
 *
 * Two processes. The first only passes on what the second writes, and ends the machine with its exit
 * status. The second does all the rest, and becomes the command.
 *
 * Everything up to inbox_wait() happens once, before the snapshot is taken. What follows happens in
 * each restored machine, where QEMU's translation cache is empty: every instruction that runs there for
 * the first time is translated first, so what is to be fast must be little code. This is why the fork
 * and the pipe come before. In Bochs (host/bochs-kvm) all code is equally slow, and the same is right.
 *
 * The kernel's own messages go to the serial line; what is written here goes to the debug console.
 */
#include "../mailbox.h"
#include "bringup.h"
#include "fail.h"
#include "inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The kernel's log, at the place where it stood when the snapshot was taken. */
static int kernel_log;

/* The numbers of /dev/kmsg and /dev/null, in Documentation/admin-guide/devices.txt */
static int open_device(unsigned int minor, int flags)
{
	static const char path[] = "/device";

	if (mknod(path, S_IFCHR | 0600, makedev(1, minor)))
		return -1;
	int fd = open(path, flags | O_CLOEXEC);
	unlink(path);
	return fd;
}

/* A line of the kernel's log that is no fault, by which is seen that the log comes out. */
static void mark_kernel_log(void)
{
	static const char line[] = "<3>" L1_READY "\n";
	int log = open_device(11, O_WRONLY);

	if (log < 0 || write(log, line, sizeof(line) - 1) < 0)
		fail("cannot write to the kernel's log: %s", strerror(errno));
	close(log);
}

/* The second process. */
__attribute__((noreturn)) static void command(int output)
{
	static char *argv[MAILBOX_ARGUMENTS + 1];

	dup2(open_device(3, O_RDONLY), STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	bringup();
	inbox_open();
	mark_kernel_log();
	lseek(kernel_log, 0, SEEK_END);
	dprintf(STDOUT_FILENO, L1_READY "\n");
	inbox_wait();
	iopl(0);
	inbox_unpack(argv);
	execv(argv[0], argv);
	fail("cannot run %s in L1: %s", argv[0], strerror(errno));
}

/* Returns the command's exit status, after having passed on all that it wrote. */
static unsigned int relay(pid_t pid, int output)
{
	static char bytes[65536];
	ssize_t size;
	int status;

	while ((size = read(output, bytes, sizeof(bytes))) > 0)
		outsb(L1_PORT_CONSOLE, bytes, size);
	waitpid(pid, &status, 0);
	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	size = snprintf(bytes, sizeof(bytes), "nested: the command was killed by signal %d (%s)\n",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	outsb(L1_PORT_CONSOLE, bytes, size);
	return MAILBOX_FAILED;
}

/*
 * The kernel may print to the serial line from a thread of its own: if it has said anything since the
 * machine was restored, that thread is given time.
 */
static void let_kernel_log_drain(void)
{
	const struct timespec drain = { .tv_nsec = 100000000 };
	char record[8192];

	if (read(kernel_log, record, sizeof(record)) > 0)
		nanosleep(&drain, NULL);
}

int main(void)
{
	int output[2];
	pid_t pid;

	/* If this fails, init ends, and the kernel's panic says that. */
	if (pipe2(output, O_CLOEXEC) || iopl(3))
		return 1;
	kernel_log = open_device(11, O_RDONLY | O_NONBLOCK);
	pid = fork();
	if (pid < 0)
		return 1;
	if (!pid)
		command(output[1]);
	close(output[1]);
	unsigned int status = relay(pid, output[0]);
	let_kernel_log_drain();
	/* See mailbox.h for the one that is added. */
	outb((status + 1) & 127, L1_PORT_EXIT);
	pause();
}
