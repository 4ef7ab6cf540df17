// SPDX-License-Identifier: BSD-2-Clause
/*
 * Timers of a vCPU: an event, VIRQ_TIMER, when the system time has come
 *
 * Two calls set the one timer: vcpu_op, set_singleshot_timer, of the caller's own vCPU, with a struct of 16 bytes in
 * 64-bit guests and 12 in 32-bit ones; and set_timer_op, whose argument is the time, in 32-bit code in two registers, and 0
 * stops it. A time that is past fires at once. set_timer_op takes times that no guest can mean, negative ones and such as
 * lie more than 2^50 ns (13 days) ahead, for overflows of a Linux guest's, and fires after 100 ms (Xen: common/
 * sched/core.c, do_set_timer_op; common/domain.c, do_vcpu_op; KVM: xen.c, kvm_xen_start_timer). In Xen the two are timers of
 * their own, of one event; so a test stops by the call that it has set by.
 *
 * The flag VCPU_SSHOTTMR_future (-ETIME where the time is past) is gone from Xen 4.18 and ignored by KVM; before, Xen
 * minded it: both are accepted. KVM answers both calls where its VMM has named the timer's port, else they are the VMM's.
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
#include <xen/vmrun.h>

#define VECTOR	0x50
#define WAIT_MS 5000
#define MS	1000000ull
#define FAR	(1ull << 50)

static uint32_t port;

static long singleshot_of(unsigned int vcpu, uint64_t when, uint32_t flags)
{
	struct xen_singleshot_timer timer = { .timeout_abs_ns = when, .flags = flags };

	return xen_hypercall(XEN_HYPERVISOR_VCPU_OP, VCPUOP_SET_SINGLESHOT_TIMER, vcpu,
			     (uintptr_t)&timer);
}

static long singleshot(uint64_t when)
{
	return singleshot_of(cpu_id(), when, 0);
}

static long stop_singleshot(void)
{
	return xen_hypercall(XEN_HYPERVISOR_VCPU_OP, VCPUOP_STOP_SINGLESHOT_TIMER, cpu_id());
}

static long set_timer(uint64_t when)
{
#ifdef __x86_64__
	return xen_hypercall(XEN_HYPERVISOR_SET_TIMER_OP, when);
#else
	return xen_hypercall(XEN_HYPERVISOR_SET_TIMER_OP, (uint32_t)when, (uint32_t)(when >> 32));
#endif
}

static long stop_timer(void)
{
	return set_timer(0);
}

static const struct way {
	const char *name;
	long (*set)(uint64_t when);
	long (*stop)(void);
} ways[] = {
	{ "set_singleshot_timer", singleshot, stop_singleshot },
	{ "set_timer_op", set_timer, stop_timer },
};

#define FOR_EACH_WAY(way) for (const struct way *way = ways; way < ways + COUNT_OF(ways); way++)

static void begin(void)
{
	xen_events_begin();
	port = xen_timer_port();
	stop_singleshot();
	stop_timer();
	xen_port_take(port);
	xen_upcall_take();
}

static bool fired(void)
{
	return xen_port_pending(port);
}

/* Waits for the event; when it came, by the system time. */
static uint64_t wait_for_it(void)
{
	EXPECT_TRUE(WAIT_FOR(fired(), WAIT_MS));
	return xen_now();
}

static void read_number(void *result)
{
	xen_get_vcpu(XEN_VCPU_ID, result);
}

/* xen.c, kvm_xen_init_vcpu: that is what it means to set. First, as later points tell KVM. */
TEST("a vCPU of which the VMM has said nothing is known by its own number")
{
	uint64_t first, second;

	xen_shared_info();
	read_number(&first);
	EXPECT_EQ(first, 0);
	REQUIRE(cpu_count() >= 2);
	on_cpu(1, read_number, &second);
	EXPECT_EQ(second, 1);
}

TEST("a timer fires at its time: not before, and not long after")
{
	begin();
	FOR_EACH_WAY(way)
	{
		uint64_t when = xen_now() + 5 * MS, seen;

		xen_port_take(port);
		EXPECT_EQ(way->set(when), 0, "%s", way->name);
		seen = wait_for_it();
		EXPECT_GE(seen, when, "%s", way->name);
		/* The host is an emulated one. */
		EXPECT_LT(seen, when + 1000 * MS, "%s", way->name);
	}
}

TEST("its event is one like others: selector and upcall")
{
	begin();
	EXPECT_EQ(singleshot(xen_now() + MS), 0);
	wait_for_it();
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 1);
	EXPECT_EQ(xen_vcpu_info()->pending_sel, 1ul << port / XEN_WORD_BITS);
}

TEST("a time that is past fires at once")
{
	begin();
	FOR_EACH_WAY(way)
	{
		const uint64_t times[] = { 1, xen_now() / 2, xen_now() };

		for (size_t i = 0; i < COUNT_OF(times); i++) {
			xen_port_take(port);
			EXPECT_EQ(way->set(times[i]), 0, "%s, %zu", way->name, i);
			/* Xen fires it by an interrupt of its own; KVM before the call is done. */
			EXPECT_TRUE(xen_itself() ? WAIT_FOR(fired(), 100) : fired(), "%s, %zu",
				    way->name, i);
		}
	}
}

