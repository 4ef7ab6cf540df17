// SPDX-License-Identifier: BSD-2-Clause
#include "gmem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int open_kvm(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	REQUIRE(kvm >= 0);
	return kvm;
}

int gmem_vm(unsigned long type)
{
	int kvm = open_kvm();
	int types = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES);

	if (type != KVM_X86_DEFAULT_VM && !(types & 1 << type))
		SKIP("this kernel has no VM of type %lu (%s)", type,
		     type == KVM_X86_SW_PROTECTED_VM ? "KVM_X86_SW_PROTECTED_VM" : "?");
	int vm = ioctl(kvm, KVM_CREATE_VM, type);

	REQUIRE(vm >= 0);
	close(kvm);
	if (ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_MEMFD) <= 0)
		SKIP("a VM of type %lu has no guest_memfd here (KVM_CAP_GUEST_MEMFD)", type);
	return vm;
}

static uint64_t flags_of(int file)
{
	int flags = ioctl(file, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_MEMFD_FLAGS);

	REQUIRE(flags >= 0);
	return flags;
}

uint64_t gmem_vm_flags(int vm)
{
	return flags_of(vm);
}

uint64_t gmem_system_flags(void)
{
	int kvm = open_kvm();
	uint64_t flags = flags_of(kvm);

	close(kvm);
	return flags;
}

int gmem_try_new(int vm, uint64_t size, uint64_t flags)
{
	struct kvm_create_guest_memfd create = { .size = size, .flags = flags };
	int file = ioctl(vm, KVM_CREATE_GUEST_MEMFD, &create);

	return file < 0 ? -errno : file;
}

int gmem_new(int vm, unsigned int pages, uint64_t flags)
{
	uint64_t lacks = flags & ~gmem_vm_flags(vm);

	if (lacks)
		SKIP("this VM does not offer the flags 0x%llx (KVM_CAP_GUEST_MEMFD_FLAGS)",
		     (unsigned long long)lacks);
	int file = gmem_try_new(vm, pages * PAGE, flags);

	REQUIRE(file >= 0);
	return file;
}

volatile uint64_t *gmem_map(int file, unsigned int pages)
{
	void *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	REQUIRE(memory != MAP_FAILED);
	return memory;
}

int gmem_fallocate(int file, int mode, int64_t offset, int64_t size)
{
	return fallocate(file, mode, offset, size) ? -errno : 0;
}

int gmem_punch(int file, int64_t offset, int64_t size)
{
	return gmem_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size);
}

int gmem_bind(int vm, const struct gmem_slot *slot)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = slot->id,
		.flags = KVM_MEM_GUEST_MEMFD | slot->flags,
		.guest_phys_addr = slot->gpa,
		.memory_size = slot->size,
		.guest_memfd = slot->file,
		.guest_memfd_offset = slot->offset,
	};

	return ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region) ? -errno : 0;
}

int gmem_unbind(int vm, unsigned int id)
{
	struct kvm_userspace_memory_region2 region = { .slot = id };

	return ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region) ? -errno : 0;
}

const struct gmem_fault *gmem_fault_of(const struct kvm_run *run)
{
	return (const struct gmem_fault *)run->padding;
}

int gmem_in_child(int (*body)(void *context), void *context)
{
	int status;
	pid_t child = fork();

	REQUIRE(child >= 0);
	if (!child)
		_exit(body(context));
	REQUIRE(waitpid(child, &status, 0) == child);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
