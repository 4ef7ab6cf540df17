// SPDX-License-Identifier: BSD-2-Clause
/*
 * Messages of synthetic timers that cannot be delivered as usual
 *
 * A message whose slot is in use waits, and the slot's flag says so: the guest frees the slot and
 * writes EOM, or ends the interrupt by an EOI, and gets it (TLFS, "SynIC Messages"). While the message
 * page is disabled, it waits too. The message of a masked SINT is delivered all the same, and its
 * interrupt is lost; so it is when the APIC is disabled. While SCONTROL disables the SynIC, nothing
 * is directed to it (TLFS, "SCONTROL Register").
 *
 * KVM: arch/x86/kvm/hyperv.c, synic_deliver_msg(), stimer_expiration(), kvm_hv_notify_acked_sint().
 * Up to Linux 7.2 it delivers the message of a masked SINT again after each EOM, and minds no
 * SCONTROL: host/kernel/patches/7.2/0020 and 0021 mend that.
 */
#include <hyperv/synic.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/time.h>

#define VECTOR	 0x40
#define SINT	 6
#define MS	 10000ull
#define LIMIT_MS 2000
#define CONFIG	 (HV_STIMER_AUTO | HV_STIMER_SINT(SINT))

static volatile unsigned int taken;
static struct hv_synic synic;
static volatile struct hv_message *slot;

static void take(struct x86_frame *frame)
{
	(void)frame;
	taken++;
	apic_eoi();
}

static void prepare(uint64_t sint)
{
	synic = hv_synic_new();
	slot = &synic.messages[SINT];
	irq_handler(VECTOR, take);
	/* What is pending yet is of the point before. */
	irq_window();
	hv_sint_set(SINT, sint);
	taken = 0;
}

/* Expires at once: what is due is done before the guest goes on. */
static uint64_t expire(unsigned int timer)
{
	const uint64_t count = rdmsr(HV_X64_MSR_TIME_REF_COUNT);

	wrmsr(HV_X64_MSR_STIMER0_CONFIG + 2 * timer, CONFIG);
	wrmsr(HV_X64_MSR_STIMER0_COUNT + 2 * timer, count);
	return count;
}

static uint64_t expired(void)
{
	return ((volatile struct hv_timer_message *)slot->payload)->expiration_time;
}

static uint32_t index_of(void)
{
	return ((volatile struct hv_timer_message *)slot->payload)->index;
}

static bool enabled(unsigned int timer)
{
	return rdmsr(HV_X64_MSR_STIMER0_CONFIG + 2 * timer) & HV_STIMER_ENABLE;
}

TEST("a message waits while its slot is in use, and the slot's flag says so")
{
	uint64_t first;

	prepare(VECTOR);
	first = expire(0);
	EXPECT_EQ(slot->flags, 0);
	expire(1);
	EXPECT_EQ(slot->flags, HV_MESSAGE_FLAG_PENDING);
	EXPECT_EQ(expired(), first);
	EXPECT_EQ(index_of(), 0);
	EXPECT_TRUE(enabled(1), "until its message is delivered");
}

TEST("a message that waits is delivered after EOM")
{
	uint64_t second;

	prepare(VECTOR);
	expire(0);
	second = expire(1);
	irq_window();
	EXPECT_EQ(taken, 1);
	EXPECT_EQ(index_of(), 0, "the slot was in use at the EOI");
	hv_message_done(slot);
	EXPECT_EQ(slot->type, HV_MESSAGE_TIMER_EXPIRED);
	EXPECT_EQ(index_of(), 1);
	EXPECT_EQ(expired(), second);
	EXPECT_EQ(slot->flags, 0);
	irq_window();
	EXPECT_EQ(taken, 2);
	EXPECT_FALSE(enabled(1));
}

static void free_and_take(struct x86_frame *frame)
{
	(void)frame;
	slot->type = 0;
	taken++;
	apic_eoi();
}

TEST("a message that waits is delivered after the EOI of its vector")
{
	prepare(VECTOR);
	irq_handler(VECTOR, free_and_take);
	expire(0);
	expire(1);
	irq_window();
	EXPECT_TRUE(WAIT_FOR((irq_window(), taken == 2), LIMIT_MS));
	EXPECT_EQ(index_of(), 1);
}

