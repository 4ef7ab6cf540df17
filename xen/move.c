// SPDX-License-Identifier: BSD-2-Clause
/*
 * A guest that moves to another VM, with all that KVM's Xen ABI has of it
 *
 * vmrun reads what KVM tells of the old VM and writes it to a new one on the same memory: attributes of the VM and of
 * the vCPU (Documentation/virt/kvm/api.rst, KVM_XEN_HVM_GET_ATTR, KVM_XEN_VCPU_GET_ATTR), and the ports, which KVM does
 * not tell and the VMM knows. The guest must not notice: what was pending is pending, a timer fires at its time, the
 * time and the states go on, and no place is forgotten. On Xen dom0's tools do that.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/time.h>
#include <xen/events.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/request.h>
#include <xen/shared.h>
#include <xen/vmrun.h>

#define VECTOR	0x50
#define WAIT_MS 5000
#define MS	1000000ull

static volatile unsigned int taken;

static void take(struct x86_frame *frame)
{
	(void)frame;
	taken++;
	xen_upcall_take();
	apic_eoi();
}

static void take_callback(struct x86_frame *frame)
{
	(void)frame;
	taken++;
	xen_upcall_take();
}

static uint32_t begin(void)
{
	xen_events_begin();
	ASSERT_EQ(xen_upcall_vector(0), 0);
	taken = 0;
	return xen_port(XEN_PORT_ANY, 0);
}

TEST("ports, masks and pages are as before")
{
	uint32_t port = begin(), masked = xen_port(XEN_PORT_ANY, 0);

	xen_port_mask(masked);
	ASSERT_EQ(vmm_move(), 0);
	EXPECT_EQ(xen_send(masked), 0);
	EXPECT_TRUE(xen_port_pending(masked));
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 0);
	EXPECT_EQ(xen_send(port), 0);
	EXPECT_TRUE(xen_port_pending(port));
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 1);
	EXPECT_EQ(xen_vcpu_info()->pending_sel, 1ul << port / XEN_WORD_BITS);
}

TEST("a port to an eventfd leads there still")
{
	const struct xen_evtchn_attribute channel = { .send_port = 30,
						      .type = EVTCHNSTAT_INTERDOMAIN };

	begin();
	ASSERT_EQ(xen_set_vm_struct(XEN_VM_EVTCHN, &channel, sizeof(channel)), 0);
	xen_vmm_signals();
	EXPECT_EQ(xen_send(30), 0);
	ASSERT_EQ(vmm_move(), 0);
	EXPECT_EQ(xen_send(30), 0);
	EXPECT_EQ(xen_vmm_signals(), 2);
}

TEST("an upcall that was pending comes in behind the move: by a vector, once")
{
	uint32_t port = begin();

	irq_handler(VECTOR, take);
	ASSERT_EQ(xen_upcall_vector(VECTOR), 0);
	EXPECT_EQ(xen_send(port), 0);
	ASSERT_EQ(vmm_move(), 0);
	irq_window();
	irq_window();
	EXPECT_EQ(taken, 1);
	xen_port_take(port);
	EXPECT_EQ(xen_send(port), 0);
	irq_window();
	EXPECT_EQ(taken, 2, "and the vector serves");
}

TEST("so it does by the callback")
{
	uint32_t port = begin();

	irq_handler(VECTOR, take_callback);
	ASSERT_EQ(xen_callback_vector(VECTOR), 0);
	EXPECT_EQ(xen_send(port), 0);
	ASSERT_EQ(vmm_move(), 0);
	irq_window();
	EXPECT_EQ(taken, 1);
	xen_port_take(port);
	EXPECT_EQ(xen_send(port), 0);
	irq_window();
	EXPECT_EQ(taken, 2);
}

static long set_timer(uint64_t when)
{
	const struct xen_singleshot_timer timer = { .timeout_abs_ns = when };

	return xen_hypercall(XEN_HYPERVISOR_VCPU_OP, VCPUOP_SET_SINGLESHOT_TIMER, 0,
			     (uintptr_t)&timer);
}

TEST("a timer that runs fires at its time, and not before")
{
	uint32_t port;
	uint64_t when;

	begin();
	port = xen_timer_port();
	when = xen_now() + 200 * MS;
	EXPECT_EQ(set_timer(when), 0);
	ASSERT_EQ(vmm_move(), 0);
	EXPECT_EQ(xen_now() >= when, xen_port_pending(port));
	EXPECT_TRUE(WAIT_FOR(xen_port_pending(port), WAIT_MS));
	EXPECT_GE(xen_now(), when);
}

TEST("a timer that has fired is pending, and does not fire again")
{
	uint32_t port;

	begin();
	port = xen_timer_port();
	EXPECT_EQ(set_timer(1), 0);
	ASSERT_EQ(vmm_move(), 0);
	EXPECT_TRUE(xen_port_take(port));
	delay_us(5000);
	EXPECT_FALSE(xen_port_pending(port));
	EXPECT_EQ(set_timer(1), 0);
	EXPECT_TRUE(xen_port_pending(port), "it can be set");
}

TEST("a timer that was stopped stays so")
{
	uint32_t port;

	begin();
	port = xen_timer_port();
	EXPECT_EQ(set_timer(xen_now() + 60 * MS), 0);
	EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_VCPU_OP, VCPUOP_STOP_SINGLESHOT_TIMER, 0), 0);
	ASSERT_EQ(vmm_move(), 0);
	delay_us(70000);
	EXPECT_FALSE(xen_port_pending(port));
}

TEST("the system time goes on, and not back")
{
	uint64_t before;

	begin();
	for (unsigned int i = 0; i < 3; i++) {
		before = xen_now();
		ASSERT_EQ(vmm_move(), 0);
		/* KVM tells its clock and the time of day by two readings (KVM_GET_CLOCK). */
		EXPECT_GE(xen_now() + MS, before);
		EXPECT_LT(xen_now(), before + 2000 * MS);
	}
}

