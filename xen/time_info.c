// SPDX-License-Identifier: BSD-2-Clause
/*
 * The time of a vCPU: what was the system time at some TSC, and how fast it goes
 *
 *	system time = system_time + (((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul >> 32)
 *
 * with a shift to the right if tsc_shift is negative, under a version that is odd while it is written (public/xen.h,
 * struct vcpu_time_info). It is in vcpu_info, and in one more place if the guest wants one (public/vcpu.h,
 * VCPUOP_register_vcpu_time_memory_area). CPUID gives the scale as well (public/arch-x86/cpuid.h, leaf 3: subleaf 1
 * ECX and EDX, subleaf 2 EAX = kHz of the TSC; KVM: cpuid.c and x86.c, kvm_guest_time_update). The flag "TSC stable"
 * means that what one vCPU reads after another is no earlier (asm/pvclock-abi.h of Linux); KVM's VMM can turn it off
 * (KVM_XEN_HVM_CONFIG_PVCLOCK_TSC_UNSTABLE).
 */
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/abi.h>
#include <x86/cpuid.h>
#include <x86/memory.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <xen/page.h>
#include <xen/request.h>
#include <xen/shared.h>

#define WAIT_MS 5000
#define ROUNDS	2000

static struct xen_time current(void)
{
	return xen_time_read(&xen_vcpu_info()->time);
}

/* The scale without the rest: nanoseconds for so many ticks. */
static uint64_t ns_for(const struct xen_time *time, uint64_t ticks)
{
	struct xen_time from_zero = *time;

	from_zero.tsc_timestamp = 0;
	from_zero.system_time = 0;
	return xen_time_at(&from_zero, ticks);
}

TEST("the version is even and not 0, and the reserved bytes are 0")
{
	struct xen_time time = current();

	EXPECT_NE(time.version, 0);
	EXPECT_EQ(time.version & 1, 0);
	EXPECT_EQ(time.pad0, 0);
	EXPECT_EQ(time.pad[0] | time.pad[1], 0);
}

/* Perhaps before this VM's TSC was 0: the difference is what counts, modulo 2^64. */
TEST("its TSC is one that has been")
{
	struct xen_time time = current();

	EXPECT_LT(rdtsc() - time.tsc_timestamp, 1ull << 63);
}

/* In kHz, as the Xen leaves say: the runtime would have to measure it. */
static uint64_t khz_by_cpuid(void)
{
	uint32_t base;

	REQUIRE(cpuid_hypervisor(XEN_CPUID_SIGNATURE, &base));
	return cpuid(base + 3, 0).ecx;
}

/* Within a thousandth. */
TEST("its scale makes a second of as many ticks as the TSC has in one")
{
	struct xen_time time = current();
	uint64_t ns = ns_for(&time, khz_by_cpuid() * 1000);

	EXPECT_GE(ns, 999000000);
	EXPECT_LE(ns, 1001000000);
	/* A multiplier with its highest bit set loses nothing (kvm_get_time_scale; Xen's set_time_scale). */
	EXPECT_TRUE(time.tsc_to_system_mul >> 31, "0x%x", time.tsc_to_system_mul);
}

/* Xen's is that of the frequency in the leaf, and that of the time was measured since (arch/x86/cpuid.c, tsc_get_info). */
TEST("CPUID gives the same scale, and the frequency of the TSC")
{
	struct xen_time time = current(), by_cpuid = time;
	struct cpuid leaf;
	uint32_t base;

	REQUIRE(cpuid_hypervisor(XEN_CPUID_SIGNATURE, &base));
	leaf = cpuid(base + 3, 1);
	by_cpuid.tsc_to_system_mul = leaf.ecx;
	by_cpuid.tsc_shift = (int8_t)leaf.edx;
	if (xen_itself()) {
		EXPECT_GE(ns_for(&by_cpuid, 1ull << 30), ns_for(&time, 1023ull << 20));
		EXPECT_LE(ns_for(&by_cpuid, 1ull << 30), ns_for(&time, 1025ull << 20));
	} else {
		EXPECT_EQ(by_cpuid.tsc_to_system_mul, time.tsc_to_system_mul);
		EXPECT_EQ(by_cpuid.tsc_shift, time.tsc_shift);
	}
	leaf = cpuid(base + 3, 2);
	EXPECT_GE(leaf.eax, khz_by_cpuid() - khz_by_cpuid() / 1000);
	EXPECT_LE(leaf.eax, khz_by_cpuid() + khz_by_cpuid() / 1000);
}

TEST("the system time never goes back")
{
	uint64_t last = xen_now(), back = 0;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t now = xen_now();

		back += now < last;
		last = now;
	}
	EXPECT_EQ(back, 0);
}

static void read_now(void *result)
{
	*(uint64_t *)result = xen_now();
}

TEST("neither does it from one vCPU to the other, if it says that its TSC is stable")
{
	uint64_t before, other, after, back = 0;

	REQUIRE(cpu_count() >= 2);
	on_cpu(1, read_now, &other);
	if (!(current().flags & XEN_TIME_TSC_STABLE))
		SKIP("the flag TSC_STABLE is not set: this host's clock is not the TSC");
	for (unsigned int i = 0; i < 30; i++) {
		before = xen_now();
		on_cpu(1, read_now, &other);
		after = xen_now();
		back += other < before || after < other;
	}
	EXPECT_EQ(back, 0);
}

