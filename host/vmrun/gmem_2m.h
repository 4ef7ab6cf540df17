/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private memory by pages of 2 MiB: a parameter of the module kvm of the software SNP platform, which holds for all VMs
 * of the machine (docs/snp.md)
 *
 * If it is on when the first vmrun that wants it comes, it is the user's, and stays. Else it is on as long as such vmruns run. (After
 * SIGKILL of the last one it stays on.)
 */
#ifndef VMRUN_GMEM_2M_H
#define VMRUN_GMEM_2M_H

#include "image.h"

#define GMEM_2M_PARAMETER "/sys/module/kvm/parameters/gmem_2m"

/* Whether gmem_2m_begin() would work. The reason, either way, is in *detail. */
bool gmem_2m_offered(const char *parameter, struct message *detail);

/* Switches it on until gmem_2m_end(). False with cause and cure in *why. */
bool gmem_2m_begin(const char *parameter, struct message *why);
void gmem_2m_end(void);

#endif
