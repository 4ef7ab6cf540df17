// SPDX-License-Identifier: BSD-2-Clause
#include "psc.h"

#include <errno.h>
#include <linux/kvm_para.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <uapi/kvm.h>
#include <vmrun/abi.h>

#include "conversion.h"
#include "memory.h"
#include "say.h"
#include "vcpu.h"
#include "vm.h"

#define PAGE 4096u
/* Documentation/virt/kvm/x86/hypercalls.rst, KVM_HC_MAP_GPA_RANGE: a page size, for which there is no use here. */
#define SIZES 0xfull

struct psc_entry {
	uint64_t gpa;
	uint32_t pages, attributes;
};

/*
 * A change is two steps, and what one vCPU makes private must not be dropped because another one had made it shared
 * a moment before.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_ram(const struct vm *vm, uint64_t gpa, uint64_t pages)
{
	return gpa % PAGE == 0 && gpa <= vm->ram.size && pages <= (vm->ram.size - gpa) / PAGE;
}

int32_t psc_change(const struct vm *vm, uint64_t gpa, uint64_t size, bool private)
{
	int32_t status;

	pthread_mutex_lock(&lock);
	status = conversion_set(vm, gpa, size, private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0);
	if (!status)
		status = memory_drop(vm, gpa, size, private);
	pthread_mutex_unlock(&lock);
	return status;
}

static void note(struct vcpu *vcpu, uint64_t number, struct psc_entry entry)
{
	if (!vcpu->psc_entries)
		vcpu->psc_entries = calloc(VMRUN_MAP_RECORDS, sizeof(entry));
	if (vcpu->psc_entries)
		vcpu->psc_entries[number % VMRUN_MAP_RECORDS] = entry;
}

/* KVM takes these answers, and no other (arch/x86/kvm/x86.h, kvm_is_valid_map_gpa_range_ret). */
uint64_t psc_answer(struct vcpu *vcpu, uint64_t number, uint64_t gpa, uint64_t pages,
		    uint64_t attributes)
{
	const struct vm *vm = vcpu->vm;

	note(vcpu, number, (struct psc_entry){ gpa, (uint32_t)pages, (uint32_t)attributes });
	if (vcpu->psc_fails && number == vcpu->psc_fail) {
		vcpu->psc_fails = false;
		return EINVAL;
	}
	if (attributes & ~(SIZES | VMRUN_MAP_ENCRYPTED) || !is_ram(vm, gpa, pages) ||
	    psc_change(vm, gpa, pages * PAGE, attributes & VMRUN_MAP_ENCRYPTED))
		return EINVAL;
	return 0;
}

int32_t psc_record(const struct vcpu *vcpu, uint64_t number, uint64_t *gpa, uint32_t *pages,
		   uint32_t *attributes)
{
	uint64_t count = vcpu->memory_record[VMRUN_RECORD_CALLS];
	const struct psc_entry *entry;

	if (vcpu->vm->options->sev.kind == SEV_NONE)
		return -EOPNOTSUPP;
	if (number >= count || count - number > VMRUN_MAP_RECORDS || !vcpu->psc_entries)
		return -ENOENT;
	entry = &vcpu->psc_entries[number % VMRUN_MAP_RECORDS];
	*gpa = entry->gpa;
	*pages = entry->pages;
	*attributes = entry->attributes;
	return 0;
}

int32_t psc_fail(struct vcpu *vcpu, uint64_t skip)
{
	if (vcpu->vm->options->sev.kind == SEV_NONE)
		return -EOPNOTSUPP;
	vcpu->psc_fail = vcpu->memory_record[VMRUN_RECORD_CALLS] + skip;
	vcpu->psc_fails = true;
	return 0;
}

int32_t psc_capability(const struct vcpu *vcpu, bool on)
{
	struct kvm_enable_cap enable = { .cap = KVM_CAP_EXIT_HYPERCALL,
					 .args = { on ? 1u << KVM_HC_MAP_GPA_RANGE : 0 } };

	if (vcpu->vm->options->sev.kind == SEV_NONE)
		return -EOPNOTSUPP;
	return ioctl(vcpu->vm->fd, KVM_ENABLE_CAP, &enable) < 0 ? -errno : 0;
}

int32_t psc_private_pages(const struct vcpu *vcpu, uint64_t gpa, uint64_t size, uint64_t *count)
{
	const struct vm *vm = vcpu->vm;

	if (vm->options->sev.kind == SEV_NONE)
		return -EOPNOTSUPP;
	if (size % PAGE || !is_ram(vm, gpa, size / PAGE))
		return -EINVAL;
	*count = 0;
	for (uint64_t at = gpa; at < gpa + size; at += PAGE)
		*count += memory_is_private(at);
	return 0;
}
