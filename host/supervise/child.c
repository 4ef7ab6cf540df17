// SPDX-License-Identifier: BSD-2-Clause
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* In the child. What cannot be done is told through the close-on-exec pipe as an errno. */
static void become(char *const argv[], pid_t parent, const sigset_t *mask, int output, int errors)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	sigprocmask(SIG_SETMASK, mask, NULL);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	dup2(null, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	execvp(argv[0], argv);
	int error = errno;
	if (write(errors, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

/* Returns the child's pid, or a negative errno. */
static pid_t start(char *const argv[], const sigset_t *mask, int *output)
{
	int out[2], errors[2], error = 0;
	pid_t parent = getpid();

	if (pipe2(out, O_CLOEXEC) || pipe2(errors, O_CLOEXEC))
		return -errno;
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		become(argv, parent, mask, out[1], errors[1]);
	setpgid(pid, pid);
	close(out[1]);
	close(errors[1]);
	if (read(errors[0], &error, sizeof(error)) == sizeof(error))
		waitpid(pid, NULL, 0);
	close(errors[0]);
	*output = out[0];
	return error ? -error : pid;
}

static int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Which of the signals that end a supervisor came, or 0. */
static int taken_signal(int signals)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return 0;
	return info.ssi_signo;
}

/*
 * Returns when the output has ended (CHILD_EXITED), the time is up, or a signal came. The output ends
 * with the last process that holds it: a command that leaves something behind is waited for too.
 */
static struct child_result pump(int output, int signals, double deadline,
				bool (*deliver)(void *context, const char *bytes, size_t size),
				void *context)
{
	struct pollfd fds[] = { { .fd = output, .events = POLLIN },
				{ .fd = signals, .events = POLLIN } };
	char bytes[65536];

	for (;;) {
		double left = deadline ? deadline - now() : 3600;

		if (left <= 0)
			return (struct child_result){ CHILD_TIMED_OUT, 0 };
		if (poll(fds, 2, (int)(left * 1000) + 1) < 0 && errno != EINTR)
			abort();
		if (fds[1].revents) {
			int signal = taken_signal(signals);

			if (signal)
				return (struct child_result){ CHILD_INTERRUPTED, signal };
		}
		if (!fds[0].revents)
			continue;
		ssize_t size = read(output, bytes, sizeof(bytes));
		if (size <= 0)
			return (struct child_result){ CHILD_EXITED, 0 };
		if (!deliver(context, bytes, size))
			return (struct child_result){ CHILD_INTERRUPTED, SIGPIPE };
	}
}

int child_run(char *const argv[], double timeout_seconds,
	      bool (*deliver)(void *context, const char *bytes, size_t size), void *context,
	      struct child_result *result)
{
	sigset_t ending, before;
	int output = -1;

	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGHUP);
	sigprocmask(SIG_BLOCK, &ending, &before);
	signal(SIGPIPE, SIG_IGN);
	int signals = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return -errno;
	double deadline = timeout_seconds ? now() + timeout_seconds : 0;
	pid_t pid = start(argv, &before, &output);
	if (pid < 0)
		return pid;
	*result = pump(output, signals, deadline, deliver, context);
	if (result->end != CHILD_EXITED)
		kill(-pid, SIGKILL);
	int status = reap(pid);
	if (result->end == CHILD_EXITED)
		result->status = status;
	close(output);
	close(signals);
	return 0;
}
