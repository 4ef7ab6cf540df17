// SPDX-License-Identifier: BSD-2-Clause
#include "machine.h"

#include "die.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORDS_MAX 64

/* What QEMU finds from file descriptor 3 on; machine.sh has the same numbers. */
enum { FD_MAILBOX = 3, FD_CONSOLE, FD_MONITOR, FD_STATE, FD_END };

/* The file's lines, as a NULL-terminated vector. */
static void read_command(int snapshot, char *words[])
{
	size_t room = 0;
	unsigned int count = 0;
	int fd = openat(snapshot, "machine", O_RDONLY | O_CLOEXEC);

	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	if (!file)
		die("the snapshot is none: cannot read its file machine: %s", strerror(errno));
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
		die("the snapshot is none: its file machine holds no command line");
	words[count] = NULL;
}

/* In the child. The file descriptors are moved out of the way first: one may have another's number. */
__attribute__((noreturn)) static void become_qemu(int snapshot, char *words[],
						  const int fds[FD_END], pid_t parent)
{
	int moved[FD_END];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	if (fchdir(snapshot)) {
		fprintf(stderr, "nested: cannot go to the snapshot: %s\n", strerror(errno));
		_exit(1);
	}
	for (int i = 0; i < FD_END; i++)
		moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FD_END);
	for (int i = 0; i < FD_END; i++)
		dup2(moved[i], i);
	execvp(words[0], words);
	fprintf(stderr, "nested: cannot run %s: %s; is QEMU still there?\n", words[0],
		strerror(errno));
	_exit(1);
}

struct machine machine_start(int snapshot, int mailbox, int console)
{
	struct machine machine;
	char *words[WORDS_MAX + 1];
	int output[2], monitor[2], state[2];
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pid_t self = getpid();

	read_command(snapshot, words);
	if (null < 0 || pipe2(output, O_CLOEXEC) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, monitor) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, state))
		die("cannot talk to QEMU: %s", strerror(errno));
	const int fds[FD_END] = { null,	   output[1],  STDERR_FILENO, mailbox,
				  console, monitor[1], state[1] };
	machine.pid = fork();
	if (machine.pid < 0)
		die("cannot start QEMU: %s", strerror(errno));
	if (!machine.pid)
		become_qemu(snapshot, words, fds, self);
	for (int i = 0; i < FD_END; i++)
		if (i != STDERR_FILENO)
			close(fds[i]);
	machine.output = output[0];
	machine.monitor = monitor[0];
	machine.state = state[0];
	return machine;
}

/*
 * Waits until QEMU has answered all commands, or ended. An answer is a line; QEMU makes no line feeds
 * within one.
 */
static void await_answers(FILE *monitor, unsigned int commands)
{
	static char line[65536];

	while (commands && fgets(line, sizeof(line), monitor)) {
		line[strcspn(line, "\r\n")] = '\0';
		if (!strncmp(line, "{\"error\"", 8))
			die("QEMU does not restore the snapshot: %s", line);
		commands -= !strncmp(line, "{\"return\"", 9);
	}
}

static void send_state(int state, int snapshot)
{
	int file = openat(snapshot, "state", O_RDONLY | O_CLOEXEC);

	if (file < 0)
		die("cannot read the snapshot's file state: %s", strerror(errno));
	while (sendfile(state, file, NULL, 1 << 20) > 0)
		;
	close(file);
	close(state);
}

void machine_restore(struct machine *machine, int snapshot)
{
	static const char commands[] =
		"{\"execute\":\"qmp_capabilities\"}"
		"{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":"
		"[{\"capability\":\"x-ignore-shared\",\"state\":true}]}}"
		"{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"fd:6\"}}";
	FILE *monitor = fdopen(machine->monitor, "r");

	_Static_assert(FD_STATE == 6, "the last command names it");
	signal(SIGPIPE, SIG_IGN);
	if (!monitor)
		die("no memory");
	/* If QEMU has ended, its output ends too, and its status tells. */
	if (write(machine->monitor, commands, sizeof(commands) - 1) < 0)
		return;
	await_answers(monitor, 3);
	send_state(machine->state, snapshot);
}
