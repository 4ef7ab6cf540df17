// SPDX-License-Identifier: BSD-2-Clause
/*
 * The local APIC's registers as MSRs, and the VP assist page
 *
 * TLFS, "Virtual Interrupt Control": EOI, ICR and TPR save the exits of an APIC in memory. KVM leads
 * each to its APIC (lapic.c, kvm_hv_vapic_msr_write()): what is written by one way must be read by
 * the other. ICR is one register of 64 bits, laid out as the two of an xAPIC. The VP assist page
 * belongs to a CPU, which shows there that an interrupt needs no EOI (hyperv.c, kvm_hv_set_msr()).
 * Linux 6.12 and 7.2 do the same.
 */
#include <hyperv/abi.h>
#include <hyperv/page.h>
#include <libc/string.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <xen/page.h>

#define INTERRUPTS 32
#define VECTOR	   0x40

static void read_msr(void *at)
{
	uint64_t *value = at;

	*value = rdmsr((uint32_t)*value);
}

static uint64_t assist_page_of_cpu1(void)
{
	uint64_t value = HV_X64_MSR_VP_ASSIST_PAGE;

	on_cpu(1, read_msr, &value);
	return value;
}

TEST("the VP assist page is each CPU's own")
{
	const uint64_t page = (uintptr_t)page_alloc() | HV_PAGE_ENABLE;

	hv_skip_if_absent();
	wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, page);
	EXPECT_EQ(rdmsr(HV_X64_MSR_VP_ASSIST_PAGE), page);
	EXPECT_EQ(assist_page_of_cpu1(), 0);
	wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, page & ~HV_PAGE_ENABLE);
	EXPECT_EQ(rdmsr(HV_X64_MSR_VP_ASSIST_PAGE), page & ~HV_PAGE_ENABLE);
}

/*
 * The rest may be state that came with a migration (kvm_hv_set_msr), and stays; or it is all cleared, as by
 * Xen (viridian/synic.c, viridian_vp_assist_wrmsr). The TLFS has the guest make nothing of either.
 */
TEST("enabling the VP assist page clears its first word, and of the rest all or nothing")
{
	uint8_t *page = page_alloc(), rest;

	hv_skip_if_absent();
	memset(page, 0xa5, PAGE_SIZE);
	wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, (uintptr_t)page);
	EXPECT_EQ(page[0], 0xa5, "disabled");
	wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, (uintptr_t)page | HV_PAGE_ENABLE);
	rest = xen_itself() ? 0 : 0xa5;
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		EXPECT_EQ(page[i], i < 4 ? 0 : rest, "byte %u", i);
	wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, 0);
}

/* The TLFS names no error. KVM clears the page's first word, and cannot; Xen logs it, and keeps what it was told. */
TEST("a VP assist page without memory behind it raises #GP and changes nothing, or is taken as it is")
{
	const uint64_t hole = memory_hole() | HV_PAGE_ENABLE;

	hv_skip_if_absent();
	EXPECT_FAULT(xen_itself() ? NO_FAULT : GP, 0, wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, hole));
	EXPECT_EQ(rdmsr(HV_X64_MSR_VP_ASSIST_PAGE), xen_itself() ? hole : 0);
	EXPECT_NO_FAULT(wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, memory_hole()));
	wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, 0);
}

/* Bits 3:0 do not matter to any interrupt, and get lost by way of CR8 (svm.c, sync_cr8_to_lapic). */
TEST("TPR is the APIC's")
{
	hv_skip_if_absent();
	apic_write(APIC_TPR, 0x30);
	EXPECT_EQ(rdmsr(HV_X64_MSR_TPR), 0x30);
	wrmsr(HV_X64_MSR_TPR, 0x20);
	EXPECT_EQ(apic_read(APIC_TPR), 0x20);
	EXPECT_EQ(rdmsr(HV_X64_MSR_TPR), 0x20);
	wrmsr(HV_X64_MSR_TPR, 0);
}

TEST("the high half of TPR and of EOI raises #GP")
{
	hv_skip_if_absent();
	apic_id();
	for (unsigned int bit = 32; bit < 64; bit++) {
		EXPECT_FAULT(GP, 0, wrmsr(HV_X64_MSR_TPR, 1ull << bit));
		EXPECT_FAULT(GP, 0, wrmsr(HV_X64_MSR_EOI, 1ull << bit));
	}
	EXPECT_EQ(apic_read(APIC_TPR), 0);
}

TEST("reading EOI raises #GP")
{
	hv_skip_if_absent();
	EXPECT_FAULT(GP, 0, rdmsr(HV_X64_MSR_EOI));
}

static unsigned int taken;
static bool was_in_service, is_in_service;

static void end_by_msr(struct x86_frame *frame)
{
	(void)frame;
	was_in_service = apic_in_service(VECTOR);
	wrmsr(HV_X64_MSR_EOI, 0);
	is_in_service = apic_in_service(VECTOR);
	taken++;
}

static void prepare_interrupt(void)
{
	hv_skip_if_absent();
	taken = 0;
	irq_handler(VECTOR, end_by_msr);
}

