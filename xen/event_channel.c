// SPDX-License-Identifier: BSD-2-Clause
/*
 * event_channel_op: ports, from their making to their end
 *
 * A port is made unbound, for another domain or oneself to bind to, or bound to a virtual interrupt or to an IPI of a
 * vCPU. An event that is sent through one port of a pair becomes pending at the other: its bit in shared_info is set
 * (public/event_channel.h, public/xen.h; common/event_channel.c). Here both ends are the guest's.
 *
 * KVM answers EVTCHNOP_send alone, where its VMM has asked for that, and vmrun does not: there the file is skipped as
 * a whole. The port of the console, which the runtime uses, is left alone: so nothing is reset here.
 */
#include <test/test.h>
#include <x86/memory.h>
#include <xen/hypercall.h>
#include <xen/ops.h>
#include <xen/page.h>

#define WORD_BITS (8 * sizeof(unsigned long))

static long channel_op(unsigned int operation, void *argument)
{
	return xen_hypercall(XEN_HYPERVISOR_EVENT_CHANNEL_OP, operation, (uintptr_t)argument);
}

/* Once for all points. The page latches the layout, which is that of the caller's mode (hvm_latch_shinfo_size). */
static volatile unsigned long *shared_info(void)
{
	static volatile unsigned long *page;
	struct xen_add_to_physmap map = { .domid = XEN_DOMID_SELF };

	xen_page_new();
	if (!page) {
		page = page_alloc();
		map.gpfn = (uintptr_t)page >> PAGE_SHIFT;
		REQUIRE(!xen_hypercall(XEN_HYPERVISOR_MEMORY_OP, XENMEM_ADD_TO_PHYSMAP,
				       (uintptr_t)&map));
	}
	return page;
}

static bool take_pending(uint32_t port)
{
	volatile unsigned long *words =
		shared_info() + XEN_SHARED_INFO_PENDING / sizeof(unsigned long);
	unsigned long bit = 1ul << port % WORD_BITS;

	return __atomic_fetch_and(&words[port / WORD_BITS], ~bit, __ATOMIC_ACQ_REL) & bit;
}

static uint32_t status_of(uint32_t port)
{
	struct xen_evtchn_status status = { .dom = XEN_DOMID_SELF, .port = port, .status = ~0u };

	EXPECT_EQ(channel_op(EVTCHNOP_STATUS, &status), 0);
	return status.status;
}

static uint32_t unbound_port(void)
{
	struct xen_evtchn_alloc_unbound port = { .dom = XEN_DOMID_SELF,
						 .remote_dom = XEN_DOMID_SELF };

	shared_info();
	ASSERT_EQ(channel_op(EVTCHNOP_ALLOC_UNBOUND, &port), 0);
	return port.port;
}

static void close_port(uint32_t port)
{
	EXPECT_EQ(channel_op(EVTCHNOP_CLOSE, &port), 0);
}

static uint32_t bound_to(uint32_t remote)
{
	struct xen_evtchn_bind_interdomain bind = { .remote_dom = XEN_DOMID_SELF,
						    .remote_port = remote };

	ASSERT_EQ(channel_op(EVTCHNOP_BIND_INTERDOMAIN, &bind), 0);
	return bind.local_port;
}

TEST("a port is unbound, then closed, as its status says")
{
	uint32_t port = unbound_port();

	EXPECT_NE(port, 0);
	EXPECT_EQ(status_of(port), EVTCHNSTAT_UNBOUND);
	close_port(port);
	EXPECT_EQ(status_of(port), EVTCHNSTAT_CLOSED);
}

TEST("two ports of one domain make a channel, until one is closed")
{
	uint32_t first = unbound_port(), second = bound_to(first);

	EXPECT_NE(first, second);
	EXPECT_EQ(status_of(first), EVTCHNSTAT_INTERDOMAIN);
	EXPECT_EQ(status_of(second), EVTCHNSTAT_INTERDOMAIN);
	close_port(second);
	EXPECT_EQ(status_of(first), EVTCHNSTAT_UNBOUND);
	close_port(first);
}

TEST("an event that is sent through one end becomes pending at the other, and there alone")
{
	uint32_t first = unbound_port(), second = bound_to(first);

	take_pending(first);
	take_pending(second);
	EXPECT_EQ(channel_op(EVTCHNOP_SEND, &first), 0);
	EXPECT_TRUE(take_pending(second), "the other end");
	EXPECT_FALSE(take_pending(first), "the sender's end");
	EXPECT_EQ(channel_op(EVTCHNOP_SEND, &second), 0);
	EXPECT_TRUE(take_pending(first), "the way back");
	close_port(second);
	close_port(first);
}

TEST("a virtual interrupt is bound once for a vCPU")
{
	struct xen_evtchn_bind_virq bind = { .virq = VIRQ_TIMER }, again = bind, none = bind;

	shared_info();
	ASSERT_EQ(channel_op(EVTCHNOP_BIND_VIRQ, &bind), 0);
	EXPECT_EQ(status_of(bind.port), EVTCHNSTAT_VIRQ);
	EXPECT_EQ(channel_op(EVTCHNOP_BIND_VIRQ, &again), -XEN_EEXIST, "again");
	none.virq = 1000;
	EXPECT_EQ(channel_op(EVTCHNOP_BIND_VIRQ, &none), -XEN_EINVAL, "virtual interrupt 1000");
	close_port(bind.port);
}

TEST("an IPI's port is its sender's, too")
{
	struct xen_evtchn_bind_ipi bind = { .vcpu = 0 }, none = { .vcpu = 100 };

	shared_info();
	ASSERT_EQ(channel_op(EVTCHNOP_BIND_IPI, &bind), 0);
	EXPECT_EQ(status_of(bind.port), EVTCHNSTAT_IPI);
	take_pending(bind.port);
	EXPECT_EQ(channel_op(EVTCHNOP_SEND, &bind.port), 0);
	EXPECT_TRUE(take_pending(bind.port));
	EXPECT_EQ(channel_op(EVTCHNOP_BIND_IPI, &none), -XEN_ENOENT, "vCPU 100");
	close_port(bind.port);
}

TEST("a port that is closed, or none, is -EINVAL to send through and to close")
{
	uint32_t closed = unbound_port(), none = 1 << 20;

	close_port(closed);
	EXPECT_EQ(channel_op(EVTCHNOP_SEND, &closed), -XEN_EINVAL, "send, closed");
	EXPECT_EQ(channel_op(EVTCHNOP_CLOSE, &closed), -XEN_EINVAL, "close, closed");
	EXPECT_EQ(channel_op(EVTCHNOP_SEND, &none), -XEN_EINVAL, "send, none");
	EXPECT_EQ(channel_op(EVTCHNOP_CLOSE, &none), -XEN_EINVAL, "close, none");
}

TEST("an operation that nobody knows is -ENOSYS")
{
	uint64_t argument[4] = { 0 };

	xen_page_new();
	EXPECT_EQ(channel_op(60, argument), -XEN_ENOSYS);
}
