/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the loader and the machine give: the command line, the console, and the end
 */
#ifndef X86_PLATFORM_H
#define X86_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The guest's status, as written to port 0xf4. From 2 on the runtime itself has died. */
enum platform_status {
	PLATFORM_PASSED = 0,
	PLATFORM_FAILED = 1,
	PLATFORM_EXCEPTION = 2, /* an exception outside of every test point */
	PLATFORM_PANIC = 3,	/* the runtime could not go on: see its last line */
};

/* Ends the machine with this status; where nothing listens at port 0xf4, halts for ever. */
__attribute__((noreturn)) void platform_exit(uint8_t status);

/* Prints "# panic: ..." and ends the machine with PLATFORM_PANIC. For code outside test points. */
__attribute__((noreturn, format(printf, 1, 2))) void platform_panic(const char *format, ...);

/* The whole command line; "" if the loader gave none. Longer than 1023 characters it is cut. */
const char *cmdline(void);

/*
 * The value of the last word "key=value" of the command line; NULL if there is none. The string
 * stays valid. Words are separated by blanks, and there is no quoting.
 */
const char *cmdline_value(const char *key);

/* Whether this very word stands in the command line. */
bool cmdline_has(const char *word);

/*
 * cmdline_value() as a number, decimal or with 0x; if there is none, or it is no number: otherwise.
 */
uint64_t cmdline_number(const char *key, uint64_t otherwise);

/* Writes to the console as it is: see console.c for where that goes. */
void console_write(const char *text, size_t size);

/* For the runtime: waits until all is out; and takes the loader's command line, by copying it. */
void console_drain(void);
void cmdline_set(const char *text);

#endif
