// SPDX-License-Identifier: BSD-2-Clause
#include "machine.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define LARGE (2u << 20)

/* One access to byte 0 of DS, or a jump to byte 0 of CS: see below. */
static const uint64_t programs[ACCESSES] = {
	[ACCESS_READ] = 0xf40000a0,	    /* mov al, [0]; hlt */
	[ACCESS_WRITE] = 0xf45a000006c6ull, /* mov byte [0], 0x5a; hlt */
};

/* Aligned to 2 MiB, and of large pages where the kernel has them: for KVM to split. */
static uint8_t *large_pages(uint64_t size)
{
	uint8_t *all = mmap(NULL, size + LARGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *memory = all + -(uintptr_t)all % LARGE;

	REQUIRE(all != MAP_FAILED);
	madvise(memory, size, MADV_HUGEPAGE);
	return memory;
}

static volatile uint64_t *ordinary_memory(int vm, unsigned int slot, uint64_t gpa,
					  unsigned int pages, int file)
{
	uint8_t *memory = large_pages(pages * PAGE);
	struct kvm_userspace_memory_region2 region = {
		.slot = slot,
		.flags = file < 0 ? 0 : KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = gpa,
		.memory_size = pages * PAGE,
		.userspace_addr = (uintptr_t)memory,
		.guest_memfd = file,
	};

	REQUIRE(!ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region));
	return (volatile uint64_t *)memory;
}

struct machine machine_new(unsigned long type)
{
	int vm = gmem_vm(type);
	struct machine machine = { .vm = vm, .vcpu = ioctl(vm, KVM_CREATE_VCPU, 0) };

	REQUIRE(machine.vcpu >= 0);
	machine.run = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, machine.vcpu, 0);
	REQUIRE(machine.run != MAP_FAILED);
	machine.code = ordinary_memory(vm, 0, 0, 1, -1);
	return machine;
}

void machine_memory(struct machine *machine, uint64_t gpa, unsigned int pages, int file)
{
	machine->shared = ordinary_memory(machine->vm, 1, gpa, pages, file);
	memset((void *)machine->shared, MACHINE_BYTE, pages * PAGE);
}

int machine_access(const struct machine *machine, uint64_t gpa, enum access access, uint8_t *value)
{
	struct kvm_regs regs = { .rflags = 2 };
	struct kvm_sregs sregs;

	machine->code[0] = programs[access];
	REQUIRE(!ioctl(machine->vcpu, KVM_GET_SREGS, &sregs));
	sregs.cs.selector = sregs.ds.selector = 0;
	sregs.cs.base = access == ACCESS_FETCH ? gpa : 0;
	sregs.ds.base = gpa;
	REQUIRE(!ioctl(machine->vcpu, KVM_SET_SREGS, &sregs));
	REQUIRE(!ioctl(machine->vcpu, KVM_SET_REGS, &regs));
	machine->run->exit_reason = KVM_EXIT_UNKNOWN;
	if (ioctl(machine->vcpu, KVM_RUN, 0))
		return -errno;
	EXPECT_EQ(machine->run->exit_reason, KVM_EXIT_HLT);
	REQUIRE(!ioctl(machine->vcpu, KVM_GET_REGS, &regs));
	*value = (uint8_t)regs.rax;
	return 0;
}

int machine_attributes(int vm, uint64_t gpa, uint64_t size, uint64_t attributes)
{
	struct kvm_memory_attributes set = { .address = gpa,
					     .size = size,
					     .attributes = attributes };

	return ioctl(vm, KVM_SET_MEMORY_ATTRIBUTES, &set) ? -errno : 0;
}

void machine_expect_byte(const struct machine *machine, uint64_t gpa, uint8_t byte)
{
	uint8_t value = 0;

	EXPECT_EQ(machine_access(machine, gpa, ACCESS_READ, &value), 0, "address 0x%llx",
		  (unsigned long long)gpa);
	EXPECT_EQ(value, byte, "address 0x%llx", (unsigned long long)gpa);
}

void machine_expect_fault(const struct machine *machine, uint64_t gpa)
{
	static const char *const names[ACCESSES] = { "read", "write", "fetch" };
	const struct gmem_fault *fault = gmem_fault_of(machine->run);
	uint8_t value;

	for (unsigned int i = 0; i < ACCESSES; i++) {
		EXPECT_EQ(machine_access(machine, gpa, i, &value), -EFAULT, "%s", names[i]);
		EXPECT_EQ(machine->run->exit_reason, KVM_EXIT_MEMORY_FAULT, "%s", names[i]);
		EXPECT_EQ(fault->flags, KVM_MEMORY_EXIT_FLAG_PRIVATE, "%s", names[i]);
		EXPECT_EQ(fault->gpa, gpa & -PAGE, "%s", names[i]);
		EXPECT_EQ(fault->size, PAGE, "%s", names[i]);
	}
}
