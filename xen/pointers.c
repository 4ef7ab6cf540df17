// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a hypercall's pointer may be
 *
 * Calls read their arguments by linear addresses, with the rights of the guest's kernel. What cannot be read, not even
 * in part, makes a call -EFAULT and does nothing; a page that may not be written can be read. A struct that ends with a page is
 * read in full, whatever lies behind: it is as long as in the ABI of the caller, no longer (Xen: copy_from_guest();
 * KVM: kvm_read_guest_virt() in xen.c).
 *
 *	call					64-bit	32-bit
 *	event_channel_op, send			4	4
 *	sched_op, poll				24	16	and 4 for each port
 *	vcpu_op, set_singleshot_timer		16	12
 */
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <x86/memory.h>
#include <x86/paging.h>
#include <xen/events.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/request.h>
#include <xen/shared.h>

static uint32_t port, port_of_timer;
static uint8_t *window; /* a page that is mapped, and one behind that is not */
static uint8_t *memory; /* the same page, mapped for good */

static void begin(void)
{
	xen_events_begin();
	port = xen_port(XEN_PORT_ANY, 0);
	port_of_timer = xen_timer_port();
	memory = page_alloc();
	window = (uint8_t *)VA_FREE;
	map_page((uintptr_t)window, (uintptr_t)memory, LEVEL_4K, PTE_P | PTE_W);
	map_page((uintptr_t)window + PAGE_SIZE, 0, LEVEL_4K, 0);
}

static long send_at(const void *at)
{
	return xen_hypercall(XEN_HYPERVISOR_EVENT_CHANNEL_OP, EVTCHNOP_SEND, (uintptr_t)at);
}

static long poll_at(const void *at)
{
	return xen_hypercall(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_POLL, (uintptr_t)at);
}

static long timer_at(const void *at)
{
	return xen_hypercall(XEN_HYPERVISOR_VCPU_OP, VCPUOP_SET_SINGLESHOT_TIMER, 0, (uintptr_t)at);
}

static uint32_t pending_port; /* which poll() finds pending, so that it does not wait */

static void fill_send(void *at)
{
	memcpy(at, &port, sizeof(port));
}

static void fill_poll(void *at)
{
	const struct xen_sched_poll poll = { .ports = &pending_port, .nr_ports = 1, .timeout = 1 };

	pending_port = port;
	xen_send(port);
	memcpy(at, &poll, sizeof(poll));
}

static void fill_timer(void *at)
{
	const struct xen_singleshot_timer timer = { .timeout_abs_ns = 1 };

	memcpy(at, &timer, sizeof(timer));
}

static bool send_done(void)
{
	return xen_port_take(port);
}

static bool timer_done(void)
{
	return xen_port_take(port_of_timer);
}

/* A poll leaves nothing behind by which one could tell. */
static bool poll_done(void)
{
	return xen_port_take(port);
}

static const struct call {
	const char *name;
	size_t size;
	long (*at)(const void *at);
	void (*fill)(void *at);
	bool (*done)(void);
} calls[] = {
	{ "send", sizeof(uint32_t), send_at, fill_send, send_done },
	{ "poll", sizeof(struct xen_sched_poll), poll_at, fill_poll, poll_done },
	{ "timer", sizeof(struct xen_singleshot_timer), timer_at, fill_timer, timer_done },
};

#define FOR_EACH_CALL(call) \
	for (const struct call *call = calls; call < calls + COUNT_OF(calls); call++)

_Static_assert(sizeof(struct xen_sched_poll) == (sizeof(long) == 8 ? 24 : 16), "the ABI's");
_Static_assert(sizeof(struct xen_singleshot_timer) == (sizeof(long) == 8 ? 16 : 12), "the ABI's");

TEST("a struct that ends with the last page that is there is read")
{
	begin();
	FOR_EACH_CALL(call)
	{
		uint8_t *at = window + PAGE_SIZE - call->size;

		call->fill(memory + PAGE_SIZE - call->size);
		EXPECT_EQ(call->at(at), 0, "%s", call->name);
		EXPECT_TRUE(call->done(), "%s", call->name);
	}
}

TEST("one that reaches beyond by a byte or more is -EFAULT, and nothing is done")
{
	begin();
	FOR_EACH_CALL(call)
	{
		for (size_t beyond = 1; beyond <= call->size; beyond++) {
			memset(memory, 0, PAGE_SIZE);
			EXPECT_EQ(call->at(window + PAGE_SIZE - call->size + beyond), -XEN_EFAULT,
				  "%s, %zu bytes", call->name, beyond);
			EXPECT_FALSE(call->done(), "%s, %zu bytes", call->name, beyond);
		}
	}
}

TEST("one that lies across two pages is read in full, cut at any byte")
{
	uint8_t *second;

	begin();
	second = page_alloc();
	map_page((uintptr_t)window + PAGE_SIZE, (uintptr_t)second, LEVEL_4K, PTE_P | PTE_W);
	FOR_EACH_CALL(call)
	{
		for (size_t beyond = 1; beyond < call->size; beyond++) {
			uint8_t *at = window + PAGE_SIZE - call->size + beyond;

			call->fill(at);
			EXPECT_EQ(call->at(at), 0, "%s, %zu bytes", call->name, beyond);
			EXPECT_TRUE(call->done(), "%s, %zu bytes", call->name, beyond);
		}
	}
}

