// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sources: Hypervisor Top Level Functional Specification (TLFS), "Inter-Partition Communication";
 * Linux, Documentation/virt/kvm/api.rst, KVM_CAP_HYPERV_SYNIC2, KVM_HYPERV_EVENTFD.
 */
#include "synic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vmrun/abi.h>

#include "routing.h"
#include "say.h"
#include "vcpu.h"

#define HV_STATUS_SUCCESS		0
#define HV_STATUS_INVALID_PARAMETER	5
#define HV_STATUS_INVALID_CONNECTION_ID 0x12
#define HV_STATUS_INSUFFICIENT_BUFFERS	0x13
#define HV_STATUS_INVALID_SYNIC_STATE	0x18

#define SINTS				16
#define PAGE_ENABLE			1ull /* of SIMP and SIEFP */
#define PAGE_ADDRESS			(~0xfffull)
#define MESSAGE_SIZE			256
#define MESSAGE_PAYLOAD			240
#define EVENT_FLAGS			2048

/* TLFS, HvCallPostMessage. */
struct post_message {
	uint32_t connection;
	uint32_t reserved;
	uint32_t type;
	uint32_t size;
	uint8_t payload[MESSAGE_PAYLOAD];
};

/* TLFS, HV_MESSAGE. */
struct sint_message {
	uint32_t type;
	uint8_t size;
	uint8_t flags;
	uint16_t reserved;
	uint64_t origin;
	uint8_t payload[MESSAGE_PAYLOAD];
};

_Static_assert(sizeof(struct sint_message) == MESSAGE_SIZE, "16 messages fill a page");

#define MESSAGE_PENDING 1u

static int signals_fd = -1;
static int ack_fds[LAYOUT_MAX_CPUS * SINTS]; /* 0: nobody has asked yet */

void synic_require(const struct vm *vm)
{
	if (!vm_capability(vm->kvm_fd, KVM_CAP_HYPERV_SYNIC2) ||
	    !vm_capability(vm->kvm_fd, KVM_CAP_HYPERV_EVENTFD))
		fail("--synic: this KVM lacks KVM_CAP_HYPERV_SYNIC2 or KVM_CAP_HYPERV_EVENTFD: it "
		     "takes Linux 4.17 or newer, from 6.8 on with CONFIG_KVM_HYPERV");
}

void synic_activate(int vcpu_fd)
{
	struct kvm_enable_cap enable = { .cap = KVM_CAP_HYPERV_SYNIC2 };

	if (ioctl(vcpu_fd, KVM_ENABLE_CAP, &enable) < 0)
		fail("--synic: KVM_ENABLE_CAP(KVM_CAP_HYPERV_SYNIC2): %s", strerror(errno));
}

static uint32_t line_of(unsigned int cpu, unsigned int sint)
{
	return ROUTING_FREE_LINE + cpu * SINTS + sint;
}

/* Those of the SINTs are behind the lines that every VM has. */
static void route(const struct vm *vm)
{
	unsigned int sints = vm->options->smp * SINTS;
	struct kvm_irq_routing *routing = routing_new(sints);

	for (unsigned int i = 0; i < sints; i++)
		routing->entries[routing->nr++] = (struct kvm_irq_routing_entry){
			.gsi = line_of(i / SINTS, i % SINTS),
			.type = KVM_IRQ_ROUTING_HV_SINT,
			.u.hv_sint = { .vcpu = i / SINTS, .sint = i % SINTS },
		};
	if (ioctl(vm->fd, KVM_SET_GSI_ROUTING, routing) < 0)
		fail("--synic: KVM_SET_GSI_ROUTING: %s", strerror(errno));
	free(routing);
}

void synic_connect(const struct vm *vm)
{
	struct kvm_hyperv_eventfd connection = { .conn_id = VMRUN_CONNECTION_EVENTFD };

	route(vm);
	if (signals_fd < 0)
		signals_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	connection.fd = signals_fd;
	if (signals_fd < 0 || ioctl(vm->fd, KVM_HYPERV_EVENTFD, &connection) < 0)
		fail("--synic: KVM_HYPERV_EVENTFD: %s", strerror(errno));
}

void synic_moved(struct vcpu *vcpu, const struct kvm_hyperv_exit *exit)
{
	atomic_store(&vcpu->message_page, exit->u.synic.msg_page);
	atomic_store(&vcpu->event_page, exit->u.synic.evt_page);
}

static void raise_line(const struct vm *vm, unsigned int cpu, unsigned int sint)
{
	struct kvm_irq_level irq = { .irq = line_of(cpu, sint), .level = 1 };

	if (ioctl(vm->fd, KVM_IRQ_LINE, &irq) < 0)
		say("KVM_IRQ_LINE for SINT %u of CPU %u: %s", sint, cpu, strerror(errno));
}

