// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults: no #PF without paging
 *
 * A guest that has switched paging off, on its way to real mode say, has no handler of #PF to speak of:
 * KVM delivers none then, though interrupts are enabled and SEND_ALWAYS is set (x86.c,
 * kvm_can_deliver_async_pf: is_paging). It halts the vCPU in its place, which takes interrupts meanwhile.
 *
 * For 32-bit guests only: a 64-bit one would have to leave long mode, where it is the same 32-bit guest.
 */
#include <kvm/async_pf_pages.h>
#include <test/test.h>
#include <x86/registers.h>

/* All RAM is identity-mapped: nothing moves when paging goes. */
static struct x86_fault without_paging(touch_function *touch, uintptr_t page, uintptr_t *value)
{
	uintptr_t cr0 = read_cr0();
	struct x86_fault fault;

	write_cr0(cr0 & ~CR0_PG);
	fault = touch(page, value);
	write_cr0(cr0);
	return fault;
}

static struct x86_fault touch_without_paging(uintptr_t page, uintptr_t *value)
{
	return without_paging(touch_kernel, page, value);
}

static struct x86_fault touch_without_paging_masked(uintptr_t page, uintptr_t *value)
{
	return without_paging(touch_kernel_masked, page, value);
}

TEST("with paging off nothing is delivered at CPL 0 with SEND_ALWAYS; interrupts are")
{
	async_pf_begin(KVM_ASYNC_PF_SEND_ALWAYS);
	expect_silent_read(touch_without_paging, TAKES_INTERRUPTS);
}

TEST("with paging off and interrupts disabled neither is")
{
	async_pf_begin(KVM_ASYNC_PF_SEND_ALWAYS);
	expect_silent_read(touch_without_paging_masked, TAKES_NONE);
}

TEST("page ready comes with paging off, for a page that was touched with paging on")
{
	uintptr_t page, cr0 = read_cr0();
	uint32_t token;

	async_pf_begin(KVM_ASYNC_PF_SEND_ALWAYS);
	page = absent_page(1);
	token = expect_not_present(touch_kernel, page);
	write_cr0(cr0 & ~CR0_PG);
	bring_back(page, token, 1);
	EXPECT_EQ(read_word(page), absent_contents(1));
	write_cr0(cr0);
	expect_contents(page, 1);
}

TEST("with paging on again page not present is delivered as before")
{
	uintptr_t page;

	async_pf_begin(KVM_ASYNC_PF_SEND_ALWAYS);
	page = absent_page(1);
	bring_back(page, expect_not_present(touch_kernel, page), 1);
	expect_contents(page, 1);
}
