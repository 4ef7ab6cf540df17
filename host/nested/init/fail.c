// SPDX-License-Identifier: BSD-2-Clause
#include "fail.h"

#include "../mailbox.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void fail(const char *format, ...)
{
	va_list args;

	dprintf(STDERR_FILENO, "nested: ");
	va_start(args, format);
	vdprintf(STDERR_FILENO, format, args);
	va_end(args);
	dprintf(STDERR_FILENO, "\n");
	_exit(MAILBOX_FAILED);
}
