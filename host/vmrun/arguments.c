// SPDX-License-Identifier: BSD-2-Clause
#include "arguments.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool arguments_split(struct arguments *arguments, struct message *why)
{
	char *at = arguments->text, *end = arguments->text + arguments->size;

	if (arguments->size == 0 || end[-1] != '\0')
		return refuse(why,
			      "the last argument is not ended by a NUL byte: it is incomplete");
	arguments->count = 0;
	arguments->argv[arguments->count++] = "";
	while (at < end) {
		if (arguments->count == ARGUMENTS_MAX)
			return refuse(why, "more than %d arguments", ARGUMENTS_MAX - 1);
		arguments->argv[arguments->count++] = at;
		at += strlen(at) + 1;
	}
	arguments->argv[arguments->count] = NULL;
	return true;
}

bool arguments_read(struct arguments *arguments, const char *path, struct message *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return refuse(why, "%s", strerror(errno));
	arguments->size = 0;
	do {
		got = read(fd, arguments->text + arguments->size, ARGUMENTS_SIZE - arguments->size);
		if (got < 0)
			return refuse(why, "%s", strerror(errno));
		arguments->size += (size_t)got;
	} while (got > 0 && arguments->size < ARGUMENTS_SIZE);
	if (arguments->size == ARGUMENTS_SIZE)
		return refuse(why, "the arguments have more than %d bytes", ARGUMENTS_SIZE - 1);
	return arguments_split(arguments, why);
}
