// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults: when "page not present" is delivered, and how "page ready" follows
 *
 * vmrun takes a page of the guest's RAM away and gives it back at the guest's word, by userfaultfd, so
 * that there is no luck in it: whoever touches it waits, or is told by KVM.
 *
 * - Told it is by #PF with error code 0 and a token other than 0 in CR2, and flags 1 in the area: at
 *   CPL 3, and at CPL 0 only with SEND_ALWAYS; in both cases with interrupts enabled (mmu.c,
 *   __kvm_mmu_faultin_pfn; x86.c, kvm_can_do_async_pf, kvm_can_deliver_async_pf,
 *   kvm_arch_async_page_not_present).
 * - Else it sees nothing but time go by. With interrupts enabled KVM halts the vCPU, which still takes
 *   interrupts; with interrupts disabled the vCPU waits in the host, and takes none. Neither is
 *   followed by "page ready".
 * - When the page is back, the token is put into the area as soon as there is 0, and an interrupt is
 *   raised; the access then works (kvm_arch_async_page_present).
 *
 * CPU 0 touches the pages, and CPU 1 brings them back where CPU 0 cannot.
 */
#include <kvm/async_pf.h>
#include <libc/array.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/paging.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <x86/user.h>

#define CONTENTS    0x5eed0000ul
#define VECTOR_KICK 0x51
#define FAULT_MS    5000
#define KICK_MS	    100

static volatile unsigned int kicks;

static void need_async_pf(void)
{
	uint32_t features = KVM_FEATURE_ASYNC_PF | KVM_FEATURE_ASYNC_PF_INT;

	if ((kvm_features() & features) != features)
		SKIP("CPUID does not show asynchronous page faults with interrupts");
}

/* A page with contents of its own, number n, which is then absent. */
static uintptr_t absent_page(unsigned int n)
{
	uint32_t *page = page_alloc();

	page[0] = CONTENTS + n;
	REQUIRE(vmm_page_out((uintptr_t)page, PAGE_SIZE) == 0);
	return (uintptr_t)page;
}

static uintptr_t read_word(uintptr_t address)
{
	return *(volatile uint32_t *)address;
}

static uintptr_t write_word(uintptr_t address)
{
	*(volatile uint32_t *)address = CONTENTS;
	return 0;
}

/* At CPL 0, with interrupts enabled, and no shadow of STI. */
static struct x86_fault touch_interruptible(uintptr_t page, uintptr_t *value)
{
	struct x86_fault fault = FAULT_OF({
		irq_enable();
		cpu_relax();
		*value = read_word(page);
	});

	irq_disable();
	return fault;
}

/* Checks that this is "page not present", clears the flags, and returns the token. */
static uint32_t take_not_present(struct x86_fault fault)
{
	EXPECT_FAULT_EQ(fault, PF, 0);
	EXPECT_NE(fault.cr2, 0);
	EXPECT_NE((uint32_t)fault.cr2, ASYNC_PF_WAKE_ALL);
	EXPECT_EQ(fault.cr2 >> 16 >> 16, 0);
	EXPECT_EQ(async_pf_area()->flags, KVM_PV_REASON_PAGE_NOT_PRESENT);
	async_pf_area()->flags = 0;
	return (uint32_t)fault.cr2;
}

static uint32_t fault_at_user(uintptr_t page)
{
	return take_not_present(user_call_interruptible(read_word, page).fault);
}

/* Brings it back, and checks that the next "page ready", the count-th, has this token. */
static void bring_back(uintptr_t page, uint32_t token, unsigned int count)
{
	EXPECT_EQ(vmm_page_in(page), 0);
	EXPECT_TRUE(async_pf_wait(count));
	EXPECT_EQ(async_pf_take(), token);
}

static void expect_contents(uintptr_t page, unsigned int n)
{
	struct user_result result = user_call_interruptible(read_word, page);

	EXPECT_TRUE(result.returned);
	EXPECT_EQ(result.value, CONTENTS + n);
}

TEST("at CPL 3 PF is delivered with a token, and page ready with the same token")
{
	uintptr_t page;
	uint32_t token;

	need_async_pf();
	async_pf_enable(0);
	page = absent_page(1);
	token = fault_at_user(page);
	EXPECT_TRUE(async_pf_stays(0));
	bring_back(page, token, 1);
	expect_contents(page, 1);
	EXPECT_EQ(async_pf_area()->flags, 0);
	EXPECT_TRUE(async_pf_stays(1));
	async_pf_reset();
	page_free((void *)page);
}

