// SPDX-License-Identifier: BSD-2-Clause
/*
 * The runtime: time
 *
 * A test that waits for a timer of the hypervisor compares it with time that it can trust: the TSC,
 * and the timer of the local APIC. Here these two are held against each other.
 *
 * The APIC's timer counts down from its initial count; at 0 it raises its interrupt, once
 * (one-shot) or time and again (periodic), or not at all if the LVT entry is masked. An initial
 * count of 0 stops it. In TSC-deadline mode it fires when the TSC reaches the MSR's value, which
 * then reads 0. A virtual machine may be late by any time, as it may not run; but never early.
 *
 * Sources: Intel SDM volume 3, "APIC Timer"; AMD APM volume 2, section 16.4.1.
 */
#include <test/test.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/msr.h>
#include <x86/time.h>

#define VECTOR	  0x70
#define WAIT_MS	  5000
#define SHOT_MS	  10
#define SILENT_MS 30

/* Early by less than this much in a thousand is the calibration's error. */
#define TOLERANCE 50

static volatile unsigned int shots;
static volatile uint64_t shot_time;

static void count_shot(struct x86_frame *frame)
{
	(void)frame;
	shot_time = rdtsc();
	shots++;
	apic_eoi();
}

/*
 * Enables interrupts; returns the TSC at the start. What an earlier timer left pending comes first.
 */
static uint64_t start(uint32_t mode, uint64_t count)
{
	uint64_t now;

	irq_handler(VECTOR, count_shot);
	irq_enable();
	shots = 0;
	now = rdtsc();
	apic_timer_start(mode, VECTOR, count);
	return now;
}

static void stop(void)
{
	apic_timer_stop();
	irq_window(); /* lets in what is pending already */
	irq_disable();
}

static void expect_not_early(uint64_t started, uint64_t milliseconds)
{
	uint64_t ticks = tsc_khz() * milliseconds;

	EXPECT_GE(shot_time - started, ticks - ticks * TOLERANCE / 1000);
}

TEST("the TSC never goes back")
{
	uint64_t last = rdtsc();

	for (unsigned int i = 0; i < 100000; i++) {
		uint64_t now = rdtsc();

		if (!EXPECT_GE(now, last))
			break;
		last = now;
	}
}

TEST("WAIT_FOR() ends when its condition holds, and when its time is over")
{
	unsigned int looks = 0;
	uint64_t started;

	EXPECT_TRUE(WAIT_FOR(++looks, WAIT_MS));
	EXPECT_EQ(looks, 1);
	started = rdtsc();
	EXPECT_FALSE(WAIT_FOR(false, SHOT_MS));
	EXPECT_GE(rdtsc() - started, tsc_khz() * SHOT_MS);
}

TEST("delay_us() lasts as long as it says")
{
	uint64_t started = rdtsc();

	delay_us(1000 * SHOT_MS);
	EXPECT_GE(rdtsc() - started, tsc_khz() * SHOT_MS);
}

TEST("a one-shot timer fires once, and not early")
{
	uint64_t khz = apic_timer_khz();
	uint64_t started = start(LVT_TIMER_ONE_SHOT, khz * SHOT_MS);

	EXPECT_TRUE(WAIT_FOR(shots, WAIT_MS));
	expect_not_early(started, SHOT_MS);
	EXPECT_FALSE(WAIT_FOR(shots > 1, SILENT_MS));
	EXPECT_EQ(apic_read(APIC_TIMER_CURRENT), 0);
	stop();
}

TEST("a periodic timer fires again and again, and not early")
{
	uint64_t khz = apic_timer_khz();
	uint64_t started = start(LVT_TIMER_PERIODIC, khz * SHOT_MS);

	EXPECT_TRUE(WAIT_FOR(shots >= 5, WAIT_MS));
	stop();
	expect_not_early(started, SHOT_MS * shots);
}

TEST("a masked timer counts, and fires not")
{
	uint64_t khz = apic_timer_khz();

	start(LVT_TIMER_ONE_SHOT | LVT_MASKED, khz * SHOT_MS);
	EXPECT_TRUE(WAIT_FOR(apic_read(APIC_TIMER_CURRENT) == 0, WAIT_MS));
	EXPECT_FALSE(WAIT_FOR(shots, SILENT_MS));
	EXPECT_FALSE(apic_requested(VECTOR));
	stop();
}

TEST("a stopped timer fires not")
{
	uint64_t khz = apic_timer_khz();

	start(LVT_TIMER_PERIODIC, khz * SHOT_MS);
	apic_write(APIC_TIMER_INITIAL, 0);
	EXPECT_EQ(apic_read(APIC_TIMER_CURRENT), 0);
	/* Before it was stopped it may have fired, if this CPU did not run for so long. */
	shots = 0;
	EXPECT_FALSE(WAIT_FOR(shots, SILENT_MS));
	stop();
}

TEST("the timer wakes a halted CPU")
{
	uint64_t khz = apic_timer_khz();

	/* That it fires again and again is what ends the HLT. */
	start(LVT_TIMER_PERIODIC, khz * SHOT_MS);
	ASSERT_TRUE(WAIT_FOR(shots >= 2, WAIT_MS));
	irq_disable();
	shots = 0;
	irq_enable_and_halt();
	irq_disable();
	EXPECT_GE(shots, 1);
	stop();
}

TEST("a TSC deadline fires once, not early, and is then 0")
{
	uint64_t deadline;

	if (!has_tsc_deadline())
		SKIP("this CPU has no TSC-deadline timer");
	deadline = rdtsc() + tsc_khz() * SHOT_MS;
	start(LVT_TIMER_DEADLINE, deadline);
	EXPECT_TRUE(WAIT_FOR(shots, WAIT_MS));
	EXPECT_GE(shot_time, deadline);
	EXPECT_FALSE(WAIT_FOR(shots > 1, SILENT_MS));
	EXPECT_EQ(rdmsr(MSR_IA32_TSC_DEADLINE), 0);
	stop();
}
