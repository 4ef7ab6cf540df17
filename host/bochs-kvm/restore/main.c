// SPDX-License-Identifier: BSD-2-Clause
/*
 * restore: runs one command in an L1 that Bochs restores
 *
 * All that is particular to a run lies in memory and goes away with the processes: there is nothing to
 * clean up, however a run ends. Bochs is killed by the kernel when this process is gone.
 */
#include "bochs.h"

#include <errno.h>
#include <fcntl.h>
#include <nested/mailbox.h>
#include <nested/restore/die.h>
#include <nested/restore/payload.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char usage[] =
	"usage: restore SNAPSHOT CONSOLE FILE... -- COMMAND [ARGUMENT]...\n"
	"Restores L1 from the folder SNAPSHOT (see snapshot.sh), gives it each FILE as /NAME, executable,\n"
	"and runs COMMAND there. What it writes to stdout and stderr comes out of stdout; its exit status\n"
	"is this program's. L1's kernel log goes to the file CONSOLE.\n"
	"\n"
	"Status 127: there is no result: L1 did not come up or broke down. stderr, stdout or the kernel\n"
	"log says why.\n";

void die(const char *format, ...)
{
	va_list args;

	fputs("bochs-kvm: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(MAILBOX_FAILED);
}

/* The index of the argument "--"; 0 if there is none. */
static int find_command(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--"))
			return i;
	return 0;
}

/* Cut to its content, since L1 reads all of it; the ports give it out in words. */
static void cut(int box)
{
	struct mailbox mailbox;

	if (pread(box, &mailbox, sizeof(mailbox), 0) != sizeof(mailbox) ||
	    ftruncate(box, (mailbox.arguments_offset + mailbox.arguments_size + 3) & -4ull))
		die("cannot make the mailbox: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	int dashes = find_command(argc, argv);

	if (dashes < 4 || dashes == argc - 1 || dashes - 3 > MAILBOX_FILES) {
		fputs(usage, stderr);
		return MAILBOX_FAILED;
	}
	struct bochs bochs = {
		.folder = argv[1],
		.console = open(argv[2], O_WRONLY | O_CREAT | O_CLOEXEC, 0666),
		.log = memfd_create("log", MFD_CLOEXEC),
		.mailbox = payload_make(argv + 3, dashes - 3, argv + dashes + 1),
	};

	if (bochs.console < 0)
		die("cannot write %s: %s", argv[2], strerror(errno));
	if (bochs.log < 0)
		die("no memory for Bochs's log: %s", strerror(errno));
	cut(bochs.mailbox);
	return bochs_run(&bochs);
}
