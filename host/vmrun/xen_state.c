// SPDX-License-Identifier: BSD-2-Clause
/*
 * Types of attributes are passed on as the guest gives them, so that it can try those that the kernel does not know;
 * the headers that vmrun is built with may know fewer than that kernel.
 */
#include "xen_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vmrun/abi.h>
#include <vmrun/xen.h>

#include "memory.h"
#include "routing.h"
#include "vcpu.h"
#include "vm.h"

_Static_assert(XEN_VM_XEN_VERSION == KVM_XEN_ATTR_TYPE_XEN_VERSION &&
		       XEN_VCPU_UPCALL_VECTOR == KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR,
	       "the types of attributes are the kernel's");

#define CHANNELS 16

/* What KVM does not tell again. */
static struct kvm_xen_hvm_attr channels[CHANNELS];
static unsigned int channel_count;
static uint32_t config_flags = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL;

static int signals_fd = -1, raise_fd = -1;

struct saved_attribute {
	bool known;
	union {
		struct kvm_xen_hvm_attr vm;
		struct kvm_xen_vcpu_attr vcpu;
	};
};

static struct saved_attribute saved_vm[XEN_VM_ATTRIBUTES], saved_vcpu[XEN_VCPU_ATTRIBUTES];

static int set_config(const struct vm *vm, uint32_t flags)
{
	struct kvm_xen_hvm_config config = { .flags = flags, .msr = vm->options->xen_msr };

	return ioctl(vm->fd, KVM_XEN_HVM_CONFIG, &config);
}

/* Where vmrun has the page that the guest means; 0: none. An address that is no RAM stays one that is not mapped. */
static uint64_t own_address(const struct vm *vm, uint64_t gpa)
{
	uint64_t page = gpa & ~0xfffull;
	void *at = memory_at(vm, page, 1);

	if (gpa == XEN_NOWHERE)
		return 0;
	return at ? (uintptr_t)at + (gpa - page) : gpa;
}

static int make_eventfd(int *fd)
{
	if (*fd < 0)
		*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return *fd;
}

static void forget_channel(uint32_t port)
{
	for (unsigned int i = 0; i < channel_count; i++)
		if (channels[i].u.evtchn.send_port == port)
			channels[i--] = channels[--channel_count];
}

static void remember_channel(const struct kvm_xen_hvm_attr *attribute)
{
	if (attribute->u.evtchn.flags == KVM_XEN_EVTCHN_RESET) {
		channel_count = 0;
		return;
	}
	forget_channel(attribute->u.evtchn.send_port);
	if (attribute->u.evtchn.flags == KVM_XEN_EVTCHN_DEASSIGN || channel_count == CHANNELS)
		return;
	channels[channel_count] = *attribute;
	channels[channel_count++].u.evtchn.flags = 0;
}

static int32_t set_vm_attribute(const struct vm *vm, const struct vmrun_request *request)
{
	struct kvm_xen_hvm_attr attribute = { .type = (uint16_t)request->id };

	memcpy(&attribute.u, request->name, sizeof(request->name));
	if (attribute.type == XEN_VM_SHARED_INFO_HVA)
		attribute.u.pad[0] = own_address(vm, attribute.u.pad[0]);
	if (attribute.type == XEN_VM_EVTCHN && !attribute.u.evtchn.deliver.port.port)
		attribute.u.evtchn.deliver.eventfd.fd = make_eventfd(&signals_fd);
	if (ioctl(vm->fd, KVM_XEN_HVM_SET_ATTR, &attribute) < 0)
		return -errno;
	if (attribute.type == XEN_VM_EVTCHN)
		remember_channel(&attribute);
	return 0;
}

static int32_t get_vm_attribute(const struct vm *vm, struct vmrun_request *request)
{
	struct kvm_xen_hvm_attr attribute = { .type = (uint16_t)request->id };

	if (ioctl(vm->fd, KVM_XEN_HVM_GET_ATTR, &attribute) < 0)
		return -errno;
	memcpy(request->name, &attribute.u, sizeof(request->name));
	return 0;
}

