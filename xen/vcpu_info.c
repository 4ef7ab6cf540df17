// SPDX-License-Identifier: BSD-2-Clause
/*
 * vcpu_info: what a vCPU is told of its events and of the time, 64 bytes anywhere in a page
 *
 * Those of the first 32 vCPUs lie in shared_info until the guest places them elsewhere (public/vcpu.h,
 * VCPUOP_register_vcpu_info), once, and not across the end of a page (-EINVAL or -ENXIO in Xen, by its version). On
 * KVM it is the VMM that places them, as often as it likes, wherever they lie in one page; across its end it is
 * -EINVAL (virt/kvm/pfncache.c, kvm_gpc_is_valid_len). KVM copies nothing, and marks no event anew.
 *
 * The time in it is at byte 32 in both layouts; the selector is one word of the guest's, at byte 8 or 4.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/abi.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <xen/events.h>
#include <xen/page.h>
#include <xen/request.h>
#include <xen/shared.h>

#define SIZE	sizeof(struct xen_vcpu_info)
#define WAIT_MS 5000

static uint32_t begin(void)
{
	xen_events_begin();
	return xen_port(XEN_PORT_ANY, 0);
}

static void place_back(void)
{
	ASSERT_EQ(xen_place_vcpu_info(&xen_shared_info()->vcpu[0]), 0);
}

static void expect_event(volatile struct xen_vcpu_info *info, uint32_t port, const char *what)
{
	xen_port_take(port);
	EXPECT_EQ(xen_send(port), 0, "%s", what);
	EXPECT_EQ(info->upcall_pending, 1, "%s", what);
	EXPECT_EQ(info->pending_sel, 1ul << port / XEN_WORD_BITS, "%s", what);
}

TEST("an event sets the selector and the upcall flag of the vCPU, in shared_info at first")
{
	uint32_t port = begin();

	EXPECT_EQ((uintptr_t)xen_vcpu_info(), (uintptr_t)xen_shared_info());
	expect_event(xen_vcpu_info(), port, "in shared_info");
}

TEST("nothing but selector and flag is written by an event")
{
	uint32_t port = begin();
	struct xen_vcpu_info before, after;

	/* Once more, as the time may be written in between. */
	for (unsigned int i = 0; i < 3; i++) {
		xen_upcall_take();
		xen_port_take(port);
		before = *xen_vcpu_info();
		EXPECT_EQ(xen_send(port), 0);
		after = *xen_vcpu_info();
		if (before.time.version == after.time.version)
			break;
	}
	before.upcall_pending = 1;
	before.pending_sel |= 1ul << port / XEN_WORD_BITS;
	EXPECT_MEM_EQ(&after, &before, SIZE);
}

static void read_other(void *result)
{
	*(volatile struct xen_vcpu_info **)result = xen_vcpu_info();
}

TEST("each vCPU has its own: an event of another is not in this one's")
{
	volatile struct xen_vcpu_info *other;
	uint32_t port;

	begin();
	REQUIRE(cpu_count() >= 2);
	on_cpu(1, read_other, &other);
	other->upcall_pending = 0;
	other->pending_sel = 0;
	port = xen_port(XEN_PORT_ANY, 1);
	EXPECT_EQ(xen_send(port), 0);
	EXPECT_EQ(other->upcall_pending, 1);
	EXPECT_EQ(other->pending_sel, 1ul << port / XEN_WORD_BITS);
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 0);
	EXPECT_EQ(xen_vcpu_info()->pending_sel, 0);
}

TEST("placed elsewhere, at any byte of a page, events and time go there")
{
	static const unsigned int offsets[] = { 0, 8, 64, 1024, PAGE_SIZE - SIZE };
	uint32_t port = begin();
	uint8_t *page = page_alloc();

	if (xen_itself())
		SKIP("Xen places it once");
	for (size_t i = 0; i < COUNT_OF(offsets); i++) {
		volatile struct xen_vcpu_info *info = (void *)(page + offsets[i]);

		memset(page, 0, PAGE_SIZE);
		ASSERT_EQ(xen_place_vcpu_info(info), 0, "offset %u", offsets[i]);
		expect_event(info, port, "moved");
		EXPECT_TRUE(WAIT_FOR(info->time.version != 0, WAIT_MS), "offset %u", offsets[i]);
		EXPECT_EQ(info->time.version & 1, 0);
	}
	place_back();
}

TEST("nothing beside it is written where it lies")
{
	static const unsigned int at = 1000 / 8 * 8;
	uint32_t port = begin();
	uint8_t *page = page_alloc();
	size_t other = 0;

	if (xen_itself())
		SKIP("Xen places it once");
	memset(page, 0xa5, PAGE_SIZE);
	memset(page + at, 0, SIZE);
	ASSERT_EQ(xen_place_vcpu_info((void *)(page + at)), 0);
	EXPECT_EQ(xen_send(port), 0);
	for (size_t i = 0; i < PAGE_SIZE; i++)
		other += (i < at || i >= at + SIZE) && page[i] != 0xa5;
	EXPECT_EQ(other, 0);
	place_back();
}

