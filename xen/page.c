// SPDX-License-Identifier: BSD-2-Clause
/*
 * The Xen hypercall page: how a guest gets it, and what is in it
 *
 * A guest finds the Xen leaves in CPUID; leaf 2 after their base names an MSR (Xen's
 * public/arch-x86/cpuid.h). It writes there the guest-physical address of a page, and the
 * hypervisor fills the page with 128 stubs of 32 bytes, one for each hypercall number.
 *
 * What is in a stub is the hypervisor's business. KVM, when it intercepts Xen's hypercalls, writes
 * (xen.c, kvm_xen_write_hypercall_page), for 32- and 64-bit guests alike:
 *
 *	b8 nn 00 00 00	mov	$number, %eax
 *	0f 01 c1 or d9	vmcall (Intel) or vmmcall (AMD)
 *	c3		ret
 *	cc ...		int3, up to the next stub
 *
 * Number 23, iret, is no call of an HVM guest's. KVM makes it a stub like the others, Xen itself (hvm/svm/svm.c,
 * svm_init_hypercall_page) puts UD2 there: the ABI does not say what it is, and both are right.
 *
 * Xen takes the low 12 bits of the MSR as the number of the page; there is only page 0, and KVM
 * raises #GP for any other, and for an address where it cannot write. The page is ordinary RAM of
 * the guest: it is written once, not mapped over, so that writing to the MSR again writes it anew,
 * and a second page does not take the first one away.
 *
 * All of this is the same in a VM that has Hyper-V's hypercalls too. There the guest has
 * these enabled, with a page of their own, before each test point.
 *
 * The CPUID leaves are not KVM's but the VMM's, which chooses the MSR. That they are well-formed is
 * a check of the VMM; that KVM was told the same MSR, and takes that one only, is one of both.
 */
#include <hypercall/scribble.h>
#include <hyperv/page.h>
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/smp.h>
#include <xen/page.h>

#define STUB_CODE_SIZE 9

/* A page full of SCRIBBLE that is not installed yet. */
static uint8_t *page_to_install(void)
{
	xen_skip_if_absent();
	if (hv_present())
		hv_page_new();
	return scribbled_page();
}

static void install(const void *page)
{
	wrmsr(xen_hypercall_msr(), (uintptr_t)page);
}

static uint8_t *installed_page(void)
{
	uint8_t *page = page_to_install();

	install(page);
	return page;
}

static void expect_stubs(const uint8_t *page, const char *which)
{
	static uint8_t expected[PAGE_SIZE];

	xen_page_expected(expected);
	EXPECT_MEM_EQ(page, expected, PAGE_SIZE, "%s", which);
}

TEST("CPUID names an MSR for the hypercall page")
{
	struct cpuid leaf;
	uint32_t base;

	xen_skip_if_absent();
	REQUIRE(cpuid_hypervisor(XEN_CPUID_SIGNATURE, &base));
	EXPECT_GE(cpuid(base, 0).eax, base + XEN_CPUID_HYPERCALL);
	leaf = cpuid(base + XEN_CPUID_HYPERCALL, 0);
	EXPECT_EQ(leaf.eax, 1, "number of pages");
	/* The MSRs of hypervisors; Linux 7.2 takes no others (xen.c, kvm_xen_hvm_config). */
	EXPECT_GE(leaf.ebx, 0x40000000);
	EXPECT_LE(leaf.ebx, 0x4fffffff);
}

TEST("the MSR that CPUID names installs the page, and its neighbours do not")
{
	uint8_t *page = page_to_install();

	/* Whether there is such an MSR, and so a #GP or not, is no matter. */
	wrmsr_safe(xen_hypercall_msr() - 1, (uintptr_t)page);
	EXPECT_MEM_EQ(page, scribbled_bytes(), PAGE_SIZE, "the MSR before");
	wrmsr_safe(xen_hypercall_msr() + 1, (uintptr_t)page);
	EXPECT_MEM_EQ(page, scribbled_bytes(), PAGE_SIZE, "the MSR behind");
	install(page);
	expect_stubs(page, "the MSR itself");
}

TEST("each of the 128 stubs loads its number, calls and returns")
{
	static uint8_t expected[PAGE_SIZE];
	const uint8_t *page = installed_page();

	xen_page_expected(expected);
	for (unsigned int number = 0; number < XEN_PAGE_STUBS; number++) {
		size_t at = number * XEN_PAGE_STUB_SIZE;

		EXPECT_MEM_EQ(page + at, expected + at, STUB_CODE_SIZE, "stub %u", number);
	}
}