static int32_t set_vcpu_attribute(const struct vcpu *vcpu, const struct vmrun_request *request)
{
	struct kvm_xen_vcpu_attr attribute = { .type = (uint16_t)request->id };

	memcpy(&attribute.u, request->name, sizeof(request->name));
	if (attribute.type == XEN_VCPU_INFO_HVA)
		attribute.u.pad[0] = own_address(vcpu->vm, attribute.u.pad[0]);
	return ioctl(vcpu->fd, KVM_XEN_VCPU_SET_ATTR, &attribute) < 0 ? -errno : 0;
}

static int32_t get_vcpu_attribute(const struct vcpu *vcpu, struct vmrun_request *request)
{
	struct kvm_xen_vcpu_attr attribute = { .type = (uint16_t)request->id };

	if (ioctl(vcpu->fd, KVM_XEN_VCPU_GET_ATTR, &attribute) < 0)
		return -errno;
	memcpy(request->name, &attribute.u, sizeof(request->name));
	return 0;
}

static struct kvm_irq_routing_xen_evtchn channel_of(const struct vmrun_request *request)
{
	return (struct kvm_irq_routing_xen_evtchn){ .port = (uint32_t)request->id,
						    .vcpu = (uint32_t)request->value,
						    .priority = request->error_code };
}

static int32_t send_event(const struct vm *vm, const struct vmrun_request *request)
{
	struct kvm_irq_routing_xen_evtchn channel = channel_of(request);

	return ioctl(vm->fd, KVM_XEN_HVM_EVTCHN_SEND, &channel) < 0 ? -errno : 0;
}

static int32_t route(const struct vm *vm, const struct vmrun_request *request)
{
	struct kvm_irq_routing *routing = routing_new(1);
	int32_t status = 0;

	routing->entries[routing->nr++] = (struct kvm_irq_routing_entry){
		.gsi = ROUTING_FREE_LINE,
		.type = KVM_IRQ_ROUTING_XEN_EVTCHN,
		.u.xen_evtchn = channel_of(request),
	};
	if (ioctl(vm->fd, KVM_SET_GSI_ROUTING, routing) < 0)
		status = -errno;
	free(routing);
	return status;
}

/* The line is asserted by the write itself, or by a worker of KVM's when it would have to wait. */
static int32_t raise_line(const struct vm *vm, const struct vmrun_request *request)
{
	struct kvm_irqfd irqfd = { .gsi = ROUTING_FREE_LINE };
	int32_t status = route(vm, request);
	uint64_t one = 1;

	if (status)
		return status;
	if (raise_fd < 0) {
		irqfd.fd = (uint32_t)make_eventfd(&raise_fd);
		if (raise_fd < 0 || ioctl(vm->fd, KVM_IRQFD, &irqfd) < 0)
			return -errno;
	}
	return write(raise_fd, &one, sizeof(one)) < 0 ? -errno : 0;
}

