// SPDX-License-Identifier: BSD-2-Clause
/*
 * Event channels: what sending does to the bits, of every kind of port
 *
 * An event that is sent sets the pending bit of its port. If that was set already nothing more happens, and if the
 * port is masked neither. Else it sets the bit of the port's word in the selector of the vCPU to which the port is
 * bound, and if that was clear its upcall_pending (Xen: common/event_2l.c, evtchn_2l_set_pending; KVM: xen.c,
 * kvm_xen_set_evtchn_fast). A word has as many ports as it has bits: 32 in 32-bit guests, 64 in 64-bit ones, and there
 * are as many words: 1024 and 4096 ports.
 *
 * Here the ports are IPIs, which come back to the guest, and interrupts are disabled: xen/upcall.c has the interrupts.
 * On KVM a port that its VMM has not named is the VMM's, and a port that cannot be is refused to the VMM.
 */
#include <libc/array.h>
#include <test/test.h>
#include <vmrun/abi.h>
#include <x86/smp.h>
#include <xen/events.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/request.h>
#include <xen/vmrun.h>

#define LAST (XEN_PORTS - 1)

static unsigned long selector_of(uint32_t port)
{
	return 1ul << port / XEN_WORD_BITS;
}

/* On Xen but for those that are masked, as the port of the console is: dom0 sends to it when it likes. */
static unsigned int ports_pending(void)
{
	volatile struct xen_shared_info *shared = xen_shared_info();
	unsigned int count = 0;

	for (unsigned int word = 0; word < XEN_WORD_BITS; word++) {
		unsigned long pending = shared->pending[word];

		if (xen_itself())
			pending &= ~shared->mask[word];
		count += (unsigned int)__builtin_popcountl(pending);
	}
	return count;
}

/* Of words at their edges, and the last of each kind of guest. */
static const uint32_t edge_ports[] = { 31, 32, 33, 62, 63, 64, 65, 127, 128, 959, 991, 992, 1021 };

static void expect_sent(uint32_t port)
{
	volatile struct xen_vcpu_info *info = xen_vcpu_info();

	EXPECT_EQ(xen_send(port), 0, "port %u", port);
	EXPECT_TRUE(xen_port_pending(port), "port %u", port);
	EXPECT_EQ(ports_pending(), 1, "port %u and no other", port);
	EXPECT_EQ(info->pending_sel, selector_of(port), "port %u", port);
	EXPECT_EQ(info->upcall_pending, 1, "port %u", port);
}

TEST("an event sets the bits of its port, its word, and the upcall, at the edges of words")
{
	for (size_t i = 0; i < COUNT_OF(edge_ports); i++) {
		xen_events_begin();
		expect_sent(xen_port(edge_ports[i], 0));
	}
}

TEST("so it does of ports 1022 and 1023, the last of a 32-bit guest")
{
	for (uint32_t port = 1022; port < 1024; port++) {
		xen_events_begin();
		expect_sent(xen_port(port, 0));
	}
}

#ifdef __x86_64__
TEST("so it does of ports 1024 and 4095, which 64-bit guests alone have")
{
	static const uint32_t ports[] = { 1024, 2047, 2048, 4032, 4094, 4095 };

	for (size_t i = 0; i < COUNT_OF(ports); i++) {
		xen_events_begin();
		expect_sent(xen_port(ports[i], 0));
	}
}
#endif

TEST("sent twice it is pending once, and there is no second upcall")
{
	uint32_t port;

	xen_events_begin();
	port = xen_port(XEN_PORT_ANY, 0);
	expect_sent(port);
	xen_upcall_take();
	EXPECT_EQ(xen_send(port), 0);
	EXPECT_TRUE(xen_port_pending(port));
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 0);
	EXPECT_EQ(xen_vcpu_info()->pending_sel, 0);
}

TEST("taken and sent again it makes a new upcall")
{
	uint32_t port;

	xen_events_begin();
	port = xen_port(XEN_PORT_ANY, 0);
	for (unsigned int i = 0; i < 3; i++) {
		expect_sent(port);
		EXPECT_TRUE(xen_upcall_take());
		EXPECT_TRUE(xen_port_take(port));
	}
}

TEST("masked it is pending, and nothing more")
{
	uint32_t port;

	xen_events_begin();
	port = xen_port(XEN_PORT_ANY, 0);
	xen_port_mask(port);
	EXPECT_EQ(xen_send(port), 0);
	EXPECT_TRUE(xen_port_pending(port));
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 0);
	EXPECT_EQ(xen_vcpu_info()->pending_sel, 0);
}

/* What guests do about an event that came meanwhile is theirs, or EVTCHNOP_unmask, which KVM leaves to the VMM. */
TEST("unmasked in shared_info alone, what came before stays silent, and the next event after it is taken does not")
{
	uint32_t port;

	xen_events_begin();
	port = xen_port(XEN_PORT_ANY, 0);
	xen_port_mask(port);
	EXPECT_EQ(xen_send(port), 0);
	xen_port_unmask(port);
	EXPECT_EQ(xen_send(port), 0);
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 0, "it is pending already");
	xen_port_take(port);
	expect_sent(port);
}

