// SPDX-License-Identifier: BSD-2-Clause
/*
 * Synthetic timers
 *
 * Each CPU has four (TLFS, "Synthetic Timers"). A timer expires at its count, in units of 100 ns of
 * the reference counter, or periodically; it then posts a message to the slot of its SINT, or raises
 * a vector directly. Writing the count may enable it (auto-enable), and a count of 0 disables it; a
 * one-shot timer disables itself when it has expired. KVM: arch/x86/kvm/hyperv.c, stimer_set_config()
 * to kvm_hv_process_stimers(). It treats all periodic timers as lazy: a tick whose slot is in use is
 * dropped. A one-shot message waits for the slot, until EOM or the EOI of its vector.
 *
 * Messages that wait, or go to a SINT or a SynIC that is off, are in hyperv/stimer_waiting.c. Linux
 * 6.12 and 7.2 do the same in all that is here, but that 6.12 computes the nanoseconds of a count
 * that is far ahead with an overflow.
 */
#include <hyperv/synic.h>
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/smp.h>
#include <x86/time.h>

#define VECTOR	 0x40 /* of timer 0; the others have those behind */
#define SINT	 2    /* likewise */
#define MS	 10000ull
#define LIMIT_MS 2000
#define NEVER	 (1ull << 56) /* 200 years; in nanoseconds it fits into 63 bits */

static volatile unsigned int taken[2][HV_STIMERS];

static void take(struct x86_frame *frame)
{
	taken[cpu_id()][frame->vector - VECTOR]++;
	apic_eoi();
}

static struct hv_synic synic_with_timers(void)
{
	struct hv_synic synic = hv_synic_new();

	for (unsigned int timer = 0; timer < HV_STIMERS; timer++) {
		irq_handler(VECTOR + timer, take);
		hv_sint_set(SINT + timer, VECTOR + timer);
	}
	/* What is pending yet is of the point before. */
	irq_window();
	memset((void *)taken, 0, sizeof(taken));
	return synic;
}

static uint32_t config_of(unsigned int timer)
{
	return HV_X64_MSR_STIMER0_CONFIG + 2 * timer;
}

static uint32_t count_of(unsigned int timer)
{
	return HV_X64_MSR_STIMER0_COUNT + 2 * timer;
}

static uint64_t now(void)
{
	return rdmsr(HV_X64_MSR_TIME_REF_COUNT);
}

static void start(unsigned int timer, uint64_t config, uint64_t count)
{
	wrmsr(config_of(timer), config);
	wrmsr(count_of(timer), count);
}

/* By message, each timer to its own SINT; by vector. */
static uint64_t by_message(unsigned int timer)
{
	return HV_STIMER_AUTO | HV_STIMER_SINT(SINT + timer);
}

static uint64_t directly(unsigned int timer)
{
	return HV_STIMER_AUTO | HV_STIMER_DIRECT | HV_STIMER_VECTOR(VECTOR + timer);
}

/* Interrupts are let in while it waits. */
static bool interrupts(unsigned int timer, unsigned int count)
{
	irq_window();
	return taken[0][timer] >= count;
}

static void expect_interrupts(unsigned int timer, unsigned int count)
{
	EXPECT_TRUE(WAIT_FOR(interrupts(timer, count), LIMIT_MS), "timer %u, interrupt %u", timer,
		    count);
}

static volatile struct hv_timer_message *payload_of(volatile struct hv_message *message)
{
	return (volatile struct hv_timer_message *)message->payload;
}

/* Of this timer, and delivered when it was due or later. Returns when it expired. */
static uint64_t expect_message(volatile struct hv_message *message, unsigned int timer)
{
	volatile struct hv_timer_message *payload = payload_of(message);

	EXPECT_EQ(message->type, HV_MESSAGE_TIMER_EXPIRED);
	EXPECT_EQ(message->size, sizeof(*payload));
	EXPECT_EQ(payload->index, timer);
	EXPECT_GE(payload->delivery_time, payload->expiration_time);
	EXPECT_LE(payload->delivery_time, now());
	return payload->expiration_time;
}

