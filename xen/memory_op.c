// SPDX-License-Identifier: BSD-2-Clause
/*
 * memory_op: what memory a guest has, and where it lies
 *
 * Xen (common/memory.c, do_memory_op; arch/x86/hvm/hypercall.c, hvm_memory_op) answers of a guest's own memory how much
 * it has and may have and where it ends; takes pages back and gives new ones, at the frames that the guest names; and
 * puts pages of Xen's own, such as shared_info, there. The calls return what they have done: a count of extents, or
 * pages, or 0; errors are negative. What is of PV guests only, as the table of machine frames, an HVM guest has not.
 *
 * KVM answers none of it, and vmrun none either: there the file is skipped as a whole.
 */
#include <test/test.h>
#include <x86/memory.h>
#include <xen/hypercall.h>
#include <xen/ops.h>
#include <xen/page.h>

static long memory_op(unsigned int operation, void *argument)
{
	return xen_hypercall(XEN_HYPERVISOR_MEMORY_OP, operation, (uintptr_t)argument);
}

static long current_reservation(void)
{
	uint16_t self = XEN_DOMID_SELF;

	return memory_op(XENMEM_CURRENT_RESERVATION, &self);
}

static long change(unsigned int operation, void *page)
{
	unsigned long frame = (uintptr_t)page >> PAGE_SHIFT;
	struct xen_memory_reservation reservation = {
		.extent_start = &frame,
		.nr_extents = 1,
		.domid = XEN_DOMID_SELF,
	};

	return memory_op(operation, &reservation);
}

TEST("a guest has as many pages as its map says, and may have no fewer")
{
	uint16_t self = XEN_DOMID_SELF;
	long current;

	xen_page_new();
	current = current_reservation();
	ASSERT_TRUE(current > 0, "%ld", current);
	EXPECT_GE(current, memory_size() >> PAGE_SHIFT);
	EXPECT_TRUE(memory_op(XENMEM_MAXIMUM_RESERVATION, &self) >= current);
}

TEST("no RAM of the map lies above the highest frame")
{
	uint16_t self = XEN_DOMID_SELF;
	long highest;

	xen_page_new();
	highest = memory_op(XENMEM_MAXIMUM_GPFN, &self);
	ASSERT_TRUE(highest > 0, "%ld", highest);
	EXPECT_GE(highest, (memory_size() - 1) >> PAGE_SHIFT);
}

TEST("the memory map holds the RAM that the loader told of")
{
	static struct xen_memory_map_entry entries[32];
	struct xen_memory_map map = { .nr_entries = 32, .buffer = entries };
	uint64_t ram = 0;

	xen_page_new();
	ASSERT_EQ(memory_op(XENMEM_MEMORY_MAP, &map), 0);
	ASSERT_TRUE(map.nr_entries > 0 && map.nr_entries <= 32);
	for (unsigned int i = 0; i < map.nr_entries; i++)
		if (entries[i].type == 1 && entries[i].address < 1ull << 32)
			ram += entries[i].size;
	EXPECT_EQ(ram, memory_size());
}

TEST("a page that is given back is gone, and one that is asked for is there")
{
	volatile uint8_t *page = page_alloc();
	long before;

	xen_page_new();
	before = current_reservation();
	*page = 0x5a;
	ASSERT_EQ(change(XENMEM_DECREASE_RESERVATION, (void *)page), 1, "given back");
	EXPECT_EQ(current_reservation(), before - 1);
	*page = 0x5a;
	EXPECT_NE(*page, 0x5a, "nothing is there to keep it");
	ASSERT_EQ(change(XENMEM_POPULATE_PHYSMAP, (void *)page), 1, "asked for");
	EXPECT_EQ(current_reservation(), before);
	*page = 0x5a;
	EXPECT_EQ(*page, 0x5a);
}

TEST("shared_info appears at the frame that the guest names, and stays the same page there")
{
	struct xen_add_to_physmap map = {
		.domid = XEN_DOMID_SELF,
		.space = XENMAPSPACE_SHARED_INFO,
	};
	volatile unsigned long *pages[2] = { page_alloc(), page_alloc() };
	unsigned int mask = XEN_SHARED_INFO_MASK / sizeof(unsigned long);

	xen_page_new();
	for (unsigned int i = 0; i < 2; i++) {
		map.gpfn = (uintptr_t)pages[i] >> PAGE_SHIFT;
		ASSERT_EQ(memory_op(XENMEM_ADD_TO_PHYSMAP, &map), 0);
	}
	/* The mask of ports that are not in use is the guest's. */
	pages[1][mask + 1] ^= 1;
	map.gpfn = (uintptr_t)pages[0] >> PAGE_SHIFT;
	unsigned long changed = pages[1][mask + 1];
	ASSERT_EQ(memory_op(XENMEM_ADD_TO_PHYSMAP, &map), 0);
	EXPECT_EQ(pages[0][mask + 1], changed);
}

TEST("another domain's memory is not the guest's business, nor is that of none")
{
	uint16_t other = 0, none = 0x1234;

	xen_page_new();
	EXPECT_EQ(memory_op(XENMEM_CURRENT_RESERVATION, &other), -XEN_EPERM, "dom0");
	EXPECT_EQ(memory_op(XENMEM_CURRENT_RESERVATION, &none), -XEN_ESRCH, "nobody");
}

TEST("what is of PV guests only, and what nobody knows, is -ENOSYS")
{
	uint64_t argument[4] = { 0 };

	xen_page_new();
	EXPECT_EQ(memory_op(XENMEM_MACHPHYS_MAPPING, argument), -XEN_ENOSYS, "machphys_mapping");
	EXPECT_EQ(memory_op(60, argument), -XEN_ENOSYS, "operation 60");
}
