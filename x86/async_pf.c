// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults: when "page not present" is delivered
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
 * - The page is not told of again while it is out (kvm_find_async_pf_gfn): who goes on touching it
 *   waits halted.
 *
 * CPU 0 touches the pages, and CPU 1 brings them back where CPU 0 cannot.
 */
#include <kvm/async_pf_pages.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/paging.h>
#include <x86/user.h>

#define STORED 0x570ed

static uintptr_t write_word(uintptr_t address)
{
	*(volatile uint32_t *)address = STORED;
	return 0;
}

static struct x86_fault touch_user_write(uintptr_t page, uintptr_t *value)
{
	struct user_result result = user_call_interruptible(write_word, page);

	*value = result.value;
	return result.fault;
}

TEST("at CPL 3 PF is delivered with a token, and page ready with the same token")
{
	uintptr_t page;
	uint32_t token;

	async_pf_begin(0);
	page = absent_page(1);
	token = fault_at_user(page);
	EXPECT_TRUE(async_pf_stays(0));
	bring_back(page, token, 1);
	expect_contents(page, 1);
	EXPECT_EQ(async_pf_area()->flags, 0);
	EXPECT_TRUE(async_pf_stays(1));
}

TEST("the PF is at the instruction that touched the page, with the registers of CPL 3")
{
	uintptr_t page, value;
	struct x86_fault fault;
	uint32_t token;

	async_pf_begin(0);
	page = absent_page(1);
	fault = touch_rescued(touch_user_write, page, &value);
	token = take_not_present(fault);
	EXPECT_GE(fault.ip, (uintptr_t)write_word);
	EXPECT_LT(fault.ip, (uintptr_t)write_word + 64);
	bring_back(page, token, 1);
	expect_contents(page, 1);
	EXPECT_TRUE(user_call_interruptible(write_word, page).returned);
	EXPECT_EQ(read_word(page), STORED);
}

TEST("at CPL 0 PF is delivered with SEND_ALWAYS, and page ready follows")
{
	uintptr_t page, value = 0;

	async_pf_begin(KVM_ASYNC_PF_SEND_ALWAYS);
	page = absent_page(2);
	bring_back(page, expect_not_present(touch_kernel, page), 1);
	EXPECT_FAULT_EQ(touch_kernel(page, &value), NO_FAULT, 0);
	EXPECT_EQ(value, absent_contents(2));
}

TEST("at CPL 3 it is delivered with SEND_ALWAYS too")
{
	uintptr_t page;

	async_pf_begin(KVM_ASYNC_PF_SEND_ALWAYS);
	page = absent_page(3);
	bring_back(page, fault_at_user(page), 1);
	expect_contents(page, 3);
}

TEST("at CPL 0 without SEND_ALWAYS nothing is delivered; interrupts are while the CPU waits")
{
	async_pf_begin(0);
	expect_silent_read(touch_kernel, TAKES_INTERRUPTS);
}

TEST("at CPL 0 with interrupts disabled nothing is delivered, and no interrupt")
{
	async_pf_begin(0);
	expect_silent_read(touch_kernel_masked, TAKES_NONE);
}

TEST("so it is with SEND_ALWAYS")
{
	async_pf_begin(KVM_ASYNC_PF_SEND_ALWAYS);
	expect_silent_read(touch_kernel_masked, TAKES_NONE);
}

TEST("at CPL 3 with interrupts disabled nothing is delivered, and no interrupt")
{
	async_pf_begin(0);
	expect_silent_read(touch_user_masked, TAKES_NONE);
}

TEST("so it is at CPL 3 with SEND_ALWAYS")
{
	async_pf_begin(KVM_ASYNC_PF_SEND_ALWAYS);
	expect_silent_read(touch_user_masked, TAKES_NONE);
}

TEST("when it is not enabled nothing is delivered at CPL 3; interrupts are while the CPU waits")
{
	async_pf_begin_off();
	expect_silent_read(touch_user, TAKES_INTERRUPTS);
}

TEST("when it is enabled without interrupts nothing is delivered at CPL 3")
{
	async_pf_begin_off();
	wrmsr(MSR_KVM_ASYNC_PF_EN, (uintptr_t)async_pf_area() | KVM_ASYNC_PF_ENABLED);
	expect_silent_read(touch_user, TAKES_INTERRUPTS);
}

TEST("a guest that goes on touching the page is not told again, and waits halted")
{
	uintptr_t page, value = 0;
	struct x86_fault fault;
	uint32_t token;

	async_pf_begin(0);
	page = absent_page(5);
	token = fault_at_user(page);
	fault = expect_wait(touch_user, page, TAKES_INTERRUPTS, &value);
	EXPECT_FAULT_EQ(fault, NO_FAULT, 0);
	EXPECT_EQ(value, absent_contents(5));
	expect_ready(token, 1);
}

TEST("an ordinary PF leaves the flags alone, one that KVM injects for the VMM too")
{
	uintptr_t hole = VA_FREE;
	struct x86_fault fault;

	async_pf_begin(KVM_ASYNC_PF_SEND_ALWAYS);
	fault = user_call_interruptible(read_word, hole).fault;
	EXPECT_FAULT_EQ(fault, PF, PF_USER);
	EXPECT_EQ(fault.cr2, hole);
	EXPECT_EQ(async_pf_area()->flags, 0);
	fault = FAULT_OF(vmm_inject_pf(0, hole));
	EXPECT_FAULT_EQ(fault, PF, 0);
	EXPECT_EQ(fault.cr2, hole);
	EXPECT_EQ(async_pf_area()->flags, 0);
}
