// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET under KVM: what the VMM reads and writes of it, injects, and carries to another VM
 *
 * To the guest CET is the CPU's: KVM intercepts none of its MSRs but one, and the CPU raises #CP by itself.
 * KVM's own part is what a VMM sees, by vmrun's requests (<vmrun/vmm.h>):
 *
 *	KVM_GET_MSRS, KVM_SET_MSRS	all of CET's MSRs. U_CET and PL0_SSP to PL3_SSP are in the CPU's registers
 *					while the guest runs, and in its XSAVE area else; S_CET and the SSP table
 *					are in the VMCS, or VMCB. What the architecture refuses KVM refuses too.
 *	KVM_GET_ONE_REG, KVM_SET_ONE_REG	the same MSRs, and SSP, which is no MSR; the number under which KVM
 *					has it inside is none to the guest
 *	KVM_SET_VCPU_EVENTS		#CP, with its error code, and a frame on the shadow stack as any event
 *
 * With these a guest is moved to another VM, on its shadow stack, and goes on.
 *
 * The guest owns CR0.WP and CR4.CET, and the CPU holds the one to the other. Of a write that changes a bit
 * which KVM intercepts KVM decides, by what the other one is at the moment: the CPU enters no guest with CR4.CET set
 * and CR0.WP clear.
 *
 * Sources: Linux 7.2, arch/x86/kvm/x86.c: __kvm_set_msr, __kvm_get_msr, kvm_access_xstate_msr,
 * kvm_get_set_one_reg; x86.h: kvm_is_valid_u_s_cet; regs.c: kvm_set_cr0, kvm_set_cr4; vmx/vmx.c and
 * svm/svm.c: *_recalc_msr_intercepts; Documentation/virt/kvm/api.rst. What is refused is the architecture's:
 * Intel SDM volume 4, table 2-2.
 */
#include <kvm/abi.h>
#include <libc/array.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/cet.h>
#include <x86/registers.h>
#include <x86/shadow_stack.h>

/* x86.h of KVM, MSR_KVM_INTERNAL_GUEST_SSP: its name for SSP inside. */
#define MSR_KVM_INTERNAL_GUEST_SSP 0x4b564dff

/* Canonical in no paging mode. */
#define NOT_CANONICAL 0x4000000000000000ull

#ifdef __x86_64__
#define HIGH 0xffff800000000000ull
#else
#define HIGH 0
#endif

struct msr_value {
	uint32_t msr;
	uint64_t value;
};

static const struct msr_value good[] = {
	{ MSR_IA32_U_CET, CET_SH_STK_EN | CET_WR_SHSTK_EN },
	{ MSR_IA32_S_CET, CET_WR_SHSTK_EN },
	{ MSR_IA32_PL0_SSP, HIGH + 0x10000 },
	{ MSR_IA32_PL1_SSP, HIGH + 0x21004 },
	{ MSR_IA32_PL2_SSP, HIGH + 0x32008 },
	{ MSR_IA32_PL3_SSP, 0x4300c },
#ifdef __x86_64__
	{ MSR_IA32_INTERRUPT_SSP_TABLE_ADDR, HIGH + 0x54010 },
#endif
};

/* What differs from it in each MSR, for a second value. */
#define OTHER 0x100

static const struct msr_value refused[] = {
	{ MSR_IA32_U_CET, 1u << 6 },
	{ MSR_IA32_U_CET, 1u << 7 },
	{ MSR_IA32_U_CET, 1u << 8 },
	{ MSR_IA32_U_CET, 1u << 9 },
	{ MSR_IA32_S_CET, 1u << 6 },
	{ MSR_IA32_S_CET, 1u << 7 },
	{ MSR_IA32_S_CET, 1u << 8 },
	{ MSR_IA32_S_CET, 1u << 9 },
	{ MSR_IA32_U_CET, CET_SUPPRESS | CET_TRACKER },
	{ MSR_IA32_S_CET, CET_SUPPRESS | CET_TRACKER },
	{ MSR_IA32_PL0_SSP, 0x1001 },
	{ MSR_IA32_PL1_SSP, 0x1002 },
	{ MSR_IA32_PL2_SSP, 0x1003 },
	{ MSR_IA32_PL3_SSP, 0x1001 },
	{ MSR_IA32_PL0_SSP, NOT_CANONICAL },
	{ MSR_IA32_PL1_SSP, NOT_CANONICAL },
	{ MSR_IA32_PL2_SSP, NOT_CANONICAL },
	{ MSR_IA32_PL3_SSP, NOT_CANONICAL },
#ifdef __x86_64__
	{ MSR_IA32_INTERRUPT_SSP_TABLE_ADDR, NOT_CANONICAL },
#endif
};

