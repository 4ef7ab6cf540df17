// SPDX-License-Identifier: BSD-2-Clause
/*
 * Private pages and asynchronous page faults: there are none
 *
 * A private page is in the guest_memfd or is made on the spot: there is nothing to wait for, and KVM takes
 * another way than for shared memory, which does not know of waiting (arch/x86/kvm/mmu/mmu.c,
 * __kvm_mmu_faultin_pfn, which turns to kvm_mmu_faultin_pfn_gmem before it looks at async page faults). So
 * it does not matter to a private page that the host does not have the shared page of that address; and it
 * does once the page is shared.
 *
 * The guest asks for asynchronous page faults at all times (KVM_ASYNC_PF_SEND_ALWAYS).
 */
#include <kvm/area.h>
#include <kvm/async_pf.h>
#include <kvm/hypercall.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/interrupt.h>
#include <x86/memory.h>

#define WORD_OF(p) (*(volatile uint64_t *)(p))

static void with_async_pf(void)
{
	if (!(kvm_features() & KVM_FEATURE_ASYNC_PF_INT))
		SKIP("KVM has no asynchronous page faults here");
	async_pf_enable(KVM_ASYNC_PF_SEND_ALWAYS);
}

TEST("a private page is there though the host has not the shared one")
{
	uint8_t *page = page_alloc();

	with_async_pf();
	area_fill(page, PAGE_SIZE, 1);
	EXPECT_EQ(vmm_page_out((uintptr_t)page, PAGE_SIZE), 0);
	EXPECT_EQ(kvm_make_private((uintptr_t)page, PAGE_SIZE), 0);
	irq_enable();
	EXPECT_NO_FAULT(EXPECT_EQ(area_not_zero(page, PAGE_SIZE), 0));
	EXPECT_NO_FAULT(area_fill(page, PAGE_SIZE, 2));
	EXPECT_EQ(area_changed(page, PAGE_SIZE, 2), 0);
	irq_disable();
	EXPECT_EQ(vmm_page_waiting((uintptr_t)page), 0);
	EXPECT_EQ(async_pf_area()->flags, 0);
	EXPECT_TRUE(async_pf_stays(0));
	EXPECT_EQ(vmm_page_in((uintptr_t)page), 0);
	EXPECT_EQ(kvm_make_shared((uintptr_t)page, PAGE_SIZE), 0);
	EXPECT_EQ(area_changed(page, PAGE_SIZE, 1), 0);
	async_pf_reset();
}

static struct x86_fault read_absent(uint8_t *page)
{
	struct x86_fault fault;

	irq_enable();
	fault = FAULT_OF(WORD_OF(page));
	irq_disable();
	return fault;
}

TEST("the same page, shared, is an asynchronous page fault")
{
	uint8_t *page = page_alloc();
	struct x86_fault fault;

	with_async_pf();
	WORD_OF(page) = 0x77;
	EXPECT_EQ(vmm_page_out((uintptr_t)page, PAGE_SIZE), 0);
	EXPECT_EQ(kvm_make_private((uintptr_t)page, PAGE_SIZE), 0);
	EXPECT_FAULT_EQ(read_absent(page), NO_FAULT, 0, "private");
	EXPECT_EQ(kvm_make_shared((uintptr_t)page, PAGE_SIZE), 0);
	fault = read_absent(page);
	EXPECT_EQ(fault.vector, PF);
	EXPECT_EQ(async_pf_area()->flags, KVM_PV_REASON_PAGE_NOT_PRESENT);
	async_pf_area()->flags = 0;
	EXPECT_EQ(vmm_page_in((uintptr_t)page), 0);
	EXPECT_TRUE(async_pf_wait(1));
	EXPECT_EQ(async_pf_take(), (uint32_t)fault.cr2);
	EXPECT_EQ(WORD_OF(page), 0x77);
	async_pf_reset();
}