TEST("a timer keeps what is written, and each CPU and timer its own")
{
	static const uint64_t configs[] = { HV_STIMER_SINT(3), HV_STIMER_SINT(15) | HV_STIMER_LAZY,
					    HV_STIMER_PERIODIC | HV_STIMER_SINT(1),
					    HV_STIMER_DIRECT | HV_STIMER_VECTOR(0xef) };

	synic_with_timers();
	for (unsigned int i = 0; i < HV_STIMERS; i++)
		start(i, configs[i], NEVER + i);
	for (unsigned int i = 0; i < HV_STIMERS; i++) {
		EXPECT_EQ(rdmsr(config_of(i)), configs[i], "timer %u", i);
		EXPECT_EQ(rdmsr(count_of(i)), NEVER + i, "timer %u", i);
	}
}

static void expect_untouched(void *unused)
{
	(void)unused;
	for (unsigned int i = 0; i < 2 * HV_STIMERS; i++)
		EXPECT_EQ(rdmsr(HV_X64_MSR_STIMER0_CONFIG + i), 0);
}

TEST("the timers of another CPU are 0 at first, and stay so")
{
	REQUIRE(cpu_count() >= 2);
	synic_with_timers();
	on_cpu(1, expect_untouched, NULL);
	start(0, by_message(0), NEVER);
	on_cpu(1, expect_untouched, NULL);
}

TEST("writing the count enables a timer with auto-enable, and no other")
{
	synic_with_timers();
	for (unsigned int i = 0; i < HV_STIMERS; i++) {
		start(i, by_message(i), NEVER);
		EXPECT_EQ(rdmsr(config_of(i)), by_message(i) | HV_STIMER_ENABLE);
		start(i, HV_STIMER_SINT(SINT), NEVER);
		EXPECT_EQ(rdmsr(config_of(i)), HV_STIMER_SINT(SINT));
	}
}

TEST("a count of 0 disables a timer, with auto-enable too")
{
	synic_with_timers();
	start(1, by_message(1), NEVER);
	wrmsr(count_of(1), 0);
	EXPECT_EQ(rdmsr(config_of(1)), by_message(1));
	wrmsr(count_of(1), NEVER);
	EXPECT_EQ(rdmsr(config_of(1)), by_message(1) | HV_STIMER_ENABLE);
}

TEST("a timer that is enabled is disabled by SINT 0, unless it is direct")
{
	synic_with_timers();
	start(1, by_message(1), NEVER);
	wrmsr(config_of(1), HV_STIMER_ENABLE | HV_STIMER_SINT(0));
	EXPECT_EQ(rdmsr(config_of(1)), 0);
	start(1, by_message(1), NEVER);
	wrmsr(config_of(1), HV_STIMER_ENABLE | HV_STIMER_DIRECT | HV_STIMER_VECTOR(VECTOR));
	EXPECT_EQ(rdmsr(config_of(1)),
		  HV_STIMER_ENABLE | HV_STIMER_DIRECT | HV_STIMER_VECTOR(VECTOR));
}

static void expect_one_shot(unsigned int timer, struct hv_synic synic, uint64_t count)
{
	start(timer, by_message(timer), count);
	expect_interrupts(timer, 1);
	EXPECT_EQ(expect_message(&synic.messages[SINT + timer], timer), count);
	EXPECT_EQ(rdmsr(config_of(timer)), by_message(timer), "disabled");
	EXPECT_EQ(rdmsr(count_of(timer)), count);
}

TEST("a one-shot timer posts one message at its count, and disables itself")
{
	struct hv_synic synic = synic_with_timers();

	for (unsigned int timer = 0; timer < HV_STIMERS; timer++)
		expect_one_shot(timer, synic, now() + 2 * MS);
	for (unsigned int timer = 0; timer < HV_STIMERS; timer++)
		EXPECT_EQ(taken[0][timer], 1);
}

TEST("a one-shot timer does not expire before its count")
{
	const uint64_t count = now() + 3 * MS;
	struct hv_synic synic = synic_with_timers();
	bool early = false;

	start(0, by_message(0), count);
	for (uint64_t time = 0; time < count;) {
		const bool expired = synic.messages[SINT].type;

		time = now();
		early |= expired && time < count;
	}
	EXPECT_FALSE(early);
	expect_interrupts(0, 1);
}

