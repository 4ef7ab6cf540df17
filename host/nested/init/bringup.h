/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NESTED_BRINGUP_H
#define NESTED_BRINGUP_H

/*
 * From a kernel that has just started its first process to one with a KVM that is known to work. Ends
 * this process with a line saying why, if that cannot be.
 */
void bringup(void);

#endif
