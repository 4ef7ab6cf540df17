// SPDX-License-Identifier: BSD-2-Clause
/*
 * The interrupt that an event makes, by a vector of the vCPU's APIC or by the callback of all
 *
 * By the first (public/hvm/hvm_op.h, HVMOP_set_evtchn_upcall_vector) each upcall is a message to the vCPU's own APIC:
 * it comes once, and is to be ended by an EOI. By the second (public/hvm/params.h, HVM_PARAM_CALLBACK_IRQ) the vector
 * is delivered as long as upcall_pending is set and interrupts are enabled, and needs no EOI: the APIC knows nothing
 * of it (Xen: hvm/irq.c, hvm_assert_evtchn_irq and hvm_vcpu_has_pending_irq; KVM: xen.c, kvm_xen_set_evtchn_fast and
 * __kvm_xen_has_interrupt). Both wake a vCPU from HLT. Vectors below 16 are no interrupts.
 *
 * This file is two tests: with "callback" on the command line all is done by the callback. On Xen a vCPU that has once
 * had a vector of its own keeps one.
 */
#include <libc/array.h>
#include <test/test.h>
#include <vmrun/abi.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/platform.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <xen/events.h>
#include <xen/page.h>
#include <xen/request.h>
#include <xen/shared.h>

#define VECTOR	0x50
#define WAIT_MS 5000
#define CPUS	4

static volatile unsigned int taken[CPUS];

static bool by_callback(void)
{
	return cmdline_has("callback");
}

static int set_vector(uint8_t vector)
{
	return by_callback() ? xen_callback_vector(vector) : xen_upcall_vector(vector);
}

static void take(struct x86_frame *frame)
{
	(void)frame;
	taken[cpu_id()]++;
	xen_upcall_take();
	if (!by_callback())
		apic_eoi();
}

static void begin_cpu(void *unused)
{
	(void)unused;
	xen_vcpu_info();
	xen_upcall_take();
	ASSERT_EQ(set_vector(VECTOR), 0);
	/* What may be pending yet is of the point before. */
	irq_window();
	irq_window();
	taken[cpu_id()] = 0;
}

static void begin(void)
{
	xen_events_begin();
	irq_handler(VECTOR, take);
	begin_cpu(NULL);
}

TEST("an event interrupts the vCPU, once")
{
	uint32_t port;

	begin();
	port = xen_port(XEN_PORT_ANY, 0);
	EXPECT_EQ(xen_send(port), 0);
	irq_window();
	EXPECT_EQ(taken[0], 1);
	for (unsigned int i = 0; i < 3; i++)
		irq_window();
	EXPECT_EQ(taken[0], 1);
}

TEST("it waits until interrupts are enabled")
{
	uint32_t port;

	begin();
	port = xen_port(XEN_PORT_ANY, 0);
	EXPECT_EQ(xen_send(port), 0);
	delay_us(1000);
	EXPECT_EQ(taken[0], 0);
	EXPECT_EQ(apic_requested(VECTOR), !by_callback(), "in the APIC");
	irq_window();
	EXPECT_EQ(taken[0], 1);
	EXPECT_FALSE(apic_requested(VECTOR));
}

TEST("an upcall that is taken before interrupts are enabled comes by a vector all the same, and not by the callback")
{
	uint32_t port;

	begin();
	port = xen_port(XEN_PORT_ANY, 0);
	EXPECT_EQ(xen_send(port), 0);
	xen_upcall_take();
	irq_window();
	EXPECT_EQ(taken[0], by_callback() ? 0 : 1);
}

TEST("masked, and pending already, it does not interrupt")
{
	uint32_t port;

	begin();
	port = xen_port(XEN_PORT_ANY, 0);
	xen_port_mask(port);
	EXPECT_EQ(xen_send(port), 0);
	irq_window();
	EXPECT_EQ(taken[0], 0, "masked");
	xen_port_unmask(port);
	EXPECT_EQ(xen_send(port), 0);
	irq_window();
	EXPECT_EQ(taken[0], 0, "pending already");
	xen_port_take(port);
	EXPECT_EQ(xen_send(port), 0);
	irq_window();
	EXPECT_EQ(taken[0], 1, "neither");
}

TEST("two events of one word are one interrupt")
{
	begin();
	xen_port(40, 0);
	xen_port(41, 0);
	EXPECT_EQ(xen_send(40), 0);
	EXPECT_EQ(xen_send(41), 0);
	irq_window();
	irq_window();
	EXPECT_EQ(taken[0], 1);
	EXPECT_TRUE(xen_port_pending(40) && xen_port_pending(41));
}

TEST("in HLT it wakes the vCPU")
{
	uint32_t port;

	begin();
	port = xen_port(XEN_PORT_ANY, 0);
	EXPECT_EQ(xen_send(port), 0);
	irq_enable_and_halt();
	irq_disable();
	EXPECT_EQ(taken[0], 1);
}

static void keep_flag(struct x86_frame *frame)
{
	(void)frame;
	if (++taken[0] == 3)
		xen_upcall_take();
	if (!by_callback())
		apic_eoi();
}

TEST("a handler that leaves upcall_pending set is called again by the callback, and not by a vector")
{
	uint32_t port;

	begin();
	irq_handler(VECTOR, keep_flag);
	port = xen_port(XEN_PORT_ANY, 0);
	EXPECT_EQ(xen_send(port), 0);
	for (unsigned int i = 0; i < 6; i++)
		irq_window();
	EXPECT_EQ(taken[0], by_callback() ? 3 : 1);
	xen_upcall_take();
}