static int32_t count_signals(uint64_t *value)
{
	*value = 0;
	if (signals_fd >= 0 && read(signals_fd, value, sizeof(*value)) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

/* Of what the guest asks for, a move takes the flags along. */
static int32_t configure(const struct vm *vm, const struct vmrun_request *request)
{
	struct kvm_xen_hvm_config config = {
		.flags = request->flags,
		.msr = request->id ? request->id : vm->options->xen_msr,
		.blob_size_32 = request->value,
		.blob_size_64 = request->value,
	};

	if (ioctl(vm->fd, KVM_XEN_HVM_CONFIG, &config) < 0)
		return -errno;
	config_flags = request->flags;
	return 0;
}

int32_t xen_state_serve(struct vcpu *vcpu, struct vmrun_request *request)
{
	const struct vm *vm = vcpu->vm;

	if (!vm->options->xen)
		return -ENOSYS;
	switch ((enum vmrun_xen_service)request->service) {
	case VMRUN_XEN_CONFIG:
		return configure(vm, request);
	case VMRUN_XEN_VM_SET:
		return set_vm_attribute(vm, request);
	case VMRUN_XEN_VM_GET:
		return get_vm_attribute(vm, request);
	case VMRUN_XEN_VCPU_SET:
		return set_vcpu_attribute(vcpu, request);
	case VMRUN_XEN_VCPU_GET:
		return get_vcpu_attribute(vcpu, request);
	case VMRUN_XEN_SEND:
		return send_event(vm, request);
	case VMRUN_XEN_RAISE:
		return raise_line(vm, request);
	case VMRUN_XEN_SIGNALS:
		return count_signals(&request->value);
	case VMRUN_XEN_OFFERS:
		request->value = vm_capability(vm->kvm_fd, KVM_CAP_XEN_HVM);
		return 0;
	default:
		return -ENOSYS;
	}
}

/* What KVM does not know, or has nowhere, is not there to be written. */
void xen_state_get(const struct vm *vm)
{
	for (unsigned int type = 0; type < XEN_VM_ATTRIBUTES; type++) {
		struct saved_attribute *saved = &saved_vm[type];

		saved->vm = (struct kvm_xen_hvm_attr){ .type = (uint16_t)type };
		saved->known = type != XEN_VM_EVTCHN &&
			       ioctl(vm->fd, KVM_XEN_HVM_GET_ATTR, &saved->vm) == 0;
	}
	/* 0 is "none", and would take away the page that is known by its frame. */
	if (!saved_vm[XEN_VM_SHARED_INFO_HVA].vm.u.pad[0])
		saved_vm[XEN_VM_SHARED_INFO_HVA].known = false;
	for (unsigned int type = 0; type < XEN_VCPU_ATTRIBUTES; type++) {
		struct saved_attribute *saved = &saved_vcpu[type];

		saved->vcpu = (struct kvm_xen_vcpu_attr){ .type = (uint16_t)type };
		/* The state of the moment is in the data, with its times. */
		saved->known = type != XEN_VCPU_RUNSTATE_CURRENT &&
			       ioctl(vm->vcpus[0].fd, KVM_XEN_VCPU_GET_ATTR, &saved->vcpu) == 0;
	}
	if (!saved_vcpu[XEN_VCPU_INFO_HVA].vcpu.u.pad[0])
		saved_vcpu[XEN_VCPU_INFO_HVA].known = false;
}

bool xen_state_set_vm(const struct vm *vm)
{
	struct kvm_xen_hvm_attr channel;

	if (set_config(vm, config_flags) < 0)
		return false;
	raise_fd = -1;
	for (unsigned int type = 0; type < XEN_VM_ATTRIBUTES; type++)
		if (saved_vm[type].known &&
		    ioctl(vm->fd, KVM_XEN_HVM_SET_ATTR, &saved_vm[type].vm) < 0)
			return false;
	for (unsigned int i = 0; i < channel_count; i++) {
		channel = channels[i];
		if (ioctl(vm->fd, KVM_XEN_HVM_SET_ATTR, &channel) < 0)
			return false;
	}
	return true;
}

bool xen_state_set_vcpu(const struct vm *vm)
{
	/* The times come before the area that they are written to. */
	static const uint8_t order[] = { XEN_VCPU_ID,
					 XEN_VCPU_INFO,
					 XEN_VCPU_INFO_HVA,
					 XEN_VCPU_TIME_INFO,
					 XEN_VCPU_UPCALL_VECTOR,
					 XEN_VCPU_RUNSTATE_DATA,
					 XEN_VCPU_RUNSTATE_ADDR,
					 XEN_VCPU_TIMER };

	for (size_t i = 0; i < sizeof(order); i++) {
		struct saved_attribute *saved = &saved_vcpu[order[i]];

		if (saved->known && ioctl(vm->vcpus[0].fd, KVM_XEN_VCPU_SET_ATTR, &saved->vcpu) < 0)
			return false;
	}
	return true;
}
