// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults: the area that KVM and the guest share
 *
 * - flags becomes 1 at each "page not present", whatever is there, and is the guest's to clear: KVM
 *   neither clears it nor looks at it (x86.c, apf_put_user_notpresent). So a guest that did not clear it
 *   is told of the next page all the same. (msr.rst says that it is to be cleared "so the next event
 *   can be delivered"; no KVM has ever waited for that.)
 * - token is KVM's to set when it is 0, and the guest's to clear (apf_pageready_slot_free,
 *   apf_put_user_ready).
 * - The rest of the 64 bytes stays as it is.
 * - The area is memory like any other, and may itself be absent when KVM writes to it: that waits for it
 *   (kvm_write_guest_cached), and nothing is lost.
 */
#include <kvm/async_pf_pages.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/msr.h>

#define FILLER 0xa5
#define NOISE  0xfeedf00du

/* An area of this page's own, at its end. */
static volatile struct kvm_vcpu_pv_apf_data *area_in(uintptr_t page)
{
	return (void *)(page + PAGE_SIZE - sizeof(struct kvm_vcpu_pv_apf_data));
}

static void expect_token(volatile struct kvm_vcpu_pv_apf_data *area, uint32_t token,
			 unsigned int count)
{
	ASSERT_TRUE(async_pf_wait(count), "page ready, number %u", count);
	EXPECT_EQ(area->token, token);
	area->token = 0;
	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
}

static void use_area(volatile struct kvm_vcpu_pv_apf_data *area)
{
	async_pf_begin_off();
	wrmsr(MSR_KVM_ASYNC_PF_EN, (uintptr_t)area | KVM_ASYNC_PF_ON);
	expect_token(area, ASYNC_PF_WAKE_ALL, 1);
}

TEST("KVM sets the flags at each fault, and does not clear them")
{
	uintptr_t page;
	uint32_t token;

	async_pf_begin(0);
	for (unsigned int i = 0; i < 2; i++) {
		page = absent_page(i);
		token = fault_at_user(page);
		async_pf_area()->flags = KVM_PV_REASON_PAGE_NOT_PRESENT;
		bring_back(page, token, i + 1);
		EXPECT_EQ(async_pf_area()->flags, KVM_PV_REASON_PAGE_NOT_PRESENT);
		async_pf_area()->flags = 0;
		expect_contents(page, i);
		EXPECT_EQ(async_pf_area()->flags, 0);
	}
}

TEST("flags that were not cleared do not keep the next page from being told of")
{
	static const uint32_t left[] = { KVM_PV_REASON_PAGE_NOT_PRESENT, ~0u, 2 };
	uintptr_t pages[3];
	uint32_t tokens[3];

	async_pf_begin(0);
	for (unsigned int i = 0; i < 3; i++) {
		pages[i] = absent_page(i);
		async_pf_area()->flags = left[i];
		tokens[i] = fault_at_user(pages[i]);
	}
	for (unsigned int i = 0; i < 3; i++) {
		async_pf_area()->flags = left[i];
		bring_back(pages[i], tokens[i], i + 1);
		EXPECT_EQ(async_pf_area()->flags, left[i]);
		expect_contents(pages[i], i);
	}
}

TEST("a token that the guest put there holds back page ready, and not page not present")
{
	uintptr_t page;
	uint32_t token;

	async_pf_begin(0);
	async_pf_area()->token = NOISE;
	page = absent_page(1);
	token = fault_at_user(page);
	absent_end(page);
	EXPECT_TRUE(async_pf_stays(0));
	EXPECT_EQ(async_pf_take(), NOISE);
	expect_ready(token, 1);
}

TEST("KVM writes to flags and token, and to no other byte around them")
{
	uint8_t *memory = page_alloc();
	volatile struct kvm_vcpu_pv_apf_data *area = (void *)(memory + PAGE_SIZE / 2);
	uintptr_t page, value;
	struct x86_fault fault;

	memset(memory, FILLER, PAGE_SIZE);
	area->flags = 0;
	area->token = 0;
	use_area(area);
	page = absent_page(1);
	fault = touch_rescued(touch_user, page, &value);
	ASSERT_EQ(fault.vector, PF);
	EXPECT_EQ(area->flags, KVM_PV_REASON_PAGE_NOT_PRESENT);
	EXPECT_EQ(area->token, 0);
	absent_end(page);
	expect_token(area, (uint32_t)fault.cr2, 2);
	EXPECT_EQ(area->flags, KVM_PV_REASON_PAGE_NOT_PRESENT);
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		if (i / 8 != PAGE_SIZE / 2 / 8)
			EXPECT_EQ(memory[i], FILLER, "offset 0x%x", i);
	async_pf_reset();
}

TEST("an area that is absent is waited for when page not present is delivered")
{
	uintptr_t memory = (uintptr_t)page_alloc(), page, value;
	volatile struct kvm_vcpu_pv_apf_data *area = area_in(memory);
	struct x86_fault fault;

	use_area(area);
	page = absent_page(1);
	absent_make(memory);
	absent_end_elsewhere(memory);
	fault = touch_user(page, &value);
	absent_end_elsewhere_done();
	ASSERT_EQ(fault.vector, PF);
	EXPECT_EQ(fault.error_code, 0);
	EXPECT_EQ(area->flags, KVM_PV_REASON_PAGE_NOT_PRESENT);
	absent_end(page);
	expect_token(area, (uint32_t)fault.cr2, 2);
	expect_contents(page, 1);
	async_pf_reset();
}

TEST("and when page ready is")
{
	uintptr_t memory = (uintptr_t)page_alloc(), page, value;
	volatile struct kvm_vcpu_pv_apf_data *area = area_in(memory);
	struct x86_fault fault;

	use_area(area);
	page = absent_page(1);
	fault = touch_rescued(touch_user, page, &value);
	ASSERT_EQ(fault.vector, PF);
	absent_make(memory);
	absent_end_elsewhere(memory);
	absent_end(page);
	EXPECT_TRUE(async_pf_wait(2));
	absent_end_elsewhere_done();
	expect_token(area, (uint32_t)fault.cr2, 2);
	EXPECT_TRUE(async_pf_stays(2));
	expect_contents(page, 1);
	async_pf_reset();
}
