// SPDX-License-Identifier: BSD-2-Clause
/*
 * KVM_HC_MAP_GPA_RANGE where the VMM has not asked for it
 *
 * Without KVM_CAP_EXIT_HYPERCALL KVM has nobody to hand the call to: it is as one that does not exist,
 * -KVM_ENOSYS, before any look at the arguments (arch/x86/kvm/x86.c, ____kvm_emulate_hypercall); at CPL 3
 * it is -KVM_EPERM all the same. CPUID has no bit for it, as that is the VMM's to set (arch/x86/kvm/cpuid.c
 * does not offer KVM_FEATURE_HC_MAP_GPA_RANGE).
 */
#include <kvm/area.h>
#include <kvm/async_pf.h>
#include <kvm/hypercall.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>
#include <x86/user.h>

TEST("CPUID does not show the call")
{
	EXPECT_EQ(kvm_features() & KVM_FEATURE_HC_MAP_GPA_RANGE, 0);
}

TEST("the call is refused as one that does not exist, be its arguments right or wrong")
{
	static const struct {
		unsigned int offset, pages;
		uintptr_t attributes;
	} cases[] = {
		{ 0, 1, KVM_MAP_GPA_RANGE_ENCRYPTED },
		{ 0, 1, KVM_MAP_GPA_RANGE_DECRYPTED },
		{ 1, 1, 0 },
		{ 0, 0, 0 },
		{ 0, 1, 0x20 },
	};
	uint8_t *page = page_alloc();

	area_fill(page, PAGE_SIZE, 1);
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		EXPECT_EQ(kvm_hypercall(KVM_HC_MAP_GPA_RANGE, (uintptr_t)page + cases[i].offset,
					cases[i].pages, cases[i].attributes),
			  -KVM_ENOSYS, "case %u", i);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_CALLS), 0);
	EXPECT_EQ(area_changed(page, PAGE_SIZE, 1), 0);
}

TEST("so is a number that no call has")
{
	EXPECT_EQ(kvm_hypercall(0), -KVM_ENOSYS);
	EXPECT_EQ(kvm_hypercall(13), -KVM_ENOSYS);
	EXPECT_EQ(kvm_hypercall(~0u), -KVM_ENOSYS);
}

static uintptr_t call_at_cpl_3(uintptr_t gpa)
{
	return (uintptr_t)kvm_hypercall(KVM_HC_MAP_GPA_RANGE, gpa, 1, 0);
}

TEST("at CPL 3 the call is refused for that reason")
{
	struct user_result result = user_call(call_at_cpl_3, (uintptr_t)page_alloc());

	EXPECT_TRUE(result.returned);
	EXPECT_EQ(result.value, (uintptr_t)-KVM_EPERM);
}