TEST("a second area has the same time")
{
	volatile struct xen_time *area;
	struct xen_time first, second;

	current();
	area = page_alloc();
	ASSERT_EQ(xen_place_time(area), 0);
	ASSERT_TRUE(WAIT_FOR(area->version != 0, WAIT_MS));
	first = current();
	second = xen_time_read(area);
	EXPECT_EQ(second.tsc_to_system_mul, first.tsc_to_system_mul);
	EXPECT_EQ(second.tsc_shift, first.tsc_shift);
	EXPECT_EQ(second.tsc_timestamp - first.tsc_timestamp, 0);
	EXPECT_EQ(second.system_time - first.system_time, 0);
	EXPECT_EQ(second.pad0 | second.pad[0] | second.pad[1], 0);
}

TEST("an area may lie at the end of a page, and nothing beside it is written")
{
	static const unsigned int offsets[] = { PAGE_SIZE - 32, 0, 256, 2040 };
	uint8_t *page;

	current();
	page = page_alloc();
	for (size_t i = 0; i < COUNT_OF(offsets); i++) {
		volatile struct xen_time *area = (void *)(page + offsets[i]);
		size_t other = 0;

		memset(page, 0xa5, PAGE_SIZE);
		memset(page + offsets[i], 0, sizeof(*area));
		ASSERT_EQ(xen_place_time(area), 0, "offset %u", offsets[i]);
		ASSERT_TRUE(WAIT_FOR(area->version != 0, WAIT_MS), "offset %u", offsets[i]);
		xen_time_read(area);
		for (size_t b = 0; b < PAGE_SIZE; b++)
			other += (b < offsets[i] || b >= offsets[i] + 32) && page[b] != 0xa5;
		EXPECT_EQ(other, 0, "offset %u", offsets[i]);
	}
}

/* KVM: virt/kvm/pfncache.c, kvm_gpc_is_valid_len. Xen writes by linear addresses, and takes it. */
TEST("across the end of a page KVM refuses an area")
{
	uint8_t *pages;

	xen_get_vm(XEN_VM_LONG_MODE, &(uint64_t){ 0 });
	current();
	pages = pages_alloc(1);
	EXPECT_EQ(xen_place_time((void *)(pages + PAGE_SIZE - 31)), VMRUN_EINVAL);
	EXPECT_EQ(xen_place_time((void *)(pages + PAGE_SIZE - 1)), VMRUN_EINVAL);
}

TEST("an area without memory is refused")
{
	xen_get_vm(XEN_VM_LONG_MODE, &(uint64_t){ 0 });
	current();
	EXPECT_EQ(xen_place_time((void *)(uintptr_t)memory_hole()), VMRUN_EFAULT);
}

TEST("an area that is taken away is written no more, and the VMM is told")
{
	volatile struct xen_time *area;
	uint64_t gpa;

	xen_get_vm(XEN_VM_LONG_MODE, &gpa);
	current();
	area = page_alloc();
	ASSERT_EQ(xen_place_time(area), 0);
	ASSERT_TRUE(WAIT_FOR(area->version != 0, WAIT_MS));
	EXPECT_EQ(xen_get_vcpu(XEN_VCPU_TIME_INFO, &gpa), 0);
	EXPECT_EQ(gpa, (uintptr_t)area);
	ASSERT_EQ(xen_place_time(NULL), 0);
	EXPECT_EQ(xen_get_vcpu(XEN_VCPU_TIME_INFO, &gpa), 0);
	EXPECT_EQ(gpa, XEN_NOWHERE);
	area->version = 0;
	/* Has the time of the vCPU written anew. */
	ASSERT_EQ(xen_place_vcpu_info(xen_vcpu_info()), 0);
	EXPECT_EQ(area->version, 0);
}

TEST("the version grows by an even number when the time is written again")
{
	uint32_t before;

	xen_get_vm(XEN_VM_LONG_MODE, &(uint64_t){ 0 });
	before = current().version;
	ASSERT_EQ(xen_place_vcpu_info(xen_vcpu_info()), 0);
	EXPECT_TRUE(WAIT_FOR(current().version != before, WAIT_MS));
	EXPECT_EQ((current().version - before) & 1, 0);
}

TEST("the VMM can take back the word that the TSC is stable, and give it again")
{
	bool stable;

	xen_skip_without(KVM_XEN_FLAG_TSC_UNSTABLE, "PVCLOCK_TSC_UNSTABLE");
	stable = current().flags & XEN_TIME_TSC_STABLE;
	ASSERT_EQ(xen_configure(KVM_XEN_FLAG_INTERCEPT | KVM_XEN_FLAG_TSC_UNSTABLE), 0);
	EXPECT_TRUE(WAIT_FOR(!(current().flags & XEN_TIME_TSC_STABLE), WAIT_MS));
	ASSERT_EQ(xen_configure(KVM_XEN_FLAG_INTERCEPT), 0);
	EXPECT_TRUE(WAIT_FOR(!(current().flags & XEN_TIME_TSC_STABLE) == !stable, WAIT_MS));
}