static void no_eoi(struct x86_frame *frame)
{
	(void)frame;
	taken[0]++;
	xen_upcall_take();
}

TEST("a vector is in service until its EOI, and the callback never is")
{
	uint32_t port;

	begin();
	irq_handler(VECTOR, no_eoi);
	port = xen_port(XEN_PORT_ANY, 0);
	EXPECT_EQ(xen_send(port), 0);
	irq_window();
	EXPECT_EQ(taken[0], 1);
	EXPECT_EQ(apic_in_service(VECTOR), !by_callback());
	xen_port_take(port);
	EXPECT_EQ(xen_send(port), 0);
	irq_window();
	EXPECT_EQ(taken[0], by_callback() ? 2 : 1);
	if (!by_callback()) {
		apic_eoi();
		irq_window();
		EXPECT_EQ(taken[0], 2);
		apic_eoi();
	}
}

TEST("another vector, the lowest and the highest that a handler may have, serves from then on")
{
	static const uint8_t vectors[] = { 0x20, 0x31, 0xef };
	uint32_t port;

	begin();
	port = xen_port(XEN_PORT_ANY, 0);
	for (size_t i = 0; i < COUNT_OF(vectors); i++) {
		irq_handler(vectors[i], take);
		ASSERT_EQ(set_vector(vectors[i]), 0);
		irq_handler(VECTOR, NULL);
		xen_port_take(port);
		taken[0] = 0;
		EXPECT_EQ(xen_send(port), 0);
		irq_window();
		EXPECT_EQ(taken[0], 1, "vector 0x%x", vectors[i]);
	}
	irq_handler(VECTOR, take);
	ASSERT_EQ(set_vector(VECTOR), 0);
}

/* Xen checks the vector of a vCPU alone (hvm/hvm.c, hvmop_set_evtchn_upcall_vector). */
TEST("a vector below 16 is refused")
{
	begin();
	if (by_callback() && xen_itself())
		SKIP("Xen does not check the callback's vector");
	for (uint8_t vector = 1; vector < 16; vector++)
		EXPECT_EQ(set_vector(vector), VMRUN_EINVAL, "vector %u", vector);
	/* Xen raises the vector when it is set, and 16 has no handler. */
	if (!xen_itself())
		EXPECT_EQ(set_vector(16), 0);
	EXPECT_EQ(set_vector(VECTOR), 0);
}

static void begin_and_wait(void *argument)
{
	uint32_t *ready = argument;

	begin_cpu(NULL);
	__atomic_add_fetch(ready, 1, __ATOMIC_RELEASE);
	WAIT_FOR((irq_window(), taken[cpu_id()]), WAIT_MS);
}

TEST("with four vCPUs each event interrupts its own vCPU alone")
{
	uint32_t ready = 0;

	begin();
	REQUIRE(cpu_count() >= CPUS);
	for (unsigned int cpu = 1; cpu < CPUS; cpu++)
		on_cpu_start(cpu, begin_and_wait, &ready);
	REQUIRE(WAIT_FOR(__atomic_load_n(&ready, __ATOMIC_ACQUIRE) == CPUS - 1, WAIT_MS));
	for (unsigned int cpu = 1; cpu < CPUS; cpu++) {
		EXPECT_EQ(taken[cpu], 0, "CPU %u", cpu);
		EXPECT_EQ(xen_send(xen_port(XEN_PORT_ANY, cpu)), 0);
		EXPECT_TRUE(WAIT_FOR(taken[cpu] == 1, WAIT_MS), "CPU %u", cpu);
		on_cpu_wait(cpu);
	}
	irq_window();
	EXPECT_EQ(taken[0], 0);
}

struct pair {
	uint32_t port[2];
	unsigned int rounds;
	bool ready;
};

/* An interrupt, and the port's event; a handler may find that there is nothing to do, and is called again. */
static bool wait_for_event(const struct pair *pair)
{
	unsigned int self = cpu_id(), before = taken[self];

	return WAIT_FOR((irq_window(), taken[self] != before && xen_port_take(pair->port[self])),
			WAIT_MS);
}

static void play(void *argument)
{
	struct pair *pair = argument;

	begin_cpu(NULL);
	__atomic_store_n(&pair->ready, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < pair->rounds && wait_for_event(pair); i++)
		xen_send(pair->port[!cpu_id()]);
}

TEST("two vCPUs that answer each other's events lose none")
{
	struct pair pair = { .rounds = 50 };
	unsigned int done = 0;

	begin();
	REQUIRE(cpu_count() >= 2);
	pair.port[0] = xen_port(XEN_PORT_ANY, 0);
	pair.port[1] = xen_port(XEN_PORT_ANY, 1);
	on_cpu_start(1, play, &pair);
	REQUIRE(WAIT_FOR(__atomic_load_n(&pair.ready, __ATOMIC_ACQUIRE), WAIT_MS));
	for (; done < pair.rounds; done++) {
		EXPECT_EQ(xen_send(pair.port[1]), 0);
		if (!wait_for_event(&pair))
			break;
	}
	on_cpu_wait(1);
	EXPECT_EQ(done, pair.rounds);
}