TEST("vcpu_info and the time stay where they were placed")
{
	volatile struct xen_vcpu_info *info;
	volatile struct xen_time *time;
	uint32_t port = begin(), version;

	info = page_alloc();
	time = page_alloc();
	ASSERT_EQ(xen_place_vcpu_info(info + 3), 0);
	ASSERT_EQ(xen_place_time(time + 5), 0);
	version = time[5].version;
	ASSERT_EQ(vmm_move(), 0);
	EXPECT_EQ(xen_send(port), 0);
	EXPECT_EQ(info[3].upcall_pending, 1);
	EXPECT_NE(time[5].version, version);
	EXPECT_EQ(time[5].version & 1, 0);
	ASSERT_EQ(xen_place_time(NULL), 0);
	ASSERT_EQ(xen_place_vcpu_info(&xen_shared_info()->vcpu[0]), 0);
}

TEST("the states' times go on from what they were, at their place")
{
	volatile struct xen_runstate *area;
	struct xen_runstate before, after;
	uint64_t sum = 0;

	begin();
	area = page_alloc();
	ASSERT_EQ(xen_place_runstate(area), 0);
	xen_set_vcpu(XEN_VCPU_RUNSTATE_CURRENT, RUNSTATE_BLOCKED);
	memcpy(&before, (const void *)area, sizeof(before));
	ASSERT_EQ(vmm_move(), 0);
	xen_set_vcpu(XEN_VCPU_RUNSTATE_CURRENT, RUNSTATE_BLOCKED);
	memcpy(&after, (const void *)area, sizeof(after));
	EXPECT_EQ(after.state, RUNSTATE_RUNNING);
	EXPECT_GT(after.state_entry_time, before.state_entry_time);
	for (unsigned int state = 0; state <= RUNSTATE_OFFLINE; state++) {
		EXPECT_GE(after.time[state], before.time[state], "state %u", state);
		sum += after.time[state];
	}
	EXPECT_EQ(after.time[RUNSTATE_OFFLINE], before.time[RUNSTATE_OFFLINE]);
	EXPECT_EQ(sum, after.state_entry_time);
	ASSERT_EQ(xen_place_runstate(NULL), 0);
}

TEST("the version that KVM answers, the vCPU's number and the latched mode are kept")
{
	const uint32_t version = 0x00040013;
	uint64_t value;

	begin();
	ASSERT_EQ(xen_set_vm(XEN_VM_XEN_VERSION, version), 0);
	ASSERT_EQ(xen_set_vcpu(XEN_VCPU_ID, 5), 0);
	ASSERT_EQ(vmm_move(), 0);
	EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_XEN_VERSION, XENVER_VERSION), version);
	EXPECT_EQ(xen_get_vcpu(XEN_VCPU_ID, &value), 0);
	EXPECT_EQ(value, 5);
	EXPECT_EQ(xen_get_vm(XEN_VM_LONG_MODE, &value), 0);
	EXPECT_EQ(value, sizeof(long) == 8);
	ASSERT_EQ(xen_set_vcpu(XEN_VCPU_ID, 0), 0);
	ASSERT_EQ(xen_set_vm(XEN_VM_XEN_VERSION, 0), 0);
}
