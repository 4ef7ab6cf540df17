// SPDX-License-Identifier: BSD-2-Clause
/*
 * The Xen hypercall MSR at 0x40000000, where Hyper-V has its HV_X64_MSR_GUEST_OS_ID
 *
 * That is Xen's own place for it in a VM without Hyper-V (public/arch-x86/cpuid.h: the VM's CPUID
 * says so, and a VMM should have chosen another place). KVM looks at a write for Xen's MSR before
 * it looks for any other (x86.c, kvm_set_msr_common), so that such a VM has Xen's page and calls,
 * while a guest has no way to set a guest OS id: Hyper-V's hypercalls stay off for good. Reads are
 * not Xen's: 0x40000000 reads as the id that is not set.
 *
 * This VM is configured so, by "requires = xen-hcall=0x40000000 hyperv". What CPUID says of it is
 * the VMM's, and the first point checks the VMM; the others, what KVM makes of it.
 */
#include <hypercall/scribble.h>
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <libc/array.h>
#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/vmrun.h>

#define SHARED_MSR HV_X64_MSR_GUEST_OS_ID

/* A page full of SCRIBBLE that is not installed yet. */
static uint8_t *page_to_install(void)
{
	xen_skip_if_absent();
	hv_skip_if_absent();
	REQUIRE(xen_hypercall_msr() == SHARED_MSR);
	return scribbled_page();
}

TEST("CPUID names 0x40000000 as Xen's MSR in a VM with Hyper-V")
{
	xen_skip_if_absent();
	hv_skip_if_absent();
	EXPECT_EQ(xen_hypercall_msr(), SHARED_MSR);
	EXPECT_EQ(cpuid(HV_CPUID_INTERFACE, 0).eax, HV_INTERFACE);
}

TEST("a write to it fills a Xen page")
{
	static uint8_t expected[PAGE_SIZE];
	uint8_t *page = page_to_install();

	wrmsr(SHARED_MSR, (uintptr_t)page);
	xen_page_expected(expected);
	EXPECT_MEM_EQ(page, expected, PAGE_SIZE);
	EXPECT_EQ(xen_page_call(page, XEN_VMRUN_ECHO, 0x123), 0x123);
}

TEST("a write to it sets no guest OS id")
{
	uint8_t *page = page_to_install();

	wrmsr(SHARED_MSR, (uintptr_t)page);
	EXPECT_EQ(rdmsr(SHARED_MSR), 0);
}

TEST("what would be a guest OS id but is no page raises #GP")
{
	static const uint64_t ids[] = {
		1,
		HV_GUEST_OS_ID_OPEN_SOURCE,
		HV_GUEST_OS_ID_VMABI,
		0x5a,
	};

	page_to_install();
	for (size_t i = 0; i < COUNT_OF(ids); i++) {
		EXPECT_FALSE(wrmsr_safe(SHARED_MSR, ids[i]), "0x%llx", (unsigned long long)ids[i]);
		EXPECT_EQ(rdmsr(SHARED_MSR), 0);
	}
}

TEST("the Hyper-V page cannot be enabled, and trying raises nothing")
{
	uint8_t *page = page_to_install();

	wrmsr(SHARED_MSR, (uintptr_t)page_alloc());
	EXPECT_TRUE(
		wrmsr_safe(HV_X64_MSR_HYPERCALL, (uintptr_t)page | HV_X64_MSR_HYPERCALL_ENABLE));
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), 0);
	EXPECT_MEM_EQ(page, scribbled_bytes(), PAGE_SIZE);
}

TEST("calls with bit 31 are Xen's, with that very number")
{
	static const uint32_t numbers[] = { 0x80000000, 0x8000005d, 0xffffffff };

	wrmsr(SHARED_MSR, (uintptr_t)page_to_install());
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		EXPECT_EQ(xen_hypercall(numbers[i]), -XEN_ENOSYS);
		EXPECT_EQ((uintptr_t)xen_hypercall(XEN_VMRUN_RECORD, XEN_RECORD_NUMBER),
			  numbers[i]);
	}
}

TEST("the code of a Hyper-V page, made by hand, calls Xen")
{
	uint8_t *page = page_to_install();
	struct registers before, after;

	hv_page_expected(page);
	registers_fill(&before, 0);
	before.value[REG_AX] = HVCALL_SIGNAL_EVENT;
	call_with_registers(page, &before, &after);
	EXPECT_EQ((long)after.value[REG_AX], -XEN_ENOSYS);
	EXPECT_EQ((uintptr_t)xen_hypercall(XEN_VMRUN_RECORD, XEN_RECORD_NUMBER),
		  HV_DISPATCH_BIT | HVCALL_SIGNAL_EVENT);
}

TEST("calls of Xen are answered as ever")
{
	uint8_t *page = page_to_install();

	wrmsr(SHARED_MSR, (uintptr_t)page);
	EXPECT_EQ(xen_page_call(page, XEN_HYPERVISOR_XEN_VERSION, XENVER_VERSION),
		  XEN_VMRUN_VERSION);
	EXPECT_EQ(xen_page_call(page, XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD), 0);
	EXPECT_EQ(xen_hypercall(HVCALL_SIGNAL_EVENT), -XEN_ENOSYS);
}

TEST("Hyper-V's other MSRs are there")
{
	uint64_t first, value;

	page_to_install();
	EXPECT_TRUE(rdmsr_safe(HV_X64_MSR_VP_INDEX, &value));
	EXPECT_EQ(value, 0, "this is CPU 0");
	EXPECT_TRUE(rdmsr_safe(HV_X64_MSR_TIME_REF_COUNT, &first));
	EXPECT_TRUE(rdmsr_safe(HV_X64_MSR_TIME_REF_COUNT, &value));
	EXPECT_GT(value, first, "time in units of 100 ns");
}
