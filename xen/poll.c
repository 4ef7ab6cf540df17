// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched_op, poll: a vCPU waits for one of several ports, with interrupts as they are
 *
 * The call returns 0 when one of the ports is pending, when the time has come that it names (0: never), or for no
 * reason that is told; at once, if a port is pending already (public/sched.h, SCHEDOP_poll). Ports are mostly masked:
 * what is masked makes no upcall, but wakes who polls. More than 128 are -EINVAL, and so is one that cannot be; what
 * cannot be read is -EFAULT (Xen: common/sched/core.c, do_poll; KVM: xen.c, kvm_xen_schedop_poll, where the VMM has
 * turned on KVM_XEN_HVM_CONFIG_EVTCHN_SEND, else the call is a yield).
 *
 * The time is the system time, as that of timers is: do_poll() gives it to set_timer() as it stands.
 *
 * An event wakes all who poll its port, whichever vCPU the port is bound to (common/event_channel.c,
 * evtchn_check_pollers).
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <xen/events.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/request.h>
#include <xen/shared.h>

#define WAIT_MS 5000
#define MS	1000000ull
#define VECTOR	0x50
/* By then a poll that ends by itself has long done so. */
#define RESCUE_MS 800

static long poll_until(const uint32_t *ports, uint32_t count, uint64_t timeout)
{
	const struct xen_sched_poll poll = { ports, count, timeout };

	return xen_hypercall(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_POLL, (uintptr_t)&poll);
}

static uint32_t masked_port(void)
{
	uint32_t port = xen_port(XEN_PORT_ANY, 0);

	xen_port_mask(port);
	return port;
}

/* What another CPU does while this one polls: sends an event, and if that does not end it, an NMI, which always does. */
struct guard {
	uint32_t port; /* 0: none is sent */
	bool done, rescued;
};

static void guard_poll(void *argument)
{
	struct guard *guard = argument;

	if (guard->port) {
		/* So that the other one has long begun to wait. */
		delay_us(20000);
		EXPECT_EQ(xen_send(guard->port), 0);
	}
	if (WAIT_FOR(__atomic_load_n(&guard->done, __ATOMIC_ACQUIRE), RESCUE_MS))
		return;
	guard->rescued = true;
	apic_icr_write(ICR_NMI, cpu_apic_id(0));
}

static volatile unsigned int nmis;

static void take_nmi(struct x86_frame *frame)
{
	(void)frame;
	nmis++;
}

/* Polls until the port is pending, if there is one, else once. Returns whether it came to its end by itself. */
static bool polled(const uint32_t *ports, uint32_t count, uint64_t timeout, uint32_t port)
{
	struct guard guard = { .port = port };

	REQUIRE(cpu_count() >= 2);
	irq_handler(NMI, take_nmi);
	nmis = 0;
	on_cpu_start(1, guard_poll, &guard);
	do {
		EXPECT_EQ(poll_until(ports, count, timeout), 0);
	} while (port && !nmis && !xen_port_pending(port));
	__atomic_store_n(&guard.done, true, __ATOMIC_RELEASE);
	on_cpu_wait(1);
	return !guard.rescued;
}

/* Something is pending already: it does not wait. */
static bool ends_at_once(const uint32_t *ports, uint32_t count)
{
	return polled(ports, count, 0, 0);
}

TEST("a port that is pending already ends it at once, masked or not")
{
	uint32_t port;

	xen_events_begin();
	port = masked_port();
	EXPECT_EQ(xen_send(port), 0);
	EXPECT_TRUE(ends_at_once(&port, 1), "masked");
	xen_port_unmask(port);
	EXPECT_TRUE(ends_at_once(&port, 1), "not masked");
	EXPECT_TRUE(xen_port_pending(port), "it stays pending");
}

TEST("any of several ports that is pending ends it")
{
	uint32_t ports[5], all[XEN_POLL_PORTS];

	xen_events_begin();
	for (unsigned int i = 0; i < COUNT_OF(ports); i++)
		ports[i] = masked_port();
	for (unsigned int i = 0; i < COUNT_OF(ports); i++) {
		EXPECT_EQ(xen_send(ports[i]), 0);
		EXPECT_TRUE(ends_at_once(ports, COUNT_OF(ports)), "port %u of 5", i);
		xen_port_take(ports[i]);
	}
	for (unsigned int i = 0; i < COUNT_OF(all); i++)
		all[i] = ports[0];
	all[XEN_POLL_PORTS - 1] = ports[1];
	EXPECT_EQ(xen_send(ports[1]), 0);
	EXPECT_TRUE(ends_at_once(all, XEN_POLL_PORTS), "the last of 128");
}

/* Xen ends a poll for any reason that it has, and need not tell; KVM, on a host with nothing else to do, has none. */
static void expect_ended(uint64_t when, uint64_t seen)
{
	/* What is told in ticks of the host's clock may come one of them before. */
	if (!xen_itself())
		EXPECT_GE(seen + 10 * MS, when);
	EXPECT_LT(seen, when + 200 * MS);
}

TEST("its time is the system time: it ends then, and not before")
{
	uint64_t when, seen;
	uint32_t port;

	xen_events_begin();
	port = masked_port();
	when = xen_now() + 50 * MS;
	EXPECT_TRUE(polled(&port, 1, when, 0));
	seen = xen_now();
	expect_ended(when, seen);
}

TEST("a time that is past ends it at once")
{
	uint64_t start;
	uint32_t port;

	xen_events_begin();
	port = masked_port();
	/* So that it is long past, by any clock. */
	REQUIRE(WAIT_FOR(xen_now() > 600 * MS, WAIT_MS));
	start = xen_now();
	EXPECT_TRUE(polled(&port, 1, start - 10 * MS, 0));
	EXPECT_LT(xen_now() - start, 150 * MS);
}

