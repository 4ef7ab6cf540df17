// SPDX-License-Identifier: BSD-2-Clause
/*
 * Indirect branch tracking: entries that are not a branch's target
 *
 * Each event delivered to CPL 0 sets the tracker of IA32_S_CET waiting and ends its suppression, so that the code
 * that a gate leads to begins with ENDBR. It leaves the tracker of CPL 3 as it was, and so do IRET and far RET
 * to there: where that one waits, be it since a branch that was interrupted, be it that software wrote
 * IA32_U_CET so (as a context switch does), the first instruction at CPL 3 must be the ENDBR. WRMSR and
 * XRSTORS write the state of both trackers at any time; the next instruction of this class of privilege levels
 * is held to it.
 *
 * Sources: Intel SDM volume 1, "Control Transfers between CPL 3 and CPL < 3", "Control Transfers within CPL 3 or
 * CPL < 3" and the table "Indirect Branch Tracking State Machine"; volume 2, "INT n/INTO/INT3/INT1".
 */
#include <test/test.h>
#include <x86/cet.h>
#include <x86/cet_branches.h>
#include <x86/descriptors.h>
#include <x86/instructions.h>
#include <x86/msr.h>
#include <x86/paging.h>
#include <x86/registers.h>
#include <x86/vectors.h>
#include <x86/xsave.h>

/*
 * --- gates ---------------------------------------------------------------------------------------
 */

static uintptr_t branch_int_value(enum cpl cpl, uint64_t s_cet)
{
	uintptr_t entry, entry_of_cp;
	struct branch_result result;

	gate_seen = (struct gate_seen){ 0 };
	entry = gate_set(VECTOR_BRANCH_GATE, (uintptr_t)gate_without_endbr);
	entry_of_cp = gate_set(CP, (uintptr_t)gate_of_cp);
	idt_set_dpl(VECTOR_BRANCH_GATE, 3);
	wrmsr(MSR_IA32_S_CET, s_cet);
	result = cpl == CPL0 ? branch_run(cpl, s_cet, branch_int, 0)
			     : branch_run(cpl, CET_ENDBR_EN, branch_int, 0);
	wrmsr(MSR_IA32_S_CET, 0);
	idt_set_dpl(VECTOR_BRANCH_GATE, 0);
	gate_set(CP, entry_of_cp);
	gate_set(VECTOR_BRANCH_GATE, entry);
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	if (cpl == CPL3)
		EXPECT_EQ(result.cet, CET_ENDBR_EN);
	return result.value;
}

IN_BOTH_MODES("an event through a gate to code without ENDBR raises CP there, at CPL 0")
{
	ibt_enable();
	EXPECT_EQ(branch_int_value(cpl, CET_ENDBR_EN), TARGET_REACHED);
	EXPECT_EQ(gate_seen.error_code, CP_ENDBRANCH);
	EXPECT_EQ(gate_seen.ip, (uintptr_t)gate_without_endbr);
}

IN_BOTH_MODES("an event ends that the tracking of CPL 0 is suppressed")
{
	ibt_enable();
	EXPECT_EQ(branch_int_value(cpl, CET_ENDBR_EN | CET_SUPPRESS), TARGET_REACHED);
	EXPECT_EQ(gate_seen.error_code, CP_ENDBRANCH);
	EXPECT_EQ(gate_seen.ip, (uintptr_t)gate_without_endbr);
}

IN_BOTH_MODES("a gate may lead to code without ENDBR while CPL 0 is not tracked")
{
	ibt_enable();
	EXPECT_EQ(branch_int_value(cpl, 0), TARGET_REACHED);
	EXPECT_EQ(gate_seen.error_code, 0);
}

/*
 * --- the tracker set by software ------------------------------------------------------------------
 */

TEST("WRMSR that sets the tracker of CPL 0 waiting wants an ENDBR behind it")
{
	const uint64_t waiting = CET_ENDBR_EN | CET_TRACKER;
	struct branch_result result;

	ibt_enable();
	result = branch_run(CPL0, 0, tracker_set_then_endbr, waiting);
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_EQ(result.cet, CET_ENDBR_EN);
	result = branch_run(CPL0, 0, tracker_set_then_nop, waiting);
	EXPECT_FAULT_EQ(result.fault, CP, CP_ENDBRANCH);
	EXPECT_EQ(result.fault.ip, (uintptr_t)tracker_set_nop);
}

