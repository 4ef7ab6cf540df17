// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults of a guest that moves
 *
 * vmrun replaces the VM by a new one on the same memory (vmm_move()), as a live migration does. What the guest
 * had set up goes along in its MSRs, and the area in its memory; what KVM had begun for it does not:
 *
 * - The MSRs have their values. KVM_SET_MSRS of EN switches them on, and so queues the token that wakes all
 *   (x86.c, kvm_pv_enable_async_pf): so the guest gets to know that no "page ready" will come for what it was
 *   told before. It comes once, when the token before it is taken and acknowledged.
 * - A page that is out is told of in the new VM, be it that it was told of in the old one too, when it is touched.
 * - Where they were off there is nothing.
 *
 * The end of a VM waits for the pages that were asked for there (virt/kvm/async_pf.c,
 * kvm_clear_async_pf_completion_queue): vmrun lets that happen beside the guest.
 */
#include <kvm/async_pf_log.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/cpu.h>
#include <x86/memory.h>
#include <x86/msr.h>

#define CONTENTS 0x5eed0000u

/*
 * KVM hands out TR as a busy TSS (svm.c, svm_get_segment), and with that in a 32-bit guest QEMU's TCG gives up
 * at the next event at CPL 3 (as of 7.2, target/i386/tcg/seg_helper.c, get_ss_esp_from_tss: "invalid tss type"):
 * so TR is loaded anew.
 */
static void move(void)
{
	REQUIRE(vmm_move() == 0);
	cpu_restore();
}

static uintptr_t absent(unsigned int n)
{
	uint32_t *page = page_alloc();

	*page = CONTENTS + n;
	REQUIRE(vmm_page_out((uintptr_t)page, PAGE_SIZE) == 0);
	return (uintptr_t)page;
}

/* The next token, number "count" since the reset; taken and acknowledged. */
static void expect_token(unsigned int count, uint32_t token)
{
	ASSERT_TRUE(async_pf_wait(count), "%u of %u", async_pf_ready(), count);
	EXPECT_EQ(async_pf_take(), token);
}

static uint32_t told(uintptr_t page)
{
	struct async_pf_touch touch = async_pf_touch(page);

	EXPECT_TRUE(touch.told);
	EXPECT_NE(touch.token, 0);
	return touch.token;
}

static void expect_contents(uintptr_t page, unsigned int n)
{
	struct async_pf_touch touch = async_pf_touch(page);

	EXPECT_FALSE(touch.told);
	EXPECT_EQ(touch.value, CONTENTS + n);
}

/* Touches the page, brings it back, and takes what follows: number "count". */
static void expect_round(uintptr_t page, unsigned int n, unsigned int count)
{
	uint32_t token = told(page);

	EXPECT_EQ(vmm_page_in(page), 0);
	expect_token(count, token);
	expect_contents(page, n);
	EXPECT_TRUE(async_pf_stays(count));
}

static void begin(uint32_t flags)
{
	async_pf_need();
	async_pf_enable(flags);
}

TEST("the MSRs are as they were, and the token that wakes all comes once")
{
	uint64_t en;

	begin(KVM_ASYNC_PF_SEND_ALWAYS);
	en = rdmsr(MSR_KVM_ASYNC_PF_EN);
	move();
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_EN), en);
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_INT), ASYNC_PF_VECTOR);
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_ACK), 0);
	EXPECT_EQ(async_pf_area()->flags, 0);
	expect_token(1, ASYNC_PF_WAKE_ALL);
	EXPECT_TRUE(async_pf_stays(1));
	async_pf_reset();
}

TEST("pages are told of and become ready behind the move as before it")
{
	begin(0);
	expect_round(absent(1), 1, 1);
	move();
	expect_token(2, ASYNC_PF_WAKE_ALL);
	expect_round(absent(2), 2, 3);
	async_pf_reset();
}

TEST("a page that is out during the move is told of behind it")
{
	uintptr_t page;

	begin(0);
	page = absent(3);
	move();
	expect_token(1, ASYNC_PF_WAKE_ALL);
	expect_round(page, 3, 2);
	async_pf_reset();
}

TEST("a page that was told of before the move is told of anew, and ready once")
{
	uintptr_t page;

	begin(0);
	page = absent(4);
	told(page);
	move();
	expect_token(1, ASYNC_PF_WAKE_ALL);
	expect_round(page, 4, 2);
	async_pf_reset();
}

TEST("a token that was not taken before the move is there behind it, and what wakes all follows")
{
	uintptr_t page;
	uint32_t token;

	begin(0);
	page = absent(5);
	token = told(page);
	EXPECT_EQ(vmm_page_in(page), 0);
	ASSERT_TRUE(async_pf_wait(1));
	move();
	EXPECT_EQ(async_pf_area()->token, token);
	EXPECT_TRUE(async_pf_stays(1));
	EXPECT_EQ(async_pf_take(), token);
	expect_token(2, ASYNC_PF_WAKE_ALL);
	EXPECT_TRUE(async_pf_stays(2));
	expect_contents(page, 5);
	async_pf_reset();
}

TEST("where they are off a move brings nothing, and switching them on does")
{
	async_pf_need();
	async_pf_reset();
	move();
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_EN), 0);
	EXPECT_TRUE(async_pf_stays(0));
	EXPECT_EQ(async_pf_area()->token, 0);
	async_pf_enable(0);
	expect_round(absent(6), 6, 1);
	async_pf_reset();
}
