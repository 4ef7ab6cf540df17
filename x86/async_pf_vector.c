// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults: "page ready" is an interrupt like any other
 *
 * It is edge-triggered, of fixed delivery, at the vector in MSR_KVM_ASYNC_PF_INT, and goes through the
 * local APIC of its vCPU (x86.c, kvm_arch_async_page_present; lapic.c, __apic_accept_irq). So what holds
 * for interrupts holds here: Intel SDM volume 3, "Interrupt, Task, and Processor Priority", "Interrupt
 * Acceptance for Fixed Interrupts", "Valid Interrupt Vectors".
 *
 * - Vectors 0 to 15 are illegal for an APIC: no interrupt comes. The token is in the area, for a guest
 *   that looks there. 16 to 31 are legal, though they are those of exceptions.
 * - An interrupt in service of the same or a higher class, and TPR, keep it out until they no longer do.
 * - One that is pending already and page ready at its vector are one interrupt; the token is there.
 * - Without the local APIC - disabled by software, in SVR, or as a whole, in IA32_APIC_BASE - page ready
 *   is held back, token and all, until it is enabled (kvm_arch_can_dequeue_async_page_present;
 *   lapic.c, apic_set_spiv and __kvm_apic_set_base). A local APIC that is not KVM's own is out of this
 *   test's reach: vmrun always has KVM's.
 */
#include <kvm/async_pf_pages.h>
#include <libc/array.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/msr.h>
#include <x86/time.h>

#define VECTOR	 0x65 /* has no handler: FAULT_OF() catches it */
#define LAPIC_MS 5000

/* A page is out, and its "page ready" will come at this vector. */
static uint32_t page_out_for(uint8_t vector, uintptr_t *page)
{
	async_pf_begin(0);
	*page = absent_page(1);
	wrmsr(MSR_KVM_ASYNC_PF_INT, vector);
	return fault_at_user(*page);
}

/* With interrupts disabled: KVM has put the token into the area. */
static void expect_token(uint32_t token)
{
	ASSERT_TRUE(WAIT_FOR(async_pf_area()->token, LAPIC_MS));
	EXPECT_EQ(async_pf_area()->token, token);
}

/* Lets interrupts in for a time in which one would have come. */
static struct x86_fault let_in(void)
{
	return FAULT_OF(async_pf_stays(async_pf_ready()));
}

static void expect_interrupt(uint8_t vector)
{
	EXPECT_FAULT_EQ(let_in(), vector, 0);
	apic_eoi();
}

static void expect_no_interrupt(void)
{
	EXPECT_FAULT_EQ(let_in(), NO_FAULT, 0);
}

TEST("at a vector below 16 no interrupt comes; the token does")
{
	for (unsigned int vector = 0; vector < 16; vector++) {
		uintptr_t page;
		uint32_t token = page_out_for(vector, &page);

		absent_end(page);
		expect_token(token);
		EXPECT_FAULT_EQ(let_in(), NO_FAULT, 0, "vector %u", vector);
		EXPECT_EQ(async_pf_take(), token);
		expect_contents(page, 1);
	}
}

TEST("after that it comes at a better one")
{
	uintptr_t page;
	uint32_t token = page_out_for(VECTOR, &page);

	absent_end(page);
	expect_token(token);
	expect_interrupt(VECTOR);
	expect_no_interrupt();
}

TEST("at a vector of the exceptions it comes as an interrupt")
{
	/* None of those with an error code. */
	static const uint8_t vectors[] = { 16, 19, 20, 31 };

	for (unsigned int i = 0; i < COUNT_OF(vectors); i++) {
		uintptr_t page;
		uint32_t token = page_out_for(vectors[i], &page);

		absent_end(page);
		expect_token(token);
		expect_interrupt(vectors[i]);
		EXPECT_EQ(async_pf_take(), token);
	}
}

TEST("the vector is that of when it is raised, not of when the page was touched")
{
	uintptr_t page;
	uint32_t token = page_out_for(VECTOR + 1, &page);

	wrmsr(MSR_KVM_ASYNC_PF_INT, VECTOR);
	absent_end(page);
	expect_token(token);
	expect_interrupt(VECTOR);
}

TEST("an interrupt in service of its own or a higher class keeps it out until the EOI")
{
	static const struct {
		uint8_t in_service;
		bool held;
	} cases[] = {
		{ VECTOR, true },	 { VECTOR - 1, true },	   { VECTOR + 1, true },
		{ VECTOR + 0x10, true }, { VECTOR - 0x10, false },
	};

	for (unsigned int i = 0; i < COUNT_OF(cases); i++) {
		uintptr_t page;
		uint32_t token = page_out_for(VECTOR, &page);

		apic_ipi(0, cases[i].in_service);
		EXPECT_FAULT_EQ(let_in(), cases[i].in_service, 0);
		absent_end(page);
		expect_token(token);
		if (cases[i].held) {
			EXPECT_FAULT_EQ(let_in(), NO_FAULT, 0, "case %u", i);
			EXPECT_TRUE(apic_requested(VECTOR), "case %u", i);
			apic_eoi();
			expect_interrupt(VECTOR);
		} else {
			expect_interrupt(VECTOR);
			apic_eoi();
		}
		EXPECT_EQ(async_pf_take(), token);
		expect_no_interrupt();
	}
}

