// SPDX-License-Identifier: BSD-2-Clause
/*
 * The registers of the synthetic interrupt controller (SynIC)
 *
 * Each CPU has one: SCONTROL enables it, SIMP and SIEFP say where its messages and event flags are,
 * and 16 SINTs which vector each source raises (TLFS, "SynIC Registers"). KVM keeps them and tells the
 * VMM, which delivers messages and flags (arch/x86/kvm/hyperv.c, synic_set_msr(), synic_set_sint();
 * Documentation/virt/kvm/api.rst, KVM_EXIT_HYPERV_SYNIC). What a register refuses, what it keeps, and
 * whose it is decides where a message goes. Linux 6.12 and 7.2 do the same in all of this. Messages
 * and events themselves: hyperv/message.c.
 */
#include <hyperv/synic.h>
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/smp.h>

#define FIRST_VALID_VECTOR 16

static const uint32_t page_msrs[] = { HV_X64_MSR_SIMP, HV_X64_MSR_SIEFP };

/* The first point: nothing has been written yet. */
TEST("at first no page is set up")
{
	hv_skip_without_synic();
	EXPECT_EQ(rdmsr(HV_X64_MSR_SIMP), 0);
	EXPECT_EQ(rdmsr(HV_X64_MSR_SIEFP), 0);
}

TEST("at first each SINT is masked")
{
	hv_skip_without_synic();
	for (uint32_t sint = 0; sint < HV_SYNIC_SINTS; sint++)
		EXPECT_EQ(rdmsr(HV_X64_MSR_SINT0 + sint), HV_SYNIC_SINT_MASKED, "SINT%u", sint);
}

/* TLFS, "SCONTROL Register": 0 at virtual processor creation time, so that nothing is delivered. */
TEST("at first the SynIC is disabled")
{
	hv_skip_without_synic();
	EXPECT_EQ(rdmsr(HV_X64_MSR_SCONTROL), 0);
}

TEST("the version is 1, and cannot be written")
{
	hv_skip_without_synic();
	EXPECT_EQ(rdmsr(HV_X64_MSR_SVERSION), HV_SYNIC_VERSION_1);
	for (unsigned int bit = 0; bit < 64; bit++)
		EXPECT_FAULT(GP, 0, wrmsr(HV_X64_MSR_SVERSION, 1ull << bit));
	EXPECT_EQ(rdmsr(HV_X64_MSR_SVERSION), HV_SYNIC_VERSION_1);
}

TEST("EOM reads as 0, and takes any value")
{
	hv_skip_without_synic();
	EXPECT_EQ(rdmsr(HV_X64_MSR_EOM), 0);
	EXPECT_NO_FAULT(wrmsr(HV_X64_MSR_EOM, 0));
	EXPECT_NO_FAULT(wrmsr(HV_X64_MSR_EOM, ~0ull));
	EXPECT_EQ(rdmsr(HV_X64_MSR_EOM), 0);
}

TEST("an unmasked SINT with a vector below 16 raises #GP, and stays as it was")
{
	hv_skip_without_synic();
	for (uint32_t sint = 0; sint < HV_SYNIC_SINTS; sint++) {
		const uint32_t msr = HV_X64_MSR_SINT0 + sint;

		for (unsigned int vector = 0; vector < FIRST_VALID_VECTOR; vector++) {
			EXPECT_FAULT(GP, 0, wrmsr(msr, vector));
			EXPECT_FAULT(GP, 0, wrmsr(msr, vector | HV_SYNIC_SINT_AUTO_EOI));
		}
		EXPECT_EQ(rdmsr(msr), HV_SYNIC_SINT_MASKED, "SINT%u", sint);
	}
}

TEST("a masked SINT may have any vector")
{
	hv_skip_without_synic();
	for (uint64_t vector = 0; vector < FIRST_VALID_VECTOR; vector++) {
		wrmsr(HV_X64_MSR_SINT0 + 3, vector | HV_SYNIC_SINT_MASKED);
		EXPECT_EQ(rdmsr(HV_X64_MSR_SINT0 + 3), vector | HV_SYNIC_SINT_MASKED);
	}
	hv_sint_set(3, HV_SYNIC_SINT_MASKED);
}

TEST("each SINT takes each vector from 16 to 255")
{
	hv_skip_without_synic();
	for (unsigned int vector = FIRST_VALID_VECTOR; vector < 256; vector++) {
		const uint32_t msr = HV_X64_MSR_SINT0 + vector % HV_SYNIC_SINTS;

		EXPECT_NO_FAULT(wrmsr(msr, vector));
		EXPECT_EQ(rdmsr(msr), vector);
		wrmsr(msr, HV_SYNIC_SINT_MASKED);
	}
}

/* TLFS: reserved bits of these are "RsvdP", to be preserved. */
TEST("the reserved bits of a SINT and of SCONTROL are kept")
{
	hv_skip_without_synic();
	for (unsigned int bit = 19; bit < 64; bit++) {
		wrmsr(HV_X64_MSR_SINT0 + 7, 1ull << bit | HV_SYNIC_SINT_MASKED);
		EXPECT_EQ(rdmsr(HV_X64_MSR_SINT0 + 7), 1ull << bit | HV_SYNIC_SINT_MASKED);
		wrmsr(HV_X64_MSR_SCONTROL, 1ull << bit);
		EXPECT_EQ(rdmsr(HV_X64_MSR_SCONTROL), 1ull << bit);
	}
	hv_sint_set(7, HV_SYNIC_SINT_MASKED);
	wrmsr(HV_X64_MSR_SCONTROL, 0);
}