TEST("all that wait are delivered, one after each EOM")
{
	unsigned int seen = 0;

	prepare(VECTOR);
	for (unsigned int timer = 0; timer < HV_STIMERS; timer++)
		expire(timer);
	for (unsigned int i = 0; i < HV_STIMERS; i++) {
		EXPECT_EQ(slot->type, HV_MESSAGE_TIMER_EXPIRED);
		seen |= 1u << index_of();
		hv_message_done(slot);
	}
	EXPECT_EQ(seen, (1u << HV_STIMERS) - 1);
	EXPECT_EQ(slot->type, 0);
}

TEST("nothing comes after EOM when nothing waits")
{
	prepare(VECTOR);
	expire(0);
	irq_window();
	for (unsigned int i = 0; i < 3; i++)
		hv_message_done(slot);
	EXPECT_EQ(slot->type, 0);
	irq_window();
	EXPECT_EQ(taken, 1);
}

TEST("stopping a timer takes back the message that waits")
{
	prepare(VECTOR);
	expire(0);
	expire(1);
	wrmsr(HV_X64_MSR_STIMER0_CONFIG + 2, 0);
	hv_message_done(slot);
	EXPECT_EQ(slot->type, 0);
}

TEST("the message of a masked SINT is delivered, without an interrupt")
{
	uint64_t count;

	prepare(VECTOR | HV_SYNIC_SINT_MASKED);
	count = expire(0);
	EXPECT_EQ(slot->type, HV_MESSAGE_TIMER_EXPIRED);
	EXPECT_EQ(expired(), count);
	EXPECT_FALSE(apic_requested(VECTOR));
}

TEST("a one-shot timer with a masked SINT disables itself")
{
	prepare(VECTOR | HV_SYNIC_SINT_MASKED);
	expire(0);
	EXPECT_FALSE(enabled(0));
}

TEST("the message of a masked SINT does not come again after EOM")
{
	prepare(VECTOR | HV_SYNIC_SINT_MASKED);
	expire(0);
	hv_message_done(slot);
	EXPECT_EQ(slot->type, 0);
}

TEST("unmasking a SINT does not bring back the interrupt that was lost")
{
	prepare(VECTOR | HV_SYNIC_SINT_MASKED);
	expire(0);
	hv_sint_set(SINT, VECTOR);
	irq_window();
	EXPECT_EQ(taken, 0);
}

TEST("a message waits while the message page is disabled, and comes after EOM when it is not")
{
	uint64_t count;

	prepare(VECTOR);
	wrmsr(HV_X64_MSR_SIMP, (uintptr_t)synic.messages);
	count = expire(0);
	EXPECT_EQ(slot->type, 0);
	wrmsr(HV_X64_MSR_SIMP, (uintptr_t)synic.messages | HV_PAGE_ENABLE);
	wrmsr(HV_X64_MSR_EOM, 0);
	EXPECT_EQ(slot->type, HV_MESSAGE_TIMER_EXPIRED);
	EXPECT_EQ(expired(), count);
	irq_window();
	EXPECT_EQ(taken, 1);
}

TEST("no message is delivered while SCONTROL disables the SynIC")
{
	prepare(VECTOR);
	wrmsr(HV_X64_MSR_SCONTROL, 0);
	expire(0);
	EXPECT_EQ(slot->type, 0);
	irq_window();
	EXPECT_EQ(taken, 0);
}

TEST("a message goes to the page that is set when it is delivered")
{
	volatile struct hv_message *page = page_alloc();

	prepare(VECTOR);
	wrmsr(HV_X64_MSR_SIMP, (uintptr_t)page | HV_PAGE_ENABLE);
	expire(0);
	EXPECT_EQ(slot->type, 0);
	EXPECT_EQ(page[SINT].type, HV_MESSAGE_TIMER_EXPIRED);
}

TEST("a message is all that is written to its page")
{
	const uint8_t *bytes;
	unsigned int others = 0;

	prepare(VECTOR);
	expire(0);
	bytes = (const uint8_t *)(uintptr_t)synic.messages;
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		if (i < SINT * sizeof(*slot) || i >= SINT * sizeof(*slot) + 16 + slot->size)
			others += bytes[i];
	EXPECT_EQ(others, 0);
	EXPECT_EQ(slot->origin, 0);
}
