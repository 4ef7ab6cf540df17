// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmrun: the VM's own state survives a move to another VM
 *
 * As vmrun_state.c, for what KVM keeps of the VM and not of the vCPU, or of both: time (the TSC,
 * KVM's clock), the devices in the kernel, and the hypercall pages of Xen and Hyper-V. Each is
 * given a value that no new VM has, and must be found again behind vmm_move().
 *
 * Sources: Linux, Documentation/virt/kvm/api.rst (KVM_SET_IRQCHIP, KVM_SET_PIT2, KVM_SET_CLOCK,
 * KVM_XEN_HVM_SET_ATTR), devices/vcpu.rst (KVM_VCPU_TSC_OFFSET) and x86/msr.rst (the clock); for
 * the pages see xen/page.c and hyperv/page.c.
 */
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/apic.h>
#include <x86/cpuid.h>
#include <x86/io.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/time.h>
#include <xen/hypercall.h>
#include <xen/page.h>

#define MOVE_MS		 10000 /* no move takes longer */
#define AGE_US		 100000
#define VECTOR		 0x30
#define XEN_CALL_VERSION 17

static void move(void)
{
	ASSERT_EQ(vmm_move(), 0);
}

/* So old that no new VM is as old when the guest goes on there: a clock that began again shows. */
static void grow_old(void)
{
	delay_us(AGE_US);
}

/*
 * --- time --------------------------------------------------------------------------------------
 */

TEST("the TSC goes on behind a move")
{
	grow_old();
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t before = rdtsc(), after;

		move();
		after = rdtsc();
		EXPECT_GT(after, before);
		EXPECT_LT(after - before, tsc_khz() * MOVE_MS);
	}
}

#define MSR_KVM_SYSTEM_TIME_NEW	 0x4b564d01
#define KVM_FEATURE_CLOCKSOURCE2 (1u << 3)

/* struct pvclock_vcpu_time_info: Linux, Documentation/virt/kvm/x86/msr.rst */
struct kvm_time {
	uint32_t version, padding;
	uint64_t tsc_timestamp, system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags, padding2[2];
};

/* Nanoseconds; the version is odd while KVM writes, and changes with it. */
static uint64_t kvm_clock(const volatile struct kvm_time *time)
{
	uint32_t version;
	uint64_t delta, nanoseconds;

	do {
		version = time->version;
		delta = rdtsc() - time->tsc_timestamp;
		delta = time->tsc_shift < 0 ? delta >> -time->tsc_shift : delta << time->tsc_shift;
		nanoseconds = time->system_time + (delta >> 32) * time->tsc_to_system_mul +
			      ((delta & 0xffffffff) * time->tsc_to_system_mul >> 32);
	} while ((version & 1) || version != time->version);
	return nanoseconds;
}

TEST("KVM's clock goes on behind a move, at the same place in memory")
{
	struct kvm_time *time = page_alloc();
	uint64_t before, after;
	uint32_t base;

	if (!cpuid_hypervisor("KVMKVMKVM\0\0", &base) ||
	    !(cpuid(base + 1, 0).eax & KVM_FEATURE_CLOCKSOURCE2))
		SKIP("no clock of KVM's");
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)time | 1);
	grow_old();
	before = kvm_clock(time);
	move();
	after = kvm_clock(time);
	EXPECT_EQ(rdmsr(MSR_KVM_SYSTEM_TIME_NEW), (uintptr_t)time | 1);
	EXPECT_GE(after, before);
	EXPECT_LT(after - before, MOVE_MS * 1000000ull);
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, 0);
	page_free(time);
}

/*
 * --- the VM's devices and hypercall pages --------------------------------------------------------
 */

#define IOAPIC_INDEX ((volatile uint32_t *)0xfec00000ul)
#define IOAPIC_DATA  ((volatile uint32_t *)0xfec00010ul)

static uint32_t ioapic_read(uint32_t reg)
{
	*IOAPIC_INDEX = reg;
	return *IOAPIC_DATA;
}

static void ioapic_write(uint32_t reg, uint32_t value)
{
	*IOAPIC_INDEX = reg;
	*IOAPIC_DATA = value;
}

/* Pin 20, masked, with a vector; the PIT's command 0xe2 reads back the mode of counter 0. */
TEST("I/O APIC, PICs and PIT stay as they were")
{
	const uint32_t pin = 0x10 + 2 * 20;

	ioapic_write(pin, LVT_MASKED | VECTOR);
	outb(0x21, 0xfb);
	outb(0xa1, 0x7f);
	outb(0x43, 0x34); /* counter 0, two bytes, mode 2 */
	outb(0x40, 0xff);
	outb(0x40, 0xff);
	move();
	EXPECT_EQ(ioapic_read(pin), LVT_MASKED | VECTOR);
	EXPECT_EQ(inb(0x21), 0xfb);
	EXPECT_EQ(inb(0xa1), 0x7f);
	outb(0x43, 0xe2);
	EXPECT_EQ(inb(0x40) & 0x3f, 0x34);
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	ioapic_write(pin, LVT_MASKED);
}

TEST("the Hyper-V id, page and calls are there behind a move")
{
	const void *page = hv_page_new();
	uint8_t code[HV_PAGE_CODE_MAX];
	size_t size = hv_page_expected(code);
	uint64_t msr = rdmsr(HV_X64_MSR_HYPERCALL), time;

	grow_old();
	time = rdmsr(HV_X64_MSR_TIME_REF_COUNT);
	EXPECT_NE(msr & HV_X64_MSR_HYPERCALL_ENABLE, 0);
	move();
	EXPECT_EQ(rdmsr(HV_X64_MSR_GUEST_OS_ID), HV_GUEST_OS_ID_VMABI);
	EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), msr);
	EXPECT_GE(rdmsr(HV_X64_MSR_TIME_REF_COUNT), time);
	EXPECT_MEM_EQ(page, code, size);
	EXPECT_EQ(hv_page_call(page, HV_CONTROL_REFUSED, 0, 0), HV_STATUS_INVALID_HYPERCALL_INPUT);
	hv_disable_hypercalls();
}

/* KVM latches the mode in which the MSR was written (xen.c, kvm_xen_write_hypercall_page). */
TEST("the Xen page, calls and latched mode are there behind a move")
{
	const void *page = xen_page_new();
	long latched = xen_hypercall(XEN_VMRUN_RECORD, XEN_RECORD_LATCHED);

	EXPECT_EQ(latched, sizeof(long) == 8);
	move();
	EXPECT_EQ(xen_hypercall(XEN_CALL_VERSION, 0), XEN_VMRUN_VERSION);
	EXPECT_EQ(xen_page_call(page, XEN_CALL_VERSION, 0), XEN_VMRUN_VERSION);
	EXPECT_EQ(xen_hypercall(XEN_VMRUN_RECORD, XEN_RECORD_LATCHED), latched);
}
