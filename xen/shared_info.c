// SPDX-License-Identifier: BSD-2-Clause
/*
 * shared_info: one page of a domain, with the wallclock in it
 *
 * The wallclock is the time of day at which the system time was 0, in seconds and nanoseconds, under a version that is
 * odd while it is written (public/xen.h, struct shared_info): in the layout of 64-bit guests at 0xc00, the high half
 * of the seconds at 0xc0c; in that of 32-bit ones at 0x900 and 0x924 (public/arch-x86/xen.h, struct arch_shared_info).
 * It is written when the page is placed.
 *
 * KVM writes it into the guest's own page, and nothing else there (xen.c, kvm_xen_shared_info_init); Xen has a page of
 * its own, which appears at the frame that the guest names (arch/x86/mm.c, xenmem_add_to_physmap). So the points about
 * what else is in the page, and about what the VMM may say, are KVM's alone. The VMM names the page by its frame or, from Linux
 * 6.9 on, by its own address.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/abi.h>
#include <x86/memory.h>
#include <xen/events.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/request.h>
#include <xen/shared.h>

#ifdef __x86_64__
#define WALLCLOCK 0xc00
#define SEC_HI	  0xc0c
#else
#define WALLCLOCK 0x900
#define SEC_HI	  0x924
#endif

#define YEAR_2020 1577836800u
#define PATTERN	  0xa5
#define NS	  1000000000ull

struct wallclock {
	uint32_t version, sec, nsec;
};

static volatile struct wallclock *wallclock_of(volatile void *page)
{
	return (volatile struct wallclock *)((volatile uint8_t *)page + WALLCLOCK);
}

static uint32_t sec_hi_of(volatile void *page)
{
	return *(volatile uint32_t *)((volatile uint8_t *)page + SEC_HI);
}

static uint64_t ns_of(volatile void *page)
{
	return wallclock_of(page)->sec * NS + wallclock_of(page)->nsec;
}

/* A page of the guest's own as shared_info, with the hypercall page behind it that latches the mode. */
static void *placed_page(uint8_t pattern)
{
	void *page;

	xen_shared_info();
	page = page_alloc();
	memset(page, pattern, PAGE_SIZE);
	ASSERT_EQ(xen_place_shared_info(page), 0);
	return page;
}

static void place_back(void)
{
	ASSERT_EQ(xen_place_shared_info(xen_shared_info()), 0);
}

TEST("the wallclock is a time of day of this century, at its place, with an even version")
{
	volatile void *page = xen_shared_info();

	EXPECT_NE(wallclock_of(page)->version, 0);
	EXPECT_EQ(wallclock_of(page)->version & 1, 0);
	EXPECT_GE(wallclock_of(page)->sec, YEAR_2020);
	EXPECT_LT(wallclock_of(page)->nsec, NS);
	EXPECT_EQ(sec_hi_of(page), 0);
}

TEST("the wallclock is that of the guest's start: it stays when the page is placed again later")
{
	volatile void *page = xen_shared_info();
	uint64_t before = ns_of(page), after, now = xen_now();

	/* So that a wallclock of the moment would show. */
	while (xen_now() - now < 50000000)
		;
	place_back();
	after = ns_of(page);
	EXPECT_LT(after > before ? after - before : before - after, 25000000);
}

TEST("the version grows by two when the wallclock is written again")
{
	uint32_t before;

	xen_get_vm(XEN_VM_LONG_MODE, &(uint64_t){ 0 });
	before = wallclock_of(xen_shared_info())->version;
	place_back();
	EXPECT_EQ(wallclock_of(xen_shared_info())->version, before + 2);
}

TEST("an odd version that was there already becomes the next even one")
{
	static const uint32_t versions[] = { 1, 7, 0x7fffffff, 0xfffffffd };

	xen_get_vm(XEN_VM_LONG_MODE, &(uint64_t){ 0 });
	for (size_t i = 0; i < COUNT_OF(versions); i++) {
		wallclock_of(xen_shared_info())->version = versions[i];
		place_back();
		EXPECT_EQ(wallclock_of(xen_shared_info())->version, versions[i] + 3);
	}
}

TEST("nothing else of the page is written")
{
	uint8_t *page, expected[64];
	size_t other = 0;

	xen_get_vm(XEN_VM_LONG_MODE, &(uint64_t){ 0 });
	page = placed_page(PATTERN);
	memset(expected, PATTERN, sizeof(expected));
	for (size_t i = 0; i < PAGE_SIZE; i++) {
		bool clock = (i >= WALLCLOCK && i < WALLCLOCK + sizeof(struct wallclock)) ||
			     (i >= SEC_HI && i < SEC_HI + 4);

		other += !clock && page[i] != PATTERN;
	}
	EXPECT_EQ(other, 0, "bytes beside the wallclock");
	EXPECT_EQ(wallclock_of(page)->version, 0xa5a5a5a5 + 3);
	EXPECT_GE(wallclock_of(page)->sec, YEAR_2020);
	EXPECT_EQ(sec_hi_of(page), 0);
	place_back();
}

