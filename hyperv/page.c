// SPDX-License-Identifier: BSD-2-Clause
/*
 * The Hyper-V hypercall page: how a guest gets it, and what is in it
 *
 * A guest writes an id of its own choice to HV_X64_MSR_GUEST_OS_ID, then the page's guest-physical
 * address with the enable bit to HV_X64_MSR_HYPERCALL (TLFS, "Establishing the Hypercall
 * Interface"). KVM (hyperv.c, kvm_hv_set_msr_pw) then writes
 *
 *	0f 01 c1 or d9	vmcall (Intel) or vmmcall (AMD)
 *	c3		ret
 *
 * to the start of the page, and where it also intercepts Xen's hypercalls puts before it
 *
 *	0d 00 00 00 80	orl	$0x80000000, %eax
 *
 * which is how it tells the two apart. Where the TLFS and KVM differ, this states what KVM does:
 *
 *	TLFS						KVM
 *	the page is laid over the guest's memory,	the code is written into that memory once, and
 *	which shows again when it is disabled		stays there
 *	a set locked bit makes the MSR read-only	the bit is stored
 *	until the next reset
 *
 * As in the TLFS, without an id a write to HV_X64_MSR_HYPERCALL is ignored and raises nothing, and
 * setting the id to 0 clears the enable bit. Linux 6.12 and 7.2 do the same in all of this.
 *
 * All of this is the same in a VM that has Xen's hypercalls too, but for the code. There the guest
 * has a Xen page as well.
 */
#include <hypercall/scribble.h>
#include <hyperv/abi.h>
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/smp.h>
#include <xen/page.h>

#define ENABLE HV_X64_MSR_HYPERCALL_ENABLE
#define LOCKED HV_X64_MSR_HYPERCALL_LOCKED

/* As after a reset, but for Xen's page: no id, and the MSR holds 0. */
static void start_afresh(void)
{
	hv_skip_if_absent();
	if (xen_present())
		xen_page_new();
	hv_enable_hypercalls();
	wrmsr(HV_X64_MSR_HYPERCALL, 0);
	hv_disable_hypercalls();
}

static uint8_t *installed_page(void)
{
	uint8_t *page = scribbled_page();

	start_afresh();
	hv_enable_hypercalls();
	hv_install_page(page);
	return page;
}

static uint64_t page_msr(const void *page)
{
	return (uintptr_t)page | ENABLE;
}

/* Whether the page holds the code. */
static bool has_code(const uint8_t *page)
{
	uint8_t code[HV_PAGE_CODE_MAX];

	return !memcmp(page, code, hv_page_expected(code));
}

TEST("after a reset there is neither a guest OS id nor a page")
{
	hv_skip_if_absent();
	EXPECT_EQ(rdmsr(HV_X64_MSR_GUEST_OS_ID), 0);
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), 0);
}

TEST("the page begins with the code of a call")
{
	uint8_t code[HV_PAGE_CODE_MAX];
	const uint8_t *page = installed_page();
	size_t size = hv_page_expected(code);

	EXPECT_MEM_EQ(page, code, size);
}

/* Under Xen itself the rest is INT3: hv_page_rest(). */
TEST("the code is four bytes, or nine beside Xen, and the rest of the page stays")
{
	const uint8_t *page = installed_page();
	size_t size = xen_present() ? 9 : 4;

	EXPECT_EQ(page[size - 1], 0xc3, "ret is its last byte");
	for (size_t i = size; i < PAGE_SIZE; i++)
		EXPECT_EQ(page[i], hv_page_rest(SCRIBBLE), "byte %zu", i);
}

TEST("the instruction in the page is that of the CPU's vendor")
{
	const uint8_t *page = installed_page();
	const uint8_t *instruction = page + (xen_present() ? 5 : 0);

	EXPECT_EQ(instruction[0], 0x0f);
	EXPECT_EQ(instruction[1], 0x01);
	EXPECT_EQ(instruction[2], cpu_is_amd() ? 0xd9 : 0xc1);
}

