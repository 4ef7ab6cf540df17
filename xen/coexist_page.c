// SPDX-License-Identifier: BSD-2-Clause
/*
 * A Xen and a Hyper-V hypercall page in one VM: neither disturbs the other
 *
 * Each page has its MSR: Hyper-V's are fixed at 0x40000000 and 0x40000001, and so Xen's, whose
 * place CPUID tells, is put elsewhere (0x40000200 by custom, Xen's public/arch-x86/cpuid.h). Both
 * enter KVM through the same instruction. So that KVM can tell the calls apart, the code of the
 * Hyper-V page begins by setting bit 31 of eax, whenever the VM has Xen hypercalls (hyperv.c,
 * kvm_hv_set_msr_pw):
 *
 *	0d 00 00 00 80	orl	$0x80000000, %eax
 *	0f 01 c1 or d9	vmcall (Intel) or vmmcall (AMD)
 *	c3		ret
 *
 * It does so whether or not the guest has installed a Xen page yet. The Xen page is what it is
 * without Hyper-V (xen.c, kvm_xen_write_hypercall_page). Both are written into the guest's RAM when
 * their MSR is written, and at no other time; where both are told the same page, the later one
 * writes over the earlier.
 *
 * That CPUID shows both is the VMM's doing, and that point checks the VMM: the others show that KVM
 * takes the MSRs that CPUID names.
 *
 * From Xen itself the trick of bit 31 comes. It does the same (viridian.c, enable_hypercall_page), but fills what is
 * behind the nine bytes with INT3, and in 4.17 neither asks for a guest OS id nor refuses an address without memory.
 *
 * What the pages hold by themselves is the matter of xen/page.c and hyperv/page.c.
 */
#include <hypercall/scribble.h>
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <libc/string.h>
#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <xen/hypercall.h>
#include <xen/page.h>

#define CODE_SIZE 9

static void install_xen(const void *page)
{
	wrmsr(xen_hypercall_msr(), (uintptr_t)page);
}

static void expect_xen_page(const uint8_t *page, const char *when)
{
	static uint8_t expected[PAGE_SIZE];

	xen_page_expected(expected);
	EXPECT_MEM_EQ(page, expected, PAGE_SIZE, "%s", when);
}

/* The code, and behind it a page as scribbled_page() gave it. */
static void expect_hyperv_page(const uint8_t *page, const char *when)
{
	const uint8_t code[CODE_SIZE] = {
		0x0d, 0x00, 0x00, 0x00, 0x80, 0x0f, 0x01, cpu_is_amd() ? 0xd9 : 0xc1, 0xc3,
	};
	static uint8_t rest[PAGE_SIZE - CODE_SIZE];

	EXPECT_MEM_EQ(page, code, CODE_SIZE, "%s", when);
	memset(rest, hv_page_rest(SCRIBBLE), sizeof(rest));
	EXPECT_MEM_EQ(page + CODE_SIZE, rest, sizeof(rest), "%s", when);
}

/*
 * One call each, so that the pages are seen to be more than bytes. Not if these were found wrong:
 * what they would do then is anybody's guess.
 */
static void expect_calls_work(const void *xen_page, const void *hyperv_page, const char *when)
{
	if (test_failed())
		return;
	EXPECT_TRUE(xen_call_works(xen_page, 0x123), "Xen, %s", when);
	EXPECT_EQ(hv_page_call(hyperv_page, HV_CONTROL_REFUSED, 0, 0), hv_refusal(), "Hyper-V, %s",
		  when);
}

struct pages {
	uint8_t *xen, *hyperv;
};

/* As after a reset, with two pages that are not installed yet. */
static struct pages start_afresh(void)
{
	struct pages pages;

	xen_skip_if_absent();
	hv_skip_if_absent();
	hv_enable_hypercalls();
	wrmsr(HV_X64_MSR_HYPERCALL, 0);
	hv_disable_hypercalls();
	pages.xen = scribbled_page();
	pages.hyperv = scribbled_page();
	return pages;
}

