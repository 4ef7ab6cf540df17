// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults: EN written while pages are out
 *
 * - Switched off (bit 0 or bit 3 clear), everything on its way is dropped: no token comes any more, not
 *   even after switching on again (x86.c, kvm_pv_enable_async_pf; virt/kvm/async_pf.c,
 *   kvm_clear_async_pf_completion_queue). KVM waits for those who fetch the pages: the WRMSR takes until
 *   the pages are there, so that CPU 1 has to bring them. KVM has forgotten the pages then: one that
 *   is absent again is told of again (kvm_async_pf_hash_reset).
 * - Written with both bits set, whatever was on before, the new value holds from now on - area,
 *   SEND_ALWAYS - for pages that are out already, too; they are not forgotten. And there is the
 *   token that wakes all.
 */
#include <kvm/async_pf_pages.h>
#include <libc/array.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>
#include <x86/msr.h>

/* Nothing has this value: it stands in the area's token, and keeps KVM from putting one there. */
#define HELD 0xfefefefeu

static void switch_on(uint32_t flags)
{
	wrmsr(MSR_KVM_ASYNC_PF_EN, (uintptr_t)async_pf_area() | KVM_ASYNC_PF_ON | flags);
}

/* The page is out when EN is written; its token, if it comes at once, is held back until then. */
static void drop_page(uintptr_t page, uint64_t en)
{
	fault_at_user(page);
	async_pf_area()->token = HELD;
	absent_end_elsewhere(page);
	wrmsr(MSR_KVM_ASYNC_PF_EN, en);
	absent_end_elsewhere_done();
}

static void expect_nothing_left(void)
{
	EXPECT_EQ(async_pf_take(), HELD);
	EXPECT_TRUE(async_pf_stays(0));
	EXPECT_EQ(async_pf_area()->token, 0);
}

TEST("switched off while a page is out: its token never comes, and the page is there")
{
	uint64_t area = (uintptr_t)async_pf_area();
	const uint64_t off[] = { 0, area, area | KVM_ASYNC_PF_ENABLED,
				 area | KVM_ASYNC_PF_DELIVERY_AS_INT };

	for (unsigned int i = 0; i < COUNT_OF(off); i++) {
		uintptr_t page;

		async_pf_begin(0);
		page = absent_page(i);
		drop_page(page, off[i]);
		expect_nothing_left();
		expect_contents(page, i);
	}
}

TEST("nor does it come when it is switched on again at once: only the one that wakes all")
{
	uintptr_t page;

	async_pf_begin(0);
	page = absent_page(1);
	fault_at_user(page);
	async_pf_area()->token = HELD;
	absent_end_elsewhere(page);
	wrmsr(MSR_KVM_ASYNC_PF_EN, 0);
	switch_on(0);
	absent_end_elsewhere_done();
	EXPECT_EQ(async_pf_take(), HELD);
	expect_ready(ASYNC_PF_WAKE_ALL, 1);
	EXPECT_TRUE(async_pf_stays(1));
	expect_contents(page, 1);
}

TEST("a page that was out when it was switched off is told of when it is absent again")
{
	uintptr_t page;

	async_pf_begin(0);
	page = absent_page(1);
	drop_page(page, 0);
	async_pf_area()->token = 0;
	switch_on(0);
	expect_ready(ASYNC_PF_WAKE_ALL, 1);
	absent_make(page);
	bring_back(page, fault_at_user(page), 2);
	expect_contents(page, 1);
}

TEST("page ready that is held back is dropped, too, of many pages")
{
	uintptr_t pages[8];

	async_pf_begin(0);
	for (unsigned int i = 0; i < COUNT_OF(pages); i++) {
		pages[i] = absent_page(i);
		fault_at_user(pages[i]);
	}
	async_pf_area()->token = HELD;
	for (unsigned int i = 0; i < COUNT_OF(pages); i++)
		absent_end(pages[i]);
	EXPECT_TRUE(async_pf_stays(0));
	wrmsr(MSR_KVM_ASYNC_PF_EN, 0);
	expect_nothing_left();
	for (unsigned int i = 0; i < COUNT_OF(pages); i++)
		expect_contents(pages[i], i);
}

TEST("64 pages can be out after as many were dropped")
{
	uintptr_t pages[64];
	uint32_t tokens[64];

	async_pf_begin(0);
	for (unsigned int i = 0; i < 4; i++) {
		drop_page(absent_page(i), 0);
		async_pf_area()->token = 0;
		switch_on(0);
		expect_ready(ASYNC_PF_WAKE_ALL, i + 1);
	}
	for (unsigned int i = 0; i < COUNT_OF(pages); i++) {
		pages[i] = absent_page(i);
		tokens[i] = fault_at_user(pages[i]);
	}
	for (unsigned int i = 0; i < COUNT_OF(pages); i++)
		bring_back(pages[i], tokens[i], i + 5);
}

TEST("switched on again while a page is out: the page becomes ready as well")
{
	uintptr_t page;
	uint32_t token;

	async_pf_begin(0);
	page = absent_page(1);
	token = fault_at_user(page);
	switch_on(0);
	expect_ready(ASYNC_PF_WAKE_ALL, 1);
	EXPECT_TRUE(async_pf_stays(1));
	bring_back(page, token, 2);
	expect_contents(page, 1);
}

TEST("the area moves while a page is out: its token comes to the new one, and flags go there")
{
	volatile struct kvm_vcpu_pv_apf_data *moved = page_alloc();
	uintptr_t page, other, value;
	struct x86_fault fault;
	uint32_t token;

	async_pf_begin(0);
	page = absent_page(1);
	token = fault_at_user(page);
	async_pf_area()->token = HELD;
	async_pf_area()->flags = HELD;
	wrmsr(MSR_KVM_ASYNC_PF_EN, (uintptr_t)moved | KVM_ASYNC_PF_ON);
	ASSERT_TRUE(async_pf_wait(1));
	EXPECT_EQ(moved->token, ASYNC_PF_WAKE_ALL);
	moved->token = 0;
	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
	absent_end(page);
	ASSERT_TRUE(async_pf_wait(2));
	EXPECT_EQ(moved->token, token);
	other = absent_page(2);
	fault = touch_rescued(touch_user, other, &value);
	EXPECT_FAULT_EQ(fault, PF, 0);
	EXPECT_EQ(moved->flags, KVM_PV_REASON_PAGE_NOT_PRESENT);
	EXPECT_EQ(async_pf_area()->token, HELD);
	EXPECT_EQ(async_pf_area()->flags, HELD);
	absent_end(other);
	async_pf_reset();
}

TEST("SEND_ALWAYS holds from when it is written, and until it is cleared")
{
	uintptr_t page;
	uint32_t token;

	async_pf_begin(0);
	expect_silent_read(touch_kernel, TAKES_INTERRUPTS);
	switch_on(KVM_ASYNC_PF_SEND_ALWAYS);
	expect_ready(ASYNC_PF_WAKE_ALL, 1);
	page = absent_page(1);
	token = expect_not_present(touch_kernel, page);
	switch_on(0);
	expect_ready(ASYNC_PF_WAKE_ALL, 2);
	expect_silent_read(touch_kernel, TAKES_INTERRUPTS);
	bring_back(page, token, 3);
	expect_contents(page, 1);
}
