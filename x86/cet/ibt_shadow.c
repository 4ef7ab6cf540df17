// SPDX-License-Identifier: BSD-2-Clause
/*
 * Indirect branch tracking together with shadow stacks
 *
 * The two know nothing of each other, but for their order: CALL pushes on the shadow stack before its tracker
 * waits, so that a fault of that push leaves the tracker idle, and a #CP for a missing ENDBR comes when the return
 * address is on both stacks. RET is held to the shadow stack and wants no ENDBR.
 *
 * Sources: Intel SDM volume 1, "Control-flow Enforcement Technology"; volume 2, CALL and RET.
 */
#include <test/test.h>
#include <x86/cet.h>
#include <x86/cet_branches.h>
#include <x86/msr.h>
#include <x86/paging.h>
#include <x86/shadow_stack.h>

#define WORD sizeof(uintptr_t)

static struct shadow_stack stack_of(enum cpl cpl)
{
	if (!has_shadow_stacks())
		SKIP("this CPU has no shadow stacks");
	return shadow_stack_new(SHADOW_VA, cpl == CPL3 ? SHADOW_USER : SHADOW_SUPERVISOR);
}

/* Runs branch(target) with both on; the result's "cet" is that of CPL 3, and 0 of CPL 0. */
static struct branch_result run_both(enum cpl cpl, const struct shadow_stack *stack,
				     user_function *branch, uintptr_t target)
{
	struct branch_result result = { 0 };
	struct user_result user;

	if (cpl == CPL0) {
		ON_SHADOW_STACK(stack, CET_ENDBR_EN,
				result.fault = FAULT_OF(result.value = branch(target)));
		return result;
	}
	user = shadow_user_call(stack, CET_ENDBR_EN, branch, target);
	result.fault = user.fault;
	result.value = user.value;
	result.cet = rdmsr(MSR_IA32_U_CET) & ~CET_SH_STK_EN;
	return result;
}

IN_BOTH_MODES("with a shadow stack, an indirect CALL comes to an ENDBR and returns")
{
	struct shadow_stack stack = stack_of(cpl);
	struct branch_result result;

	ibt_enable();
	result = run_both(cpl, &stack, branch_call_register, target_new(TARGET_ENDBR));
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_EQ(result.value, TARGET_REACHED);
	EXPECT_EQ(result.cet, cpl == CPL3 ? CET_ENDBR_EN : 0);
}

IN_BOTH_MODES("with a shadow stack, an indirect CALL to another instruction raises CP of ENDBRANCH")
{
	uintptr_t target = target_new(TARGET_NO_ENDBR);
	struct shadow_stack stack = stack_of(cpl);
	struct branch_result result;

	ibt_enable();
	result = run_both(cpl, &stack, branch_call_register, target);
	EXPECT_FAULT_EQ(result.fault, CP, CP_ENDBRANCH);
	EXPECT_EQ(result.fault.ip, target);
	EXPECT_EQ(result.cet, cpl == CPL3 ? CET_ENDBR_EN | CET_TRACKER : 0);
}

TEST("a CALL to an instruction that is no ENDBR has pushed its return address on the shadow stack")
{
	struct shadow_stack stack = stack_of(CPL3);
	uintptr_t ssp;

	ibt_enable();
	run_both(CPL3, &stack, branch_call_register, target_new(TARGET_NO_ENDBR));
	ssp = rdmsr(MSR_IA32_PL3_SSP);
	EXPECT_EQ(ssp, stack.end - 2 * WORD);
	/* CALL by register has two bytes, and ENDBR and a MOV are before it. */
	EXPECT_GT(*(volatile uintptr_t *)shadow_word(&stack, ssp), (uintptr_t)branch_call_register);
	EXPECT_LT(*(volatile uintptr_t *)shadow_word(&stack, ssp),
		  (uintptr_t)branch_call_register + 16);
}

IN_BOTH_MODES("a return address that differs raises CP of a near RET, and no tracker waits")
{
	struct shadow_stack stack = stack_of(cpl);
	struct branch_result result;

	ibt_enable();
	result = run_both(cpl, &stack, return_corrupted, 0);
	EXPECT_FAULT_EQ(result.fault, CP, CP_NEAR_RET);
	EXPECT_EQ(result.cet, cpl == CPL3 ? CET_ENDBR_EN : 0);
}

IN_BOTH_MODES("with a shadow stack, RET wants no ENDBR")
{
	struct shadow_stack stack = stack_of(cpl);
	struct branch_result result;

	ibt_enable();
	result = run_both(cpl, &stack, direct_call, 0);
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_EQ(result.value, TARGET_REACHED);
}

/* SSP is at the lower end of the page, and nothing is mapped below it. */
TEST("a CALL whose push on the shadow stack faults has no tracker wait")
{
	uintptr_t target = target_new(TARGET_NO_ENDBR);
	struct shadow_stack stack = stack_of(CPL3);
	struct branch_result result;

	ibt_enable();
	map_page(stack.base - PAGE_SIZE, 0, LEVEL_4K, 0);
	wrmsr(MSR_IA32_PL3_SSP, stack.base);
	result = branch_run(CPL3, CET_SH_STK_EN | CET_ENDBR_EN, branch_call_register, target);
	EXPECT_FAULT_EQ(result.fault, PF, PF_WRITE | PF_USER | PF_SHADOW_STACK);
	EXPECT_EQ(result.fault.cr2, stack.base - WORD);
	EXPECT_NE(result.fault.ip, target);
	EXPECT_EQ(result.cet, CET_SH_STK_EN | CET_ENDBR_EN);
}