TEST("the pages before and behind are not written")
{
	uint8_t *pages = pages_alloc(2);

	start_afresh();
	memset(pages, SCRIBBLE, 3 * PAGE_SIZE);
	hv_enable_hypercalls();
	hv_install_page(pages + PAGE_SIZE);
	EXPECT_TRUE(has_code(pages + PAGE_SIZE));
	EXPECT_MEM_EQ(pages, scribbled_bytes(), PAGE_SIZE, "page before");
	EXPECT_MEM_EQ(pages + 2 * PAGE_SIZE, scribbled_bytes(), PAGE_SIZE, "page behind");
}

TEST("both MSRs read back what was written, in all bits")
{
	static const uint64_t ids[] = {
		1, 0x80000000, 0x100000000, HV_GUEST_OS_ID_OPEN_SOURCE, HV_GUEST_OS_ID_VMABI, ~0ull,
	};
	const uint64_t value = page_msr(installed_page());

	for (size_t i = 0; i < COUNT_OF(ids); i++) {
		wrmsr(HV_X64_MSR_GUEST_OS_ID, ids[i]);
		EXPECT_EQ(rdmsr(HV_X64_MSR_GUEST_OS_ID), ids[i]);
		EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), value, "id 0x%llx",
			  (unsigned long long)ids[i]);
	}
}

TEST("the reserved bits of the page's MSR are kept")
{
	uint64_t value = page_msr(installed_page()) | 0xffc;

	wrmsr(HV_X64_MSR_HYPERCALL, value);
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), value);
}

TEST("without a guest OS id a page is not enabled, and nothing is raised")
{
	const uint8_t *page = scribbled_page();

	start_afresh();
	EXPECT_TRUE(wrmsr_safe(HV_X64_MSR_HYPERCALL, page_msr(page)));
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), 0);
	EXPECT_MEM_EQ(page, scribbled_bytes(), PAGE_SIZE, "page");
}

TEST("without a guest OS id even a bad address raises nothing")
{
	start_afresh();
	EXPECT_TRUE(wrmsr_safe(HV_X64_MSR_HYPERCALL, memory_hole() | ENABLE));
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), 0);
}

TEST("an id whose low half is 0 is an id")
{
	const uint8_t *page = scribbled_page();

	start_afresh();
	wrmsr(HV_X64_MSR_GUEST_OS_ID, 1ull << 32);
	hv_install_page(page);
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), page_msr(page));
	EXPECT_TRUE(has_code(page));
}

TEST("guest OS id 0 clears the enable bit and keeps the address")
{
	const uint8_t *page = installed_page();

	wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
	EXPECT_EQ(rdmsr(HV_X64_MSR_GUEST_OS_ID), 0);
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), (uintptr_t)page);
}

TEST("a new id does not enable the page again")
{
	uint8_t *page = installed_page();

	wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
	memset(page, SCRIBBLE, PAGE_SIZE);
	hv_enable_hypercalls();
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), (uintptr_t)page);
	EXPECT_MEM_EQ(page, scribbled_bytes(), PAGE_SIZE, "page");
}

TEST("another id leaves the page enabled")
{
	const uint8_t *page = installed_page();

	wrmsr(HV_X64_MSR_GUEST_OS_ID, 1);
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), page_msr(page));
	EXPECT_TRUE(has_code(page));
}

/* KVM; in the TLFS what lay under the page shows again. */
TEST("the code stays in memory when the page is disabled")
{
	const uint8_t *page = installed_page();

	wrmsr(HV_X64_MSR_HYPERCALL, (uintptr_t)page);
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), (uintptr_t)page, "MSR");
	EXPECT_TRUE(has_code(page), "after the enable bit was cleared");
	wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
	EXPECT_TRUE(has_code(page), "after the id was set to 0");
}

