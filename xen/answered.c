// SPDX-License-Identifier: BSD-2-Clause
/*
 * Which of Xen's hypercalls KVM answers, and which reach its VMM
 *
 * KVM answers, at CPL 0: xen_version 0, if the VMM has said which version; event_channel_op send to ports that the VMM
 * has named; sched_op yield, and poll if the VMM has turned that on; vcpu_op set_ and stop_singleshot_timer and
 * set_timer_op of a vCPU whose timer has a port (arch/x86/kvm/xen.c, kvm_xen_hypercall). All else, of all numbers, is the VMM's.
 * vmrun counts what reaches it, and knows none of these calls: -ENOSYS (lib/vmrun/abi.h).
 */
#include <libc/array.h>
#include <test/test.h>
#include <xen/events.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/request.h>
#include <xen/shared.h>
#include <xen/vmrun.h>

#define VERSION 0x00040013

static unsigned long calls_of(unsigned int number, unsigned int operation, const void *argument,
			      long *result)
{
	unsigned long before = xen_calls_counted();

	*result = xen_hypercall(number, operation,
				number == XEN_HYPERVISOR_VCPU_OP ? 0 : (uintptr_t)argument,
				(uintptr_t)argument);
	return xen_calls_counted() - before;
}

TEST("the version is KVM's to answer once the VMM has told it, and the VMM's again when it is 0")
{
	long result;

	xen_events_begin();
	ASSERT_EQ(xen_set_vm(XEN_VM_XEN_VERSION, VERSION), 0);
	EXPECT_EQ(calls_of(XEN_HYPERVISOR_XEN_VERSION, XENVER_VERSION, NULL, &result), 0);
	EXPECT_EQ(result, VERSION);
	EXPECT_EQ(calls_of(XEN_HYPERVISOR_XEN_VERSION, 1, NULL, &result), 1, "extraversion");
	EXPECT_EQ(result, -XEN_ENOSYS, "extraversion");
	ASSERT_EQ(xen_set_vm(XEN_VM_XEN_VERSION, 0), 0);
	EXPECT_EQ(calls_of(XEN_HYPERVISOR_XEN_VERSION, XENVER_VERSION, NULL, &result), 1);
	EXPECT_EQ(result, XEN_VMRUN_VERSION);
}

TEST("a version is 32 bits, whatever they are, and can be read")
{
	static const uint32_t versions[] = { 1, 0x7fffffff, 0x80000000, 0xffffffff };
	uint64_t value;
	long result;

	xen_events_begin();
	for (size_t i = 0; i < COUNT_OF(versions); i++) {
		ASSERT_EQ(xen_set_vm(XEN_VM_XEN_VERSION, versions[i]), 0);
		EXPECT_EQ(xen_get_vm(XEN_VM_XEN_VERSION, &value), 0);
		EXPECT_EQ((uint32_t)value, versions[i]);
		calls_of(XEN_HYPERVISOR_XEN_VERSION, XENVER_VERSION, NULL, &result);
		EXPECT_EQ((unsigned long)result, versions[i]);
	}
	ASSERT_EQ(xen_set_vm(XEN_VM_XEN_VERSION, 0), 0);
}

static const struct answered_case {
	const char *name;
	unsigned int number, operation;
	unsigned long calls;
	long result;
} answered_cases[] = {
	{ "xen_version, extraversion", XEN_HYPERVISOR_XEN_VERSION, 1, 1, -XEN_ENOSYS },
	{ "sched_op, yield", XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD, 0, 0 },
	{ "sched_op, block", XEN_HYPERVISOR_SCHED_OP, 1, 1, -XEN_ENOSYS },
	{ "sched_op, remote_shutdown", XEN_HYPERVISOR_SCHED_OP, 4, 1, -XEN_ENOSYS },
	{ "sched_op, watchdog", XEN_HYPERVISOR_SCHED_OP, 6, 1, -XEN_ENOSYS },
	{ "vcpu_op, is_up", XEN_HYPERVISOR_VCPU_OP, VCPUOP_IS_UP, 1, -XEN_ENOSYS },
	{ "vcpu_op, get_runstate_info", XEN_HYPERVISOR_VCPU_OP, VCPUOP_GET_RUNSTATE_INFO, 1,
	  -XEN_ENOSYS },
	{ "vcpu_op, stop_periodic_timer", XEN_HYPERVISOR_VCPU_OP, VCPUOP_STOP_PERIODIC_TIMER, 1,
	  -XEN_ENOSYS },
	{ "vcpu_op, stop_singleshot_timer", XEN_HYPERVISOR_VCPU_OP, VCPUOP_STOP_SINGLESHOT_TIMER, 0,
	  0 },
	{ "vcpu_op, register_vcpu_info", XEN_HYPERVISOR_VCPU_OP, VCPUOP_REGISTER_VCPU_INFO, 1,
	  -XEN_ENOSYS },
	{ "set_timer_op", XEN_HYPERVISOR_SET_TIMER_OP, 0, 0, 0 },
	{ "memory_op", XEN_HYPERVISOR_MEMORY_OP, XENMEM_CURRENT_RESERVATION, 1, -XEN_ENOSYS },
	{ "grant_table_op", XEN_HYPERVISOR_GRANT_TABLE_OP, GNTTABOP_QUERY_SIZE, 1, -XEN_ENOSYS },
	{ "hvm_op", XEN_HYPERVISOR_HVM_OP, HVMOP_GET_PARAM, 1, -XEN_ENOSYS },
	{ "console_io", XEN_HYPERVISOR_CONSOLE_IO, CONSOLEIO_WRITE, 1, -XEN_ENOSYS },
	{ "vm_assist", XEN_HYPERVISOR_VM_ASSIST, VMASST_CMD_ENABLE, 1, -XEN_ENOSYS },
	{ "event_channel_op, bind_interdomain", XEN_HYPERVISOR_EVENT_CHANNEL_OP,
	  EVTCHNOP_BIND_INTERDOMAIN, 1, -XEN_ENOSYS },
};

TEST("each call goes where it belongs")
{
	static uint64_t argument[8];

	xen_events_begin();
	xen_timer_port();
	for (size_t i = 0; i < COUNT_OF(answered_cases); i++) {
		const struct answered_case *c = &answered_cases[i];
		long result;

		EXPECT_EQ(calls_of(c->number, c->operation, argument, &result), c->calls, "%s",
			  c->name);
		EXPECT_EQ(result, c->result, "%s", c->name);
	}
}

TEST("numbers that are KVM's by their low half alone are the VMM's")
{
#ifdef __x86_64__
	static const unsigned int numbers[] = { XEN_HYPERVISOR_SET_TIMER_OP,
						XEN_HYPERVISOR_SCHED_OP,
						XEN_HYPERVISOR_EVENT_CHANNEL_OP };

	xen_events_begin();
	xen_timer_port();
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		EXPECT_EQ(xen_hypercall(1ull << 32 | numbers[i], 0), -XEN_ENOSYS, "%u", numbers[i]);
#else
	xen_events_begin();
	EXPECT_EQ(xen_hypercall(XEN_NUMBER_UNUSED), -XEN_ENOSYS, "there is no high half");
#endif
}
