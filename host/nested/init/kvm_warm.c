// SPDX-License-Identifier: BSD-2-Clause
#include "kvm_warm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUEST_MEMORY   0x200000
#define GUEST_CODE     0x1000
#define GUEST_PORT     0x80
#define GUEST_END_BYTE 0x5a

/* Real mode: mov al, GUEST_END_BYTE; out GUEST_PORT, al; hlt */
static const unsigned char guest[] = { 0xb0, GUEST_END_BYTE, 0xe6, GUEST_PORT, 0xf4 };

struct warm_vm {
	int kvm, vm, vcpu;
	unsigned char *memory;
	struct kvm_run *run;
	long run_size;
};

#define TRY(vm_step, condition)        \
	do {                           \
		*step = vm_step;       \
		if (!(condition))      \
			return -errno; \
	} while (0)

static int create(struct warm_vm *vm, const char **step)
{
	TRY("open /dev/kvm", (vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC)) >= 0);
	TRY("KVM_CREATE_VM", (vm->vm = ioctl(vm->kvm, KVM_CREATE_VM, 0)) >= 0);
	TRY("KVM_CREATE_IRQCHIP", !ioctl(vm->vm, KVM_CREATE_IRQCHIP, 0));
	TRY("mmap of guest memory",
	    (vm->memory = mmap(NULL, GUEST_MEMORY, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED);
	memcpy(vm->memory + GUEST_CODE, guest, sizeof(guest));
	struct kvm_userspace_memory_region region = { .memory_size = GUEST_MEMORY,
						      .userspace_addr = (uintptr_t)vm->memory };
	TRY("KVM_SET_USER_MEMORY_REGION", !ioctl(vm->vm, KVM_SET_USER_MEMORY_REGION, &region));
	TRY("KVM_CREATE_VCPU", (vm->vcpu = ioctl(vm->vm, KVM_CREATE_VCPU, 0)) >= 0);
	TRY("KVM_GET_VCPU_MMAP_SIZE",
	    (vm->run_size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0)) > 0);
	TRY("mmap of kvm_run", (vm->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE,
					       MAP_SHARED, vm->vcpu, 0)) != MAP_FAILED);
	return 0;
}

static int run(struct warm_vm *vm, const char **step)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = 2 };
	struct kvm_sregs sregs;

	TRY("KVM_GET_SREGS", !ioctl(vm->vcpu, KVM_GET_SREGS, &sregs));
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	TRY("KVM_SET_SREGS", !ioctl(vm->vcpu, KVM_SET_SREGS, &sregs));
	TRY("KVM_SET_REGS", !ioctl(vm->vcpu, KVM_SET_REGS, &regs));
	TRY("KVM_RUN", !ioctl(vm->vcpu, KVM_RUN, 0));
	*step = "the warm-up guest's output";
	const unsigned char *data = (const unsigned char *)vm->run + vm->run->io.data_offset;
	if (vm->run->exit_reason != KVM_EXIT_IO || vm->run->io.port != GUEST_PORT ||
	    *data != GUEST_END_BYTE)
		return -EPROTO;
	return 0;
}

int kvm_warm(const char **step)
{
	struct warm_vm vm = { .kvm = -1, .vm = -1, .vcpu = -1 };
	int error = create(&vm, step);

	if (!error)
		error = run(&vm, step);
	if (error)
		return error; /* L1 is about to end; it need not tidy up */
	munmap(vm.run, vm.run_size);
	munmap(vm.memory, GUEST_MEMORY);
	close(vm.vcpu);
	close(vm.vm);
	close(vm.kvm);
	return 0;
}