TEST("a one-shot timer whose count is past expires at once")
{
	struct hv_synic synic = synic_with_timers();

	start(0, by_message(0), 1);
	EXPECT_EQ(expect_message(&synic.messages[SINT], 0), 1);
	expect_interrupts(0, 1);
	start(1, by_message(1), now());
	expect_interrupts(1, 1);
}

TEST("a one-shot timer can be started again by its count")
{
	struct hv_synic synic = synic_with_timers();

	for (unsigned int i = 1; i <= 3; i++) {
		const uint64_t count = now() + MS / 2;

		start(0, by_message(0), count);
		expect_interrupts(0, i);
		EXPECT_EQ(expect_message(&synic.messages[SINT], 0), count);
		hv_message_done(&synic.messages[SINT]);
	}
}

static void expect_far(uint64_t count)
{
	synic_with_timers();
	start(0, by_message(0), count);
	start(1, by_message(1) | HV_STIMER_PERIODIC, count);
	start(2, directly(2), count);
	delay_us(1000);
	irq_window();
	for (unsigned int timer = 0; timer < HV_STIMERS; timer++)
		EXPECT_EQ(taken[0][timer], 0, "timer %u, count 0x%llx", timer,
			  (unsigned long long)count);
}

TEST("a timer far ahead does not expire")
{
	expect_far(NEVER);
}

/* KVM's own timers count nanoseconds (stimer_add_delta). */
TEST("a timer so far ahead that nanoseconds cannot tell does not expire either")
{
	expect_far(1ull << 60);
	expect_far(1ull << 62);
	expect_far(1ull << 63);
	expect_far(~0ull);
}

static void stop(unsigned int timer)
{
	if (timer == 0)
		wrmsr(count_of(timer), 0);
	else
		wrmsr(config_of(timer), timer == 1 ? by_message(timer) : 0);
}

/* Returns when they are due; with them stopped, by which time they should not have been due yet. */
static uint64_t start_and_stop(uint64_t ahead)
{
	const uint64_t due = now() + ahead;

	start(0, by_message(0), due);
	start(1, by_message(1), due);
	start(2, directly(2) | HV_STIMER_PERIODIC, ahead);
	for (unsigned int timer = 0; timer < 3; timer++)
		stop(timer);
	return due;
}

TEST("a timer that is stopped does not expire")
{
	uint64_t due, ahead = 2 * MS;

	/* On a busy host more time than that may pass before they are stopped. */
	do {
		synic_with_timers();
		ahead *= 2;
		REQUIRE(ahead < 2000 * MS);
		due = start_and_stop(ahead);
	} while (now() >= due);
	start(3, directly(3), due + MS);
	expect_interrupts(3, 1);
	for (unsigned int timer = 0; timer < 3; timer++)
		EXPECT_EQ(taken[0][timer], 0, "timer %u", timer);
}

static void expect_ticks(struct hv_synic synic, uint64_t flags)
{
	const uint64_t period = MS, first = now() + period;
	uint64_t before = 0;

	start(1, by_message(1) | HV_STIMER_PERIODIC | flags, period);
	for (unsigned int tick = 1; tick <= 5; tick++) {
		uint64_t expired;

		expect_interrupts(1, tick);
		expired = expect_message(&synic.messages[SINT + 1], 1);
		EXPECT_GE(expired, tick == 1 ? first : before + period);
		if (tick > 1)
			EXPECT_EQ((expired - before) % period, 0, "tick %u", tick);
		before = expired;
		hv_message_done(&synic.messages[SINT + 1]);
	}
	EXPECT_EQ(rdmsr(config_of(1)),
		  by_message(1) | HV_STIMER_PERIODIC | flags | HV_STIMER_ENABLE);
	wrmsr(config_of(1), 0);
}

TEST("a periodic timer posts a message each time, a whole number of periods apart")
{
	expect_ticks(synic_with_timers(), 0);
}

TEST("a lazy periodic timer does the same")
{
	expect_ticks(synic_with_timers(), HV_STIMER_LAZY);
}

