/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All of a vCPU's state that KVM hands out, to be given to another vCPU
 */
#ifndef VMRUN_SAVED_H
#define VMRUN_SAVED_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAVED_XSAVE_SIZE  16384 /* AMX is the largest, and needs 11008 */
#define SAVED_NESTED_SIZE 16384
#define SAVED_MSRS	  1024
#define SAVED_REGISTERS	  64

/* Which step failed, and how. */
struct saved_error {
	char step[48]; /* the ioctl, and for an MSR or register its number */
	int number;    /* errno; EINVAL for an MSR that KVM did not take */
};

struct saved_vcpu {
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	struct kvm_xcrs xcrs;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
	struct kvm_debugregs debugregs;
	uint64_t tsc_offset;
	unsigned int msr_count, register_count;
	struct kvm_msr_entry msrs[SAVED_MSRS];
	struct kvm_one_reg registers[SAVED_REGISTERS];
	uint64_t values[SAVED_REGISTERS];
	union {
		struct kvm_nested_state state;
		uint8_t bytes[SAVED_NESTED_SIZE];
	} nested;
	uint8_t xsave[SAVED_XSAVE_SIZE] __attribute__((aligned(8)));
};

/*
 * Reads it all from a vCPU, and writes it all to one that was just created and has the same CPUID.
 * False with the step in *error if KVM refuses any of it; what it refuses to read of MSRs, this CPU
 * does not have.
 */
bool saved_get(struct saved_vcpu *saved, int kvm_fd, int vcpu_fd, struct saved_error *error);
bool saved_set(const struct saved_vcpu *saved, int vcpu_fd, struct saved_error *error);

#endif
