// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET under KVM: the legacy bitmap's address, as the VMM writes it
 *
 * Bits 63:12 of IA32_U_CET and IA32_S_CET are the linear address of a bitmap: that of any page, if it is
 * canonical, or WRMSR raises #GP. The guest writes them without KVM, so that KVM's own check is for what the VMM
 * writes: behind a migration, say, what the guest wrote before. It must demand no more than the CPU, or a guest
 * that runs cannot be moved; and no less, since KVM hands the values to the CPU: the one of U_CET by WRMSR, which
 * raises #GP on the host, the one of S_CET by the VMCS, with which the CPU refuses to enter the guest.
 *
 * KVM up to 7.2 gets both wrong (arch/x86/kvm/x86.h, kvm_is_valid_u_s_cet): it wants the number of the page to be
 * a multiple of 4, and takes any other address. host/kernel/patches/7.2/0002 mends it. Without that the last
 * point ends the run.
 *
 * Sources: Intel SDM volume 4, table 2-2, IA32_U_CET and IA32_S_CET; volume 3, "Checks on Guest Control
 * Registers, Debug Registers, and MSRs".
 */
#include <libc/array.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/cet.h>

/* Canonical in no paging mode. */
#define NOT_CANONICAL 0x4000000000000000ull

static void begin(void)
{
	if (!has_ibt())
		SKIP("this CPU has no indirect branch tracking");
	cet_enable();
}

TEST("the VMM may write the address of any page to U_CET, as the guest may")
{
	static const uint64_t pages[] = { 0x1000, 0x2000, 0x3000, 0x4000, 0x7f000 };

	begin();
	for (unsigned int i = 0; i < COUNT_OF(pages); i++) {
		uint64_t value = CET_LEG_IW_EN | pages[i];

		EXPECT_NO_FAULT(wrmsr(MSR_IA32_U_CET, value));
		EXPECT_EQ(vmm_msr_write(MSR_IA32_U_CET, value), 0, "0x%llx",
			  (unsigned long long)value);
		EXPECT_EQ(rdmsr(MSR_IA32_U_CET), value);
	}
}

TEST("a move carries a legacy bitmap's address, whatever page it is at")
{
	begin();
	if (!has_ibt())
		SKIP("this CPU has no indirect branch tracking");
	wrmsr(MSR_IA32_U_CET, CET_LEG_IW_EN | 0x1000);
	EXPECT_EQ(vmm_move(), 0);
	EXPECT_EQ(rdmsr(MSR_IA32_U_CET), CET_LEG_IW_EN | 0x1000);
}

static void expect_refused(uint32_t msr)
{
	begin();
	EXPECT_FAULT(GP, 0, wrmsr(msr, NOT_CANONICAL));
	EXPECT_EQ(vmm_msr_write(msr, NOT_CANONICAL), VMRUN_EINVAL);
	EXPECT_EQ(rdmsr(msr), 0);
}

TEST("the VMM is refused an address in U_CET that is not canonical")
{
	expect_refused(MSR_IA32_U_CET);
}

TEST("the VMM is refused an address in S_CET that is not canonical")
{
	expect_refused(MSR_IA32_S_CET);
}
