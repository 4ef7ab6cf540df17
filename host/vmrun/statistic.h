/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's binary statistics: one number by its name
 */
#ifndef VMRUN_STATISTIC_H
#define VMRUN_STATISTIC_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Reads it from what KVM_GET_STATS_FD gave for a VM or vCPU; of those with several elements, the
 * first. 0, or -errno: -ENOENT if there is none of this name.
 */
int statistic_read(int stats_fd, const char *name, uint64_t *value);

/* The same for a vCPU. */
int statistic_of_vcpu(int vcpu_fd, const char *name, uint64_t *value);

#endif
