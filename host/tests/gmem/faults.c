// SPDX-License-Identifier: BSD-2-Clause
/*
 * Private and shared pages of one slot, and KVM_EXIT_MEMORY_FAULT where there is no page
 *
 * A slot with KVM_MEM_GUEST_MEMFD has shared memory, at userspace_addr, and private memory, in the file
 * (Documentation/virt/kvm/api.rst, KVM_SET_USER_MEMORY_REGION2). Which of them the guest finds is the
 * attributes' say (arch/x86/kvm/mmu/mmu.c, __kvm_mmu_faultin_pfn), but for a file made with
 * GUEST_MEMFD_FLAG_MMAP, which serves both (virt/kvm/guest_memfd.c, kvm_gmem_bind:
 * KVM_MEMSLOT_GMEM_ONLY). A private page that is not to be had, as there is no file, or no slot, or the
 * file is closed, makes KVM_RUN EFAULT with KVM_EXIT_MEMORY_FAULT: the page's address, 4096 bytes, and
 * KVM_MEMORY_EXIT_FLAG_PRIVATE. The vCPU can be run again when that is mended, and does then what it was about
 * to. KVM_PRE_FAULT_MEMORY brings private pages in as well as shared ones, and has the same limits
 * (kvm_arch_vcpu_pre_fault_memory).
 */
#include "common/machine.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PRIVATE KVM_MEMORY_ATTRIBUTE_PRIVATE
#define GPA	(16ull << 20)
#define PAGES	4
#define SIZE	(PAGES * PAGE)
#define WRITTEN 0x5a /* by machine_access() */

static int write_to(const struct machine *machine, uint64_t gpa)
{
	uint8_t value;

	return machine_access(machine, gpa, ACCESS_WRITE, &value);
}

static void set(const struct machine *machine, uint64_t attributes)
{
	EXPECT_EQ(machine_attributes(machine->vm, GPA, SIZE, attributes), 0);
}

struct protected
{
	struct machine machine;
	int file;
};

/* A software-protected VM with a slot that has both kinds of memory, all private. */
static struct protected protected(uint64_t flags)
{
	struct protected p = { .machine = machine_new(KVM_X86_SW_PROTECTED_VM) };

	p.file = gmem_new(p.machine.vm, PAGES, flags);
	machine_memory(&p.machine, GPA, PAGES, p.file);
	set(&p.machine, PRIVATE);
	return p;
}

TEST("private pages are zero, shared ones the host's, and each keeps what the guest wrote")
{
	struct protected p = protected(0);

	machine_expect_byte(&p.machine, GPA, 0);
	EXPECT_EQ(write_to(&p.machine, GPA), 0);
	machine_expect_byte(&p.machine, GPA, WRITTEN);
	EXPECT_EQ(*(volatile uint8_t *)p.machine.shared, MACHINE_BYTE);
	set(&p.machine, 0);
	machine_expect_byte(&p.machine, GPA, MACHINE_BYTE);
	*(volatile uint8_t *)p.machine.shared = 0x33;
	machine_expect_byte(&p.machine, GPA, 0x33);
	set(&p.machine, PRIVATE);
	machine_expect_byte(&p.machine, GPA, WRITTEN);
}

TEST("a private page needs nothing at the slot's address in the host")
{
	struct protected p = protected(0);

	ASSERT_EQ(munmap((void *)p.machine.shared, SIZE), 0);
	machine_expect_byte(&p.machine, GPA, 0);
	EXPECT_EQ(write_to(&p.machine, GPA + PAGE), 0);
	machine_expect_byte(&p.machine, GPA + PAGE, WRITTEN);
	set(&p.machine, 0);
	EXPECT_EQ(write_to(&p.machine, GPA), -EFAULT, "a shared page does");
}