/* One tick may be on its way when the slot becomes free; those before it are lost. */
TEST("the ticks of a periodic timer do not pile up while its slot is in use")
{
	struct hv_synic synic = synic_with_timers();
	volatile struct hv_message *message = &synic.messages[SINT + 1];
	uint64_t first, freed;

	start(1, by_message(1) | HV_STIMER_PERIODIC, MS);
	expect_interrupts(1, 1);
	first = expect_message(message, 1);
	delay_us(5000);
	irq_window();
	EXPECT_EQ(taken[0][1], 1);
	EXPECT_EQ(payload_of(message)->expiration_time, first);
	EXPECT_EQ(message->flags, 0, "nothing is pending");
	freed = now();
	EXPECT_GE(freed, first + 4 * MS);
	hv_message_done(message);
	expect_interrupts(1, 2);
	EXPECT_GT(expect_message(message, 1), first);
	hv_message_done(message);
	expect_interrupts(1, 3);
	EXPECT_GT(expect_message(message, 1), freed);
	wrmsr(config_of(1), 0);
}

TEST("a direct timer raises its vector and posts nothing, once")
{
	struct hv_synic synic = synic_with_timers();

	for (unsigned int timer = 0; timer < HV_STIMERS; timer++) {
		start(timer, directly(timer), now() + MS);
		expect_interrupts(timer, 1);
		EXPECT_EQ(rdmsr(config_of(timer)), directly(timer));
	}
	for (unsigned int sint = 0; sint < HV_SYNIC_SINTS; sint++)
		EXPECT_EQ(synic.messages[sint].type, 0, "SINT%u", sint);
}

TEST("a direct timer may be periodic")
{
	synic_with_timers();
	start(2, directly(2) | HV_STIMER_PERIODIC, MS);
	expect_interrupts(2, 4);
	wrmsr(config_of(2), 0);
}

TEST("a direct timer needs no page, no SINT and no SCONTROL")
{
	synic_with_timers();
	wrmsr(HV_X64_MSR_SIMP, 0);
	wrmsr(HV_X64_MSR_SCONTROL, 0);
	start(0, directly(0), now() + MS);
	expect_interrupts(0, 1);
}

TEST("all four at once: one-shot, periodic, direct, and periodic direct")
{
	struct hv_synic synic = synic_with_timers();

	start(0, by_message(0), now() + 3 * MS);
	start(1, by_message(1) | HV_STIMER_PERIODIC, MS);
	start(2, directly(2), now() + 2 * MS);
	start(3, directly(3) | HV_STIMER_PERIODIC, MS);
	expect_interrupts(3, 3);
	expect_interrupts(1, 1);
	expect_interrupts(2, 1);
	expect_interrupts(0, 1);
	expect_message(&synic.messages[SINT], 0);
	expect_message(&synic.messages[SINT + 1], 1);
	EXPECT_EQ(synic.messages[SINT + 2].type, 0);
	EXPECT_EQ(synic.messages[SINT + 3].type, 0);
	EXPECT_EQ(taken[0][0], 1);
	EXPECT_EQ(taken[0][1], 1, "its slot is in use");
	EXPECT_EQ(taken[0][2], 1);
}

static void start_on_1(void *synic)
{
	*(struct hv_synic *)synic = synic_with_timers();
	start(3, by_message(3), now() + MS);
}

TEST("a timer is that of the CPU it was started on, and wakes it")
{
	struct hv_synic synic;

	REQUIRE(cpu_count() >= 2);
	synic_with_timers();
	on_cpu(1, start_on_1, &synic);
	EXPECT_TRUE(WAIT_FOR(taken[1][3], LIMIT_MS));
	expect_message(&synic.messages[SINT + 3], 3);
	EXPECT_EQ(taken[0][3], 0);
}

TEST("a timer wakes this CPU from HLT, by message and directly")
{
	synic_with_timers();
	start(0, by_message(0), now() + MS);
	irq_enable_and_halt();
	irq_disable();
	EXPECT_EQ(taken[0][0], 1);
	start(1, directly(1), now() + MS);
	irq_enable_and_halt();
	irq_disable();
	EXPECT_EQ(taken[0][1], 1);
}
