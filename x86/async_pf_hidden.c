// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults: the MSRs where CPUID does not show all of it
 *
 * CPUID has a bit for the feature, for its interrupts, and for delivery to a nested hypervisor. An MSR
 * without its bit raises #GP (x86.c, kvm_set_msr_common and kvm_get_msr_common); so do bits 2 and 3 of
 * EN without theirs (kvm_pv_enable_async_pf). What is shown works. KVM checks that for a VMM that asks for it
 * (KVM_CAP_ENFORCE_PV_FEATURE_CPUID), as vmrun does when it hides features: this guest is run with
 * different ones hidden, and asks CPUID which.
 */
#include <kvm/async_pf.h>
#include <test/test.h>
#include <x86/msr.h>

static uint64_t area_address(void)
{
	return (uintptr_t)async_pf_area();
}

static void with(uint32_t feature)
{
	if (!(kvm_features() & feature))
		SKIP("CPUID does not show the feature 0x%x", feature);
}

static void without(uint32_t feature)
{
	if (kvm_features() & feature)
		SKIP("CPUID shows the feature 0x%x", feature);
}

TEST("without its CPUID bit EN raises GP")
{
	without(KVM_FEATURE_ASYNC_PF);
	EXPECT_FAULT(GP, 0, rdmsr(MSR_KVM_ASYNC_PF_EN));
	EXPECT_FAULT(GP, 0, wrmsr(MSR_KVM_ASYNC_PF_EN, 0));
}

TEST("without their CPUID bit INT and ACK raise GP")
{
	without(KVM_FEATURE_ASYNC_PF_INT);
	EXPECT_FAULT(GP, 0, rdmsr(MSR_KVM_ASYNC_PF_INT));
	EXPECT_FAULT(GP, 0, wrmsr(MSR_KVM_ASYNC_PF_INT, ASYNC_PF_VECTOR));
	EXPECT_FAULT(GP, 0, rdmsr(MSR_KVM_ASYNC_PF_ACK));
	EXPECT_FAULT(GP, 0, wrmsr(MSR_KVM_ASYNC_PF_ACK, 1));
}

static void check_bit_refused(uint32_t bit)
{
	EXPECT_NO_FAULT(wrmsr(MSR_KVM_ASYNC_PF_EN, area_address()));
	EXPECT_FAULT(GP, 0, wrmsr(MSR_KVM_ASYNC_PF_EN, area_address() | bit));
	EXPECT_FAULT(GP, 0,
		     wrmsr(MSR_KVM_ASYNC_PF_EN, area_address() | KVM_ASYNC_PF_ENABLED | bit));
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_EN), area_address());
	wrmsr(MSR_KVM_ASYNC_PF_EN, 0);
}

TEST("without the CPUID bit of the interrupt bit 3 of EN raises GP")
{
	without(KVM_FEATURE_ASYNC_PF_INT);
	with(KVM_FEATURE_ASYNC_PF);
	check_bit_refused(KVM_ASYNC_PF_DELIVERY_AS_INT);
}

TEST("without the CPUID bit of nested delivery bit 2 of EN raises GP")
{
	without(KVM_FEATURE_ASYNC_PF_VMEXIT);
	with(KVM_FEATURE_ASYNC_PF);
	check_bit_refused(KVM_ASYNC_PF_DELIVERY_AS_PF_VMEXIT);
}

TEST("EN is there with its CPUID bit, whatever else is hidden")
{
	with(KVM_FEATURE_ASYNC_PF);
	EXPECT_NO_FAULT(wrmsr(MSR_KVM_ASYNC_PF_EN, area_address() | KVM_ASYNC_PF_ENABLED));
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_EN), area_address() | KVM_ASYNC_PF_ENABLED);
	EXPECT_NO_FAULT(wrmsr(MSR_KVM_ASYNC_PF_EN, 0));
}

TEST("INT and ACK are there with their CPUID bit, whatever else is hidden")
{
	with(KVM_FEATURE_ASYNC_PF_INT);
	EXPECT_NO_FAULT(wrmsr(MSR_KVM_ASYNC_PF_INT, ASYNC_PF_VECTOR));
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_INT), ASYNC_PF_VECTOR);
	EXPECT_NO_FAULT(wrmsr(MSR_KVM_ASYNC_PF_ACK, 1));
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_ACK), 0);
}