TEST("what a stub does not need is INT3")
{
	const uint8_t *page = installed_page();

	for (size_t i = 0; i < PAGE_SIZE; i++) {
		if (i % XEN_PAGE_STUB_SIZE >= STUB_CODE_SIZE)
			EXPECT_EQ(page[i], 0xcc, "byte %zu", i);
	}
}

TEST("the instruction in the stubs is that of the CPU's vendor")
{
	const uint8_t last_byte = cpu_is_amd() ? 0xd9 : 0xc1;
	const uint8_t *page = installed_page();

	for (unsigned int number = 0; number < XEN_PAGE_STUBS; number++) {
		/* UD2 */
		if (number == XEN_HYPERVISOR_IRET && xen_itself())
			continue;

		const uint8_t *instruction = page + number * XEN_PAGE_STUB_SIZE + 5;

		EXPECT_EQ(instruction[0], 0x0f, "stub %u", number);
		EXPECT_EQ(instruction[1], 0x01, "stub %u", number);
		EXPECT_EQ(instruction[2], last_byte, "stub %u", number);
	}
}

TEST("the pages before and behind are not written")
{
	uint8_t *pages;

	page_to_install();
	pages = pages_alloc(2);
	memset(pages, SCRIBBLE, 3 * PAGE_SIZE);
	install(pages + PAGE_SIZE);
	EXPECT_MEM_EQ(pages, scribbled_bytes(), PAGE_SIZE, "page before");
	expect_stubs(pages + PAGE_SIZE, "page");
	EXPECT_MEM_EQ(pages + 2 * PAGE_SIZE, scribbled_bytes(), PAGE_SIZE, "page behind");
}

TEST("a value with any of the low 12 bits set raises #GP and writes nothing")
{
	const uint8_t *page = page_to_install();

	for (unsigned int bit = 0; bit < PAGE_SHIFT; bit++) {
		uint64_t value = (uintptr_t)page | 1u << bit;

		EXPECT_FALSE(wrmsr_safe(xen_hypercall_msr(), value), "bit %u", bit);
	}
	EXPECT_FALSE(wrmsr_safe(xen_hypercall_msr(), (uintptr_t)page | 0xfff), "all bits");
	EXPECT_MEM_EQ(page, scribbled_bytes(), PAGE_SIZE, "page");
}

TEST("an address without memory behind it raises #GP")
{
	const uint64_t addresses[] = {
		memory_hole(), 1ull << 39, 1ull << 40, 1ull << 51, 1ull << 63, ~0ull << PAGE_SHIFT,
	};

	page_to_install();
	for (size_t i = 0; i < COUNT_OF(addresses); i++)
		EXPECT_FALSE(wrmsr_safe(xen_hypercall_msr(), addresses[i]), "0x%llx",
			     (unsigned long long)addresses[i]);
}

TEST("the high half of the MSR belongs to the address")
{
	const uint8_t *page = page_to_install();

	/* Were it cut to 32 bits, this would be the page. */
	EXPECT_FALSE(wrmsr_safe(xen_hypercall_msr(), 1ull << 38 | (uintptr_t)page));
	EXPECT_MEM_EQ(page, scribbled_bytes(), PAGE_SIZE, "page");
}

TEST("a refused value leaves the page of before as it was")
{
	const uint8_t *page = installed_page();

	EXPECT_FALSE(wrmsr_safe(xen_hypercall_msr(), memory_hole()));
	EXPECT_FALSE(wrmsr_safe(xen_hypercall_msr(), (uintptr_t)page | 1));
	expect_stubs(page, "page");
}

TEST("a second write to the MSR writes the page anew")
{
	uint8_t *page = installed_page();

	memset(page, SCRIBBLE, PAGE_SIZE);
	install(page);
	expect_stubs(page, "page");
}

TEST("the page is ordinary memory that the guest may change")
{
	uint8_t *page = installed_page();

	memset(page, SCRIBBLE, PAGE_SIZE);
	EXPECT_MEM_EQ(page, scribbled_bytes(), PAGE_SIZE, "page");
}

TEST("a second page does not take the first one away")
{
	const uint8_t *first = installed_page();
	uint8_t *second = page_alloc();

	install(second);
	expect_stubs(second, "second page");
	expect_stubs(first, "first page");
}

static void install_on_this_cpu(void *page)
{
	install(page);
}

TEST("the page can be installed by any CPU")
{
	uint8_t *page = page_to_install();

	REQUIRE(cpu_count() >= 2);
	on_cpu(1, install_on_this_cpu, page);
	expect_stubs(page, "page");
}