TEST("a hole makes the private page zero, and leaves the shared one")
{
	struct protected p = protected(0);

	EXPECT_EQ(write_to(&p.machine, GPA), 0);
	EXPECT_EQ(write_to(&p.machine, GPA + PAGE), 0);
	EXPECT_EQ(gmem_punch(p.file, 0, PAGE), 0);
	machine_expect_byte(&p.machine, GPA, 0);
	machine_expect_byte(&p.machine, GPA + PAGE, WRITTEN);
	set(&p.machine, 0);
	EXPECT_EQ(gmem_punch(p.file, 0, SIZE), 0);
	machine_expect_byte(&p.machine, GPA, MACHINE_BYTE);
	set(&p.machine, PRIVATE);
	machine_expect_byte(&p.machine, GPA + PAGE, 0);
}

TEST("a file made with the flag MMAP serves private and shared pages alike")
{
	struct protected p = protected(MMAP);

	EXPECT_EQ(write_to(&p.machine, GPA), 0);
	machine_expect_byte(&p.machine, GPA, WRITTEN);
	set(&p.machine, 0);
	machine_expect_byte(&p.machine, GPA, WRITTEN);
	machine_expect_byte(&p.machine, GPA + PAGE, 0);
	EXPECT_EQ(*(volatile uint8_t *)p.machine.shared, MACHINE_BYTE);
}

TEST("without a file every access to a private page is a fault")
{
	static const unsigned int offsets[] = { 0, 1, 0x800, PAGE - 1, PAGE, SIZE - 1 };
	struct machine m = machine_new(KVM_X86_SW_PROTECTED_VM);

	machine_memory(&m, GPA, PAGES, -1);
	set(&m, PRIVATE);
	for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++)
		machine_expect_fault(&m, GPA + offsets[i]);
	set(&m, 0);
	machine_expect_byte(&m, GPA, MACHINE_BYTE);
	EXPECT_EQ(((volatile uint8_t *)m.shared)[1], MACHINE_BYTE, "the writes have not happened");
}

TEST("when the file is closed private pages are a fault, and shared ones stay")
{
	struct protected p = protected(0);

	EXPECT_EQ(write_to(&p.machine, GPA), 0);
	close(p.file);
	machine_expect_fault(&p.machine, GPA);
	set(&p.machine, 0);
	machine_expect_byte(&p.machine, GPA, MACHINE_BYTE);
}

TEST("when the slot is deleted its private pages are a fault")
{
	struct protected p = protected(0);

	EXPECT_EQ(write_to(&p.machine, GPA), 0);
	EXPECT_EQ(gmem_unbind(p.machine.vm, 1), 0);
	machine_expect_fault(&p.machine, GPA);
	EXPECT_EQ(BIND(p.machine.vm, 1, GPA, SIZE, p.file), 0);
	machine_expect_byte(&p.machine, GPA, WRITTEN);
}

TEST("where no slot is, a private page is a fault")
{
	struct machine m = machine_new(KVM_X86_SW_PROTECTED_VM);

	set(&m, PRIVATE);
	machine_expect_fault(&m, GPA);
	machine_expect_fault(&m, GPA + SIZE - 1);
}

TEST("after the page was made shared, the access that was a fault is done")
{
	struct machine m = machine_new(KVM_X86_SW_PROTECTED_VM);

	machine_memory(&m, GPA, PAGES, -1);
	set(&m, PRIVATE);
	EXPECT_EQ(write_to(&m, GPA), -EFAULT);
	EXPECT_EQ(ioctl(m.vcpu, KVM_RUN, 0), -1, "and again, as long as nothing changes");
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(m.run->exit_reason, KVM_EXIT_MEMORY_FAULT);
	set(&m, 0);
	EXPECT_EQ(ioctl(m.vcpu, KVM_RUN, 0), 0);
	EXPECT_EQ(m.run->exit_reason, KVM_EXIT_HLT);
	EXPECT_EQ(*(volatile uint8_t *)m.shared, WRITTEN);
}

