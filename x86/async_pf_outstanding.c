// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults: many pages at once
 *
 * KVM keeps 64 pages of a vCPU on their way (ASYNC_PF_PER_VCPU). For one more the vCPU waits in the
 * host, as if there were no asynchronous page faults (virt/kvm/async_pf.c, kvm_setup_async_pf). When
 * one has been told of as ready there is room for another.
 *
 * So as not to tell of a page twice KVM looks for its gfn in a hash table of 64 entries, in which gfns
 * of one hash lie one behind the other; one that goes may move others (x86.c, kvm_del_async_pf_gfn).
 * Here pages are chosen by that hash: (u32)gfn * 0x61c88647, the upper 6 bits (include/linux/hash.h,
 * hash_32).
 */
#include <kvm/async_pf_pages.h>
#include <libc/array.h>
#include <test/test.h>
#include <x86/memory.h>

#define PER_VCPU    64
#define STEP	    37 /* has no factor in common with 64: so every page has its turn */
#define HASH_FACTOR 0x61c88647u
#define HASH_BITS   6
#define COLLIDING   6

static uintptr_t pages[PER_VCPU];
static uint32_t tokens[PER_VCPU];

static void all_out(void)
{
	async_pf_begin(0);
	for (unsigned int i = 0; i < PER_VCPU; i++) {
		pages[i] = absent_page(i);
		tokens[i] = fault_at_user(pages[i]);
		for (unsigned int other = 0; other < i; other++)
			EXPECT_NE(tokens[i], tokens[other], "pages %u and %u", i, other);
	}
}

static void all_back(unsigned int ready)
{
	for (unsigned int turn = 0; turn < PER_VCPU; turn++) {
		unsigned int i = turn * STEP % PER_VCPU;

		bring_back(pages[i], tokens[i], ready + turn + 1);
	}
	for (unsigned int i = 0; i < PER_VCPU; i++)
		expect_contents(pages[i], i);
	EXPECT_TRUE(async_pf_stays(ready + PER_VCPU));
}

TEST("64 pages are out at a time, each with a token of its own, and all come back")
{
	all_out();
	EXPECT_TRUE(async_pf_stays(0));
	all_back(0);
}

/* The page with this token, which no other has from now on; PER_VCPU if there is none. */
static unsigned int take_page_of(uint32_t token)
{
	for (unsigned int i = 0; i < PER_VCPU; i++) {
		if (tokens[i] != token)
			continue;
		tokens[i] = 0;
		return i;
	}
	return PER_VCPU;
}

TEST("they may be back all at once: each is told of, one after the other")
{
	all_out();
	for (unsigned int i = 0; i < PER_VCPU; i++)
		absent_end(pages[i]);
	for (unsigned int count = 1; count <= PER_VCPU; count++) {
		uint32_t token;

		ASSERT_TRUE(async_pf_wait(count));
		token = async_pf_take();
		EXPECT_LT(take_page_of(token), PER_VCPU, "token 0x%x", token);
	}
	EXPECT_TRUE(async_pf_stays(PER_VCPU));
}

TEST("for the 65th the CPU waits in the host, and is told nothing")
{
	all_out();
	expect_silent_read(touch_user, TAKES_NONE);
	all_back(0);
}

TEST("when one of 64 is back another page can be out")
{
	uintptr_t page;
	uint32_t token;

	all_out();
	for (unsigned int i = 0; i < 4; i++) {
		bring_back(pages[i], tokens[i], i + 1);
		expect_contents(pages[i], i);
		page_free((void *)pages[i]);
		pages[i] = absent_page(i);
		tokens[i] = fault_at_user(pages[i]);
	}
	expect_silent_read(touch_user, TAKES_NONE);
	page = absent_page(PER_VCPU);
	bring_back(pages[4], tokens[4], 5);
	token = fault_at_user(page);
	bring_back(page, token, 6);
	expect_contents(page, PER_VCPU);
	tokens[4] = 0;
	for (unsigned int i = 0, ready = 6; i < PER_VCPU; i++)
		if (tokens[i])
			bring_back(pages[i], tokens[i], ++ready);
}

static unsigned int hash_of(uintptr_t page)
{
	return (uint32_t)(page >> PAGE_SHIFT) * HASH_FACTOR >> (32 - HASH_BITS);
}

/* Puts pages whose hash is this into chosen[], from RAM that begins there, of 512 pages. */
static void choose(uintptr_t ram, unsigned int hash, uintptr_t *chosen, unsigned int count)
{
	unsigned int found = 0;

	for (unsigned int i = 0; i < 1u << PAGE_ORDER_MAX && found < count; i++)
		if (hash_of(ram + i * PAGE_SIZE) == hash)
			chosen[found++] = ram + i * PAGE_SIZE;
	REQUIRE(found == count);
}

/* Pages of three hashes that follow on one another, so that their chains run into each other. */
static void check_collisions(unsigned int hash, const unsigned int *order)
{
	uintptr_t ram = (uintptr_t)pages_alloc(PAGE_ORDER_MAX);

	async_pf_begin(0);
	for (unsigned int i = 0; i < COLLIDING; i += 2)
		choose(ram, (hash + i / 2) % PER_VCPU, &pages[i], 2);
	for (unsigned int i = 0; i < COLLIDING; i++) {
		absent_page_at(pages[i], i);
		tokens[i] = fault_at_user(pages[i]);
	}
	for (unsigned int turn = 0; turn < COLLIDING; turn++) {
		for (unsigned int left = turn; left < COLLIDING; left++)
			expect_not_told_again(pages[order[left]], order[left]);
		bring_back(pages[order[turn]], tokens[order[turn]], turn + 1);
		expect_contents(pages[order[turn]], order[turn]);
	}
	for (unsigned int i = 0; i < 1u << PAGE_ORDER_MAX; i++)
		page_free((void *)(ram + i * PAGE_SIZE));
}

TEST("pages whose gfns collide in KVM's hash are told of once, however they come back")
{
	static const unsigned int orders[][COLLIDING] = {
		{ 0, 1, 2, 3, 4, 5 },
		{ 5, 4, 3, 2, 1, 0 },
		{ 2, 0, 4, 1, 5, 3 },
	};

	for (unsigned int i = 0; i < COUNT_OF(orders); i++)
		check_collisions(20, orders[i]);
}

TEST("so are those at the end of its table, which go on at the beginning")
{
	static const unsigned int orders[][COLLIDING] = {
		{ 0, 1, 2, 3, 4, 5 },
		{ 3, 5, 0, 4, 2, 1 },
	};

	for (unsigned int i = 0; i < COUNT_OF(orders); i++)
		check_collisions(PER_VCPU - 2, orders[i]);
}
