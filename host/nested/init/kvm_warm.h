/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NESTED_KVM_WARM_H
#define NESTED_KVM_WARM_H

/*
 * Runs a guest of a few instructions on L1's KVM, so that what KVM allocates and prepares on first use
 * is in the snapshot, and so that a KVM that does not work is found out when the snapshot is made.
 * Returns 0, or a negative errno with *step naming what failed.
 */
int kvm_warm(const char **step);

#endif
