// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sources: Linux, Documentation/virt/kvm/api.rst and devices/vcpu.rst. The order in which state is
 * written is the point of this file; see the table.
 */
#include "saved.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define MSR_IA32_TSC   0x10
#define MSR_BATCH      128 /* KVM takes less than 256 at once */
#define INDEX_LIST_MAX 768

static bool failed(struct saved_error *error, int number, const char *step)
{
	snprintf(error->step, sizeof(error->step), "%s", step);
	error->number = number;
	return false;
}

static bool failed_at(struct saved_error *error, int number, const char *step, uint64_t which)
{
	snprintf(error->step, sizeof(error->step), "%s %#" PRIx64, step, which);
	error->number = number;
	return false;
}

/* What is one structure, read by one ioctl and written by another. */
struct part {
	const char *get_name, *set_name;
	unsigned long get, set;
	size_t offset;
};

#define PART(name, get, set, member)                                                            \
	{                                                                                       \
		"KVM_GET_" name, "KVM_SET_" name, get, set, offsetof(struct saved_vcpu, member) \
	}

/*
 * SREGS first: the mode of the local APIC, and the control registers that XCR0 and others depend
 * on. The MSRs come between the two tables: the TSC deadline is only taken by a local APIC whose
 * timer is in that mode. The events follow on all that could raise one, and DEBUGREGS and REGS
 * change nothing else.
 */
static const struct part before_msrs[] = {
	PART("SREGS2", KVM_GET_SREGS2, KVM_SET_SREGS2, sregs),
	PART("XCRS", KVM_GET_XCRS, KVM_SET_XCRS, xcrs),
	PART("XSAVE", KVM_GET_XSAVE2, KVM_SET_XSAVE, xsave),
	PART("LAPIC", KVM_GET_LAPIC, KVM_SET_LAPIC, lapic),
};

static const struct part after_msrs[] = {
	PART("NESTED_STATE", KVM_GET_NESTED_STATE, KVM_SET_NESTED_STATE, nested),
	PART("VCPU_EVENTS", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, events),
	PART("MP_STATE", KVM_GET_MP_STATE, KVM_SET_MP_STATE, mp_state),
	PART("DEBUGREGS", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, debugregs),
	PART("REGS", KVM_GET_REGS, KVM_SET_REGS, regs),
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static bool get_parts(struct saved_vcpu *saved, int fd, const struct part *parts, size_t count,
		      struct saved_error *error)
{
	for (size_t i = 0; i < count; i++)
		if (ioctl(fd, parts[i].get, (uint8_t *)saved + parts[i].offset) < 0)
			return failed(error, errno, parts[i].get_name);
	return true;
}

static bool set_parts(const struct saved_vcpu *saved, int fd, const struct part *parts,
		      size_t count, struct saved_error *error)
{
	for (size_t i = 0; i < count; i++) {
		/* A CPU without XSAVE has none, and KVM refuses to set none. */
		if (parts[i].set == KVM_SET_XCRS && saved->xcrs.nr_xcrs == 0)
			continue;
		if (ioctl(fd, parts[i].set, (const uint8_t *)saved + parts[i].offset) < 0)
			return failed(error, errno, parts[i].set_name);
	}
	return true;
}

/* The offset moves, and not the MSR: the TSC goes on as if nothing had been, to the cycle. */
static struct kvm_device_attr tsc_offset_at(const uint64_t *offset)
{
	return (struct kvm_device_attr){
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};
}

struct msr_batch {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[MSR_BATCH];
};

static unsigned int batch_fill(struct msr_batch *batch, const struct kvm_msr_entry *entries,
			       unsigned int count)
{
	if (count > MSR_BATCH)
		count = MSR_BATCH;
	batch->head.nmsrs = count;
	memcpy(batch->head.entries, entries, count * sizeof(*entries));
	return count;
}

/*
 * What KVM_GET_MSR_INDEX_LIST leaves out: the MTRRs, which stand in no list of x86.c, and the banks
 * of the machine check, of which each VM may have another number (api.rst).
 */
static const struct {
	uint32_t first, last;
} unlisted[] = {
	{ 0x200, 0x20f },				      /* variable MTRRs */
	{ 0x250, 0x250 }, { 0x258, 0x259 }, { 0x268, 0x26f }, /* fixed MTRRs */
	{ 0x2ff, 0x2ff },				      /* MTRRdefType */
	{ 0x280, 0x29f },				      /* MCi_CTL2 */
	{ 0x400, 0x47f },				      /* MCi_CTL, STATUS, ADDR, MISC */
};

static void add_msr(struct saved_vcpu *saved, uint32_t index)
{
	if (saved->msr_count < SAVED_MSRS)
		saved->msrs[saved->msr_count++].index = index;
}

static bool list_msrs(struct saved_vcpu *saved, int kvm_fd, struct saved_error *error)
{
	static struct {
		struct kvm_msr_list head;
		uint32_t indices[INDEX_LIST_MAX];
	} list;

	list.head.nmsrs = INDEX_LIST_MAX;
	if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &list) < 0)
		return failed(error, errno, "KVM_GET_MSR_INDEX_LIST");
	saved->msr_count = 0;
	for (uint32_t i = 0; i < list.head.nmsrs; i++)
		if (list.head.indices[i] != MSR_IA32_TSC)
			add_msr(saved, list.head.indices[i]);
	for (size_t i = 0; i < COUNT(unlisted); i++)
		for (uint32_t index = unlisted[i].first; index <= unlisted[i].last; index++)
			add_msr(saved, index);
	return true;
}