/* On Xen both frames show the one page; on KVM each is the guest's own. */
TEST("events are pending in the page that was placed last")
{
	volatile struct xen_shared_info *page;
	uint32_t port;

	xen_events_begin();
	port = xen_port(XEN_PORT_ANY, 0);
	page = placed_page(0);
	/* On Xen what was masked is masked here, too; and the port is not. */
	EXPECT_EQ(xen_send(port), 0);
	EXPECT_TRUE(page->pending[port / XEN_WORD_BITS] & 1ul << port % XEN_WORD_BITS);
	if (!xen_itself())
		EXPECT_FALSE(xen_port_pending(port), "in the page of before");
	place_back();
	xen_port_take(port);
	EXPECT_EQ(xen_send(port), 0);
	EXPECT_TRUE(xen_port_pending(port), "back again");
}

TEST("a frame without memory behind it is refused")
{
	xen_shared_info();
	EXPECT_EQ(xen_set_vm(XEN_VM_SHARED_INFO, memory_hole() >> PAGE_SHIFT), VMRUN_EFAULT);
	place_back();
}

/* xen.c, kvm_xen_set_evtchn: what cannot be delivered is user space's to answer, and vmrun knows no ports. */
TEST("without a page an event that is sent is left to the VMM")
{
	uint32_t port;

	xen_get_vm(XEN_VM_LONG_MODE, &(uint64_t){ 0 });
	xen_events_begin();
	port = xen_port(XEN_PORT_ANY, 0);
	EXPECT_EQ(xen_set_vm(XEN_VM_SHARED_INFO, XEN_NOWHERE), 0);
	EXPECT_EQ(xen_send(port), -XEN_ENOSYS);
	place_back();
	EXPECT_FALSE(xen_port_pending(port));
	EXPECT_EQ(xen_send(port), 0);
	EXPECT_TRUE(xen_port_pending(port));
}

TEST("the VMM is told which frame it is, and that there is none")
{
	uint64_t frame;

	xen_get_vm(XEN_VM_LONG_MODE, &frame);
	xen_shared_info();
	EXPECT_EQ(xen_get_vm(XEN_VM_SHARED_INFO, &frame), 0);
	EXPECT_EQ(frame, (uintptr_t)xen_shared_info() >> PAGE_SHIFT);
	xen_set_vm(XEN_VM_SHARED_INFO, XEN_NOWHERE);
	EXPECT_EQ(xen_get_vm(XEN_VM_SHARED_INFO, &frame), 0);
	EXPECT_EQ(frame, XEN_NOWHERE);
	place_back();
}

TEST("the page may be named by the VMM's own address of it")
{
	volatile struct xen_shared_info *page;
	uint64_t frame;
	uint32_t port;

	xen_skip_without(KVM_XEN_FLAG_SHARED_INFO_HVA, "SHARED_INFO_HVA");
	xen_events_begin();
	port = xen_port(XEN_PORT_ANY, 0);
	page = page_alloc();
	ASSERT_EQ(xen_set_vm(XEN_VM_SHARED_INFO_HVA, (uintptr_t)page), 0);
	EXPECT_GE(wallclock_of(page)->sec, YEAR_2020, "the wallclock is there");
	EXPECT_EQ(xen_get_vm(XEN_VM_SHARED_INFO, &frame), 0);
	EXPECT_EQ(frame, XEN_NOWHERE, "it is known by no frame");
	EXPECT_EQ(xen_send(port), 0);
	EXPECT_TRUE(page->pending[port / XEN_WORD_BITS] & 1ul << port % XEN_WORD_BITS);
	EXPECT_EQ(xen_set_vm(XEN_VM_SHARED_INFO_HVA, XEN_NOWHERE), 0);
	EXPECT_EQ(xen_send(port), -XEN_ENOSYS, "taken away");
	place_back();
}

TEST("an address of the VMM's that is not page-aligned is refused")
{
	xen_skip_without(KVM_XEN_FLAG_SHARED_INFO_HVA, "SHARED_INFO_HVA");
	EXPECT_EQ(xen_set_vm(XEN_VM_SHARED_INFO_HVA, (uintptr_t)page_alloc() + 8), VMRUN_EINVAL);
	place_back();
}
