// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults: the three MSRs, and the token that comes with switching them on
 *
 * - EN: bits 4 and 5 are reserved: #GP. With bits 0 and 3 set the area must be RAM. INT: bits 8 to 63
 *   are reserved. ACK reads as 0, and takes any value. What is refused changes nothing.
 * - Each write to EN with bits 0 and 3 set queues one "page ready" with the token 0xffffffff, unless
 *   one waits already (virt/kvm/async_pf.c, kvm_async_pf_wakeup_all). It is delivered when the token
 *   in the area is 0; ACK with bit 0 set makes KVM look for more. Switching off drops what waits.
 *
 * Documentation/virt/kvm/x86/msr.rst; arch/x86/kvm/x86.c, kvm_pv_enable_async_pf,
 * kvm_pv_enable_async_pf_int.
 */
#include <kvm/async_pf.h>
#include <libc/array.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/msr.h>

#define AREA_BITS 0x3full /* of EN, below the address of the area */
#define RESERVED  0x30ull
#define FEATURES  (KVM_FEATURE_ASYNC_PF | KVM_FEATURE_ASYNC_PF_VMEXIT | KVM_FEATURE_ASYNC_PF_INT)

static uint64_t area_address(void)
{
	return (uintptr_t)async_pf_area();
}

static void need_features(void)
{
	if ((kvm_features() & FEATURES) != FEATURES)
		SKIP("CPUID shows not all of asynchronous page faults");
}

static void need_all(void)
{
	need_features();
	async_pf_reset();
}

TEST("all three MSRs are 0 after reset")
{
	need_features();
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_EN), 0);
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_INT), 0);
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_ACK), 0);
}

TEST("EN takes every combination of its four bits, and reads as written")
{
	need_all();
	for (uint64_t bits = 0; bits < 16; bits++) {
		EXPECT_NO_FAULT(wrmsr(MSR_KVM_ASYNC_PF_EN, area_address() | bits));
		EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_EN), area_address() | bits);
	}
	async_pf_reset();
}

TEST("the reserved bits of EN raise GP with any others, and change nothing")
{
	need_all();
	wrmsr(MSR_KVM_ASYNC_PF_EN, area_address() | KVM_ASYNC_PF_SEND_ALWAYS);
	for (uint64_t bits = 0; bits <= AREA_BITS; bits++) {
		if (!(bits & RESERVED))
			continue;
		EXPECT_FAULT(GP, 0, wrmsr(MSR_KVM_ASYNC_PF_EN, area_address() | bits));
		EXPECT_FAULT(GP, 0, wrmsr(MSR_KVM_ASYNC_PF_EN, bits));
	}
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_EN), area_address() | KVM_ASYNC_PF_SEND_ALWAYS);
}

TEST("an area that is not RAM is refused when it is to be used, and only then")
{
	static const uint64_t high[] = { 1ull << 40, 1ull << 52, 1ull << 63 };
	uint64_t hole = memory_hole();

	need_all();
	EXPECT_NO_FAULT(wrmsr(MSR_KVM_ASYNC_PF_EN, hole | KVM_ASYNC_PF_ENABLED));
	EXPECT_NO_FAULT(wrmsr(MSR_KVM_ASYNC_PF_EN, hole | KVM_ASYNC_PF_DELIVERY_AS_INT));
	EXPECT_FAULT(GP, 0, wrmsr(MSR_KVM_ASYNC_PF_EN, hole | KVM_ASYNC_PF_ON));
	for (unsigned int i = 0; i < COUNT_OF(high); i++)
		EXPECT_FAULT(GP, 0, wrmsr(MSR_KVM_ASYNC_PF_EN, high[i] | KVM_ASYNC_PF_ON));
	async_pf_reset();
}

TEST("EN stays as it is when an area that is not RAM is refused")
{
	need_all();
	wrmsr(MSR_KVM_ASYNC_PF_EN, area_address());
	EXPECT_FAULT(GP, 0, wrmsr(MSR_KVM_ASYNC_PF_EN, memory_hole() | KVM_ASYNC_PF_ON));
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_EN), area_address());
	async_pf_reset();
}

TEST("INT takes every vector, and reads as written")
{
	need_all();
	for (unsigned int vector = 0; vector < 256; vector++) {
		EXPECT_NO_FAULT(wrmsr(MSR_KVM_ASYNC_PF_INT, vector));
		EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_INT), vector);
	}
}

TEST("the reserved bits of INT raise GP, and change nothing")
{
	need_all();
	for (unsigned int bit = 8; bit < 64; bit++)
		EXPECT_FAULT(GP, 0, wrmsr(MSR_KVM_ASYNC_PF_INT, 1ull << bit | 0x60));
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_INT), ASYNC_PF_VECTOR);
}

TEST("ACK takes any value, and reads as 0")
{
	need_all();
	for (unsigned int bit = 0; bit < 64; bit++) {
		EXPECT_NO_FAULT(wrmsr(MSR_KVM_ASYNC_PF_ACK, 1ull << bit));
		EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_ACK), 0);
	}
}