TEST("the PF is at the instruction that touched the page, with the registers of CPL 3")
{
	struct x86_fault fault;
	uintptr_t page;
	uint32_t token;

	need_async_pf();
	async_pf_enable(0);
	page = absent_page(1);
	fault = user_call_interruptible(write_word, page).fault;
	token = take_not_present(fault);
	EXPECT_GE(fault.ip, (uintptr_t)write_word);
	EXPECT_LT(fault.ip, (uintptr_t)write_word + 64);
	bring_back(page, token, 1);
	expect_contents(page, 1);
	EXPECT_TRUE(user_call_interruptible(write_word, page).returned);
	expect_contents(page, 0);
	async_pf_reset();
	page_free((void *)page);
}

TEST("at CPL 0 PF is delivered with SEND_ALWAYS, and page ready follows")
{
	uintptr_t page, value = 0;
	uint32_t token;

	need_async_pf();
	async_pf_enable(KVM_ASYNC_PF_SEND_ALWAYS);
	page = absent_page(2);
	token = take_not_present(touch_interruptible(page, &value));
	EXPECT_EQ(value, 0);
	bring_back(page, token, 1);
	EXPECT_FAULT_EQ(touch_interruptible(page, &value), NO_FAULT, 0);
	EXPECT_EQ(value, CONTENTS + 2);
	async_pf_reset();
	page_free((void *)page);
}

TEST("at CPL 3 it is delivered with SEND_ALWAYS too")
{
	uintptr_t page;

	need_async_pf();
	async_pf_enable(KVM_ASYNC_PF_SEND_ALWAYS);
	page = absent_page(3);
	bring_back(page, fault_at_user(page), 1);
	expect_contents(page, 3);
	async_pf_reset();
	page_free((void *)page);
}

static void count_kick(struct x86_frame *frame)
{
	(void)frame;
	kicks++;
	apic_eoi();
}

/* What CPU 1 finds of CPU 0, which waits for the page. */
struct watch {
	uintptr_t page;
	bool waited; /* for the page */
	bool kicked; /* took an interrupt meanwhile */
};

static void watch_and_bring_back(void *argument)
{
	struct watch *watch = argument;

	watch->waited = WAIT_FOR(vmm_page_waiting(watch->page) > 0, FAULT_MS);
	apic_ipi(0, VECTOR_KICK);
	watch->kicked = WAIT_FOR(kicks > 0, KICK_MS);
	EXPECT_EQ(vmm_page_in(watch->page), 0);
}

/* The ways to touch a page of which nothing is told. */
static struct x86_fault user_interruptible(uintptr_t page, uintptr_t *value)
{
	struct user_result result = user_call_interruptible(read_word, page);

	*value = result.value;
	return result.fault;
}

static struct x86_fault user_uninterruptible(uintptr_t page, uintptr_t *value)
{
	struct user_result result = user_call(read_word, page);

	*value = result.value;
	return result.fault;
}

static struct x86_fault touch_uninterruptible(uintptr_t page, uintptr_t *value)
{
	return FAULT_OF(*value = read_word(page));
}

/* Touches an absent page on CPU 0, of which it must not be told, and be it by "page ready". */
static void check_silent(struct x86_fault (*touch)(uintptr_t page, uintptr_t *value),
			 bool interruptible)
{
	struct watch watch = { .page = absent_page(4) };
	uintptr_t value = 0;

	kicks = 0;
	irq_handler(VECTOR_KICK, count_kick);
	on_cpu_start(1, watch_and_bring_back, &watch);
	EXPECT_FAULT_EQ(touch(watch.page, &value), NO_FAULT, 0);
	on_cpu_wait(1);
	EXPECT_EQ(value, CONTENTS + 4);
	EXPECT_TRUE(watch.waited);
	EXPECT_EQ(watch.kicked, interruptible);
	EXPECT_EQ(async_pf_area()->flags, 0);
	EXPECT_EQ(async_pf_area()->token, 0);
	EXPECT_TRUE(async_pf_stays(0));
	EXPECT_EQ(kicks, 1);
	async_pf_reset();
	page_free((void *)watch.page);
}

TEST("at CPL 0 without SEND_ALWAYS nothing is delivered; interrupts are while the CPU waits")
{
	need_async_pf();
	async_pf_enable(0);
	check_silent(touch_interruptible, true);
}

TEST("at CPL 0 with interrupts disabled nothing is delivered, and no interrupt")
{
	need_async_pf();
	async_pf_enable(0);
	check_silent(touch_uninterruptible, false);
}

TEST("so it is with SEND_ALWAYS")
{
	need_async_pf();
	async_pf_enable(KVM_ASYNC_PF_SEND_ALWAYS);
	check_silent(touch_uninterruptible, false);
}

