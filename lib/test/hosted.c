// SPDX-License-Identifier: BSD-2-Clause
/*
 * The harness as a program on the host
 */
#ifdef VMABI_HOSTED
#include <test/platform.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <test/test.h>
#include <unistd.h>

static _Thread_local jmp_buf *end_of_point;
static pthread_mutex_t report_mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

/* TAP that gets lost must not look like a pass. */
void test_platform_write(const char *text, size_t size)
{
	while (size) {
		ssize_t written = write(STDOUT_FILENO, text, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0) {
			perror("cannot write TAP to stdout");
			_exit(EXIT_FAILURE);
		}
		text += written;
		size -= written;
	}
}

unsigned int test_platform_cpu(void)
{
	return 0;
}

void test_platform_point_begin(test_jump end)
{
	end_of_point = (jmp_buf *)end;
}

void test_platform_point_end(bool aborted)
{
	(void)aborted;
	end_of_point = NULL;
}

/* A thread that the test made has no point to end: the missing ones are then the failure. */
void test_platform_abort(void)
{
	if (end_of_point)
		longjmp(*end_of_point, 1);
	fprintf(stderr, "a check that ends its test point has failed in a thread of its own\n");
	_exit(EXIT_FAILURE);
}

void test_platform_lock(void)
{
	pthread_mutex_lock(&report_mutex);
}

void test_platform_unlock(void)
{
	pthread_mutex_unlock(&report_mutex);
}

int main(void)
{
	return test_main();
}
#endif