static void begin(void)
{
	if (!has_shadow_stacks())
		SKIP("this CPU has no shadow stacks");
	cet_enable();
}

/* A second good value of that MSR. */
static uint64_t other(const struct msr_value *row)
{
	return row->msr <= MSR_IA32_S_CET ? 0 : row->value ^ OTHER;
}

/* --- MSRs ----------------------------------------------------------------------------------------- */

TEST("the VMM reads CET's MSRs as the guest wrote them")
{
	uint64_t value;

	begin();
	for (unsigned int i = 0; i < COUNT_OF(good); i++)
		wrmsr(good[i].msr, good[i].value);
	for (unsigned int i = 0; i < COUNT_OF(good); i++) {
		EXPECT_EQ(vmm_msr_read(good[i].msr, &value), 0, "MSR 0x%x", good[i].msr);
		EXPECT_EQ(value, good[i].value, "MSR 0x%x", good[i].msr);
	}
}

TEST("the guest reads CET's MSRs as the VMM wrote them")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(good); i++)
		EXPECT_EQ(vmm_msr_write(good[i].msr, good[i].value), 0, "MSR 0x%x", good[i].msr);
	for (unsigned int i = 0; i < COUNT_OF(good); i++)
		EXPECT_EQ(rdmsr(good[i].msr), good[i].value, "MSR 0x%x", good[i].msr);
}

TEST("the same MSRs are there as registers of KVM_GET_ONE_REG and KVM_SET_ONE_REG")
{
	uint64_t value;

	begin();
	for (unsigned int i = 0; i < COUNT_OF(good); i++) {
		const struct msr_value *row = &good[i];

		wrmsr(row->msr, row->value);
		EXPECT_EQ(vmm_reg_read(KVM_X86_REG_MSR(row->msr), &value), 0, "MSR 0x%x", row->msr);
		EXPECT_EQ(value, row->value, "MSR 0x%x", row->msr);
		EXPECT_EQ(vmm_reg_write(KVM_X86_REG_MSR(row->msr), other(row)), 0, "MSR 0x%x",
			  row->msr);
		EXPECT_EQ(rdmsr(row->msr), other(row), "MSR 0x%x", row->msr);
	}
}

TEST("what the architecture refuses, the VMM is refused, and the old value stays")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(good); i++)
		wrmsr(good[i].msr, good[i].value);
	for (unsigned int i = 0; i < COUNT_OF(refused); i++) {
		uint64_t before = rdmsr(refused[i].msr);

		EXPECT_EQ(vmm_msr_write(refused[i].msr, refused[i].value), VMRUN_EINVAL,
			  "MSR 0x%x, 0x%llx", refused[i].msr, (unsigned long long)refused[i].value);
		EXPECT_EQ(vmm_reg_write(KVM_X86_REG_MSR(refused[i].msr), refused[i].value),
			  VMRUN_EINVAL, "register of MSR 0x%x, 0x%llx", refused[i].msr,
			  (unsigned long long)refused[i].value);
		EXPECT_EQ(rdmsr(refused[i].msr), before, "MSR 0x%x", refused[i].msr);
	}
}

TEST("IBT's bits of U_CET and S_CET reach the VMM and come back")
{
	const uint64_t value =
		CET_ENDBR_EN | CET_NO_TRACK_EN | CET_SUPPRESS_DIS | CET_LEG_IW_EN | 0x7f4000;
	uint64_t read;

	begin();
	if (!has_ibt())
		SKIP("this CPU has no indirect branch tracking");
	wrmsr(MSR_IA32_U_CET, value | CET_TRACKER);
	EXPECT_EQ(vmm_msr_read(MSR_IA32_U_CET, &read), 0);
	EXPECT_EQ(read, value | CET_TRACKER);
	EXPECT_EQ(vmm_msr_write(MSR_IA32_U_CET, value | CET_SUPPRESS), 0);
	EXPECT_EQ(rdmsr(MSR_IA32_U_CET), value | CET_SUPPRESS);
	EXPECT_EQ(vmm_msr_write(MSR_IA32_S_CET, value), 0);
	EXPECT_EQ(rdmsr(MSR_IA32_S_CET), value);
}

