/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bochs, with a snapshot in it
 *
 * A snapshot is a folder:
 *	machine		the command line of Bochs, one word a line
 *	bochs		"bochs-VERSION"
 *	config, ...	what Bochs saved, in its own format
 * Bochs is started in that folder, and finds what is particular to this run in the file descriptors that
 * plugin/plugin.h names.
 */
#ifndef RESTORE_BOCHS_H
#define RESTORE_BOCHS_H

struct bochs {
	const char *folder;
	int mailbox, console;
	int log; /* what Bochs itself has to say */
};

/*
 * Runs it to its end. What L1 writes goes to stdout. Returns the status of L1's command; ends this program
 * with a message if there is none, or if Bochs cannot be started. Bochs does not outlive this process.
 */
int bochs_run(const struct bochs *bochs);

#endif