/* 0 or the negative errno; *range is what KVM has left of it. */
static int pre_fault(const struct machine *machine, struct kvm_pre_fault_memory *range)
{
	if (ioctl(machine->vm, KVM_CHECK_EXTENSION, KVM_CAP_PRE_FAULT_MEMORY) <= 0)
		SKIP("this kernel lacks KVM_CAP_PRE_FAULT_MEMORY");
	return ioctl(machine->vcpu, KVM_PRE_FAULT_MEMORY, range) ? -errno : 0;
}

TEST("private pages are brought in ahead, and are zero")
{
	struct protected p = protected(0);
	struct kvm_pre_fault_memory range = { .gpa = GPA, .size = SIZE };

	EXPECT_EQ(pre_fault(&p.machine, &range), 0);
	EXPECT_EQ(range.gpa, GPA + SIZE);
	EXPECT_EQ(range.size, 0);
	for (unsigned int i = 0; i < PAGES; i++)
		machine_expect_byte(&p.machine, GPA + i * PAGE, 0);
}

TEST("what is brought in ahead is as private as it is then")
{
	struct protected p = protected(0);
	struct kvm_pre_fault_memory range = { .gpa = GPA, .size = SIZE };

	EXPECT_EQ(write_to(&p.machine, GPA), 0);
	set(&p.machine, 0);
	EXPECT_EQ(pre_fault(&p.machine, &range), 0);
	machine_expect_byte(&p.machine, GPA, MACHINE_BYTE);
	set(&p.machine, PRIVATE);
	range = (struct kvm_pre_fault_memory){ .gpa = GPA, .size = SIZE };
	EXPECT_EQ(pre_fault(&p.machine, &range), 0);
	machine_expect_byte(&p.machine, GPA, WRITTEN);
}

TEST("private pages that are not to be had cannot be brought in ahead, up to the first that is done")
{
	struct protected p = protected(0);
	struct kvm_pre_fault_memory range = { .gpa = GPA + SIZE - PAGE, .size = 2 * PAGE };

	EXPECT_EQ(machine_attributes(p.machine.vm, GPA + SIZE, PAGE, PRIVATE), 0);
	EXPECT_EQ(pre_fault(&p.machine, &range), 0);
	EXPECT_EQ(range.gpa, GPA + SIZE);
	EXPECT_EQ(range.size, PAGE);
	EXPECT_EQ(pre_fault(&p.machine, &range), -EFAULT, "private, and nothing there");
	EXPECT_EQ(range.gpa, GPA + SIZE);
	range = (struct kvm_pre_fault_memory){ .gpa = GPA + SIZE + PAGE, .size = PAGE };
	EXPECT_EQ(pre_fault(&p.machine, &range), -ENOENT, "shared, and nothing there");
}

TEST("a range to be brought in ahead is checked")
{
	static const struct kvm_pre_fault_memory cases[] = {
		{ .gpa = GPA + 1, .size = PAGE }, { .gpa = GPA, .size = PAGE - 1 },
		{ .gpa = GPA, .size = 0 },	  { .gpa = -PAGE, .size = 2 * PAGE },
		{ .gpa = GPA, .size = -PAGE },	  { .gpa = GPA, .size = PAGE, .flags = 1 },
	};
	struct protected p = protected(0);

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct kvm_pre_fault_memory range = cases[i];

		EXPECT_EQ(pre_fault(&p.machine, &range), -EINVAL, "case %zu", i);
		EXPECT_EQ(range.size, cases[i].size, "case %zu", i);
	}
}

TEST("a software-protected VM has one address space for slots")
{
	int vm = gmem_vm(KVM_X86_SW_PROTECTED_VM), file = gmem_new(vm, PAGES, 0);

	EXPECT_EQ(ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_MULTI_ADDRESS_SPACE), 1);
	EXPECT_EQ(BIND(vm, 1u << 16, GPA, SIZE, file), -EINVAL);
	EXPECT_EQ(BIND(vm, 0, GPA, SIZE, file), 0);
}
