/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A restored machine: QEMU with a snapshot in it
 *
 * A snapshot is a folder:
 *	machine	the command line of QEMU, one word a line
 *	ram	L1's memory, which QEMU maps copy-on-write: nothing of it is read before it is used
 *	state	the rest of the machine, in QEMU's migration format
 * QEMU is started in that folder, and finds what is particular to this run in the file descriptors
 * that machine.sh names. The folder is given as a file descriptor, so that all comes from the same one,
 * even if its path leads elsewhere a moment later.
 */
#ifndef RESTORE_MACHINE_H
#define RESTORE_MACHINE_H

#include <sys/types.h>

struct machine {
	pid_t pid;
	int output; /* what L1 writes to its debug console can be read here, until QEMU ends */
	int monitor;
	int state;
};

/*
 * Starts QEMU, which waits to be told what to restore. It does not outlive this process. The mailbox
 * and the console are taken over. Ends this program with a message if that cannot be.
 */
struct machine machine_start(int snapshot, int mailbox, int console);

/*
 * Restores the snapshot and lets it run. Ends this program with a message if QEMU refuses; a QEMU that
 * ends is no error here.
 */
void machine_restore(struct machine *machine, int snapshot);

#endif
