// SPDX-License-Identifier: BSD-2-Clause
/*
 * repeat COUNT COMMAND [ARGUMENT]...: runs a command so many times, one after the other
 *
 * For make bench, in L1: what QEMU translates in the first run it need not translate in the others.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[1]) : 0;
	int status = 125;

	while (count-- > 0) {
		pid_t pid = fork();

		if (!pid) {
			execv(argv[2], argv + 2);
			perror(argv[2]);
			_exit(125);
		}
		if (pid < 0 || waitpid(pid, &status, 0) < 0) {
			perror("repeat");
			return 125;
		}
		status = WEXITSTATUS(status);
	}
	return status;
}
