/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NESTED_FAIL_H
#define NESTED_FAIL_H

/* Says on stderr, in one line, why L1 cannot go on, and ends this process with MAILBOX_FAILED. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

#endif
