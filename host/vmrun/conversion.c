// SPDX-License-Identifier: BSD-2-Clause
#include "conversion.h"

#include <errno.h>
#include <linux/kvm_para.h>
#include <string.h>
#include <sys/ioctl.h>
#include <uapi/kvm.h>
#include <vmrun/abi.h>

#include "memory.h"
#include "psc.h"
#include "say.h"
#include "vcpu.h"
#include "vm.h"

/*
 * The attributes of KVM_HC_MAP_GPA_RANGE: Documentation/virt/kvm/x86/hypercalls.rst. The lower bits
 * tell a page size, for which vmrun has no use.
 */
#define CALL_PAGE_SIZE 0xfull
#define CALL_ENCRYPTED (1ull << 4)

#define PAGE_SHIFT     12
#define LIMIT	       (1ull << (32 - PAGE_SHIFT))
#define VECTOR_MC      18

void conversion_enable(const struct vm *vm)
{
	struct kvm_enable_cap enable = { .cap = KVM_CAP_EXIT_HYPERCALL,
					 .args = { 1u << KVM_HC_MAP_GPA_RANGE } };

	if (ioctl(vm->fd, KVM_ENABLE_CAP, &enable) < 0)
		fail("KVM_ENABLE_CAP(KVM_CAP_EXIT_HYPERCALL): %s", strerror(errno));
}

int32_t conversion_set(const struct vm *vm, uint64_t gpa, uint64_t size, uint64_t attributes)
{
	struct kvm_memory_attributes set = { .address = gpa,
					     .size = size,
					     .attributes = attributes };
	bool private = attributes & KVM_MEMORY_ATTRIBUTE_PRIVATE;

	if (ioctl(vm->fd, KVM_SET_MEMORY_ATTRIBUTES, &set) < 0)
		return -errno;
	memory_note_private(vm, gpa, size, private);
	return 0;
}

/*
 * KVM keeps an entry for each page, RAM or not, and the guest is not to make it keep 2^52: vmrun has no
 * memory from 4 GiB on.
 *
 * The errors of KVM's hypercalls that can come are Linux's (include/uapi/linux/kvm_para.h).
 */
static int32_t answer(const struct vm *vm, uint64_t gpa, uint64_t pages, uint64_t attributes)
{
	uint64_t first = gpa >> PAGE_SHIFT;

	if (attributes & ~(CALL_PAGE_SIZE | CALL_ENCRYPTED) || first > LIMIT ||
	    pages > LIMIT - first)
		return -KVM_EINVAL;
	return conversion_set(vm, gpa, pages << PAGE_SHIFT,
			      attributes & CALL_ENCRYPTED ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0);
}

bool conversion_call(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint64_t *record = vcpu->memory_record;
	const __u64 *args = run->hypercall.args;
	uint64_t number;

	if (run->hypercall.nr != KVM_HC_MAP_GPA_RANGE)
		return false;
	number = record[VMRUN_RECORD_CALLS]++;
	record[VMRUN_RECORD_CALL_GPA] = args[0];
	record[VMRUN_RECORD_CALL_PAGES] = args[1];
	record[VMRUN_RECORD_CALL_ATTRIBUTES] = args[2];
	record[VMRUN_RECORD_CALL_FLAGS] = run->hypercall.longmode;
	run->hypercall.ret =
		vcpu->vm->options->sev.kind == SEV_SNP
			? psc_answer(vcpu, number, args[0], args[1], args[2])
			: (uint64_t)(int64_t)answer(vcpu->vm, args[0], args[1], args[2]);
	return true;
}

static bool raise_machine_check(const struct vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	if (ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return false;
	events.exception.pending = 1;
	events.exception.injected = 0;
	events.exception.nr = VECTOR_MC;
	events.exception.has_error_code = 0;
	events.exception_has_payload = 0;
	return ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events) == 0;
}

/*
 * KVM looks at the attributes twice (arch/x86/kvm/mmu/mmu.c, kvm_mmu_page_fault and
 * kvm_mmu_faultin_pfn), and calls it a fault if another vCPU has changed them meanwhile: RAM has pages of
 * both kinds, and with the next try one of them is found. An SEV-SNP guest, which itself says which of them it
 * wants, may also want the one that is not there.
 */
static bool is_stale(const struct vcpu *vcpu, const struct gmem_fault *fault)
{
	const struct vm *vm = vcpu->vm;
	bool private = fault->flags & KVM_MEMORY_EXIT_FLAG_PRIVATE;

	if (vm->options->ram != RAM_PRIVATE || !memory_is_ram(vm, fault->gpa))
		return false;
	return vm->options->sev.kind == SEV_NONE || memory_is_private(fault->gpa) == private;
}

/* An SEV-SNP guest's page comes into its new state as if the guest had asked for that. */
static int32_t convert(const struct vcpu *vcpu, const struct gmem_fault *fault)
{
	const struct vm *vm = vcpu->vm;

	if (vm->options->sev.kind == SEV_SNP && memory_is_ram(vm, fault->gpa))
		return psc_change(vm, fault->gpa, fault->size,
				  vcpu->fault_attributes & KVM_MEMORY_ATTRIBUTE_PRIVATE);
	return conversion_set(vm, fault->gpa, fault->size, vcpu->fault_attributes);
}

bool conversion_fault(struct vcpu *vcpu)
{
	const struct gmem_fault *fault = (const struct gmem_fault *)vcpu->run->padding;
	uint64_t *record = vcpu->memory_record;

	record[VMRUN_RECORD_FAULTS]++;
	record[VMRUN_RECORD_FAULT_FLAGS] = fault->flags;
	record[VMRUN_RECORD_FAULT_GPA] = fault->gpa;
	record[VMRUN_RECORD_FAULT_SIZE] = fault->size;
	if (is_stale(vcpu, fault))
		return true;
	switch (vcpu->fault_way) {
	case VMRUN_FAULT_CONVERT:
		return convert(vcpu, fault) == 0;
	case VMRUN_FAULT_RAISE:
		return raise_machine_check(vcpu);
	default:
		return false;
	}
}

int32_t conversion_fault_way(struct vcpu *vcpu, uint64_t way, uint64_t attributes)
{
	if (way >= VMRUN_FAULT_WAYS)
		return -EINVAL;
	/* The CPU takes no exception for a guest whose registers nobody knows. */
	if (way == VMRUN_FAULT_RAISE && vcpu->vm->options->sev.kind != SEV_NONE)
		return -EOPNOTSUPP;
	vcpu->fault_way = (enum vmrun_fault_way)way;
	vcpu->fault_attributes = attributes;
	for (unsigned int i = VMRUN_RECORD_FAULTS; i <= VMRUN_RECORD_FAULT_SIZE; i++)
		vcpu->memory_record[i] = 0;
	return 0;
}

int32_t conversion_record(const struct vcpu *vcpu, uint64_t word, uint64_t *value)
{
	if (word >= VMRUN_RECORD_WORDS)
		return -EINVAL;
	*value = vcpu->memory_record[word];
	return 0;
}
