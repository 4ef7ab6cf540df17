// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults: "page ready", its token, and its acknowledgement
 *
 * - When a page is back its token is put into the area and an interrupt is raised: one page after the
 *   other, in the order of their return, whatever the order of the faults was.
 * - The next one is held back as long as the token in the area is not 0 (x86.c,
 *   kvm_arch_can_dequeue_async_page_present). KVM looks again when bit 0 is written to ACK, by the CPU in
 *   question, and not before; an ACK with the token not taken changes nothing (kvm_set_msr_common;
 *   virt/kvm/async_pf.c, kvm_check_async_pf_completion).
 * - A guest that takes the token and forgets to acknowledge it may be told of the next page, or not:
 *   that depends on whether one waited already (kvm_arch_async_page_present_queued). Once it
 *   acknowledges, it must be.
 * - The interrupt wakes a CPU in HLT, and as any interrupt only one that has interrupts enabled (SDM
 *   volume 2, HLT; APM volume 3, HLT).
 */
#include <kvm/async_pf_pages.h>
#include <libc/array.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/msr.h>
#include <x86/smp.h>
#include <x86/time.h>

/* Until a CPU that is about to halt has done so, and until one that is halted would have gone on. */
#define HALTING_MS 20
#define HALTED_MS  50

static void acknowledge(void *argument)
{
	(void)argument;
	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
}

TEST("several pages have tokens of their own, and become ready in the order of their return")
{
	static const unsigned int order[] = { 2, 0, 3, 1 };
	uintptr_t pages[COUNT_OF(order)];
	uint32_t tokens[COUNT_OF(order)];

	async_pf_begin(0);
	for (unsigned int i = 0; i < COUNT_OF(order); i++) {
		pages[i] = absent_page(i);
		tokens[i] = fault_at_user(pages[i]);
		for (unsigned int other = 0; other < i; other++)
			EXPECT_NE(tokens[i], tokens[other]);
	}
	for (unsigned int i = 0; i < COUNT_OF(order); i++) {
		bring_back(pages[order[i]], tokens[order[i]], i + 1);
		expect_contents(pages[order[i]], order[i]);
	}
	EXPECT_TRUE(async_pf_stays(COUNT_OF(order)));
}

/* Two pages that are out, of which both come back; the first is told of. */
struct two {
	uintptr_t pages[2];
	uint32_t tokens[2];
};

static struct two two_ready(void)
{
	struct two two;

	async_pf_begin(0);
	for (unsigned int i = 0; i < 2; i++) {
		two.pages[i] = absent_page(i);
		two.tokens[i] = fault_at_user(two.pages[i]);
	}
	absent_end(two.pages[0]);
	ASSERT_TRUE(async_pf_wait(1));
	absent_end(two.pages[1]);
	EXPECT_TRUE(async_pf_stays(1));
	EXPECT_EQ(async_pf_area()->token, two.tokens[0]);
	return two;
}

static void expect_second(const struct two *two)
{
	expect_ready(two->tokens[1], 2);
	EXPECT_TRUE(async_pf_stays(2));
	for (unsigned int i = 0; i < 2; i++)
		expect_contents(two->pages[i], i);
}

TEST("page ready is held back until the token before it is taken and acknowledged")
{
	struct two two = two_ready();

	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
	EXPECT_TRUE(async_pf_stays(1), "acknowledged, but not taken");
	EXPECT_EQ(async_pf_take(), two.tokens[0]);
	expect_second(&two);
}

TEST("a token that is taken and not acknowledged holds back the page ready that waits")
{
	struct two two = two_ready();

	async_pf_area()->token = 0;
	EXPECT_TRUE(async_pf_stays(1));
	acknowledge(NULL);
	expect_second(&two);
}

TEST("the other bits of ACK do not acknowledge")
{
	struct two two = two_ready();

	async_pf_area()->token = 0;
	for (unsigned int bit = 1; bit < 64; bit++)
		wrmsr(MSR_KVM_ASYNC_PF_ACK, 1ull << bit);
	EXPECT_TRUE(async_pf_stays(1));
	wrmsr(MSR_KVM_ASYNC_PF_ACK, ~0ull);
	expect_second(&two);
}

TEST("the ACK of another CPU does not acknowledge")
{
	struct two two = two_ready();

	async_pf_area()->token = 0;
	on_cpu(1, acknowledge, NULL);
	EXPECT_TRUE(async_pf_stays(1));
	acknowledge(NULL);
	expect_second(&two);
}

TEST("nothing is lost when the token is taken and never acknowledged before the next page")
{
	uintptr_t first, second;
	uint32_t token;

	async_pf_begin(0);
	first = absent_page(1);
	second = absent_page(2);
	token = fault_at_user(first);
	absent_end(first);
	ASSERT_TRUE(async_pf_wait(1));
	EXPECT_EQ(async_pf_area()->token, token);
	async_pf_area()->token = 0;
	token = fault_at_user(second);
	absent_end(second);
	acknowledge(NULL);
	expect_ready(token, 2);
	EXPECT_TRUE(async_pf_stays(2));
}

TEST("to acknowledge when nothing waits, and to do it twice, brings nothing")
{
	uintptr_t page;
	uint32_t token;

	async_pf_begin(0);
	acknowledge(NULL);
	EXPECT_TRUE(async_pf_stays(0));
	page = absent_page(1);
	token = fault_at_user(page);
	acknowledge(NULL);
	EXPECT_TRUE(async_pf_stays(0));
	bring_back(page, token, 1);
	acknowledge(NULL);
	EXPECT_TRUE(async_pf_stays(1));
	EXPECT_EQ(async_pf_area()->token, 0);
}

TEST("page ready wakes a CPU in HLT")
{
	uintptr_t page;
	uint32_t token;

	async_pf_begin(0);
	page = absent_page(1);
	token = fault_at_user(page);
	absent_end_elsewhere(page);
	irq_enable_and_halt();
	irq_disable();
	absent_end_elsewhere_done();
	EXPECT_EQ(async_pf_ready(), 1);
	expect_ready(token, 1);
	expect_contents(page, 1);
}

/* CPU 0, which halts with interrupts disabled, and what CPU 1 sees of it. */
struct halted {
	uintptr_t page;
	volatile bool halting, awake;
	bool early; /* it was awake before the NMI that is to wake it */
};

static void nothing(struct x86_frame *frame)
{
	(void)frame;
}

static void end_and_wake(void *argument)
{
	struct halted *halted = argument;

	REQUIRE(WAIT_FOR(halted->halting, CPU_WAIT_MS));
	delay_us(HALTING_MS * 1000);
	absent_end(halted->page);
	halted->early = WAIT_FOR(halted->awake, HALTED_MS);
	apic_icr_write(ICR_NMI | ICR_ASSERT, cpu_apic_id(0));
}

TEST("page ready does not end HLT with interrupts disabled")
{
	struct halted halted = { 0 };
	uint32_t token;

	async_pf_begin(0);
	irq_handler(NMI, nothing);
	halted.page = absent_page(1);
	token = fault_at_user(halted.page);
	on_cpu_start(1, end_and_wake, &halted);
	halted.halting = true;
	hlt();
	halted.awake = true;
	on_cpu_wait(1);
	EXPECT_FALSE(halted.early);
	expect_ready(token, 1);
	expect_contents(halted.page, 1);
}
