// SPDX-License-Identifier: BSD-2-Clause
/*
 * restore: runs one command in a restored L1
 *
 * All that is particular to a run lies in memory and goes away with the processes: there is nothing to
 * clean up, however a run ends. QEMU is killed by the kernel when this process is gone.
 */
#include "../mailbox.h"
#include "die.h"
#include "machine.h"
#include "payload.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
	"usage: restore [options] SNAPSHOT -- COMMAND [ARGUMENT]...\n"
	"Restores L1 from the folder SNAPSHOT (see snapshot.sh) and runs COMMAND there. What it writes\n"
	"to stdout and stderr comes out of stdout; its exit status is this program's.\n"
	"\n"
	"  --file PATH      give L1 this file, as /NAME, executable (repeatable)\n"
	"  --console PATH   append L1's kernel log to this file (default: nowhere)\n"
	"  --help\n"
	"\n"
	"Status 127: there is no result: L1 did not come up or broke down. stderr, stdout or the kernel\n"
	"log says why.\n";

struct options {
	char *files[MAILBOX_FILES];
	unsigned int file_count;
	const char *console;
	const char *snapshot;
	char **command;
};

void die(const char *format, ...)
{
	va_list args;

	fputs("nested: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(MAILBOX_FAILED);
}

static struct options parse(int argc, char **argv)
{
	static const struct option names[] = {
		{ "file", required_argument, NULL, 'f' },
		{ "console", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	struct options options = { .console = "/dev/null" };
	int option;

	while ((option = getopt_long(argc, argv, "+", names, NULL)) != -1) {
		if (option == 'f') {
			if (options.file_count == MAILBOX_FILES)
				die("more than %u files", MAILBOX_FILES);
			options.files[options.file_count++] = optarg;
		} else if (option == 'c') {
			options.console = optarg;
		} else if (option == 'h') {
			fputs(usage, stdout);
			exit(0);
		} else {
			exit(MAILBOX_FAILED);
		}
	}
	if (argc - optind < 3 || strcmp(argv[optind + 1], "--"))
		die("SNAPSHOT -- COMMAND is missing; see restore --help");
	options.snapshot = argv[optind];
	options.command = argv + optind + 2;
	return options;
}

static void write_all(const char *bytes, size_t size)
{
	while (size) {
		ssize_t written = write(STDOUT_FILENO, bytes, size);

		if (written < 0)
			die("cannot write to stdout: %s", strerror(errno));
		bytes += written;
		size -= written;
	}
}

/*
 * QEMU writes each byte on its own. To wake up for each would cost QEMU as much as L1's work, so the
 * first is given a little company.
 */
static void relay(int from)
{
	const struct timespec company = { .tv_nsec = 2000000 };
	static char bytes[65536];
	char first;

	while (read(from, &first, 1) == 1) {
		bytes[0] = first;
		nanosleep(&company, NULL);
		fcntl(from, F_SETFL, O_NONBLOCK);
		ssize_t more = read(from, bytes + 1, sizeof(bytes) - 1);
		fcntl(from, F_SETFL, 0);
		write_all(bytes, 1 + (more > 0 ? more : 0));
	}
}

/* See mailbox.h for how QEMU's status comes about. */
static int result_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		;
	if (WIFSIGNALED(status))
		die("QEMU was killed by signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	if (!(WEXITSTATUS(status) & 1))
		die("L1 ended without a result (its kernel panicked, or was reset)");
	return ((WEXITSTATUS(status) >> 1) - 1) & 127;
}

int main(int argc, char **argv)
{
	struct options options = parse(argc, argv);
	int mailbox = payload_make(options.files, options.file_count, options.command);
	int console = open(options.console, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	int snapshot = open(options.snapshot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (console < 0)
		die("cannot write %s: %s", options.console, strerror(errno));
	if (snapshot < 0)
		die("there is no snapshot %s: %s; run prepare.sh", options.snapshot,
		    strerror(errno));
	struct machine machine = machine_start(snapshot, mailbox, console);
	machine_restore(&machine, snapshot);
	relay(machine.output);
	return result_of(machine.pid);
}