TEST("it fires once")
{
	begin();
	EXPECT_EQ(singleshot(xen_now() + MS), 0);
	wait_for_it();
	xen_port_take(port);
	delay_us(5000);
	EXPECT_FALSE(fired());
}

TEST("a timer that is stopped does not fire")
{
	begin();
	FOR_EACH_WAY(way)
	{
		EXPECT_EQ(way->set(xen_now() + 40 * MS), 0, "%s", way->name);
		EXPECT_EQ(way->stop(), 0, "%s", way->name);
		delay_us(50000);
		EXPECT_FALSE(fired(), "%s", way->name);
		EXPECT_EQ(way->stop(), 0, "%s, stopped already", way->name);
	}
}

TEST("a timer that is set again fires at the new time alone, be it later or sooner")
{
	begin();
	FOR_EACH_WAY(way)
	{
		uint64_t first = xen_now() + 40 * MS, later = first + 40 * MS;

		xen_port_take(port);
		EXPECT_EQ(way->set(first), 0);
		EXPECT_EQ(way->set(later), 0);
		/* Else it fired between the two calls. */
		REQUIRE(xen_now() < first);
		EXPECT_GE(wait_for_it(), later, "%s, later", way->name);
		xen_port_take(port);
		EXPECT_EQ(way->set(xen_now() + 3000 * MS), 0);
		later = xen_now() + 1000 * MS;
		EXPECT_EQ(way->set(xen_now() + MS), 0);
		EXPECT_LT(wait_for_it(), later, "%s, sooner", way->name);
		xen_port_take(port);
	}
}

/* Where it lies far ahead it does not fire; all of its bits count. */
TEST("set_singleshot_timer takes any time as it is, however far ahead")
{
	static const uint64_t ahead[] = { 1ull << 32, 1ull << 40, FAR, 1ull << 62 };

	begin();
	for (size_t i = 0; i < COUNT_OF(ahead); i++) {
		EXPECT_EQ(singleshot(xen_now() + ahead[i]), 0);
		delay_us(i == 2 ? 130000 : 1000);
		EXPECT_FALSE(fired(), "%zu", i);
	}
	stop_singleshot();
}

TEST("set_timer_op fires 100 ms from now for a negative time, and for one more than 2^50 ns ahead")
{
	const uint64_t times[] = { 1ull << 63, ~0ull, xen_now() + 2 * FAR };

	begin();
	for (size_t i = 0; i < COUNT_OF(times); i++) {
		uint64_t start = xen_now(), seen;

		xen_port_take(port);
		EXPECT_EQ(set_timer(times[i]), 0);
		seen = wait_for_it();
		EXPECT_GE(seen - start, 99 * MS, "%zu", i);
		EXPECT_LT(seen - start, 1000 * MS, "%zu", i);
	}
}

/* Of its argument the high half must have arrived: else it would be past, and fire at once. */
TEST("set_timer_op keeps a time less than 2^50 ns ahead as it is")
{
	begin();
	EXPECT_EQ(set_timer(xen_now() + FAR / 2), 0);
	delay_us(130000);
	EXPECT_FALSE(fired());
	EXPECT_EQ(set_timer(xen_now() + (5ull << 32)), 0);
	delay_us(1000);
	EXPECT_FALSE(fired());
	stop_timer();
}

TEST("another vCPU's timer is refused, and so is that of none")
{
	const long none = xen_itself() ? -XEN_ENOENT : -XEN_EINVAL;

	begin();
	REQUIRE(cpu_count() >= 2);
	EXPECT_EQ(singleshot_of(1, 1, 0), -XEN_EINVAL, "set, another's");
	EXPECT_EQ(singleshot_of(100, 1, 0), none, "set, nobody's");
	EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_VCPU_OP, VCPUOP_STOP_SINGLESHOT_TIMER, 1),
		  -XEN_EINVAL, "stop, another's");
	EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_VCPU_OP, VCPUOP_STOP_SINGLESHOT_TIMER, 100), none,
		  "stop, nobody's");
	EXPECT_FALSE(fired());
}

TEST("the vCPU's number is what the VMM says")
{
	uint64_t id;

	begin();
	xen_get_vcpu(XEN_VCPU_ID, &id);
	EXPECT_EQ(id, 0);
	EXPECT_EQ(xen_set_vcpu(XEN_VCPU_ID, 7), 0);
	EXPECT_EQ(singleshot_of(0, 1, 0), -XEN_EINVAL);
	EXPECT_FALSE(fired());
	EXPECT_EQ(singleshot_of(7, 1, 0), 0);
	EXPECT_TRUE(fired());
	EXPECT_EQ(xen_set_vcpu(XEN_VCPU_ID, 0), 0);
	EXPECT_EQ(xen_set_vcpu(XEN_VCPU_ID, 1u << 31), -XEN_EINVAL, "no vCPU has that");
}

