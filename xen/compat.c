// SPDX-License-Identifier: BSD-2-Clause
/*
 * 32-bit code and the layout of 32-bit guests in a 64-bit one, under KVM
 *
 * How a call is read depends on the code that makes it: 32-bit code at CPL 0 of a 64-bit guest passes 32-bit registers
 * and 32-bit structures (arch/x86/kvm/xen.c, kvm_xen_hypercall; x86.h, is_64_bit_hypercall()). How shared memory is
 * laid out depends on the mode that was latched when the hypercall page was written, or that the VMM has set (KVM_XEN_
 * ATTR_TYPE_LONG_MODE): pages of 32-bit layout have words of 32 bits, 1024 ports, the wallclock at 0x900, and states of 44 bytes
 * (xen.h, struct compat_...). Xen latches by the same writes (hvm_latch_shinfo_size), but of its page.
 */
#include <hypercall/compat.h>
#include <hypercall/instruction.h>
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/abi.h>
#include <x86/memory.h>
#include <x86/paging.h>
#include <x86/time.h>
#include <xen/events.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/request.h>
#include <xen/shared.h>
#include <xen/vmrun.h>

#define YEAR_2020      1577836800u
#define COMPAT_PENDING 0x800
#define COMPAT_MASK    0x880
#define COMPAT_PORTS   1024

struct compat_poll {
	uint32_t ports;
	uint32_t nr_ports;
	uint32_t timeout[2];
};

struct compat_runstate {
	int32_t state;
	uint32_t state_entry_time[2];
	uint32_t time[4][2];
};

_Static_assert(sizeof(struct compat_runstate) == 44, "as in the 32-bit ABI");

/* By 32-bit code; arguments in ebx, ecx, edx. */
static int32_t call(uint32_t number, uint32_t first, uint32_t second, uint32_t third)
{
	const struct compat_registers before = {
		.eax = number, .ebx = first, .ecx = second, .edx = third
	};
	struct compat_registers after;

	call_in_compatibility_mode(hypercall_stub(), &before, &after);
	EXPECT_EQ(after.ebx, before.ebx);
	EXPECT_EQ(after.ecx, before.ecx);
	EXPECT_EQ(after.edx, before.edx);
	return (int32_t)after.eax;
}

/* Memory that 32-bit code can point to, which all of the guest's RAM is; and its last bytes, with nothing behind. */
static void *at_page_end(size_t size)
{
	static const uintptr_t window = 0xe0000000;
	uint8_t *page = page_alloc();

	map_page(window, (uintptr_t)page, LEVEL_4K, PTE_P | PTE_W);
	map_page(window + PAGE_SIZE, 0, LEVEL_4K, 0);
	return (void *)(window + PAGE_SIZE - size);
}

TEST("a call of 32-bit code arrives with 32-bit registers, and says so")
{
	struct xen_record record;

	xen_events_begin();
	EXPECT_EQ(call(XEN_NUMBER_UNUSED, 0x81234567, 0x89abcdef, 0xfedcba98), -XEN_ENOSYS);
	record = xen_last_call();
	EXPECT_EQ(record.number, XEN_NUMBER_UNUSED);
	EXPECT_EQ(record.arguments[0], 0x81234567);
	EXPECT_EQ(record.arguments[1], 0x89abcdef);
	EXPECT_EQ(record.arguments[2], 0xfedcba98);
	EXPECT_FALSE(record.longmode);
	EXPECT_EQ(xen_hypercall(XEN_VMRUN_RECORD, XEN_RECORD_LATCHED), 1, "the guest's stays");
}

TEST("it sends events, in the layout of the guest")
{
	uint32_t *send = at_page_end(sizeof(*send));

	xen_events_begin();
	*send = xen_port(2000, 0);
	EXPECT_EQ(
		call(XEN_HYPERVISOR_EVENT_CHANNEL_OP, EVTCHNOP_SEND, (uint32_t)(uintptr_t)send, 0),
		0);
	EXPECT_TRUE(xen_port_pending(2000));
	EXPECT_EQ(xen_vcpu_info()->pending_sel, 1ul << 2000 / 64);
}

