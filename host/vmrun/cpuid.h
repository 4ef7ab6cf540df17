/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPUID leaves that a vCPU shows
 *
 * They are what KVM supports, with the topology of one socket of cores without threads, and the
 * hypervisors' leaves in a fixed order of blocks of 0x100, from 0x40000000 on: Hyper-V (if asked
 * for), Xen (if asked for), KVM.
 */
#ifndef VMRUN_CPUID_H
#define VMRUN_CPUID_H

#include <linux/kvm.h>

#include "image.h"

#define CPUID_CAPACITY 320

/* struct kvm_cpuid2 with room for its entries. */
struct cpuid {
	uint32_t count;
	uint32_t padding;
	struct kvm_cpuid_entry2 entries[CPUID_CAPACITY];
};

/* Bits that a leaf is not to show. A list of them ends with one that hides no bits. */
struct hidden_bits {
	uint32_t leaf;
	unsigned int reg; /* 0 to 3: EAX, EBX, ECX, EDX */
	uint32_t bits;
};

struct cpuid_wish {
	const struct cpuid *hyperv; /* from KVM_GET_SUPPORTED_HV_CPUID, or NULL */
	bool xen;
	uint32_t xen_msr;
	uint32_t show_kvm;		       /* bits that KVM leaves to the VMM, as hide_kvm */
	const struct hidden_bits *hide_hyperv; /* or NULL */
	uint32_t hide_kvm;		       /* bits of EAX of KVM's feature leaf */
	uint32_t tsc_khz;		       /* 0: not known */
	bool tsc_deadline;
	unsigned int cpus;
};

/* Turns what KVM_GET_SUPPORTED_CPUID gave into what the VM's CPU 0 shows. False: too many leaves. */
bool cpuid_build(struct cpuid *cpuid, const struct cpuid_wish *wish);

/* Puts the vCPU's own id into the leaves that show one. */
void cpuid_set_cpu(struct cpuid *cpuid, unsigned int id);

#endif