static struct pages install_both(void)
{
	struct pages pages = start_afresh();

	install_xen(pages.xen);
	hv_enable_hypercalls();
	hv_install_page(pages.hyperv);
	return pages;
}

/* First of all, while no Xen page has been installed since the reset. */
TEST("without a Xen page yet, the Hyper-V page sets bit 31 of eax already")
{
	struct pages pages = start_afresh();

	hv_enable_hypercalls();
	hv_install_page(pages.hyperv);
	expect_hyperv_page(pages.hyperv, "no Xen page yet");
}

TEST("CPUID shows both, and Xen's MSR is none of Hyper-V's")
{
	uint32_t base;

	start_afresh();
	REQUIRE(cpuid_hypervisor(XEN_CPUID_SIGNATURE, &base));
	EXPECT_GT(base, 0x40000000, "Hyper-V's leaves have no other place");
	EXPECT_EQ(cpuid(HV_CPUID_INTERFACE, 0).eax, HV_INTERFACE);
	/* Hyper-V's synthetic MSRs end below. */
	EXPECT_GE(xen_hypercall_msr(), 0x40000200);
}

TEST("beside a Xen page, the Hyper-V page holds nine bytes, and its rest stays")
{
	struct pages pages = install_both();

	expect_hyperv_page(pages.hyperv, "both");
}

static void expect_whole_and_working(struct pages pages, const char *when)
{
	expect_xen_page(pages.xen, when);
	expect_hyperv_page(pages.hyperv, when);
	expect_calls_work(pages.xen, pages.hyperv, when);
}

TEST("Xen first, then Hyper-V: both pages are whole and work")
{
	struct pages pages = start_afresh();

	install_xen(pages.xen);
	hv_enable_hypercalls();
	hv_install_page(pages.hyperv);
	expect_whole_and_working(pages, "Xen first");
}

TEST("Hyper-V first, then Xen: both pages are whole and work")
{
	struct pages pages = start_afresh();

	hv_enable_hypercalls();
	hv_install_page(pages.hyperv);
	install_xen(pages.xen);
	expect_whole_and_working(pages, "Hyper-V first");
}

TEST("Xen between guest OS id and Hyper-V page: both pages are whole and work")
{
	struct pages pages = start_afresh();

	hv_enable_hypercalls();
	install_xen(pages.xen);
	hv_install_page(pages.hyperv);
	expect_whole_and_working(pages, "Xen between");
}

TEST("without a guest OS id, the Hyper-V page stays unwritten beside Xen's too")
{
	static uint8_t expected[PAGE_SIZE];
	struct pages pages = start_afresh();

	install_xen(pages.xen);
	hv_install_page(pages.hyperv);
	memset(expected, SCRIBBLE, PAGE_SIZE);
	EXPECT_MEM_EQ(pages.hyperv, expected, PAGE_SIZE);
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), 0);
}

TEST("nothing that Hyper-V's MSRs are told touches the Xen page")
{
	struct pages pages = install_both();
	const uint64_t enable = HV_X64_MSR_HYPERCALL_ENABLE;

	wrmsr(HV_X64_MSR_HYPERCALL, (uintptr_t)scribbled_page() | enable);
	expect_xen_page(pages.xen, "Hyper-V page moved");
	wrmsr(HV_X64_MSR_HYPERCALL, (uintptr_t)pages.hyperv);
	expect_xen_page(pages.xen, "Hyper-V page disabled");
	EXPECT_FALSE(wrmsr_safe(HV_X64_MSR_HYPERCALL, memory_hole() | enable));
	expect_xen_page(pages.xen, "Hyper-V page refused");
	wrmsr(HV_X64_MSR_HYPERCALL, (uintptr_t)pages.xen);
	expect_xen_page(pages.xen, "Hyper-V page put here, but disabled");
	hv_disable_hypercalls();
	expect_xen_page(pages.xen, "guest OS id 0");
	EXPECT_TRUE(xen_call_works(pages.xen, 0x123));
}