TEST("one vector may serve all SINTs")
{
	hv_skip_without_synic();
	for (unsigned int sint = 0; sint < HV_SYNIC_SINTS; sint++)
		EXPECT_NO_FAULT(hv_sint_set(sint, 0x40));
	for (unsigned int sint = 0; sint < HV_SYNIC_SINTS; sint++)
		hv_sint_set(sint, HV_SYNIC_SINT_MASKED);
}

static void expect_untouched(void *unused)
{
	(void)unused;
	EXPECT_EQ(rdmsr(HV_X64_MSR_SIMP), 0);
	EXPECT_EQ(rdmsr(HV_X64_MSR_SIEFP), 0);
	for (uint32_t sint = 0; sint < HV_SYNIC_SINTS; sint++)
		EXPECT_EQ(rdmsr(HV_X64_MSR_SINT0 + sint), HV_SYNIC_SINT_MASKED, "SINT%u", sint);
}

TEST("each CPU has its own registers")
{
	REQUIRE(cpu_count() >= 2);
	hv_synic_new();
	hv_sint_set(5, 0x55);
	on_cpu(1, expect_untouched, NULL);
}

static void expect_bytes(const uint8_t *page, uint8_t byte, const char *name)
{
	unsigned int others = 0;

	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		others += page[i] != byte;
	EXPECT_EQ(others, 0, "%s", name);
}

/* KVM_CAP_HYPERV_SYNIC2: the pages may hold what came with a migration, and are the VMM's. */
TEST("KVM leaves a page as it is, when it is set, enabled and disabled")
{
	uint8_t *page = page_alloc();

	hv_skip_without_synic();
	memset(page, 0xa5, PAGE_SIZE);
	for (size_t i = 0; i < COUNT_OF(page_msrs); i++) {
		static const uint64_t flags[] = { 0, HV_PAGE_ENABLE, HV_PAGE_ENABLE, 0 };

		for (size_t step = 0; step < COUNT_OF(flags); step++) {
			wrmsr(page_msrs[i], (uintptr_t)page | flags[step]);
			EXPECT_EQ(rdmsr(page_msrs[i]), (uintptr_t)page | flags[step]);
			expect_bytes(page, 0xa5, "step");
		}
		wrmsr(page_msrs[i], 0);
	}
}

TEST("any address may be that of a page, and its reserved bits are kept")
{
	hv_skip_without_synic();
	for (size_t i = 0; i < COUNT_OF(page_msrs); i++) {
		for (unsigned int bit = 0; bit < 64; bit++) {
			EXPECT_NO_FAULT(wrmsr(page_msrs[i], 1ull << bit));
			EXPECT_EQ(rdmsr(page_msrs[i]), 1ull << bit);
		}
		EXPECT_NO_FAULT(wrmsr(page_msrs[i], memory_hole() | HV_PAGE_ENABLE));
		EXPECT_EQ(rdmsr(page_msrs[i]), memory_hole() | HV_PAGE_ENABLE);
		wrmsr(page_msrs[i], 0);
	}
}

static uint64_t exits;

static void expect_told(uint32_t msr)
{
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_COUNT), ++exits, "MSR 0x%x", msr);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_TYPE), 1);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_MSR), msr);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_CONTROL), rdmsr(HV_X64_MSR_SCONTROL));
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_MESSAGE_PAGE), rdmsr(HV_X64_MSR_SIMP));
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_EVENT_PAGE), rdmsr(HV_X64_MSR_SIEFP));
}

TEST("the VMM is told when SCONTROL, SIMP or SIEFP are written, with all three")
{
	const uintptr_t messages = (uintptr_t)page_alloc(), events = (uintptr_t)page_alloc();

	hv_skip_without_synic();
	exits = vmm_hyperv_exit(HYPERV_EXIT_COUNT);
	wrmsr(HV_X64_MSR_SIMP, messages | HV_PAGE_ENABLE);
	expect_told(HV_X64_MSR_SIMP);
	wrmsr(HV_X64_MSR_SIEFP, events | HV_PAGE_ENABLE);
	expect_told(HV_X64_MSR_SIEFP);
	wrmsr(HV_X64_MSR_SCONTROL, HV_SYNIC_CONTROL_ENABLE);
	expect_told(HV_X64_MSR_SCONTROL);
	wrmsr(HV_X64_MSR_SIMP, messages);
	expect_told(HV_X64_MSR_SIMP);
	wrmsr(HV_X64_MSR_SCONTROL, 0);
	expect_told(HV_X64_MSR_SCONTROL);
}

TEST("the VMM is not told of SINTs, EOM, or a write that was refused")
{
	hv_skip_without_synic();
	exits = vmm_hyperv_exit(HYPERV_EXIT_COUNT);
	hv_sint_set(2, 0x42);
	hv_sint_set(2, HV_SYNIC_SINT_MASKED);
	wrmsr(HV_X64_MSR_EOM, 0);
	EXPECT_FAULT(GP, 0, wrmsr(HV_X64_MSR_SVERSION, 0));
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_COUNT), exits);
}

TEST("the VMM may set what the guest may not")
{
	uint64_t value;

	hv_skip_without_synic();
	EXPECT_EQ(vmm_msr_write(HV_X64_MSR_SINT0 + 1, 0), 0);
	EXPECT_EQ(rdmsr(HV_X64_MSR_SINT0 + 1), 0);
	EXPECT_EQ(vmm_msr_read(HV_X64_MSR_SVERSION, &value), 0);
	EXPECT_EQ(vmm_msr_write(HV_X64_MSR_SVERSION, 2), 0);
	EXPECT_EQ(rdmsr(HV_X64_MSR_SVERSION), 2);
	EXPECT_EQ(vmm_msr_write(HV_X64_MSR_SVERSION, value), 0);
	hv_sint_set(1, HV_SYNIC_SINT_MASKED);
}
