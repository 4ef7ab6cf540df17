/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The supervised command: a process group that does not outlive its supervisor
 */
#ifndef SUPERVISE_CHILD_H
#define SUPERVISE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum child_end {
	CHILD_EXITED,	   /* status holds its exit status, or 128 + the signal that ended it */
	CHILD_TIMED_OUT,   /* the time limit passed; the group was killed */
	CHILD_INTERRUPTED, /* the supervisor got SIGINT, SIGTERM or SIGHUP (in status); likewise */
};

struct child_result {
	enum child_end end;
	int status;
};

/*
 * Runs argv with nothing on stdin, and hands on what it writes to stdout and stderr as it comes,
 * until both are closed and it has ended, or until the time limit (0: none) has passed. If the
 * reader of the supervisor's own output goes away, that counts as an interruption by SIGPIPE: the
 * callback returns false then. Returns 0, or a negative errno if the command could not be started.
 */
int child_run(char *const argv[], double timeout_seconds,
	      bool (*output)(void *context, const char *bytes, size_t size), void *context,
	      struct child_result *result);

#endif