TEST("the VMM reads the same, and is refused the same")
{
	uint64_t value;

	need_all();
	wrmsr(MSR_KVM_ASYNC_PF_EN, area_address() | KVM_ASYNC_PF_SEND_ALWAYS);
	EXPECT_EQ(vmm_msr_read(MSR_KVM_ASYNC_PF_EN, &value), 0);
	EXPECT_EQ(value, area_address() | KVM_ASYNC_PF_SEND_ALWAYS);
	EXPECT_EQ(vmm_msr_read(MSR_KVM_ASYNC_PF_INT, &value), 0);
	EXPECT_EQ(value, ASYNC_PF_VECTOR);
	EXPECT_EQ(vmm_msr_write(MSR_KVM_ASYNC_PF_EN, RESERVED), VMRUN_EINVAL);
	EXPECT_EQ(vmm_msr_write(MSR_KVM_ASYNC_PF_INT, 0x100), VMRUN_EINVAL);
}

static void enable(void)
{
	wrmsr(MSR_KVM_ASYNC_PF_EN, area_address() | KVM_ASYNC_PF_ON);
}

TEST("switching on brings one interrupt with the token that wakes all, and no flags")
{
	need_all();
	enable();
	EXPECT_TRUE(async_pf_wait(1));
	EXPECT_EQ(async_pf_area()->token, ASYNC_PF_WAKE_ALL);
	EXPECT_EQ(async_pf_area()->flags, 0);
	EXPECT_EQ(async_pf_take(), ASYNC_PF_WAKE_ALL);
	EXPECT_TRUE(async_pf_stays(1));
	EXPECT_EQ(async_pf_area()->token, 0);
}

TEST("with only one of bits 0 and 3 nothing comes")
{
	static const uint32_t bits[] = { KVM_ASYNC_PF_ENABLED, KVM_ASYNC_PF_DELIVERY_AS_INT };

	need_all();
	for (unsigned int i = 0; i < COUNT_OF(bits); i++) {
		wrmsr(MSR_KVM_ASYNC_PF_EN, area_address() | bits[i]);
		EXPECT_TRUE(async_pf_stays(0), "bits 0x%x", bits[i]);
		EXPECT_EQ(async_pf_area()->token, 0, "bits 0x%x", bits[i]);
	}
}

TEST("the area may lie at any multiple of 64, at the end of a page too")
{
	uint8_t *page = page_alloc();

	need_all();
	for (unsigned int at = 0; at < PAGE_SIZE; at += 64) {
		volatile struct kvm_vcpu_pv_apf_data *area = (void *)(page + at);

		async_pf_reset();
		wrmsr(MSR_KVM_ASYNC_PF_EN, (uintptr_t)area | KVM_ASYNC_PF_ON);
		EXPECT_TRUE(async_pf_wait(1), "offset 0x%x", at);
		EXPECT_EQ(area->token, ASYNC_PF_WAKE_ALL, "offset 0x%x", at);
		area->token = 0;
		wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
	}
	async_pf_reset();
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		EXPECT_EQ(page[i], 0, "offset 0x%x", i);
	page_free(page);
}

TEST("the interrupt comes at the vector that INT names when it is raised")
{
	need_all();
	wrmsr(MSR_KVM_ASYNC_PF_INT, ASYNC_PF_VECTOR + 1);
	enable();
	EXPECT_FAULT(ASYNC_PF_VECTOR + 1, 0, irq_window());
	EXPECT_EQ(async_pf_area()->token, ASYNC_PF_WAKE_ALL);
	apic_eoi();
}

TEST("switching on again brings another one")
{
	need_all();
	for (unsigned int i = 1; i <= 4; i++) {
		enable();
		EXPECT_TRUE(async_pf_wait(i), "time %u", i);
		EXPECT_EQ(async_pf_take(), ASYNC_PF_WAKE_ALL, "time %u", i);
	}
	EXPECT_TRUE(async_pf_stays(4));
}

TEST("one token is held back until the other is taken, and there is no third")
{
	need_all();
	for (unsigned int i = 0; i < 4; i++)
		enable();
	EXPECT_TRUE(async_pf_stays(1));
	EXPECT_EQ(async_pf_take(), ASYNC_PF_WAKE_ALL);
	EXPECT_TRUE(async_pf_wait(2));
	EXPECT_EQ(async_pf_take(), ASYNC_PF_WAKE_ALL);
	EXPECT_TRUE(async_pf_stays(2));
}

TEST("KVM looks for the next token when bit 0 is written to ACK, and not at other bits")
{
	need_all();
	async_pf_area()->token = 1;
	enable();
	EXPECT_TRUE(async_pf_stays(0));
	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
	EXPECT_TRUE(async_pf_stays(0), "the token is not taken");
	async_pf_area()->token = 0;
	wrmsr(MSR_KVM_ASYNC_PF_ACK, ~1ull);
	EXPECT_TRUE(async_pf_stays(0), "bit 0 is clear");
	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
	EXPECT_TRUE(async_pf_wait(1));
	EXPECT_EQ(async_pf_area()->token, ASYNC_PF_WAKE_ALL);
}

TEST("switching off drops a token that is held back")
{
	need_all();
	async_pf_area()->token = 1;
	enable();
	EXPECT_TRUE(async_pf_stays(0));
	wrmsr(MSR_KVM_ASYNC_PF_EN, 0);
	async_pf_area()->token = 0;
	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
	EXPECT_TRUE(async_pf_stays(0));
	EXPECT_EQ(async_pf_area()->token, 0);
}

TEST("what is switched off already may be switched off again")
{
	need_all();
	for (unsigned int i = 0; i < 3; i++)
		EXPECT_NO_FAULT(wrmsr(MSR_KVM_ASYNC_PF_EN, 0));
	enable();
	EXPECT_TRUE(async_pf_wait(1));
	async_pf_reset();
}