/* One exit for each would make it 1000 more. The table's address is KVM's to intercept. */
TEST("the guest accesses CET's MSRs without a vmexit")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(good); i++) {
		uint64_t before, after;

		if (good[i].msr == MSR_IA32_INTERRUPT_SSP_TABLE_ADDR)
			continue;
		ASSERT_EQ(vmm_statistic("exits", &before), 0);
		for (unsigned int n = 0; n < 1000; n++)
			wrmsr(good[i].msr, rdmsr(good[i].msr));
		ASSERT_EQ(vmm_statistic("exits", &after), 0);
		EXPECT_LT(after - before, 500, "MSR 0x%x", good[i].msr);
	}
}

/* --- CR0.WP and CR4.CET --------------------------------------------------------------------------- */

TEST("a write of CR4 that KVM intercepts is refused CR4.CET while CR0.WP is clear, and takes it else")
{
	uintptr_t cr4;

	begin();
	write_cr4(read_cr4() & ~CR4_CET);
	cr4 = read_cr4();
	write_cr0(read_cr0() & ~CR0_WP);
	EXPECT_FAULT(GP, 0, write_cr4((cr4 ^ CR4_MCE) | CR4_CET));
	EXPECT_EQ(read_cr4(), cr4);
	write_cr0(read_cr0() | CR0_WP);
	EXPECT_NO_FAULT(write_cr4((cr4 ^ CR4_MCE) | CR4_CET));
	EXPECT_EQ(read_cr4(), (cr4 ^ CR4_MCE) | CR4_CET);
	write_cr4(cr4);
}

TEST("a write of CR0 that KVM intercepts cannot clear CR0.WP while CR4.CET is set, and can else")
{
	uintptr_t cr0 = read_cr0();

	begin();
	EXPECT_FAULT(GP, 0, write_cr0((cr0 ^ CR0_AM) & ~CR0_WP));
	EXPECT_EQ(read_cr0(), cr0);
	write_cr4(read_cr4() & ~CR4_CET);
	EXPECT_NO_FAULT(write_cr0((cr0 ^ CR0_AM) & ~CR0_WP));
	EXPECT_EQ(read_cr0(), (cr0 ^ CR0_AM) & ~CR0_WP);
	write_cr0(cr0);
}

/* --- SSP ------------------------------------------------------------------------------------------ */

TEST("the VMM reads the SSP on which the guest runs")
{
	struct shadow_stack stack = shadow_stack_new(SHADOW_VA, SHADOW_SUPERVISOR);
	uint64_t ssp = 0;
	uintptr_t own = 0;

	begin();
	ON_SHADOW_STACK(&stack, 0, own = rdssp(); vmm_reg_read(KVM_X86_REG_SSP, &ssp));
	/* The request is made some calls below. */
	EXPECT_LT(ssp, own);
	EXPECT_GT(ssp, own - 16 * sizeof(uint64_t));
}

TEST("with shadow stacks off, the VMM reads the SSP that was left")
{
	struct shadow_stack stack = shadow_stack_new(SHADOW_VA, SHADOW_SUPERVISOR);
	uint64_t ssp = 0;

	begin();
	ON_SHADOW_STACK(&stack, 0, );
	EXPECT_EQ(vmm_reg_read(KVM_X86_REG_SSP, &ssp), 0);
	EXPECT_EQ(ssp, stack.end - sizeof(uint64_t));
}

TEST("the guest has the SSP that the VMM wrote")
{
	struct shadow_stack stack = shadow_stack_new(SHADOW_VA, SHADOW_SUPERVISOR);
	uintptr_t ssp;

	begin();
	EXPECT_EQ(vmm_reg_write(KVM_X86_REG_SSP, stack.end - 0x80), 0);
	wrmsr(MSR_IA32_S_CET, CET_SH_STK_EN);
	ssp = rdssp();
	wrmsr(MSR_IA32_S_CET, 0);
	EXPECT_EQ(ssp, stack.end - 0x80);
}

