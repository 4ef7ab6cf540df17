/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L1's side of the mailbox
 */
#ifndef NESTED_INBOX_H
#define NESTED_INBOX_H

/* Looks for the mailbox, in memory or at ports (iopl). Ends L1 if there is none. */
void inbox_open(void);

/* Returns when there is something in it: at once in a restored machine, never before. */
void inbox_wait(void);

/*
 * Creates the files, and gives back the argument vector (at most MAILBOX_ARGUMENTS strings and a
 * NULL), in memory of the mailbox.
 * Ends L1 if the mailbox is not as mailbox.h says.
 */
void inbox_unpack(char *argv[]);

#endif