TEST("with the flag for the future a time ahead is taken, and one that is past fires or is -ETIME")
{
	long status;

	begin();
	EXPECT_EQ(singleshot_of(0, xen_now() + MS, VCPU_SSHOTTMR_FUTURE), 0);
	wait_for_it();
	xen_port_take(port);
	status = singleshot_of(0, 1, VCPU_SSHOTTMR_FUTURE);
	EXPECT_TRUE(status == 0 || (xen_itself() && status == -XEN_ETIME), "%ld", status);
	EXPECT_EQ(status == 0, xen_itself() ? WAIT_FOR(fired(), 10) : fired());
}

static volatile unsigned int taken;
static volatile uint64_t when_taken;

static void take(struct x86_frame *frame)
{
	(void)frame;
	taken++;
	when_taken = xen_now();
	xen_upcall_take();
	apic_eoi();
}

TEST("it wakes the vCPU from HLT")
{
	uint64_t when;

	begin();
	irq_handler(VECTOR, take);
	ASSERT_EQ(xen_upcall_vector(VECTOR), 0);
	irq_window();
	taken = 0;
	when = xen_now() + 10 * MS;
	EXPECT_EQ(set_timer(when), 0);
	irq_enable_and_halt();
	irq_disable();
	EXPECT_EQ(taken, 1);
	EXPECT_GE(when_taken, when);
}

#define TICKS  10
#define PERIOD (2 * MS)

static void take_and_set(struct x86_frame *frame)
{
	(void)frame;
	taken++;
	xen_port_take(port);
	xen_upcall_take();
	apic_eoi();
	if (taken < TICKS)
		singleshot(xen_now() + PERIOD);
}

TEST("set again by its handler it goes on")
{
	uint64_t start;

	begin();
	irq_handler(VECTOR, take_and_set);
	ASSERT_EQ(xen_upcall_vector(VECTOR), 0);
	irq_window();
	taken = 0;
	start = xen_now();
	EXPECT_EQ(singleshot(start + PERIOD), 0);
	EXPECT_TRUE(WAIT_FOR((irq_window(), taken == TICKS), WAIT_MS), "%u", taken);
	EXPECT_GE(xen_now() - start, TICKS * PERIOD);
	delay_us(5000);
	irq_window();
	EXPECT_EQ(taken, TICKS, "and ends");
}

static void time_other(void *result)
{
	uint32_t own;

	xen_vcpu_info();
	own = xen_timer_port();
	EXPECT_EQ(singleshot_of(1, 1, 0), 0);
	*(bool *)result = WAIT_FOR(xen_port_pending(own), 100);
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 1);
}

TEST("each vCPU has its own timer")
{
	bool other = false;

	begin();
	REQUIRE(cpu_count() >= 2);
	on_cpu(1, time_other, &other);
	EXPECT_TRUE(other);
	EXPECT_FALSE(fired());
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 0);
}

TEST("KVM answers both calls itself while the VMM has named a port, and neither without")
{
	struct xen_timer_attribute none = { 0 },
				   back = { .port = port, .priority = XEN_PRIORITY_2LEVEL };
	unsigned long count;

	xen_skip_without_vmrun();
	begin();
	back.port = port;
	count = xen_calls_counted();
	EXPECT_EQ(set_timer(1), 0);
	EXPECT_EQ(singleshot(1), 0);
	EXPECT_EQ(xen_calls_counted(), count);
	ASSERT_EQ(xen_set_vcpu_struct(XEN_VCPU_TIMER, &none, sizeof(none)), 0);
	EXPECT_EQ(set_timer(1), -XEN_ENOSYS);
	EXPECT_EQ(singleshot(1), -XEN_ENOSYS);
	EXPECT_EQ(stop_singleshot(), -XEN_ENOSYS);
	EXPECT_EQ(xen_calls_counted() - count, 3);
	ASSERT_EQ(xen_set_vcpu_struct(XEN_VCPU_TIMER, &back, sizeof(back)), 0);
}

TEST("the VMM reads when the timer is to fire, and can set that itself")
{
	struct xen_timer_attribute timer;
	uint64_t when;

	xen_skip_without_vmrun();
	begin();
	when = xen_now() + 500 * MS;
	EXPECT_EQ(singleshot(when), 0);
	ASSERT_EQ(xen_get_vcpu_struct(XEN_VCPU_TIMER, &timer, sizeof(timer)), 0);
	EXPECT_EQ(timer.port, port);
	EXPECT_EQ(timer.priority, XEN_PRIORITY_2LEVEL);
	EXPECT_EQ(timer.expires_ns, when);
	timer.expires_ns = xen_now() + 3 * MS;
	ASSERT_EQ(xen_set_vcpu_struct(XEN_VCPU_TIMER, &timer, sizeof(timer)), 0);
	EXPECT_GE(wait_for_it(), timer.expires_ns);
	ASSERT_EQ(xen_get_vcpu_struct(XEN_VCPU_TIMER, &timer, sizeof(timer)), 0);
	EXPECT_EQ(timer.expires_ns, 0, "it has fired");
	timer.priority = 0;
	EXPECT_EQ(xen_set_vcpu_struct(XEN_VCPU_TIMER, &timer, sizeof(timer)), -XEN_EINVAL,
		  "events of another ABI");
}
