/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RESTORE_PAYLOAD_H
#define RESTORE_PAYLOAD_H

/*
 * Makes a mailbox (../mailbox.h) with these files, each under the last part of its path, and the
 * command that L1 is to run. Returns it as a file that exists in memory only. Ends this program with
 * a message if that cannot be.
 */
int payload_make(char *const files[], unsigned int file_count, char *const argv[]);

#endif
