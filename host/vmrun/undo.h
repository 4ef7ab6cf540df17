/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What vmrun has changed on the machine and takes back at its end, which may come by a signal
 */
#ifndef VMRUN_UNDO_H
#define VMRUN_UNDO_H

/* From now on this is called before the process ends, once; but for SIGKILL. One at a time. */
void undo_at_end(void (*undo)(void));

/* To be called before the process ends. */
void undo_now(void);

#endif
