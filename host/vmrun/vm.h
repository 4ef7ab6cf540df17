/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One virtual machine: its memory, its in-kernel devices, and what was asked of it
 */
#ifndef VMRUN_VM_H
#define VMRUN_VM_H

#include <stdatomic.h>

#include "cpuid.h"
#include "image.h"
#include "layout.h"
#include "options.h"
#include "vcpu.h"

struct vm {
	const struct options *options;
	int kvm_fd;
	int fd;
	size_t run_size; /* of the area that each vCPU shares with KVM */
	struct ram ram;
	struct vcpu vcpus[LAYOUT_MAX_CPUS];
	atomic_ulong xen_calls; /* for XEN_VMRUN_COUNT */
};

/* Opens /dev/kvm. Returns the file descriptor, or -1 with cause and cure in *why. */
int vm_open_kvm(struct message *why);

/* KVM_CHECK_EXTENSION, of /dev/kvm or a VM: 0 is no, anything above is yes and may mean more. */
unsigned int vm_capability(int fd, unsigned int capability);

/* Makes the VM that the options ask for, with its memory, or fail()s. */
void vm_create(struct vm *vm, const struct options *options);

/*
 * The part of that which is the VM's configuration: its devices, its CPUs and what they show; on
 * memory that is there, or else is made. Needs options, kvm_fd, run_size, and ram if there is one.
 */
void vm_configure(struct vm *vm);

#endif
