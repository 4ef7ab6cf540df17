/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether this machine can run encrypted guests, and what it lacks for them
 */
#ifndef VMRUN_SEV_HOST_H
#define VMRUN_SEV_HOST_H

#include "image.h"
#include "sev_options.h"

/* What there is to see of a host. */
struct sev_host {
	unsigned int vm_types; /* KVM_CAP_VM_TYPES */
	bool amd;	       /* the module kvm_amd is there */
	bool cpu;	       /* the CPU itself has it */
	bool parameter;	       /* kvm_amd knows a parameter for it */
	bool software;	       /* kvm_amd has the software SNP platform */
	bool parts;	       /* KVM has what belongs to such a VM: memory attributes and so on */
	int device_error;      /* of opening /dev/sev, or 0 */
};

/* Whether such guests can run there; in *detail why not, and what helps, or what there is. */
bool sev_host_judge(const struct sev_host *host, enum sev_kind kind, struct message *detail);

/* The same of this machine. */
bool sev_host_offers(int kvm_fd, enum sev_kind kind, struct message *detail);

/* The type that KVM_CREATE_VM gets. */
unsigned long sev_host_vm_type(enum sev_kind kind);

/* Opens /dev/sev, the secure processor. -1 with errno: it cannot be opened. */
int sev_host_open_device(void);

#endif
