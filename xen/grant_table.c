// SPDX-License-Identifier: BSD-2-Clause
/*
 * grant_table_op: memory that a guest gives others access to
 *
 * A grant table is pages of Xen's that the guest puts into its memory (XENMEM_add_to_physmap) and fills: entry number
 * "reference" names a frame, the domain that may use it, and how (public/grant_table.h, "Introducing a valid entry").
 * GNTTABOP_copy copies between frames of the caller's own and grants, checks each, and tells of each by a status
 * (common/grant_table.c, gnttab_copy). Here the guest grants to itself, under the domain id that CPUID tells
 * (arch-x86/cpuid.h, leaf 4). The toolstack has granted the page of the console to dom0, by reference 0.
 *
 * KVM answers none of it, and vmrun none either: there the file is skipped as a whole.
 */
#include <libc/string.h>
#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/memory.h>
#include <xen/hypercall.h>
#include <xen/ops.h>
#include <xen/page.h>

#define REFERENCE 20 /* behind those that are reserved */
#define PATTERN	  0xc3
#define LENGTH	  100
#define OFFSET	  40

static long grant_op(unsigned int operation, void *argument)
{
	return xen_hypercall(XEN_HYPERVISOR_GRANT_TABLE_OP, operation, (uintptr_t)argument, 1);
}

static uint16_t own_domid(void)
{
	struct cpuid leaf;
	uint32_t base;

	REQUIRE(cpuid_hypervisor(XEN_CPUID_SIGNATURE, &base));
	leaf = cpuid(base + XEN_CPUID_HVM, 0);
	REQUIRE(leaf.eax & XEN_CPUID_HVM_DOMID);
	return leaf.ecx;
}

/* The first page of the table, at a frame of the guest's; once for all points. */
static volatile struct xen_grant_entry *table(void)
{
	static volatile struct xen_grant_entry *entries;
	struct xen_add_to_physmap map = {
		.domid = XEN_DOMID_SELF,
		.space = XENMAPSPACE_GRANT_TABLE,
	};

	xen_page_new();
	if (!entries) {
		void *page = page_alloc();

		map.gpfn = (uintptr_t)page >> PAGE_SHIFT;
		REQUIRE(!xen_hypercall(XEN_HYPERVISOR_MEMORY_OP, XENMEM_ADD_TO_PHYSMAP,
				       (uintptr_t)&map));
		entries = page;
	}
	return entries;
}

/* Grants the page to this domain itself. */
static void grant(const void *page, uint16_t flags)
{
	volatile struct xen_grant_entry *entry = &table()[REFERENCE];

	entry->flags = 0;
	entry->domid = own_domid();
	entry->frame = (uintptr_t)page >> PAGE_SHIFT;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	entry->flags = GTF_PERMIT_ACCESS | flags;
}

static struct xen_gnttab_copy copy_of(const void *from, const void *to)
{
	return (struct xen_gnttab_copy){
		.source = { (uintptr_t)from >> PAGE_SHIFT, XEN_DOMID_SELF, OFFSET },
		.dest = { (uintptr_t)to >> PAGE_SHIFT, XEN_DOMID_SELF, 2 * OFFSET },
		.len = LENGTH,
	};
}

static void expect_copied(const uint8_t *to)
{
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		EXPECT_EQ(to[i], i >= 2 * OFFSET && i < 2 * OFFSET + LENGTH ? PATTERN : 0,
			  "byte %u", i);
}

TEST("a guest can ask how large its table is, and may be")
{
	struct xen_gnttab_query_size size = { .dom = XEN_DOMID_SELF, .status = 1 };

	xen_page_new();
	EXPECT_EQ(grant_op(GNTTABOP_QUERY_SIZE, &size), 0);
	EXPECT_EQ(size.status, GNTST_OKAY);
	EXPECT_GE(size.nr_frames, 1);
	EXPECT_GE(size.max_nr_frames, size.nr_frames);
}

