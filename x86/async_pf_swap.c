// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults by the host's swap
 *
 * The other tests make pages absent by userfaultfd. Here the host's kernel swaps them out as it does
 * when it is short of memory, and reads them from its swap device: KVM's attempt that must not wait
 * meets a page that is being read (virt/kvm/kvm_main.c, hva_to_pfn: FOLL_NOWAIT; mm/memory.c, do_swap_page,
 * folio_lock_or_retry). So
 *
 * - at CPL 3 "page not present" comes with a token, and by itself "page ready" with the same one, once;
 * - then all of the page is as it was;
 * - at CPL 0 without SEND_ALWAYS nothing comes, and the page is read.
 *
 * If the host happens to have read the page before KVM has looked, nothing is told, and the page is there: how
 * often depends on when the host lets the thread run that reads it. The pages lie apart, so that reading one does
 * not read its neighbour ahead.
 */
#include <kvm/async_pf_log.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/interrupt.h>
#include <x86/memory.h>

#define PAGES	 48
#define APART	 16 /* pages, of which the first one is used */
#define ORDER	 4
#define TOLD_MIN (PAGES / 4)
#define WORDS	 (PAGE_SIZE / sizeof(uint32_t))

static uint32_t *pages[PAGES];

_Static_assert(1u << ORDER == APART, "the pages lie apart");

static uint32_t contents(unsigned int page, unsigned int word)
{
	return (page + 1) << 16 | word;
}

static void prepare(uint32_t flags)
{
	async_pf_need();
	async_pf_log_on(flags);
	for (unsigned int page = 0; page < PAGES; page++) {
		if (!pages[page])
			pages[page] = pages_alloc(ORDER);
		for (unsigned int word = 0; word < WORDS; word++)
			pages[page][word] = contents(page, word);
	}
}

static void swap_out(unsigned int page)
{
	int status = vmm_page_swap((uintptr_t)pages[page]);

	REQUIRE(status == 0);
}

static void expect_contents(unsigned int page)
{
	for (unsigned int word = 0; word < WORDS; word++)
		EXPECT_EQ(pages[page][word], contents(page, word), "page %u, word %u", page, word);
}

static void expect_ready(unsigned int count, uint32_t token)
{
	ASSERT_TRUE(async_pf_log_wait(0, count), "%u of %u", async_pf_log_count(0), count);
	EXPECT_EQ(async_pf_log_token(0, count - 1), token);
}

TEST("a page that the host has swapped out is told of, is ready after a while, and is as before")
{
	unsigned int told = 0;

	prepare(0);
	for (unsigned int page = 0; page < PAGES; page++) {
		struct async_pf_touch touch;

		swap_out(page);
		touch = async_pf_touch((uintptr_t)pages[page]);
		if (touch.told)
			expect_ready(++told, touch.token);
		else
			EXPECT_EQ(touch.value, contents(page, 0));
		expect_contents(page);
	}
	EXPECT_GE(told, TOLD_MIN);
	EXPECT_EQ(async_pf_log_count(0), told);
	test_diag("told of %u pages of %u", told, PAGES);
	async_pf_log_off();
}

/* That this token has come, once. */
static void expect_once(uint32_t token)
{
	unsigned int times = 0;

	for (unsigned int i = 0; i < async_pf_log_count(0); i++)
		times += async_pf_log_token(0, i) == token;
	EXPECT_EQ(times, 1, "token 0x%x", token);
}

TEST("many pages that are swapped out at a time become ready, each once")
{
	uint32_t tokens[PAGES];
	unsigned int told = 0;

	prepare(0);
	for (unsigned int page = 0; page < PAGES; page++)
		swap_out(page);
	for (unsigned int page = 0; page < PAGES; page++) {
		struct async_pf_touch touch = async_pf_touch((uintptr_t)pages[page]);

		if (touch.told)
			tokens[told++] = touch.token;
	}
	EXPECT_GE(told, TOLD_MIN);
	EXPECT_TRUE(async_pf_log_wait(0, told), "%u of %u", async_pf_log_count(0), told);
	for (unsigned int i = 0; i < told; i++)
		expect_once(tokens[i]);
	for (unsigned int page = 0; page < PAGES; page++)
		expect_contents(page);
	async_pf_log_off();
}

TEST("at CPL 0 a page that is swapped out is read without a word")
{
	prepare(0);
	for (unsigned int page = 0; page < PAGES; page++) {
		swap_out(page);
		irq_enable();
		expect_contents(page);
		irq_disable();
	}
	EXPECT_EQ(async_pf_log_count(0), 0);
	async_pf_log_off();
}
