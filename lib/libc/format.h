/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Formatted text into a buffer, the same in guests and on the host
 *
 * %d %i %u %x %X %c %s %p %%, with the flags 0 - # + and blank, a width, a precision (of strings
 * and numbers; both may be *), and the sizes hh h l ll z t j. What it does not know is copied as it
 * is.
 */
#ifndef LIBC_FORMAT_H
#define LIBC_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/* As snprintf(): at most size bytes with the final 0, and the length it would have had. */
__attribute__((format(printf, 3, 4))) size_t format_text(char *buffer, size_t size,
							 const char *format, ...);
__attribute__((format(printf, 3, 0))) size_t format_text_v(char *buffer, size_t size,
							   const char *format, va_list arguments);

#endif