TEST("a port's mask is its own: the neighbours are sent")
{
	static const uint32_t ports[] = { 40, 41, 42 };

	xen_events_begin();
	for (size_t i = 0; i < COUNT_OF(ports); i++)
		xen_port(ports[i], 0);
	xen_port_mask(41);
	for (size_t i = 0; i < COUNT_OF(ports); i++) {
		xen_upcall_take();
		EXPECT_EQ(xen_send(ports[i]), 0);
		EXPECT_EQ(xen_vcpu_info()->upcall_pending, ports[i] != 41, "port %u", ports[i]);
	}
}

TEST("a second port of a word makes no second upcall while the selector's bit is set")
{
	xen_events_begin();
	xen_port(40, 0);
	xen_port(41, 0);
	EXPECT_EQ(xen_send(40), 0);
	/* A handler that has taken the upcall, and not yet the selector. */
	xen_vcpu_info()->upcall_pending = 0;
	EXPECT_EQ(xen_send(41), 0);
	EXPECT_TRUE(xen_port_pending(41));
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 0);
}

TEST("ports of two words set both bits of the selector")
{
	xen_events_begin();
	xen_port(40, 0);
	xen_port(200, 0);
	EXPECT_EQ(xen_send(40), 0);
	EXPECT_EQ(xen_send(200), 0);
	EXPECT_EQ(xen_vcpu_info()->pending_sel, selector_of(40) | selector_of(200));
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 1);
}

/* PV guests' alone: an HVM guest has its interrupt flag (Xen: common/event_channel.c, vcpu_mark_events_pending). */
TEST("the upcall mask does not matter")
{
	uint32_t port;

	xen_events_begin();
	port = xen_port(XEN_PORT_ANY, 0);
	xen_vcpu_info()->upcall_mask = 1;
	expect_sent(port);
	EXPECT_EQ(xen_vcpu_info()->upcall_mask, 1);
	xen_vcpu_info()->upcall_mask = 0;
}

TEST("a port without an end is refused by Xen, and KVM leaves it to its VMM")
{
	const uint32_t ports[] = { 900, LAST, XEN_PORTS, XEN_PORTS + 40, 1u << 31, ~0u };
	const long refused = xen_itself() ? -XEN_EINVAL : -XEN_ENOSYS;

	xen_events_begin();
	for (size_t i = 0; i < COUNT_OF(ports); i++) {
		EXPECT_EQ(xen_send(ports[i]), refused, "port 0x%x", ports[i]);
		if (!xen_itself())
			EXPECT_EQ(xen_last_call().arguments[0], EVTCHNOP_SEND);
	}
	EXPECT_EQ(ports_pending(), 0);
}

/* Xen has a port 0, which is bound to nothing, and takes an event for it (common/event_channel.c, evtchn_send). */
TEST("port 0 is never pending, whoever sends to it")
{
	xen_events_begin();
	xen_send(0);
	EXPECT_FALSE(xen_port_pending(0));
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 0);
	if (xen_itself())
		return;
	EXPECT_EQ(xen_last_call().number, XEN_HYPERVISOR_EVENT_CHANNEL_OP);
	EXPECT_EQ(xen_vmm_send(0, 0, XEN_PRIORITY_2LEVEL), VMRUN_EINVAL);
	EXPECT_FALSE(xen_port_pending(0));
}

TEST("what KVM delivers does not reach its VMM")
{
	unsigned long count;
	uint32_t port;

	xen_skip_without_vmrun();
	xen_events_begin();
	port = xen_port(XEN_PORT_ANY, 0);
	count = xen_calls_counted();
	for (unsigned int i = 0; i < 5; i++)
		EXPECT_EQ(xen_send(port), 0);
	EXPECT_EQ(xen_calls_counted(), count);
}

TEST("all other operations are the VMM's")
{
	uint64_t argument[4] = { 0 };
	unsigned long count;

	xen_skip_without_vmrun();
	xen_events_begin();
	count = xen_calls_counted();
	for (unsigned int operation = 0; operation < 16; operation++)
		if (operation != EVTCHNOP_SEND)
			EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_EVENT_CHANNEL_OP, operation,
						(uintptr_t)argument),
				  -XEN_ENOSYS, "operation %u", operation);
	EXPECT_EQ(xen_calls_counted() - count, 15);
}

static void send_from_here(void *port)
{
	EXPECT_EQ(xen_send(*(uint32_t *)port), 0);
}

TEST("any vCPU may send: the event is of the vCPU to which the port is bound")
{
	uint32_t port;

	xen_events_begin();
	REQUIRE(cpu_count() >= 2);
	port = xen_port(XEN_PORT_ANY, 0);
	on_cpu(1, send_from_here, &port);
	EXPECT_TRUE(xen_port_pending(port));
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 1);
	EXPECT_EQ(xen_vcpu_info()->pending_sel, selector_of(port));
}

TEST("a port that is closed is sent no more")
{
	uint32_t port;

	xen_events_begin();
	port = xen_port(XEN_PORT_ANY, 0);
	xen_port_close(port);
	EXPECT_EQ(xen_send(port), xen_itself() ? -XEN_EINVAL : -XEN_ENOSYS);
	EXPECT_FALSE(xen_port_pending(port));
}