TEST("with the tracker of CPL 3 waiting, IRET to there wants an ENDBR")
{
	uintptr_t target = target_new(TARGET_NO_ENDBR);
	struct branch_result result;

	ibt_enable();
	wrmsr(MSR_IA32_U_CET, CET_ENDBR_EN | CET_TRACKER);
	result = branch_resume(target_new(TARGET_ENDBR));
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_EQ(result.cet, CET_ENDBR_EN);

	wrmsr(MSR_IA32_U_CET, CET_ENDBR_EN | CET_TRACKER);
	result = branch_resume(target);
	EXPECT_FAULT_EQ(result.fault, CP, CP_ENDBRANCH);
	EXPECT_EQ(result.fault.ip, target);
}

/* XRSTORS of CET_U: IA32_U_CET and IA32_PL3_SSP, at the beginning of the extended region. */
static void xrstors_u_cet(uint64_t u_cet)
{
	uint64_t *area = page_alloc();

	area[XSAVE_HEADER / sizeof(*area)] = XSTATE_CET_U;
	area[XSAVE_XCOMP_BV / sizeof(*area)] = XCOMP_BV_COMPACT | XSTATE_CET_U;
	area[XSAVE_EXTENDED / sizeof(*area)] = u_cet;
	xrstors(area, XSTATE_CET_U);
}

TEST("XRSTORS that sets the tracker of CPL 3 waiting wants an ENDBR behind IRET to there")
{
	uintptr_t target = target_new(TARGET_NO_ENDBR);
	struct branch_result result;

	ibt_enable();
	xsave_enable(XSTATE_CET_U);
	xrstors_u_cet(CET_ENDBR_EN | CET_TRACKER);
	result = branch_resume(target_new(TARGET_ENDBR));
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_EQ(result.cet, CET_ENDBR_EN);

	xrstors_u_cet(CET_ENDBR_EN | CET_TRACKER);
	result = branch_resume(target);
	EXPECT_FAULT_EQ(result.fault, CP, CP_ENDBRANCH);
	EXPECT_EQ(result.fault.ip, target);
}

/* INT3 at the target leaves the tracker waiting, and its handler goes back behind the INT3. */
TEST("with the tracker of CPL 3 waiting, far RET to there wants an ENDBR")
{
	uintptr_t with = target_new(TARGET_BYTES(0xcc, BYTES_ENDBR));
	uintptr_t without = target_new(TARGET_BYTES(0xcc, 0x90));
	struct branch_result reached, missing;
	uintptr_t entry;

	ibt_enable();
	entry = gate_set(BP, (uintptr_t)gate_far_return);
	reached = branch_run(CPL3, CET_ENDBR_EN, branch_call_register, with);
	missing = branch_run(CPL3, CET_ENDBR_EN, branch_call_register, without);
	gate_set(BP, entry);
	EXPECT_FAULT_EQ(reached.fault, NO_FAULT, 0);
	EXPECT_EQ(reached.value, TARGET_REACHED);
	EXPECT_EQ(reached.cet, CET_ENDBR_EN);
	EXPECT_FAULT_EQ(missing.fault, CP, CP_ENDBRANCH);
	EXPECT_EQ(missing.fault.ip, without + 1);
	EXPECT_EQ(missing.cet, CET_ENDBR_EN | CET_TRACKER);
}

TEST("with the tracker of CPL 3 idle, IRET to there wants no ENDBR")
{
	struct branch_result result;

	ibt_enable();
	wrmsr(MSR_IA32_U_CET, CET_ENDBR_EN);
	result = branch_resume(target_new(TARGET_NO_ENDBR));
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_EQ(result.value, TARGET_REACHED);
	EXPECT_EQ(result.cet, CET_ENDBR_EN);
}

TEST("a waiting tracker wants nothing while ENDBR_EN or CR4.CET is clear, and waits on")
{
	uintptr_t target = target_new(TARGET_NO_ENDBR);
	struct branch_result result;

	ibt_enable();
	wrmsr(MSR_IA32_U_CET, CET_TRACKER);
	result = branch_resume(target);
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_EQ(result.cet, CET_TRACKER);

	wrmsr(MSR_IA32_U_CET, CET_ENDBR_EN | CET_TRACKER);
	write_cr4(read_cr4() & ~CR4_CET);
	result = branch_resume(target);
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_EQ(result.cet, CET_ENDBR_EN | CET_TRACKER);
}

/* Handlers at CPL 0 begin with ENDBR; and C there branches to functions. */
TEST("what CPL 0 does leaves the tracker of CPL 3 alone")
{
	ibt_enable();
	wrmsr(MSR_IA32_U_CET, CET_ENDBR_EN | CET_TRACKER);
	branch_run(CPL0, CET_ENDBR_EN, branch_call_register, target_new(TARGET_ENDBR));
	EXPECT_FAULT(VECTOR_BRANCH_GATE, 0, int_n(VECTOR_BRANCH_GATE));
	EXPECT_EQ(rdmsr(MSR_IA32_U_CET), CET_ENDBR_EN | CET_TRACKER);
}