TEST("at CPL 3 with interrupts disabled nothing is delivered, and no interrupt")
{
	need_async_pf();
	async_pf_enable(0);
	check_silent(user_uninterruptible, false);
}

TEST("so it is at CPL 3 with SEND_ALWAYS")
{
	need_async_pf();
	async_pf_enable(KVM_ASYNC_PF_SEND_ALWAYS);
	check_silent(user_uninterruptible, false);
}

TEST("when it is not enabled nothing is delivered at CPL 3; interrupts are while the CPU waits")
{
	need_async_pf();
	async_pf_reset();
	check_silent(user_interruptible, true);
}

TEST("when it is enabled without interrupts nothing is delivered at CPL 3")
{
	need_async_pf();
	async_pf_reset();
	wrmsr(MSR_KVM_ASYNC_PF_EN, (uintptr_t)async_pf_area() | KVM_ASYNC_PF_ENABLED);
	check_silent(user_interruptible, true);
}

TEST("KVM sets the flags at each fault, and does not clear them")
{
	uintptr_t pages[2];
	uint32_t token;

	need_async_pf();
	async_pf_enable(0);
	for (unsigned int i = 0; i < COUNT_OF(pages); i++) {
		pages[i] = absent_page(i);
		token = fault_at_user(pages[i]);
		async_pf_area()->flags = KVM_PV_REASON_PAGE_NOT_PRESENT;
		bring_back(pages[i], token, i + 1);
		EXPECT_EQ(async_pf_area()->flags, KVM_PV_REASON_PAGE_NOT_PRESENT);
		async_pf_area()->flags = 0;
		expect_contents(pages[i], i);
		EXPECT_EQ(async_pf_area()->flags, 0);
		page_free((void *)pages[i]);
	}
	async_pf_reset();
}

TEST("several pages have tokens of their own, and become ready in the order of their return")
{
	static const unsigned int order[] = { 2, 0, 3, 1 };
	uintptr_t pages[COUNT_OF(order)];
	uint32_t tokens[COUNT_OF(order)];

	need_async_pf();
	async_pf_enable(0);
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
	async_pf_reset();
	for (unsigned int i = 0; i < COUNT_OF(order); i++)
		page_free((void *)pages[i]);
}

TEST("page ready is held back until the token before it is taken and acknowledged")
{
	uintptr_t first, second;
	uint32_t token1, token2;

	need_async_pf();
	async_pf_enable(0);
	first = absent_page(1);
	second = absent_page(2);
	token1 = fault_at_user(first);
	token2 = fault_at_user(second);
	EXPECT_EQ(vmm_page_in(first), 0);
	EXPECT_TRUE(async_pf_wait(1));
	EXPECT_EQ(vmm_page_in(second), 0);
	EXPECT_TRUE(async_pf_stays(1));
	EXPECT_EQ(async_pf_area()->token, token1);
	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
	EXPECT_TRUE(async_pf_stays(1), "acknowledged, but not taken");
	EXPECT_EQ(async_pf_take(), token1);
	EXPECT_TRUE(async_pf_wait(2));
	EXPECT_EQ(async_pf_take(), token2);
	expect_contents(first, 1);
	expect_contents(second, 2);
	async_pf_reset();
	page_free((void *)first);
	page_free((void *)second);
}

TEST("a guest that goes on touching the page is not told again, and waits halted")
{
	struct watch watch;
	uint32_t token;

	need_async_pf();
	async_pf_enable(0);
	watch = (struct watch){ .page = absent_page(5) };
	token = fault_at_user(watch.page);
	kicks = 0;
	irq_handler(VECTOR_KICK, count_kick);
	on_cpu_start(1, watch_and_bring_back, &watch);
	expect_contents(watch.page, 5);
	on_cpu_wait(1);
	EXPECT_TRUE(watch.kicked);
	EXPECT_EQ(async_pf_area()->flags, 0);
	EXPECT_TRUE(async_pf_wait(1));
	EXPECT_EQ(async_pf_take(), token);
	async_pf_reset();
	page_free((void *)watch.page);
}

TEST("an ordinary PF leaves the flags alone")
{
	uintptr_t hole = VA_FREE;
	struct user_result result;

	need_async_pf();
	async_pf_enable(KVM_ASYNC_PF_SEND_ALWAYS);
	result = user_call_interruptible(read_word, hole);
	EXPECT_FAULT_EQ(result.fault, PF, PF_USER);
	EXPECT_EQ(result.fault.cr2, hole);
	EXPECT_EQ(async_pf_area()->flags, 0);
	async_pf_reset();
}