TEST("TPR keeps it out until it is below the vector's class")
{
	uintptr_t page;
	uint32_t token = page_out_for(VECTOR, &page);

	apic_write(APIC_TPR, VECTOR & 0xf0);
	absent_end(page);
	expect_token(token);
	expect_no_interrupt();
	apic_write(APIC_TPR, (VECTOR & 0xf0) - 0x10);
	expect_interrupt(VECTOR);
	apic_write(APIC_TPR, 0);
	EXPECT_EQ(async_pf_take(), token);
}

TEST("with one pending at its vector it makes one interrupt, and the token is there")
{
	uintptr_t page;
	uint32_t token = page_out_for(VECTOR, &page);

	apic_ipi(0, VECTOR);
	absent_end(page);
	expect_token(token);
	expect_interrupt(VECTOR);
	EXPECT_EQ(async_pf_take(), token);
	expect_no_interrupt();
}

TEST("two that come before the first is let in make one interrupt, with the token of the second")
{
	uintptr_t first, second;
	uint32_t token1, token2;

	async_pf_begin(0);
	wrmsr(MSR_KVM_ASYNC_PF_INT, VECTOR);
	first = absent_page(1);
	second = absent_page(2);
	token1 = fault_at_user(first);
	token2 = fault_at_user(second);
	absent_end(first);
	expect_token(token1);
	absent_end(second);
	EXPECT_EQ(async_pf_take(), token1);
	expect_token(token2);
	expect_interrupt(VECTOR);
	EXPECT_EQ(async_pf_take(), token2);
	expect_no_interrupt();
}

/* Nothing of page ready is seen. */
static void expect_held_back(void)
{
	expect_no_interrupt();
	EXPECT_EQ(async_pf_area()->token, 0);
	EXPECT_FALSE(apic_requested(VECTOR));
}

TEST("an APIC that is disabled in SVR holds it back, and it comes when that is enabled")
{
	uintptr_t page;
	uint32_t token = page_out_for(VECTOR, &page);

	apic_write(APIC_SVR, VECTOR_SPURIOUS);
	absent_end(page);
	expect_held_back();
	apic_write(APIC_SVR, APIC_SVR_ENABLE | VECTOR_SPURIOUS);
	expect_token(token);
	expect_interrupt(VECTOR);
	EXPECT_EQ(async_pf_take(), token);
	expect_contents(page, 1);
}

TEST("ACK does not bring it meanwhile")
{
	uintptr_t page;
	uint32_t token = page_out_for(VECTOR, &page);

	apic_write(APIC_SVR, VECTOR_SPURIOUS);
	absent_end(page);
	expect_held_back();
	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
	expect_held_back();
	apic_write(APIC_SVR, APIC_SVR_ENABLE | VECTOR_SPURIOUS);
	expect_token(token);
	expect_interrupt(VECTOR);
}

TEST("an APIC that is disabled as a whole holds it back, and it comes when that is enabled")
{
	uint64_t base = rdmsr(MSR_IA32_APIC_BASE);
	uintptr_t page;
	uint32_t token = page_out_for(VECTOR, &page);

	wrmsr(MSR_IA32_APIC_BASE, base & ~(uint64_t)APIC_BASE_ENABLE);
	absent_end(page);
	EXPECT_FAULT_EQ(let_in(), NO_FAULT, 0);
	EXPECT_EQ(async_pf_area()->token, 0);
	wrmsr(MSR_IA32_APIC_BASE, base);
	apic_write(APIC_SVR, APIC_SVR_ENABLE | VECTOR_SPURIOUS);
	expect_token(token);
	expect_interrupt(VECTOR);
	EXPECT_EQ(async_pf_take(), token);
	expect_contents(page, 1);
}

static struct x86_fault touch_without_apic(uintptr_t page, uintptr_t *value)
{
	struct x86_fault fault;

	apic_write(APIC_SVR, VECTOR_SPURIOUS);
	fault = touch_user(page, value);
	apic_write(APIC_SVR, APIC_SVR_ENABLE | VECTOR_SPURIOUS);
	return fault;
}

TEST("page not present comes with the APIC disabled in SVR")
{
	uintptr_t page;

	async_pf_begin(0);
	page = absent_page(1);
	bring_back(page, expect_not_present(touch_without_apic, page), 1);
	expect_contents(page, 1);
}
