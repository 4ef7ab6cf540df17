// SPDX-License-Identifier: BSD-2-Clause
#include "say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "undo.h"

static void say_arguments(const char *format, va_list arguments)
{
	static const char prefix[] = "vmrun: ";
	char line[1024];
	size_t length = sizeof(prefix) - 1, room = sizeof(line) - sizeof(prefix);
	int added;

	memcpy(line, prefix, length);
	added = vsnprintf(line + length, room, format, arguments);
	if (added > 0)
		length += (size_t)added < room ? (size_t)added : room - 1;
	line[length++] = '\n';
	/* There is nowhere left to report that stderr cannot be written. */
	if (write(STDERR_FILENO, line, length) < 0)
		return;
}

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say_arguments(format, arguments);
	va_end(arguments);
}

void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say_arguments(format, arguments);
	va_end(arguments);
	undo_now();
	_exit(STATUS_FAILED);
}
