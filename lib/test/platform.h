/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the harness asks of the place where it runs: guest.c, or hosted.c with VMABI_HOSTED
 */
#ifndef TEST_PLATFORM_H
#define TEST_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>

#ifdef VMABI_HOSTED
#include <setjmp.h>
#include <string.h>
typedef jmp_buf test_jump;
#define test_jump_save(jump) setjmp(jump)
#else
#include <libc/jump.h>
#include <libc/string.h>
typedef struct jump test_jump[1];
#define test_jump_save(jump) jump_save(jump)
#endif

/* Writes TAP, all of it, and at once where that can be. */
void test_platform_write(const char *text, size_t size);

/* The CPU this runs on; always 0 on the host. */
unsigned int test_platform_cpu(void);

/*
 * A test point begins here, and test_platform_abort() on this CPU (or thread) goes to "end". At its
 * end whatever the point left running is stopped and what it left changed is put back; an
 * aborted one may have left more.
 */
void test_platform_point_begin(test_jump end);
void test_platform_point_end(bool aborted);

/* Goes to the end of the point. Where no point runs that is the end of the program. */
__attribute__((noreturn)) void test_platform_abort(void);

/*
 * One report at a time. A report that is made while this CPU makes another (by the handler of an
 * exception that the first one raised) goes ahead.
 */
void test_platform_lock(void);
void test_platform_unlock(void);

#endif
