/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --arguments-from: a command line that comes from a file, each argument ended by a NUL byte
 */
#ifndef VMRUN_ARGUMENTS_H
#define VMRUN_ARGUMENTS_H

#include "image.h"

#define ARGUMENTS_MAX  64
#define ARGUMENTS_SIZE 16384

/* argv[0] is left empty, and argv[count] is NULL, as for main(). */
struct arguments {
	char text[ARGUMENTS_SIZE];
	size_t size;
	int count;
	char *argv[ARGUMENTS_MAX + 1];
};

/*
 * Reads the file to its end: for a FIFO that is when its last writer closes it. The file stays open.
 */
bool arguments_read(struct arguments *arguments, const char *path, struct message *why);

/* Makes argv of the text, which arguments_read() does by itself. */
bool arguments_split(struct arguments *arguments, struct message *why);

#endif