TEST("its poll has a struct of 16 bytes, and no more is read")
{
	struct compat_poll *poll = at_page_end(sizeof(*poll));
	uint32_t *ports = page_alloc(), at = (uint32_t)(uintptr_t)poll;

	xen_events_begin();
	ports[0] = xen_port(XEN_PORT_ANY, 0);
	ports[1] = xen_port(XEN_PORT_ANY, 0);
	xen_port_mask(ports[1]);
	EXPECT_EQ(xen_send(ports[1]), 0);
	*poll = (struct compat_poll){ (uint32_t)(uintptr_t)ports, 2, { 1, 0 } };
	EXPECT_EQ(call(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_POLL, at, 0), 0);
	poll->nr_ports = 129;
	EXPECT_EQ(call(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_POLL, at, 0), -XEN_EINVAL);
	EXPECT_EQ(call(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_POLL, at + 1, 0), -XEN_EFAULT);
	EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_POLL, at), -XEN_EFAULT,
		  "that of 64-bit code is longer");
}

TEST("its timer has a struct of 12 bytes, and no more is read")
{
	uint32_t *timer = at_page_end(12), at = (uint32_t)(uintptr_t)timer, port;

	xen_events_begin();
	port = xen_timer_port();
	timer[0] = 1;
	EXPECT_EQ(call(XEN_HYPERVISOR_VCPU_OP, VCPUOP_SET_SINGLESHOT_TIMER, 0, at), 0);
	EXPECT_TRUE(xen_port_take(port));
	EXPECT_EQ(call(XEN_HYPERVISOR_VCPU_OP, VCPUOP_SET_SINGLESHOT_TIMER, 0, at + 1),
		  -XEN_EFAULT);
	EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_VCPU_OP, VCPUOP_SET_SINGLESHOT_TIMER, 0, at),
		  -XEN_EFAULT, "that of 64-bit code is longer");
	EXPECT_FALSE(xen_port_pending(port));
}

TEST("its set_timer_op has the time in two registers")
{
	uint64_t when;
	uint32_t port;

	xen_events_begin();
	port = xen_timer_port();
	when = xen_now() + (3ull << 32);
	EXPECT_EQ(call(XEN_HYPERVISOR_SET_TIMER_OP, (uint32_t)when, (uint32_t)(when >> 32), 0), 0);
	EXPECT_FALSE(xen_port_pending(port));
	EXPECT_EQ(call(XEN_HYPERVISOR_SET_TIMER_OP, 1, 0, 0), 0);
	EXPECT_TRUE(xen_port_take(port));
	EXPECT_EQ(call(XEN_HYPERVISOR_SET_TIMER_OP, 0, 0, 0), 0);
}

/* The layout of 32-bit guests until the end of the point. */
static volatile uint8_t *compat_layout(void)
{
	xen_events_begin();
	memset((void *)xen_shared_info(), 0, PAGE_SIZE);
	ASSERT_EQ(xen_set_vm(XEN_VM_LONG_MODE, 0), 0);
	return (volatile uint8_t *)xen_shared_info();
}

static void native_layout(void)
{
	ASSERT_EQ(xen_set_vm(XEN_VM_LONG_MODE, 1), 0);
}

TEST("when the mode changes the wallclock is written in the new layout")
{
	volatile uint8_t *page = compat_layout();

	EXPECT_EQ(*(volatile uint32_t *)(page + 0x900) & 1, 0, "version");
	EXPECT_GE(*(volatile uint32_t *)(page + 0x904), YEAR_2020, "seconds");
	EXPECT_EQ(*(volatile uint32_t *)(page + 0xc04), 0, "none where 64-bit guests have it");
	native_layout();
	EXPECT_GE(*(volatile uint32_t *)(page + 0xc04), YEAR_2020, "and back");
}

TEST("events are pending in words of 32 bits, and selectors are, too")
{
	static const uint32_t ports[] = { 31, 32, 63, 64, 1022, 1023 };
	volatile uint8_t *page = compat_layout();
	volatile uint32_t *pending = (volatile uint32_t *)(page + COMPAT_PENDING);
	volatile uint8_t *info = (volatile uint8_t *)xen_vcpu_info();

	for (size_t i = 0; i < COUNT_OF(ports); i++) {
		uint32_t port = ports[i];

		memset((void *)page, 0, 64);
		memset((void *)pending, 0, 128);
		EXPECT_EQ(xen_vmm_send(port, 0, XEN_PRIORITY_2LEVEL), 0, "port %u", port);
		EXPECT_EQ(pending[port / 32], 1u << port % 32, "port %u", port);
		EXPECT_EQ(*(volatile uint32_t *)(info + 4), 1u << port / 32, "port %u", port);
		EXPECT_EQ(*(volatile uint32_t *)(info + 8), 0, "port %u", port);
		EXPECT_EQ(info[0], 1, "port %u", port);
	}
	native_layout();
	xen_upcall_take();
}