TEST("a page that may not be written is read")
{
	begin();
	FOR_EACH_CALL(call)
	{
		call->fill(memory);
		map_page((uintptr_t)window, (uintptr_t)memory, LEVEL_4K, PTE_P);
		EXPECT_EQ(call->at(window), 0, "%s", call->name);
		EXPECT_TRUE(call->done(), "%s", call->name);
	}
}

TEST("a page of CPL 3 is read as well")
{
	begin();
	FOR_EACH_CALL(call)
	{
		call->fill(memory);
		map_page((uintptr_t)window, (uintptr_t)memory, LEVEL_4K, PTE_RAM);
		EXPECT_EQ(call->at(window), 0, "%s", call->name);
		EXPECT_TRUE(call->done(), "%s", call->name);
	}
}

TEST("addresses that are not mapped, or lead where nothing is, are -EFAULT")
{
	const uintptr_t addresses[] = {
		VA_FREE + PAGE_SIZE,
		VA_FREE + VA_FREE_SIZE - PAGE_SIZE,
	};

	begin();
	FOR_EACH_CALL(call)
	{
		for (size_t i = 0; i < COUNT_OF(addresses); i++) {
			EXPECT_EQ(call->at((void *)addresses[i]), -XEN_EFAULT, "%s, %zu",
				  call->name, i);
			EXPECT_FALSE(call->done(), "%s, %zu", call->name, i);
		}
	}
}

TEST("what is mapped and has no memory behind it is -EFAULT")
{
	begin();
	map_page((uintptr_t)window, memory_hole(), LEVEL_4K, PTE_P | PTE_W);
	FOR_EACH_CALL(call)
	{
		long status = call->at(window);

		/* Reading from there Xen gives ones, as a bus does: of them no call can be made. */
		EXPECT_TRUE(status == -XEN_EFAULT || (xen_itself() && status < 0), "%s: %ld",
			    call->name, status);
		EXPECT_FALSE(call->done(), "%s", call->name);
	}
}

#ifdef __x86_64__
/*
 * Neither Xen's walk of the guest's page tables nor KVM's looks at bits 63 to 48 (Xen: mm/guest_walk.c; KVM: mmu/
 * paging_tmpl.h), and no ABI says what such an address is.
 */
TEST("addresses that are not canonical are -EFAULT, or those of their low 48 bits")
{
	static const uintptr_t high_bits[] = {
		1ul << 48, 1ul << 52, 1ul << 62, 1ul << 63, 0xfffful << 48,
	};

	begin();
	FOR_EACH_CALL(call)
	{
		for (size_t i = 0; i < COUNT_OF(high_bits); i++) {
			const void *at = (void *)((uintptr_t)memory | high_bits[i]);
			long status;

			call->fill(memory);
			status = call->at(at);
			EXPECT_TRUE(status == 0 || status == -XEN_EFAULT, "%s at %p: %ld",
				    call->name, at, status);
			EXPECT_TRUE(call->done() || status, "%s at %p", call->name, at);
			EXPECT_EQ(call->at((void *)(1ul << 47)), -XEN_EFAULT, "%s", call->name);
		}
	}
}

TEST("an address counts with all of its bits")
{
	begin();
	FOR_EACH_CALL(call)
	{
		call->fill(memory);
		EXPECT_EQ(call->at((void *)((uintptr_t)memory | 1ul << 46)), -XEN_EFAULT, "%s",
			  call->name);
		call->done();
		call->fill(memory);
		EXPECT_EQ(call->at(memory), 0, "%s", call->name);
		EXPECT_TRUE(call->done(), "%s", call->name);
	}
}
#endif

TEST("the ports of a poll are read like the rest: at the end of a page, beyond it, and nowhere")
{
	struct xen_sched_poll poll = { .timeout = 1 };
	uint32_t *last;

	begin();
	last = (uint32_t *)(window + PAGE_SIZE) - 4;
	for (unsigned int i = 0; i < 4; i++)
		last[i] = port;
	xen_send(port);
	for (uint32_t count = 1; count <= 4; count++) {
		poll.ports = last;
		poll.nr_ports = count;
		EXPECT_EQ(poll_at(&poll), 0, "%u ports", count);
	}
	xen_port_take(port);
	/* Xen reads port by port: the first that is pending would end it. */
	poll.nr_ports = 5;
	EXPECT_EQ(poll_at(&poll), -XEN_EFAULT, "the fifth is beyond");
	poll.ports = (uint32_t *)(window + PAGE_SIZE);
	poll.nr_ports = 1;
	EXPECT_EQ(poll_at(&poll), -XEN_EFAULT, "nowhere");
	poll.nr_ports = 2;
	EXPECT_EQ(poll_at(&poll), -XEN_EFAULT, "two, nowhere");
}
