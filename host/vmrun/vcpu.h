/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One virtual CPU and the thread that runs it
 */
#ifndef VMRUN_VCPU_H
#define VMRUN_VCPU_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <vmrun/abi.h>

#include "cpuid.h"
#include "image.h"

struct psc_entry;
struct vm;

/* What a vCPU was like when it stopped. */
struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_mp_state mp;
};

struct vcpu {
	struct vm *vm;
	struct kvm_run *run;
	unsigned int id;
	int fd;
	pthread_t thread;
	uint64_t exits;
	uint64_t xen_record[XEN_RECORD_WORDS];
	uint64_t memory_record[VMRUN_RECORD_WORDS];
	enum vmrun_fault_way fault_way;
	uint64_t fault_attributes;     /* where that is VMRUN_FAULT_CONVERT */
	struct psc_entry *psc_entries; /* the last ones (psc.c), or NULL */
	uint64_t psc_fail;	       /* the number of the exit that fails, where psc_fails */
	bool psc_fails;
	uint64_t hyperv_record[HYPERV_EXIT_WORDS];
	_Atomic uint64_t message_page, event_page; /* SIMP and SIEFP, as the guest set them */
	uint32_t expected_event;		   /* KVM_SYSTEM_EVENT_*; 0: none */
	uint64_t events;			   /* of those, so many have come */
	atomic_bool in_console; /* it waits for stdout, or for another vCPU that does */
	atomic_bool parked;	/* it was stopped, and state tells where */
	struct vcpu_state state;
};

/* Creates the vCPU vm->vcpus[id]; fail()s if it cannot. */
void vcpu_create(struct vm *vm, unsigned int id);

/* Gives it the leaves, with its own id filled in, and enforces them if --enforce-cpuid says so. */
void vcpu_set_cpuid(struct vcpu *vcpu, struct cpuid *cpuid);

/*
 * For the first vCPU, as the others wait for INIT and SIPI: sets registers as the image's boot
 * protocol demands; info is the address it hands over.
 */
void vcpu_enter(struct vcpu *vcpu, const struct image *image, uint32_t info);

/* Runs it until the guest or anything else ends the process. Called on the vCPU's own thread. */
__attribute__((noreturn)) void vcpu_run(struct vcpu *vcpu);

/*
 * Brings what KVM_RUN last returned with to its end: an I/O instruction is done, and RIP behind it.
 * The guest does not run. Called by the vCPU's own thread.
 */
void vcpu_complete_exit(struct vcpu *vcpu);

/* Reads registers and run state; on the vCPU's own thread, as KVM would else wait for KVM_RUN. */
void vcpu_get_state(struct vcpu *vcpu);

#endif