TEST("an address alone, without the enable bit, writes nothing to memory")
{
	const uint8_t *page = scribbled_page();

	start_afresh();
	hv_enable_hypercalls();
	wrmsr(HV_X64_MSR_HYPERCALL, (uintptr_t)page);
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), (uintptr_t)page);
	EXPECT_MEM_EQ(page, scribbled_bytes(), PAGE_SIZE, "page");
}

TEST("to enable a page where there is no memory raises #GP and keeps the old value")
{
	const uint64_t addresses[] = {
		memory_hole(), 1ull << 39, 1ull << 40, 1ull << 51, 1ull << 63, ~0ull << PAGE_SHIFT,
	};
	const uint8_t *page = installed_page();

	for (size_t i = 0; i < COUNT_OF(addresses); i++) {
		EXPECT_FALSE(wrmsr_safe(HV_X64_MSR_HYPERCALL, addresses[i] | ENABLE), "0x%llx",
			     (unsigned long long)addresses[i]);
		EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), page_msr(page), "after 0x%llx",
			  (unsigned long long)addresses[i]);
	}
	EXPECT_TRUE(has_code(page));
}

TEST("a disabled page may have any address")
{
	const uint64_t addresses[] = { memory_hole(), 1ull << 40, ~0ull << PAGE_SHIFT };

	start_afresh();
	hv_enable_hypercalls();
	for (size_t i = 0; i < COUNT_OF(addresses); i++) {
		EXPECT_TRUE(wrmsr_safe(HV_X64_MSR_HYPERCALL, addresses[i]));
		EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), addresses[i]);
	}
}

/* KVM; in the TLFS the MSR cannot be changed from here on. */
TEST("the locked bit is stored and locks nothing")
{
	uint8_t *first = installed_page(), *second = scribbled_page();

	wrmsr(HV_X64_MSR_HYPERCALL, page_msr(first) | LOCKED);
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), page_msr(first) | LOCKED);
	wrmsr(HV_X64_MSR_HYPERCALL, page_msr(second));
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), page_msr(second));
	EXPECT_TRUE(has_code(second));
}

TEST("the page can be moved; the old one keeps its code")
{
	const uint8_t *first = installed_page();
	const uint8_t *second = scribbled_page();

	hv_install_page(second);
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), page_msr(second));
	EXPECT_TRUE(has_code(second), "second page");
	EXPECT_TRUE(has_code(first), "first page");
}

TEST("a call can be made through the page, and through one it was moved to")
{
	const uint8_t *first = installed_page();
	const uint8_t *second = scribbled_page();

	ASSERT_TRUE(has_code(first), "else it is not safe to call");
	EXPECT_EQ(hv_page_call(first, HV_CONTROL_REFUSED, 0, 0), hv_refusal());
	hv_install_page(second);
	ASSERT_TRUE(has_code(second), "else it is not safe to call");
	EXPECT_EQ(hv_page_call(second, HV_CONTROL_REFUSED, 0, 0), hv_refusal());
}

TEST("writing the MSR again writes the code again, and nothing else")
{
	uint8_t *page = installed_page();
	size_t size = xen_present() ? 9 : 4;

	memset(page, SCRIBBLE ^ 0xff, PAGE_SIZE);
	hv_install_page(page);
	EXPECT_TRUE(has_code(page));
	for (size_t i = size; i < PAGE_SIZE; i++)
		EXPECT_EQ(page[i], hv_page_rest(SCRIBBLE ^ 0xff), "byte %zu", i);
}

static void install_on_this_cpu(void *page)
{
	hv_enable_hypercalls();
	hv_install_page(page);
}

TEST("id and page belong to the VM, whichever CPU sets them")
{
	uint8_t *page = scribbled_page();

	start_afresh();
	REQUIRE(cpu_count() >= 2);
	on_cpu(1, install_on_this_cpu, page);
	EXPECT_EQ(rdmsr(HV_X64_MSR_GUEST_OS_ID), HV_GUEST_OS_ID_VMABI);
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), page_msr(page));
	EXPECT_TRUE(has_code(page));
}