TEST("more than 128 ports are refused, and none of the pointer is looked at")
{
	static const uint32_t counts[] = { 129, 1000, 1u << 31, ~0u };

	xen_events_begin();
	for (size_t i = 0; i < COUNT_OF(counts); i++)
		EXPECT_EQ(poll_until(NULL, counts[i], 1), -XEN_EINVAL, "%u", counts[i]);
}

TEST("a port that cannot be is refused, wherever it stands")
{
	uint32_t ports[3];

	xen_events_begin();
	for (unsigned int bad = 0; bad < 3; bad++) {
		for (unsigned int i = 0; i < 3; i++)
			ports[i] = masked_port();
		ports[bad] = XEN_PORTS;
		EXPECT_EQ(poll_until(ports, 3, 1), -XEN_EINVAL, "port %u", bad);
		EXPECT_EQ(poll_until(&ports[bad], 1, 1), -XEN_EINVAL, "alone");
		ports[bad] = ~0u;
		EXPECT_EQ(poll_until(ports, 3, 1), -XEN_EINVAL, "port %u", bad);
	}
}

TEST("the last port that can be is taken")
{
	const uint32_t last = XEN_PORTS - 1;

	xen_events_begin();
	if (xen_itself())
		SKIP("Xen gives this domain no such port");
	EXPECT_EQ(poll_until(&last, 1, 1), 0);
}

TEST("no ports and a time make it wait until then")
{
	uint64_t when;

	xen_events_begin();
	when = xen_now() + 50 * MS;
	EXPECT_TRUE(polled(NULL, 0, when, 0));
	expect_ended(when, xen_now());
}

/* Polls without an end in time; the event of the other CPU is what ends it. */
static void expect_woken(const uint32_t *ports, uint32_t count, uint32_t port, const char *what)
{
	xen_port_take(port);
	EXPECT_TRUE(polled(ports, count, 0, port), "%s", what);
	EXPECT_TRUE(xen_port_pending(port), "%s", what);
}

TEST("an event wakes who polls its masked port")
{
	uint32_t port;

	xen_events_begin();
	port = masked_port();
	expect_woken(&port, 1, port, "one port");
}

TEST("an event of any of several masked ports wakes who polls them")
{
	uint32_t ports[4];

	xen_events_begin();
	for (unsigned int i = 0; i < COUNT_OF(ports); i++)
		ports[i] = masked_port();
	for (unsigned int i = 0; i < COUNT_OF(ports); i += 3)
		expect_woken(ports, COUNT_OF(ports), ports[i], "several ports");
}

TEST("an event wakes who polls its unmasked port with interrupts disabled")
{
	uint32_t port;

	xen_events_begin();
	port = xen_port(XEN_PORT_ANY, 0);
	expect_woken(&port, 1, port, "without a vector");
}

TEST("so it does where the upcall is a vector of the vCPU's, which cannot come in")
{
	uint32_t port;

	xen_events_begin();
	port = xen_port(XEN_PORT_ANY, 0);
	ASSERT_EQ(xen_upcall_vector(VECTOR), 0);
	expect_woken(&port, 1, port, "with a vector");
	if (!xen_itself())
		EXPECT_EQ(xen_upcall_vector(0), 0);
}

TEST("and where the selector's bit of its word is set already")
{
	uint32_t port, other;

	xen_events_begin();
	port = xen_port(40, 0);
	other = xen_port(41, 0);
	EXPECT_EQ(xen_send(other), 0);
	/* Else Xen does not let it wait (local_events_need_delivery). */
	xen_vcpu_info()->upcall_pending = 0;
	expect_woken(&port, 1, port, "selector set");
}

TEST("an event wakes who polls a port that is bound to another vCPU")
{
	uint32_t port;

	xen_events_begin();
	REQUIRE(cpu_count() >= 2);
	port = xen_port(XEN_PORT_ANY, 1);
	xen_port_mask(port);
	expect_woken(&port, 1, port, "masked");
}

static volatile bool interrupted;

static void note_interrupt(struct x86_frame *frame)
{
	(void)frame;
	interrupted = true;
	apic_eoi();
}

TEST("an interrupt that can come in ends it, and comes in")
{
	uint32_t port;

	xen_events_begin();
	port = masked_port();
	irq_handler(VECTOR + 1, note_interrupt);
	/* An upcall of a point before. */
	irq_handler(VECTOR, note_interrupt);
	irq_window();
	interrupted = false;
	apic_timer_start(LVT_TIMER_PERIODIC, VECTOR + 1, 10 * apic_timer_khz());
	irq_enable();
	EXPECT_TRUE(polled(&port, 1, 0, 0));
	irq_disable();
	apic_timer_stop();
	EXPECT_TRUE(interrupted);
}

TEST("without EVTCHN_SEND it is a yield, which waits for nothing and reads nothing")
{
	uint32_t port;

	xen_events_begin();
	port = masked_port();
	ASSERT_EQ(xen_configure(KVM_XEN_FLAG_INTERCEPT), 0);
	EXPECT_TRUE(ends_at_once(&port, 1));
	EXPECT_EQ(poll_until(NULL, 1000, 0), 0);
}

TEST("yield returns 0, whatever else it is given")
{
	static const uintptr_t arguments[] = { 0, 1, ~(uintptr_t)0 };

	xen_events_begin();
	for (size_t i = 0; i < COUNT_OF(arguments); i++)
		EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD, arguments[i]), 0);
}
