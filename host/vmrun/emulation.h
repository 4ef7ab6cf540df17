/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The forced emulation prefix, a parameter of the module kvm that holds for all VMs of the machine
 *
 * A value other than 0 that is found is the user's, and stays. Else --force-emulation sets one of
 * its own, which the last vmrun that has asked for it takes away again, at its end, which may come
 * by ^C too. (After SIGKILL it is the last of those that run next.)
 */
#ifndef VMRUN_EMULATION_H
#define VMRUN_EMULATION_H

#include <stdbool.h>

#include "image.h"

#define EMULATION_PARAMETER "/sys/module/kvm/parameters/force_emulation_prefix"

/* The parameter's value; -1 with the cause in *why if it cannot be read. */
long emulation_value(const char *parameter, struct message *why);

/* Whether emulation_begin() would work, without doing it. The reason, either way, is in *detail. */
bool emulation_offered(const char *parameter, struct message *detail);

/* Switches it on until emulation_end(). False with cause and cure in *why. */
bool emulation_begin(const char *parameter, struct message *why);

/* Called at the end of the process (undo.h). Does nothing if emulation_begin() did not. */
void emulation_end(void);

#endif