TEST("EOI ends the interrupt in service")
{
	prepare_interrupt();
	apic_ipi(0, VECTOR);
	irq_window();
	EXPECT_EQ(taken, 1);
	EXPECT_TRUE(was_in_service);
	EXPECT_FALSE(is_in_service);
}

/* As of an xAPIC: the id of the target in bits 63:56. */
static uint64_t icr_to(unsigned int cpu)
{
	return (uint64_t)cpu_apic_id(cpu) << 56 | ICR_FIXED | ICR_ASSERT | VECTOR;
}

TEST("ICR sends an interrupt by one write, to this CPU")
{
	prepare_interrupt();
	apic_id();
	wrmsr(HV_X64_MSR_ICR, icr_to(0));
	irq_window();
	EXPECT_EQ(taken, 1);
	EXPECT_EQ(rdmsr(HV_X64_MSR_ICR), icr_to(0));
}

static unsigned int taken_by;

static void note_taker(struct x86_frame *frame)
{
	(void)frame;
	taken_by = cpu_id();
	taken++;
	wrmsr(HV_X64_MSR_EOI, 0);
}

static void start_apic(void *unused)
{
	(void)unused;
	apic_id();
}

TEST("ICR sends an interrupt by one write, to another CPU")
{
	prepare_interrupt();
	irq_handler(VECTOR, note_taker);
	on_all_cpus(start_apic, NULL);
	taken_by = ~0u;
	wrmsr(HV_X64_MSR_ICR, icr_to(1));
	EXPECT_TRUE(WAIT_FOR(*(volatile unsigned int *)&taken == 1, 1000));
	EXPECT_EQ(taken_by, 1);
}

static void expect_waits_at(uint64_t tpr)
{
	prepare_interrupt();
	apic_id();
	wrmsr(HV_X64_MSR_TPR, tpr);
	apic_ipi(0, VECTOR);
	irq_window();
	EXPECT_EQ(taken, 0);
	wrmsr(HV_X64_MSR_TPR, (VECTOR & 0xf0) - 0x10);
	irq_window();
	EXPECT_EQ(taken, 1);
	wrmsr(HV_X64_MSR_TPR, 0);
}

TEST("an interrupt of a lower class than TPR's waits until TPR is below it")
{
	expect_waits_at((VECTOR & 0xf0) + 0x10);
}

TEST("an interrupt of TPR's own class waits until TPR is below it")
{
	/*
	 * Xen has the CPU wait for TPR by V_IRQ. TCG ends the wait where V_INTR_PRIO is V_TPR, not above it
	 * (target/i386/cpu.h, ctl_has_irq; APM volume 2, 15.21.4), whereupon Xen waits again, for ever.
	 */
	if (xen_itself())
		SKIP("an interrupt of TPR's own class stops a guest of Xen inside QEMU TCG");
	expect_waits_at(VECTOR & 0xf0);
}

static uint32_t *assist;
static uint32_t no_eoi_required;

static void skip_eoi(struct x86_frame *frame)
{
	(void)frame;
	no_eoi_required = __atomic_fetch_and(assist, ~1u, __ATOMIC_SEQ_CST) & 1;
	if (!no_eoi_required)
		wrmsr(HV_X64_MSR_EOI, 0);
	taken++;
}

/*
 * TLFS, "EOI Assist": bit 0 of the page's first word, which the guest clears in place of an EOI. KVM takes
 * the bit back with the next vmexit (arch/x86/kvm/lapic.c, apic_sync_pv_eoi_from_guest), which may come
 * before the handler has looked: that interrupt is ended as ever. When the interrupt ends is not told but by
 * the next one, which comes in: KVM ends it with the next vmexit, Xen when another is there to be delivered
 * (hvm/vlapic.c, vlapic_has_pending_irq), and, once the page is disabled, not at all.
 */
TEST("an interrupt that the assist page says needs no EOI is ended without one")
{
	unsigned int without_eoi = 0;

	prepare_interrupt();
	irq_handler(VECTOR, skip_eoi);
	assist = page_alloc();
	wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, (uintptr_t)assist | HV_PAGE_ENABLE);
	for (unsigned int i = 1; i <= INTERRUPTS; i++) {
		apic_ipi(0, VECTOR);
		irq_window();
		EXPECT_EQ(taken, i);
		EXPECT_FALSE(!xen_itself() && apic_in_service(VECTOR));
		without_eoi += no_eoi_required;
	}
	EXPECT_GE(without_eoi, INTERRUPTS / 4);
	wrmsr(HV_X64_MSR_EOI, 0);
	EXPECT_FALSE(apic_in_service(VECTOR));
	wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, 0);
}

TEST("without the assist page its word stays as it is")
{
	prepare_interrupt();
	assist = page_alloc();
	wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, (uintptr_t)assist | HV_PAGE_ENABLE);
	wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, (uintptr_t)assist);
	*assist = 0;
	irq_handler(VECTOR, skip_eoi);
	apic_ipi(0, VECTOR);
	irq_window();
	EXPECT_EQ(taken, 1);
	EXPECT_FALSE(no_eoi_required);
}
