// SPDX-License-Identifier: BSD-2-Clause
/*
 * Consoles: Xen's own, which is not the guest's, and the ring that the toolstack reads
 *
 * console_io is the hypercall for Xen's own console, of dom0 alone but in builds for debugging (include/xsm/dummy.h,
 * xsm_console_io). Any other domain has a ring in a page of its own, and an event channel (public/io/console.h):
 * it moves out_prod when it has written, and who reads moves out_cons. The runtime writes its TAP there: that it comes
 * out is what this file's own report shows; here it is looked at how the two indices move.
 *
 * KVM answers none of it, and vmrun none either: there the file is skipped as a whole.
 */
#include <test/test.h>
#include <x86/memory.h>
#include <x86/time.h>
#include <xen/hypercall.h>
#include <xen/ops.h>
#include <xen/page.h>

#define OUT_CONS 3080 /* offsets in struct xencons_interface */
#define OUT_PROD 3084
#define OUT_SIZE 2048
#define WAIT_MS	 5000

static volatile uint8_t *ring(void)
{
	struct xen_hvm_param param = { .domain = XEN_DOMID_SELF, .index = HVM_PARAM_CONSOLE_PFN };

	xen_page_new();
	REQUIRE(!xen_hypercall(XEN_HYPERVISOR_HVM_OP, HVMOP_GET_PARAM, (uintptr_t)&param));
	return (volatile uint8_t *)(uintptr_t)(param.value << PAGE_SHIFT);
}

static uint32_t index_at(unsigned int offset)
{
	return *(volatile uint32_t *)(ring() + offset);
}

TEST("Xen's own console is not the guest's to write to, nor to read")
{
	static char text[] = "not for you\n";

	xen_page_new();
	EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_CONSOLE_IO, CONSOLEIO_WRITE, sizeof(text) - 1,
				(uintptr_t)text),
		  -XEN_EPERM, "write");
	EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_CONSOLE_IO, CONSOLEIO_READ, sizeof(text),
				(uintptr_t)text),
		  -XEN_EPERM, "read");
}

TEST("what the guest writes to the ring is taken out of it")
{
	uint32_t before = index_at(OUT_PROD);

	test_diag("a line for the ring");
	EXPECT_GT(index_at(OUT_PROD) - before, 0);
	EXPECT_TRUE(WAIT_FOR(index_at(OUT_CONS) == index_at(OUT_PROD), WAIT_MS));
}

TEST("more than the ring holds comes out as well, while the guest waits")
{
	uint32_t before = index_at(OUT_PROD);

	for (unsigned int i = 0; i < 64; i++)
		test_diag("%02u a line of some length, of which there are more than fit", i);
	EXPECT_GT(index_at(OUT_PROD) - before, OUT_SIZE);
	EXPECT_TRUE(WAIT_FOR(index_at(OUT_CONS) == index_at(OUT_PROD), WAIT_MS));
}