TEST("masks are those of the 32-bit layout")
{
	volatile uint8_t *page = compat_layout();

	*(volatile uint32_t *)(page + COMPAT_MASK + 4) = 1u << 8;
	EXPECT_EQ(xen_vmm_send(40, 0, XEN_PRIORITY_2LEVEL), 0);
	EXPECT_EQ(*(volatile uint32_t *)(page + COMPAT_PENDING + 4), 1u << 8);
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 0);
	EXPECT_EQ(xen_vmm_send(41, 0, XEN_PRIORITY_2LEVEL), 0);
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 1);
	native_layout();
	xen_upcall_take();
}

TEST("port 1023 is the last one")
{
	uint32_t port = COMPAT_PORTS;
	const struct xen_sched_poll poll = { &port, 1, 1 };

	compat_layout();
	EXPECT_EQ(xen_vmm_send(port - 1, 0, XEN_PRIORITY_2LEVEL), 0);
	EXPECT_EQ(xen_vmm_send(port, 0, XEN_PRIORITY_2LEVEL), VMRUN_EINVAL);
	EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_POLL, (uintptr_t)&poll),
		  -XEN_EINVAL);
	native_layout();
	EXPECT_EQ(xen_vmm_send(port, 0, XEN_PRIORITY_2LEVEL), 0);
	xen_port_take(port);
	xen_upcall_take();
}

TEST("states have 44 bytes, also where the 64-bit ones reach the next page")
{
	static const unsigned int offsets[] = { 0, PAGE_SIZE - 44, PAGE_SIZE - 20 };
	uint8_t *pages = pages_alloc(1);

	xen_skip_without(KVM_XEN_FLAG_RUNSTATE, "RUNSTATE");
	compat_layout();
	for (size_t i = 0; i < COUNT_OF(offsets); i++) {
		struct compat_runstate state;
		uint64_t sum = 0, entry;
		size_t other = 0;

		/* Nowhere at first: the old area may be written at any time. */
		ASSERT_EQ(xen_place_runstate(NULL), 0);
		memset(pages, 0xa5, 2 * PAGE_SIZE);
		ASSERT_EQ(xen_place_runstate(pages + offsets[i]), 0);
		memcpy(&state, pages + offsets[i], sizeof(state));
		for (unsigned int s = 0; s < 4; s++)
			sum += (uint64_t)state.time[s][1] << 32 | state.time[s][0];
		entry = (uint64_t)state.state_entry_time[1] << 32 | state.state_entry_time[0];
		EXPECT_EQ(sum, entry, "offset %u", offsets[i]);
		for (size_t b = 0; b < 2 * PAGE_SIZE; b++)
			other += (b < offsets[i] || b >= offsets[i] + 44) && pages[b] != 0xa5;
		EXPECT_EQ(other, 0, "offset %u", offsets[i]);
	}
	/* Placed as 44 bytes it has grown to 48 now, with four of them in the next page. */
	ASSERT_EQ(xen_place_runstate(pages + PAGE_SIZE - 44), 0);
	native_layout();
	memset(pages, 0, 2 * PAGE_SIZE);
	ASSERT_EQ(xen_set_vcpu(XEN_VCPU_RUNSTATE_CURRENT, RUNSTATE_OFFLINE), 0);
	EXPECT_NE(*(uint64_t *)(pages + PAGE_SIZE - 44 + 8), 0, "the entry time");
	ASSERT_EQ(xen_place_runstate(NULL), 0);
}

TEST("the hypercall page latches the mode of the guest, not of the code that writes the MSR's page")
{
	uint64_t mode;

	compat_layout();
	EXPECT_EQ(xen_get_vm(XEN_VM_LONG_MODE, &mode), 0);
	EXPECT_EQ(mode, 0);
	xen_page_new();
	EXPECT_EQ(xen_get_vm(XEN_VM_LONG_MODE, &mode), 0);
	EXPECT_EQ(mode, 1);
	EXPECT_GE(*(volatile uint32_t *)((volatile uint8_t *)xen_shared_info() + 0xc04), YEAR_2020,
		  "and writes the wallclock anew");
	xen_upcall_take();
}
