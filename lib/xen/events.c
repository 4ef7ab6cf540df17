// SPDX-License-Identifier: BSD-2-Clause
#include <libc/string.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/smp.h>
#include <xen/events.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/request.h>

#define MAX_PORTS 4096
/* Of KVM: where xen_port() begins to look; Xen keeps lower ones for its console and store. */
#define FIRST_PORT 16
#define TIMER_PORT 15
/* HVM_PARAM_CALLBACK_IRQ, bits 63 to 56: the rest is a vector (hvm/params.h, HVM_PARAM_CALLBACK_TYPE_VECTOR). */
#define CALLBACK_IS_VECTOR (2ull << 56)

static uint8_t opened[MAX_PORTS / 8];
static uint32_t next_port = FIRST_PORT;
static uint32_t timer_port[CPU_MAX];

static void note(uint32_t port, bool open)
{
	if (open)
		opened[port / 8] |= 1u << port % 8;
	else
		opened[port / 8] &= ~(1u << port % 8);
}

static long channel_op(unsigned int operation, void *argument)
{
	return xen_hypercall(XEN_HYPERVISOR_EVENT_CHANNEL_OP, operation, (uintptr_t)argument);
}

static void close_all(void)
{
	const struct xen_evtchn_attribute reset = { .flags = XEN_EVTCHN_RESET };

	if (!xen_itself()) {
		xen_set_vm_struct(XEN_VM_EVTCHN, &reset, sizeof(reset));
		return;
	}
	for (uint32_t port = 0; port < MAX_PORTS; port++)
		if (opened[port / 8] & 1u << port % 8)
			xen_port_close(port);
}

void xen_events_begin(void)
{
	volatile struct xen_shared_info *shared = xen_shared_info();

	if (!xen_itself()) {
		REQUIRE(xen_configure(KVM_XEN_FLAG_INTERCEPT | KVM_XEN_FLAG_EVTCHN_SEND) == 0);
		xen_set_vm(XEN_VM_UPCALL_VECTOR, 0);
	}
	close_all();
	for (unsigned int word = 0; word < XEN_WORD_BITS; word++) {
		__atomic_store_n(&shared->mask[word], ~0ul, __ATOMIC_SEQ_CST);
		__atomic_store_n(&shared->pending[word], 0, __ATOMIC_SEQ_CST);
	}
	xen_upcall_take();
	next_port = FIRST_PORT;
}

static uint32_t bind_on_kvm(uint32_t wanted, unsigned int cpu)
{
	struct xen_evtchn_attribute channel = {
		.type = EVTCHNSTAT_IPI,
		.vcpu = cpu,
		.priority = XEN_PRIORITY_2LEVEL,
	};

	channel.send_port = channel.port = wanted ? wanted : next_port++;
	REQUIRE(xen_set_vm_struct(XEN_VM_EVTCHN, &channel, sizeof(channel)) == 0);
	return channel.port;
}

/* Xen gives the lowest that is free: all below the one that is wanted are taken, and given back. */
static uint32_t bind_on_xen(uint32_t wanted, unsigned int cpu)
{
	static uint32_t surplus[MAX_PORTS];
	unsigned int count = 0;
	long status;

	for (;;) {
		struct xen_evtchn_bind_ipi bind = { .vcpu = cpu };

		status = channel_op(EVTCHNOP_BIND_IPI, &bind);
		if (!status && (!wanted || bind.port == wanted)) {
			surplus[count++] = bind.port;
			break;
		}
		if (status || bind.port > wanted)
			break;
		surplus[count++] = bind.port;
	}
	if (status)
		wanted = 0;
	else if (!wanted)
		wanted = surplus[0];
	for (unsigned int i = 0; i < count; i++)
		if (surplus[i] != wanted)
			channel_op(EVTCHNOP_CLOSE, &surplus[i]);
	if (!wanted)
		SKIP("Xen gives this domain no such port: %ld", status);
	return wanted;
}

uint32_t xen_port(uint32_t wanted, unsigned int cpu)
{
	uint32_t port = xen_itself() ? bind_on_xen(wanted, cpu) : bind_on_kvm(wanted, cpu);

	note(port, true);
	xen_port_take(port);
	xen_port_unmask(port);
	return port;
}

