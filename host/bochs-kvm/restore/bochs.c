// SPDX-License-Identifier: BSD-2-Clause
#include "bochs.h"

#include "../plugin/plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <nested/mailbox.h>
#include <nested/restore/die.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 64
#define FD_END	  (FD_CONSOLE + 1)

/* The lines of the file machine, as a NULL-terminated vector. */
static void read_command(const char *folder, char *words[])
{
	char path[4096];
	size_t room = 0;
	unsigned int count = 0;

	snprintf(path, sizeof(path), "%s/machine", folder);
	FILE *file = fopen(path, "re");
	if (!file)
		die("there is no snapshot %s: %s; run prepare.sh", folder, strerror(errno));
	while (count < WORDS_MAX) {
		words[count] = NULL;
		ssize_t length = getline(&words[count], &room, file);
		if (length < 0)
			break;
		words[count++][length - 1] = '\0';
		room = 0;
	}
	fclose(file);
	if (!count || count == WORDS_MAX)
		die("the snapshot %s is none: its file machine holds no command line", folder);
	words[count] = NULL;
}

/*
 * Bochs copies the machine's memory into a nameless file in P_tmpdir, and goes on with what there is of it
 * where the disk is full.
 */
static void check_room(const char *folder)
{
	char path[4096];
	struct stat memory;
	struct statvfs room;

	snprintf(path, sizeof(path), "%s/memory.ram", folder);
	if (stat(path, &memory))
		die("the snapshot %s is none: cannot find its file memory.ram: %s", folder,
		    strerror(errno));
	if (!statvfs(P_tmpdir, &room) &&
	    room.f_bavail * room.f_frsize < (unsigned long)memory.st_size)
		die("there is no space in %s (%lu MB are needed); make room", P_tmpdir,
		    (unsigned long)memory.st_size >> 20);
}

/* In the child. The file descriptors are moved out of the way first: one may have another's number. */
__attribute__((noreturn)) static void become(const struct bochs *bochs, char *words[], pid_t parent)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int fds[FD_END] = { null,		  null,		 bochs->log,
				  bochs->mailbox, STDOUT_FILENO, bochs->console };
	int moved[FD_END];

	_Static_assert(FD_INPUT == 3 && FD_OUTPUT == 4 && FD_CONSOLE == 5, "the order above");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	for (int i = 0; i < FD_END; i++)
		moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FD_END);
	for (int i = 0; i < FD_END; i++)
		dup2(moved[i], i);
	if (chdir(bochs->folder))
		dprintf(STDERR_FILENO, "cannot go to %s: %s\n", bochs->folder, strerror(errno));
	else if (execvp(words[0], words))
		dprintf(STDERR_FILENO, "cannot run %s: %s\n", words[0], strerror(errno));
	_exit(1);
}

/* The line of Bochs's log that says best why it ended: that of a panic, else the last one. */
static const char *last_words(int log)
{
	static char line[1024], best[1024] = "it said nothing";
	FILE *file = fdopen(log, "r");

	rewind(file);
	while (fgets(line, sizeof(line), file)) {
		const char *panic = strstr(line, ">>PANIC<<");

		line[strcspn(line, "\r\n")] = '\0';
		if (*line)
			strcpy(best, panic ? panic : line);
		if (panic)
			break;
	}
	return best;
}

int bochs_run(const struct bochs *bochs)
{
	char *words[WORDS_MAX + 1];
	pid_t self = getpid(), pid;
	int status;

	read_command(bochs->folder, words);
	check_room(bochs->folder);
	pid = fork();
	if (pid < 0)
		die("cannot start Bochs: %s", strerror(errno));
	if (!pid)
		become(bochs, words, self);
	while (waitpid(pid, &status, 0) < 0)
		;
	if (WIFSIGNALED(status))
		die("Bochs was killed by signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	switch (WEXITSTATUS(status)) {
	case PLUGIN_RESET:
		die("L1 ended without a result (its kernel panicked, or its CPU was reset)");
	case PLUGIN_OUTPUT_LOST:
		die("cannot write to stdout");
	case PLUGIN_L1_FAILED:
		return MAILBOX_FAILED;
	}
	if (WEXITSTATUS(status) & 1 && WEXITSTATUS(status) != 1)
		return (WEXITSTATUS(status) >> 1) - 1;
	die("Bochs ended: %s", last_words(bochs->log));
}