TEST("the table lies at the frame that the guest names, with the toolstack's grant of the console")
{
	struct xen_hvm_param console = { .domain = XEN_DOMID_SELF, .index = HVM_PARAM_CONSOLE_PFN };
	volatile struct xen_grant_entry *entry = &table()[GNTTAB_RESERVED_CONSOLE];

	REQUIRE(!xen_hypercall(XEN_HYPERVISOR_HVM_OP, HVMOP_GET_PARAM, (uintptr_t)&console));
	EXPECT_EQ(entry->flags & 3, GTF_PERMIT_ACCESS);
	EXPECT_EQ(entry->domid, 0);
	EXPECT_EQ(entry->frame, console.value);
}

TEST("a copy between frames of one's own moves these bytes and no others")
{
	uint8_t *from = page_alloc(), *to = page_alloc();
	struct xen_gnttab_copy copy = copy_of(from, to);

	table();
	memset(from, PATTERN, PAGE_SIZE);
	EXPECT_EQ(grant_op(GNTTABOP_COPY, &copy), 0);
	EXPECT_EQ(copy.status, GNTST_OKAY);
	expect_copied(to);
}

TEST("a copy out of a grant reads the frame that it names")
{
	uint8_t *from = page_alloc(), *to = page_alloc();
	struct xen_gnttab_copy copy = copy_of(from, to);

	memset(from, PATTERN, PAGE_SIZE);
	grant(from, GTF_READONLY);
	copy.source.frame = REFERENCE;
	copy.source.domid = own_domid();
	copy.flags = GNTCOPY_SOURCE_GREF;
	EXPECT_EQ(grant_op(GNTTABOP_COPY, &copy), 0);
	EXPECT_EQ(copy.status, GNTST_OKAY);
	expect_copied(to);
}

TEST("a copy into a grant writes it, unless it is read-only")
{
	uint8_t *from = page_alloc(), *to = page_alloc();
	struct xen_gnttab_copy copy = copy_of(from, to);

	memset(from, PATTERN, PAGE_SIZE);
	grant(to, GTF_READONLY);
	copy.dest.frame = REFERENCE;
	copy.dest.domid = own_domid();
	copy.flags = GNTCOPY_DEST_GREF;
	EXPECT_EQ(grant_op(GNTTABOP_COPY, &copy), 0);
	EXPECT_NE(copy.status, GNTST_OKAY, "read-only");
	EXPECT_EQ(to[2 * OFFSET], 0, "read-only");
	grant(to, 0);
	EXPECT_EQ(grant_op(GNTTABOP_COPY, &copy), 0);
	EXPECT_EQ(copy.status, GNTST_OKAY);
	expect_copied(to);
}

static void expect_status(struct xen_gnttab_copy copy, int expected, const char *what)
{
	EXPECT_EQ(grant_op(GNTTABOP_COPY, &copy), 0, "%s", what);
	EXPECT_EQ(copy.status, expected, "%s", what);
}

TEST("each copy that cannot be has a status that says why, and the call itself succeeds")
{
	uint8_t *from = page_alloc(), *to = page_alloc();
	struct xen_gnttab_copy copy;

	table()[REFERENCE].flags = 0;
	copy = copy_of(from, to);
	copy.source.offset = PAGE_SIZE - 1;
	expect_status(copy, GNTST_BAD_COPY_ARG, "across the end of the page");
	copy = copy_of(from, to);
	copy.source = (struct xen_gnttab_copy_ptr){ REFERENCE, own_domid(), 0 };
	copy.flags = GNTCOPY_SOURCE_GREF;
	/* common/grant_table.c, _set_status: its flags are not those of a grant. */
	expect_status(copy, GNTST_GENERAL_ERROR, "a reference that grants nothing");
	copy.source.frame = 1 << 20;
	expect_status(copy, GNTST_BAD_GNTREF, "a reference behind the table");
	copy.source.domid = 0x1234;
	expect_status(copy, GNTST_BAD_DOMAIN, "a domain that is none");
}

/* hvm/hypercall.c, hvm_grant_table_op */
TEST("what is of PV guests only, and what nobody knows, is -ENOSYS")
{
	uint64_t argument[8] = { 0 };

	xen_page_new();
	EXPECT_EQ(grant_op(GNTTABOP_TRANSFER, argument), -XEN_ENOSYS, "transfer");
	EXPECT_EQ(grant_op(60, argument), -XEN_ENOSYS, "operation 60");
}
