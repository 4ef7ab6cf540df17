/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RESTORE_DIE_H
#define RESTORE_DIE_H

/* Says on stderr, in one line, why L1 cannot be restored, and ends with MAILBOX_FAILED. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

#endif