/*
 * KVM lists what it knows of, and stops at the first MSR that this vCPU does not have: such ones
 * are dropped from the list.
 */
static bool get_msrs(struct saved_vcpu *saved, int kvm_fd, int fd, struct saved_error *error)
{
	static struct msr_batch batch;
	unsigned int kept = 0, at = 0;

	if (!list_msrs(saved, kvm_fd, error))
		return false;
	while (at < saved->msr_count) {
		unsigned int count = batch_fill(&batch, saved->msrs + at, saved->msr_count - at);
		int done = ioctl(fd, KVM_GET_MSRS, &batch);

		if (done < 0)
			return failed(error, errno, "KVM_GET_MSRS");
		memcpy(saved->msrs + kept, batch.head.entries,
		       (size_t)done * sizeof(saved->msrs[0]));
		kept += (unsigned int)done;
		at += (unsigned int)done + ((unsigned int)done < count);
	}
	saved->msr_count = kept;
	return true;
}

static bool set_msrs(const struct saved_vcpu *saved, int fd, struct saved_error *error)
{
	static struct msr_batch batch;
	unsigned int at = 0;

	while (at < saved->msr_count) {
		unsigned int count = batch_fill(&batch, saved->msrs + at, saved->msr_count - at);
		int done = ioctl(fd, KVM_SET_MSRS, &batch);

		if (done < 0)
			return failed(error, errno, "KVM_SET_MSRS");
		at += (unsigned int)done;
		if ((unsigned int)done < count)
			return failed_at(error, EINVAL, "KVM_SET_MSRS", saved->msrs[at].index);
	}
	return true;
}

/*
 * What is neither an MSR nor part of a structure: the shadow stack pointer, in Linux 6.18. An older
 * KVM, or one whose guest has no such register, lists none.
 */
static bool get_registers(struct saved_vcpu *saved, int fd, struct saved_error *error)
{
	static struct {
		struct kvm_reg_list head;
		uint64_t ids[SAVED_REGISTERS];
	} list;

	list.head.n = SAVED_REGISTERS;
	saved->register_count = 0;
	if (ioctl(fd, KVM_GET_REG_LIST, &list) < 0)
		return errno == ENOTTY || errno == EINVAL
			       ? true
			       : failed(error, errno, "KVM_GET_REG_LIST");
	for (unsigned int i = 0; i < list.head.n; i++) {
		saved->registers[i].id = list.head.reg[i];
		saved->registers[i].addr = (uintptr_t)&saved->values[i];
		if (ioctl(fd, KVM_GET_ONE_REG, &saved->registers[i]) < 0)
			return failed_at(error, errno, "KVM_GET_ONE_REG", list.head.reg[i]);
	}
	saved->register_count = (unsigned int)list.head.n;
	return true;
}

static bool set_registers(const struct saved_vcpu *saved, int fd, struct saved_error *error)
{
	for (unsigned int i = 0; i < saved->register_count; i++)
		if (ioctl(fd, KVM_SET_ONE_REG, &saved->registers[i]) < 0)
			return failed_at(error, errno, "KVM_SET_ONE_REG", saved->registers[i].id);
	return true;
}

bool saved_get(struct saved_vcpu *saved, int kvm_fd, int fd, struct saved_error *error)
{
	struct kvm_device_attr offset = tsc_offset_at(&saved->tsc_offset);

	saved->nested.state.size = sizeof(saved->nested);
	if (!get_parts(saved, fd, before_msrs, COUNT(before_msrs), error))
		return false;
	if (ioctl(fd, KVM_GET_DEVICE_ATTR, &offset) < 0)
		return failed(error, errno, "KVM_GET_DEVICE_ATTR");
	return get_msrs(saved, kvm_fd, fd, error) &&
	       get_parts(saved, fd, after_msrs, COUNT(after_msrs), error) &&
	       get_registers(saved, fd, error);
}

bool saved_set(const struct saved_vcpu *saved, int fd, struct saved_error *error)
{
	struct kvm_device_attr offset = tsc_offset_at(&saved->tsc_offset);

	/* Before the local APIC's timer is started. */
	if (ioctl(fd, KVM_SET_DEVICE_ATTR, &offset) < 0)
		return failed(error, errno, "KVM_SET_DEVICE_ATTR");
	return set_parts(saved, fd, before_msrs, COUNT(before_msrs), error) &&
	       set_msrs(saved, fd, error) &&
	       set_parts(saved, fd, after_msrs, COUNT(after_msrs), error) &&
	       set_registers(saved, fd, error);
}
