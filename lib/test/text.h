/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text that is put together in a buffer of fixed size; what does not fit is cut
 */
#ifndef TEST_TEXT_H
#define TEST_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct text {
	char *buffer;
	size_t size;
	size_t length; /* without the final 0, which is always there */
};

__attribute__((format(printf, 2, 3))) void text_add(struct text *text, const char *format, ...);
__attribute__((format(printf, 2, 0))) void text_add_v(struct text *text, const char *format,
						      va_list arguments);

/*
 * Adds value as a scalar of YAML (the subset that TAP::Parser reads) and a newline: quoted, unless
 * it is a hexadecimal number; as a block, indented by so many blanks, if it has more than one line.
 */
void text_add_scalar(struct text *text, const char *value, unsigned int indent);

/*
 * Adds a TAP description: a newline, and a # that would begin a directive, are kept out of it. Before a directive that
 * is to be one every # is, since TAP's readers look for the first.
 */
void text_add_description(struct text *text, const char *description, bool before_directive);

#endif
