/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the plugin has in common with those that start Bochs (snapshot.sh, restore/)
 */
#ifndef BOCHS_KVM_PLUGIN_H
#define BOCHS_KVM_PLUGIN_H

/* What Bochs finds from file descriptor 3 on; machine.sh has the same numbers. */
enum { FD_INPUT = 3, FD_OUTPUT, FD_CONSOLE };

/*
 * How Bochs ends by the plugin, apart from the end of L1's command, which is an odd status from 3 on
 * (nested/mailbox.h). With 1 it ends by itself, by an error.
 */
enum {
	PLUGIN_SAVED = 0,
	PLUGIN_RESET = 2,
	PLUGIN_NOT_SAVED = 4,
	PLUGIN_OUTPUT_LOST = 6,
	PLUGIN_NO_INPUT = 8,
	PLUGIN_L1_FAILED = 10, /* L1 has said why */
};

#endif