/* Where a connection leads; NULL: there is none of this id. */
static struct vcpu *target(struct vm *vm, uint32_t connection, unsigned int *sint)
{
	uint32_t index = connection - VMRUN_CONNECTION(0, 0);

	*sint = index % SINTS;
	return index / SINTS < vm->options->smp ? &vm->vcpus[index / SINTS] : NULL;
}

/* The part of the vCPU's page that is this SINT's; NULL: the guest has not enabled one in RAM. */
static void *slot(const struct vm *vm, uint64_t page, unsigned int sint)
{
	uint64_t address = (page & PAGE_ADDRESS) + sint * MESSAGE_SIZE;

	if (!(page & PAGE_ENABLE) || address > vm->ram.size - MESSAGE_SIZE)
		return NULL;
	return vm->ram.data + address;
}

uint64_t synic_post_message(struct vm *vm, uint64_t gpa)
{
	struct post_message post;
	struct sint_message *message;
	struct vcpu *vcpu;
	unsigned int sint;

	if (gpa > vm->ram.size - sizeof(post))
		return HV_STATUS_INVALID_PARAMETER;
	memcpy(&post, vm->ram.data + gpa, sizeof(post));
	vcpu = target(vm, post.connection, &sint);
	if (!vcpu)
		return HV_STATUS_INVALID_CONNECTION_ID;
	if (!post.type || post.size > MESSAGE_PAYLOAD)
		return HV_STATUS_INVALID_PARAMETER;
	message = slot(vm, atomic_load(&vcpu->message_page), sint);
	if (!message)
		return HV_STATUS_INVALID_SYNIC_STATE;
	if (__atomic_load_n(&message->type, __ATOMIC_ACQUIRE)) {
		message->flags |= MESSAGE_PENDING;
		return HV_STATUS_INSUFFICIENT_BUFFERS;
	}
	message->size = (uint8_t)post.size;
	message->flags = 0;
	message->origin = post.connection;
	memcpy(message->payload, post.payload, post.size);
	__atomic_store_n(&message->type, post.type, __ATOMIC_RELEASE);
	raise_line(vm, vcpu->id, sint);
	return HV_STATUS_SUCCESS;
}

uint64_t synic_signal_event(struct vm *vm, uint64_t event)
{
	unsigned int sint, flag = (event >> 32) & 0xffff;
	struct vcpu *vcpu = target(vm, (uint32_t)event, &sint);
	uint8_t *flags, bit = (uint8_t)(1u << flag % 8);

	if (!vcpu)
		return HV_STATUS_INVALID_CONNECTION_ID;
	if (flag >= EVENT_FLAGS)
		return HV_STATUS_INVALID_PARAMETER;
	flags = slot(vm, atomic_load(&vcpu->event_page), sint);
	if (!flags)
		return HV_STATUS_INVALID_SYNIC_STATE;
	if (!(__atomic_fetch_or(&flags[flag / 8], bit, __ATOMIC_ACQ_REL) & bit))
		raise_line(vm, vcpu->id, sint);
	return HV_STATUS_SUCCESS;
}

static int32_t count_of(int fd, uint64_t *value)
{
	*value = 0;
	if (read(fd, value, sizeof(*value)) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

/* KVM tells of acknowledgements to whoever has the line asserted anew for each. */
static int watch(const struct vm *vm, uint32_t line)
{
	struct kvm_irqfd irqfd = { .gsi = line, .flags = KVM_IRQFD_FLAG_RESAMPLE };
	int raise = eventfd(0, EFD_CLOEXEC), acks = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	irqfd.fd = (uint32_t)raise;
	irqfd.resamplefd = (uint32_t)acks;
	if (raise < 0 || acks < 0 || ioctl(vm->fd, KVM_IRQFD, &irqfd) < 0)
		return -errno;
	return acks;
}

int32_t synic_acks(const struct vm *vm, uint64_t id, uint64_t *value)
{
	uint64_t index = id - VMRUN_CONNECTION(0, 0);

	if (!vm->options->synic || index >= vm->options->smp * SINTS)
		return -EINVAL;
	if (!ack_fds[index]) {
		int fd = watch(vm, ROUTING_FREE_LINE + (uint32_t)index);

		if (fd < 0)
			return fd;
		ack_fds[index] = fd;
	}
	return count_of(ack_fds[index], value);
}

int32_t synic_signals(uint64_t *value)
{
	return signals_fd < 0 ? -EINVAL : count_of(signals_fd, value);
}