static uint32_t timer_on_xen(void)
{
	struct xen_evtchn_bind_virq bind = { .virq = VIRQ_TIMER, .vcpu = cpu_id() };

	xen_hypercall(XEN_HYPERVISOR_VCPU_OP, VCPUOP_STOP_PERIODIC_TIMER, cpu_id());
	REQUIRE(channel_op(EVTCHNOP_BIND_VIRQ, &bind) == 0);
	return bind.port;
}

static uint32_t timer_on_kvm(void)
{
	const struct xen_timer_attribute timer = { .port = TIMER_PORT - cpu_id(),
						   .priority = XEN_PRIORITY_2LEVEL };

	/* By which the guest calls it: KVM does not always know (docs/findings.md). */
	REQUIRE(xen_set_vcpu(XEN_VCPU_ID, cpu_id()) == 0);
	REQUIRE(xen_set_vcpu_struct(XEN_VCPU_TIMER, &timer, sizeof(timer)) == 0);
	return timer.port;
}

uint32_t xen_timer_port(void)
{
	if (!timer_port[cpu_id()])
		timer_port[cpu_id()] = xen_itself() ? timer_on_xen() : timer_on_kvm();
	xen_port_take(timer_port[cpu_id()]);
	xen_port_unmask(timer_port[cpu_id()]);
	return timer_port[cpu_id()];
}

void xen_port_close(uint32_t port)
{
	const struct xen_evtchn_attribute channel = { .send_port = port,
						      .flags = XEN_EVTCHN_DEASSIGN };

	note(port, false);
	if (xen_itself())
		REQUIRE(channel_op(EVTCHNOP_CLOSE, &port) == 0);
	else
		REQUIRE(xen_set_vm_struct(XEN_VM_EVTCHN, &channel, sizeof(channel)) == 0);
}

long xen_send(uint32_t port)
{
	return channel_op(EVTCHNOP_SEND, &port);
}

static unsigned long bit_of(uint32_t port)
{
	return 1ul << port % XEN_WORD_BITS;
}

bool xen_port_pending(uint32_t port)
{
	return xen_shared_info()->pending[port / XEN_WORD_BITS] & bit_of(port);
}

bool xen_port_take(uint32_t port)
{
	return __atomic_fetch_and(&xen_shared_info()->pending[port / XEN_WORD_BITS], ~bit_of(port),
				  __ATOMIC_SEQ_CST) &
	       bit_of(port);
}

void xen_port_mask(uint32_t port)
{
	__atomic_fetch_or(&xen_shared_info()->mask[port / XEN_WORD_BITS], bit_of(port),
			  __ATOMIC_SEQ_CST);
}

void xen_port_unmask(uint32_t port)
{
	__atomic_fetch_and(&xen_shared_info()->mask[port / XEN_WORD_BITS], ~bit_of(port),
			   __ATOMIC_SEQ_CST);
}

bool xen_upcall_take(void)
{
	volatile struct xen_vcpu_info *info = xen_vcpu_info();
	bool pending = __atomic_exchange_n(&info->upcall_pending, 0, __ATOMIC_SEQ_CST);

	__atomic_store_n(&info->pending_sel, 0, __ATOMIC_SEQ_CST);
	return pending;
}

int xen_upcall_vector(uint8_t vector)
{
	struct xen_hvm_upcall_vector upcall = { .vcpu = cpu_id(), .vector = vector };

	/* An APIC that is not enabled takes no vector. */
	apic_id();
	if (xen_itself())
		return (int)xen_hypercall(XEN_HYPERVISOR_HVM_OP, HVMOP_SET_EVTCHN_UPCALL_VECTOR,
					  (uintptr_t)&upcall);
	return xen_set_vcpu(XEN_VCPU_UPCALL_VECTOR, vector);
}

int xen_callback_vector(uint8_t vector)
{
	struct xen_hvm_param param = { .domain = XEN_DOMID_SELF,
				       .index = HVM_PARAM_CALLBACK_IRQ,
				       .value = vector ? CALLBACK_IS_VECTOR | vector : 0 };

	apic_id();
	if (xen_itself())
		return (int)xen_hypercall(XEN_HYPERVISOR_HVM_OP, HVMOP_SET_PARAM,
					  (uintptr_t)&param);
	return xen_set_vm(XEN_VM_UPCALL_VECTOR, vector);
}