TEST("the VMM is refused an SSP that is misaligned or not canonical, and the old one stays")
{
	struct shadow_stack stack = shadow_stack_new(SHADOW_VA, SHADOW_SUPERVISOR);
	uint64_t ssp = 0;

	begin();
	ASSERT_EQ(vmm_reg_write(KVM_X86_REG_SSP, stack.end - 0x80), 0);
	EXPECT_EQ(vmm_reg_write(KVM_X86_REG_SSP, stack.end - 0x7f), VMRUN_EINVAL);
	EXPECT_EQ(vmm_reg_write(KVM_X86_REG_SSP, stack.end - 0x7e), VMRUN_EINVAL);
	EXPECT_EQ(vmm_reg_write(KVM_X86_REG_SSP, NOT_CANONICAL), VMRUN_EINVAL);
	EXPECT_EQ(vmm_reg_read(KVM_X86_REG_SSP, &ssp), 0);
	EXPECT_EQ(ssp, stack.end - 0x80);
}

TEST("KVM's own number for SSP is no MSR of the guest")
{
	uint64_t value;

	begin();
	EXPECT_FALSE(rdmsr_safe(MSR_KVM_INTERNAL_GUEST_SSP, &value));
	EXPECT_FALSE(wrmsr_safe(MSR_KVM_INTERNAL_GUEST_SSP, 0x1000));
}

/* --- #CP that KVM injects ------------------------------------------------------------------------- */

static const uint32_t cp_codes[] = { CP_NEAR_RET, CP_FAR_RET_IRET, CP_ENDBRANCH,
				     CP_RSTORSSP, CP_SETSSBSY,	   CP_ENCLAVE | CP_ENDBRANCH };

TEST("an injected CP arrives with its error code")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(cp_codes); i++) {
		struct x86_fault fault = FAULT_OF(vmm_inject_error(CP, cp_codes[i]));

		EXPECT_FAULT_EQ(fault, CP, cp_codes[i]);
	}
}

TEST("an injected exception leaves its frame on the shadow stack")
{
	struct shadow_stack stack = shadow_stack_new(SHADOW_VA, SHADOW_SUPERVISOR);
	struct x86_fault fault = { 0 };

	begin();
	ON_SHADOW_STACK(&stack, 0, fault = FAULT_OF(vmm_inject_error(CP, CP_NEAR_RET)));
	EXPECT_FAULT_EQ(fault, CP, CP_NEAR_RET);
	ASSERT_TRUE(fault.ssp >= stack.base && fault.ssp < stack.end - 3 * sizeof(uint64_t));
	EXPECT_EQ(*shadow_word(&stack, fault.ssp + sizeof(uint64_t)), fault.ip);
}

/* --- moved to another VM -------------------------------------------------------------------------- */

TEST("CET's MSRs and CR4.CET survive a move")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(good); i++)
		wrmsr(good[i].msr, good[i].value);
	ASSERT_EQ(vmm_move(), 0);
	EXPECT_EQ(read_cr4() & CR4_CET, CR4_CET);
	for (unsigned int i = 0; i < COUNT_OF(good); i++)
		EXPECT_EQ(rdmsr(good[i].msr), good[i].value, "MSR 0x%x", good[i].msr);
}

TEST("a guest that is moved on its shadow stack goes on there")
{
	struct shadow_stack stack = shadow_stack_new(SHADOW_VA, SHADOW_SUPERVISOR);
	uintptr_t before = 0, after = 1;
	int status = -1;

	begin();
	ON_SHADOW_STACK(&stack, has_ibt() ? CET_ENDBR_EN : 0, before = rdssp(); status = vmm_move();
			after = rdssp());
	EXPECT_EQ(status, 0);
	EXPECT_NE(before, 0);
	EXPECT_EQ(after, before);
}

/* SSP leads to this function's return address. */
__attribute__((noinline)) static void move_and_return_wrong(const struct shadow_stack *stack)
{
	vmm_move();
	*(volatile uintptr_t *)(stack->words + rdssp() - stack->base) += 1;
}

TEST("after a move a return that does not match raises CP")
{
	struct shadow_stack stack = shadow_stack_new(SHADOW_VA, SHADOW_SUPERVISOR);
	struct x86_fault fault = { 0 };

	begin();
	ON_SHADOW_STACK(&stack, 0, fault = FAULT_OF(move_and_return_wrong(&stack)));
	EXPECT_FAULT_EQ(fault, CP, CP_NEAR_RET);
}