TEST("what was at the old place is left alone after the move")
{
	uint32_t port = begin();
	volatile struct xen_vcpu_info *old = xen_vcpu_info();
	struct xen_vcpu_info before;

	if (xen_itself())
		SKIP("Xen places it once");
	ASSERT_EQ(xen_place_vcpu_info(page_alloc()), 0);
	before = *old;
	EXPECT_EQ(xen_send(port), 0);
	delay_us(1000);
	EXPECT_MEM_EQ((const void *)old, &before, SIZE);
	place_back();
}

/* public/vcpu.h: it "must not cross a page boundary". */
TEST("across the end of a page it is refused, and stays where it was")
{
	static const unsigned int beyond[] = { 1, 8, 32, 63 };
	uint32_t port = begin();
	uint8_t *pages = pages_alloc(1);

	for (size_t i = 0; i < COUNT_OF(beyond); i++) {
		int status;

		if (xen_itself() && beyond[i] % 8)
			continue;
		status = xen_place_vcpu_info((void *)(pages + PAGE_SIZE - SIZE + beyond[i]));
		EXPECT_TRUE(status == -XEN_EINVAL || (xen_itself() && status == -XEN_ENXIO),
			    "%u bytes beyond: %d", beyond[i], status);
	}
	if (!xen_itself())
		place_back();
	expect_event(xen_vcpu_info(), port, "where it was");
}

TEST("where there is no memory it is refused")
{
	int status;

	begin();
	status = xen_place_vcpu_info((void *)(uintptr_t)memory_hole());
	EXPECT_TRUE(status == VMRUN_EFAULT || (xen_itself() && status == -XEN_EINVAL), "%d",
		    status);
	if (!xen_itself())
		place_back();
}

/* xen.c: the selector is kept in the kernel until there is a place for it (kvm_xen_inject_pending_events). */
TEST("an event that comes while it is nowhere is told when it is placed again")
{
	uint32_t port = begin();

	xen_get_vm(XEN_VM_LONG_MODE, &(uint64_t){ 0 });
	ASSERT_EQ(xen_set_vcpu(XEN_VCPU_INFO, XEN_NOWHERE), 0);
	EXPECT_EQ(xen_send(port), 0);
	EXPECT_TRUE(xen_port_pending(port), "in shared_info it is");
	EXPECT_EQ(xen_shared_info()->vcpu[0].upcall_pending, 0);
	place_back();
	EXPECT_TRUE(WAIT_FOR(xen_vcpu_info()->upcall_pending == 1, WAIT_MS));
	EXPECT_EQ(xen_vcpu_info()->pending_sel, 1ul << port / XEN_WORD_BITS);
}

TEST("the VMM is told where it is, and may name it by its own address")
{
	uint32_t port = begin();
	volatile struct xen_vcpu_info *info;
	uint64_t gpa;

	xen_skip_without(KVM_XEN_FLAG_SHARED_INFO_HVA, "SHARED_INFO_HVA");
	xen_vcpu_info();
	info = page_alloc();
	EXPECT_EQ(xen_get_vcpu(XEN_VCPU_INFO, &gpa), 0);
	EXPECT_EQ(gpa, (uintptr_t)xen_shared_info());
	ASSERT_EQ(xen_set_vcpu(XEN_VCPU_INFO_HVA, (uintptr_t)info), 0);
	EXPECT_EQ(xen_get_vcpu(XEN_VCPU_INFO, &gpa), 0);
	EXPECT_EQ(gpa, XEN_NOWHERE);
	expect_event(info, port, "by the VMM's address");
	place_back();
}

/* The last point: after it Xen does not place it again. What may have come meanwhile is not to be lost (map_vcpu_info). */
TEST("Xen places it once, marks everything as pending, and events go there")
{
	uint32_t port = begin();
	uint8_t *page = page_alloc();
	volatile struct xen_vcpu_info *info = (void *)(page + 64);

	if (!xen_itself())
		SKIP("the hypervisor is not Xen itself: KVM's VMM places it as often as it likes");
	ASSERT_EQ(xen_place_vcpu_info(info), 0);
	EXPECT_EQ(info->upcall_pending, 1);
	EXPECT_EQ(info->pending_sel, ~0ul);
	xen_upcall_take();
	expect_event(info, port, "moved");
	EXPECT_EQ(xen_place_vcpu_info(info), -XEN_EINVAL, "again");
}