TEST("nothing that Xen's MSR is told touches Hyper-V's page and MSRs")
{
	struct pages pages = install_both();
	const uint64_t value = rdmsr(HV_X64_MSR_HYPERCALL);

	EXPECT_EQ(value, (uintptr_t)pages.hyperv | HV_X64_MSR_HYPERCALL_ENABLE);
	install_xen(pages.xen);
	expect_hyperv_page(pages.hyperv, "Xen page written again");
	install_xen(scribbled_page());
	expect_hyperv_page(pages.hyperv, "Xen page elsewhere");
	EXPECT_FALSE(wrmsr_safe(xen_hypercall_msr(), memory_hole()));
	EXPECT_FALSE(wrmsr_safe(xen_hypercall_msr(), (uintptr_t)pages.hyperv | 1));
	expect_hyperv_page(pages.hyperv, "Xen page refused");
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), value);
	EXPECT_EQ(rdmsr(HV_X64_MSR_GUEST_OS_ID), HV_GUEST_OS_ID_VMABI);
}

TEST("each page is written anew by its own MSR alone")
{
	struct pages pages = install_both();

	memset(pages.xen, SCRIBBLE, PAGE_SIZE);
	memset(pages.hyperv, SCRIBBLE, PAGE_SIZE);
	hv_install_page(pages.hyperv);
	expect_hyperv_page(pages.hyperv, "written anew");
	EXPECT_MEM_EQ(pages.xen, scribbled_bytes(), PAGE_SIZE, "Hyper-V's MSR written");
	memset(pages.hyperv, SCRIBBLE, PAGE_SIZE);
	install_xen(pages.xen);
	expect_xen_page(pages.xen, "written anew");
	EXPECT_MEM_EQ(pages.hyperv, scribbled_bytes(), PAGE_SIZE, "Xen's MSR written");
}

TEST("the two pages can be neighbours, either way round")
{
	uint8_t *page;

	start_afresh();
	page = pages_alloc(2);
	memset(page, SCRIBBLE, 4 * PAGE_SIZE);
	hv_enable_hypercalls();
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t *first = page + 2 * i * PAGE_SIZE, *second = first + PAGE_SIZE;

		install_xen(i ? second : first);
		hv_install_page(i ? first : second);
		expect_xen_page(i ? second : first, "neighbours");
		expect_hyperv_page(i ? first : second, "neighbours");
	}
}

TEST("Hyper-V's page laid on Xen's takes stub 0 and leaves the others to work")
{
	static uint8_t expected[PAGE_SIZE];
	struct pages pages = start_afresh();

	if (xen_itself())
		SKIP("Xen itself writes all of Hyper-V's page");
	install_xen(pages.xen);
	hv_enable_hypercalls();
	hv_install_page(pages.xen);
	xen_page_expected(expected);
	hv_page_expected(expected);
	EXPECT_MEM_EQ(pages.xen, expected, PAGE_SIZE);
	expect_calls_work(pages.xen, pages.xen, "same page");
}

TEST("Xen's page laid on Hyper-V's takes all of it, and Hyper-V's MSR does not change")
{
	struct pages pages = start_afresh();

	hv_enable_hypercalls();
	hv_install_page(pages.hyperv);
	install_xen(pages.hyperv);
	expect_xen_page(pages.hyperv, "same page");
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL),
		  (uintptr_t)pages.hyperv | HV_X64_MSR_HYPERCALL_ENABLE);
	EXPECT_TRUE(xen_call_works(pages.hyperv, 0x123));
}

TEST("Hyper-V disabled and enabled again writes the same nine bytes")
{
	struct pages pages = install_both();

	for (unsigned int i = 0; i < 3; i++) {
		hv_disable_hypercalls();
		memset(pages.hyperv, SCRIBBLE, PAGE_SIZE);
		hv_enable_hypercalls();
		hv_install_page(pages.hyperv);
		expect_hyperv_page(pages.hyperv, "enabled again");
		expect_calls_work(pages.xen, pages.hyperv, "enabled again");
	}
}
