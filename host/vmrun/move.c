// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a VM consists of: its configuration, which vm_configure() makes again from the options; its
 * memory, which both VMs have; the state of its devices, below; and that of its vCPU, saved.c.
 */
#include "move.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "say.h"
#include "vcpu.h"
#include "vm.h"
#include "xen_state.h"

struct saved_devices {
	struct kvm_irqchip chips[3]; /* both PICs and the I/O APIC */
	struct kvm_pit_state2 pit;
	struct kvm_clock_data clock;
};

#define CHIPS 3

static bool failed(struct saved_error *error, const char *step)
{
	snprintf(error->step, sizeof(error->step), "%s", step);
	error->number = errno;
	return false;
}

static bool get_devices(struct saved_devices *saved, const struct vm *vm, struct saved_error *error)
{
	for (unsigned int chip = 0; chip < CHIPS; chip++) {
		saved->chips[chip].chip_id = chip;
		if (ioctl(vm->fd, KVM_GET_IRQCHIP, &saved->chips[chip]) < 0)
			return failed(error, "KVM_GET_IRQCHIP");
	}
	if (ioctl(vm->fd, KVM_GET_PIT2, &saved->pit) < 0)
		return failed(error, "KVM_GET_PIT2");
	if (ioctl(vm->fd, KVM_GET_CLOCK, &saved->clock) < 0)
		return failed(error, "KVM_GET_CLOCK");
	if (vm->options->xen)
		xen_state_get(vm);
	return true;
}

static bool set_devices(const struct saved_devices *saved, const struct vm *vm,
			struct saved_error *error)
{
	for (unsigned int chip = 0; chip < CHIPS; chip++)
		if (ioctl(vm->fd, KVM_SET_IRQCHIP, &saved->chips[chip]) < 0)
			return failed(error, "KVM_SET_IRQCHIP");
	if (ioctl(vm->fd, KVM_SET_PIT2, &saved->pit) < 0)
		return failed(error, "KVM_SET_PIT2");
	/* With KVM_CLOCK_REALTIME, which KVM gave, it goes on by the time that has passed since. */
	if (ioctl(vm->fd, KVM_SET_CLOCK, &saved->clock) < 0)
		return failed(error, "KVM_SET_CLOCK");
	if (vm->options->xen && !xen_state_set_vm(vm))
		return failed(error, "KVM_XEN_HVM_SET_ATTR");
	return true;
}

static bool set_xen_vcpu(const struct vm *vm, struct saved_error *error)
{
	if (vm->options->xen && !xen_state_set_vcpu(vm))
		return failed(error, "KVM_XEN_VCPU_SET_ATTR");
	return true;
}

static void discard(const struct vm *vm)
{
	munmap(vm->vcpus[0].run, vm->run_size);
	close(vm->vcpus[0].fd);
	close(vm->fd);
}

struct old {
	int vcpu_fd, fd;
};

static void *close_old(void *argument)
{
	struct old *old = argument;

	close(old->vcpu_fd);
	close(old->fd);
	free(old);
	return NULL;
}

/*
 * The end of a VM waits for what KVM has begun for it: for a page that is absent, say, which the guest
 * brings back when it runs in the new VM.
 */
static void end_old(const struct vm *vm)
{
	struct old *old = malloc(sizeof(*old));
	pthread_t thread;

	if (!old)
		fail("no memory to end the old VM");
	*old = (struct old){ .vcpu_fd = vm->vcpus[0].fd, .fd = vm->fd };
	if (pthread_create(&thread, NULL, close_old, old) != 0)
		fail("cannot start the thread that ends the old VM");
	pthread_detach(thread);
}

/*
 * The area that the vCPU shares with KVM stays where it is, as the watchdog may write there at any
 * time: that of the new vCPU is mapped over it.
 */
static void adopt(struct vm *vm, const struct vm *next)
{
	struct vcpu *vcpu = &vm->vcpus[0];

	if (mmap(vcpu->run, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 next->vcpus[0].fd, 0) == MAP_FAILED)
		fail("cannot map the new vCPU: %s", strerror(errno));
	munmap(next->vcpus[0].run, vm->run_size);
	end_old(vm);
	vcpu->fd = next->vcpus[0].fd;
	vm->fd = next->fd;
}

bool move(struct vcpu *vcpu, bool shadow, struct saved_error *error)
{
	static struct saved_devices devices;
	static struct saved_vcpu state;
	static struct vm next;
	struct vm *vm = vcpu->vm;

	if (!get_devices(&devices, vm, error) || !saved_get(&state, vm->kvm_fd, vcpu->fd, error))
		return false;
	if (shadow)
		state.events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	next = (struct vm){
		.options = vm->options,
		.kvm_fd = vm->kvm_fd,
		.run_size = vm->run_size,
		.ram = vm->ram,
	};
	vm_configure(&next);
	if (!set_devices(&devices, &next, error) || !saved_set(&state, next.vcpus[0].fd, error) ||
	    !set_xen_vcpu(&next, error)) {
		discard(&next);
		return false;
	}
	adopt(vm, &next);
	return true;
}
