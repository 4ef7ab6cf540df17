// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks and call gates
 *
 * A far CALL through a gate to a more privileged level n takes SSP from IA32_PLn_SSP, and marks the token that
 * it finds there as busy. From CPL 3 it keeps the caller's SSP in IA32_PL3_SSP and pushes nothing; from CPL 1
 * and 2 it pushes CS, LIP and SSP on the new shadow stack. A far RET does the reverse: to CPL 3 by the MSR,
 * with nothing compared; to CPL 1 and 2 by the frame, which must match what the stack says. Then it clears the
 * busy bit, if the token is one. Through a gate to the same level, CS, LIP and SSP go on the shadow stack in use.
 *
 * Expectations: Intel SDM volume 2, "CALL" and "RET", Operation (MORE-PRIVILEGE, SAME-PRIVILEGE,
 * RETURN-TO-OUTER-PRIVILEGE-LEVEL and the same of IA-32e mode); volume 1, "Supervisor Shadow Stack Token".
 * AMD APM volume 2, "Far Transfer to Different Privilege Level". Gates to CPL 1 and 2 exist in no current
 * kernel, so that nothing else runs these paths of a CPU.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <x86/cet_gates.h>
#include <x86/cpuid.h>

#define WORD sizeof(uintptr_t)

/* --- from CPL 3 and back ------------------------------------------------------------------------- */

/* What the hook at the privileged level sees. */
static struct {
	uint64_t token;
	uint64_t pl3_ssp;
} seen;

static void see_token0(void)
{
	seen.token = *token_word(0);
}

static void see_token1(void)
{
	seen.token = *token_word(1);
}

static void see_token2(void)
{
	seen.token = *token_word(2);
}

static void see_pl3_ssp(void)
{
	seen.pl3_ssp = rdmsr(MSR_IA32_PL3_SSP);
}

TEST("a gate leads from CPL 3 to CPL 0, 1 or 2, and RET far leads back")
{
	gates_set_up();
	for (unsigned int level = 0; level < 3; level++) {
		gates_arm();
		EXPECT_RETURN(through_gate(level, CET_SH_STK_EN, NULL, FAULTS_OF_USER));
		EXPECT_EQ(gate_visits[level].cs, code_of_level[level] | level);
	}
}

TEST("a gate from CPL 3 takes SSP from the MSR of the level it leads to")
{
	gates_set_up();
	for (unsigned int level = 0; level < 3; level++) {
		gates_arm();
		through_gate(level, CET_SH_STK_EN, NULL, FAULTS_OF_USER);
		EXPECT_EQ(gate_visits[level].ssp, gate_tokens[level], "level %u", level);
	}
}

TEST("a gate from CPL 3 marks the token as busy, and RET far clears that")
{
	static void (*const hooks[])(void) = { see_token0, see_token1, see_token2 };

	gates_set_up();
	for (unsigned int level = 0; level < COUNT_OF(hooks); level++) {
		gates_arm();
		through_gate(level, CET_SH_STK_EN, hooks[level], FAULTS_OF_USER);
		EXPECT_EQ(seen.token, gate_tokens[level] | SHADOW_TOKEN_BUSY, "level %u", level);
		EXPECT_EQ(gate_remains[level].token, gate_tokens[level], "level %u, after RET",
			  level);
	}
}

TEST("a gate from CPL 3 pushes nothing on the new shadow stack")
{
	gates_set_up();
	for (unsigned int level = 0; level < 3; level++) {
		gates_arm();
		through_gate(level, CET_SH_STK_EN, NULL, FAULTS_OF_USER);
		for (unsigned int word = 0; word < 3; word++)
			EXPECT_EQ(gate_remains[level].below[word], 0, "level %u, word %u", level,
				  word);
	}
}

TEST("a gate from CPL 3 pushes nothing on the user's shadow stack")
{
	gates_set_up();
	EXPECT_RETURN(through_gate(0, CET_SH_STK_EN, NULL, FAULTS_OF_USER));
	ASSERT_EQ(outer_trip.ssp_before, gate_user.end - 2 * WORD);
	for (unsigned int word = 1; word <= 3; word++)
		EXPECT_EQ(*shadow_word(&gate_user, (outer_trip.ssp_before & ~7ul) - 8 * word), 0,
			  "word %u", word);
}

TEST("a gate from CPL 3 keeps the caller's SSP in PL3_SSP")
{
	gates_set_up();
	through_gate(0, CET_SH_STK_EN, see_pl3_ssp, FAULTS_OF_USER);
	EXPECT_EQ(seen.pl3_ssp, outer_trip.ssp_before);
	EXPECT_NE(outer_trip.ssp_before, 0);
}

TEST("RET far to CPL 3 gives the caller its SSP back")
{
	gates_set_up();
	for (unsigned int level = 0; level < 3; level++) {
		gates_arm();
		EXPECT_RETURN(through_gate(level, CET_SH_STK_EN, NULL, FAULTS_OF_USER));
		EXPECT_EQ(outer_trip.ssp_after, gate_user.end - 2 * WORD, "level %u", level);
	}
}

static uintptr_t moved_by;

/* With copies of the addresses that far_call() and its caller return to. */
static void move_pl3_ssp(void)
{
	uintptr_t ssp = rdmsr(MSR_IA32_PL3_SSP);
	uintptr_t words[2];

	memcpy(words, (const void *)shadow_word(&gate_user, ssp), sizeof(words));
	memcpy((void *)shadow_word(&gate_user, ssp - moved_by), words, sizeof(words));
	wrmsr(MSR_IA32_PL3_SSP, ssp - moved_by);
}

TEST("RET far to CPL 3 takes whatever SSP PL3_SSP holds, at any multiple of 4")
{
	static const uintptr_t distances[] = { 2 * WORD, 4, 12, 0x100 };

	gates_set_up();
	for (unsigned int i = 0; i < COUNT_OF(distances); i++) {
		gates_arm();
		moved_by = distances[i];
		EXPECT_RETURN(through_gate(0, CET_SH_STK_EN, move_pl3_ssp, FAULTS_OF_USER));
		EXPECT_EQ(outer_trip.ssp_after, gate_user.end - 2 * WORD - moved_by, "case %u", i);
	}
}

static void return_elsewhere(void)
{
	return_pointer(&gate_visits[0])[0] = (uintptr_t)far_call_elsewhere;
}

TEST("RET far to CPL 3 compares its address with no shadow stack")
{
	gates_set_up();
	EXPECT_RETURN(through_gate(0, CET_SH_STK_EN, return_elsewhere, FAULTS_OF_USER));
	EXPECT_TRUE(outer_trip.elsewhere);
}

TEST("RET far to CPL 3 with SSP at 4 mod 8 raises CP")
{
	struct user_result result;

	gates_set_up();
	gate_visits[0].pop = 1;
	result = through_gate(0, CET_SH_STK_EN, NULL, FAULTS_OF_SUPERVISOR);
	EXPECT_FAULT_EQ(result.fault, CP, CP_FAR_RET_IRET);
	EXPECT_EQ(result.fault.ip, (uintptr_t)gate_target_return);
}

static uint64_t other_token;

/* The interrupt at the end of CPL 3 goes elsewhere. */
static void write_token(void)
{
	*token_word(0) = other_token;
	wrmsr(MSR_IA32_PL0_SSP, gate_tokens[1]);
}

TEST("RET far to CPL 3 raises nothing where no busy token is, and changes nothing there")
{
	gates_set_up();
	const uint64_t others[] = { gate_tokens[0], (gate_tokens[0] - 8) | SHADOW_TOKEN_BUSY,
				    gate_tokens[0] | 3, 0 };

	for (unsigned int i = 0; i < COUNT_OF(others); i++) {
		gates_arm();
		other_token = others[i];
		EXPECT_RETURN(through_gate(0, CET_SH_STK_EN, write_token, FAULTS_OF_USER));
		EXPECT_EQ(*token_word(0), other_token, "case %u", i);
	}
}

/* --- one of the two without a shadow stack --------------------------------------------------------- */

TEST("without S_CET.SH_STK_EN a gate leaves SSP and the token alone, and keeps the caller's SSP")
{
	gates_set_up();
	seen.pl3_ssp = 0;
	EXPECT_RETURN(through_gate(0, 0, see_pl3_ssp, FAULTS_OF_USER));
	EXPECT_EQ(gate_visits[0].ssp, 0);
	EXPECT_EQ(*token_word(0), gate_tokens[0]);
	EXPECT_EQ(seen.pl3_ssp, outer_trip.ssp_before);
	EXPECT_EQ(outer_trip.ssp_after, outer_trip.ssp_before);
}

TEST("without S_CET.SH_STK_EN a gate does not look at the token")
{
	gates_set_up();
	*token_word(0) = 0;
	EXPECT_RETURN(through_gate(0, 0, NULL, FAULTS_OF_USER));
	EXPECT_EQ(*token_word(0), 0);
}

TEST("without U_CET.SH_STK_EN a gate to CPL 0 switches shadow stacks, and leaves PL3_SSP alone")
{
	const uint64_t marker = SHADOW_VA + 0x1230;

	gates_set_up();
	gate_to(GATE_A, 0, &outer_trip);
	gate_visits[0].hook = see_pl3_ssp;
	wrmsr(MSR_IA32_PL3_SSP, marker);
	EXPECT_RETURN(transfer_call(call_gate, CET_SH_STK_EN, NULL, FAULTS_OF_USER));
	EXPECT_EQ(gate_visits[0].ssp, gate_tokens[0]);
	EXPECT_EQ(seen.pl3_ssp, marker);
	EXPECT_EQ(gate_remains[0].token, gate_tokens[0]);
	EXPECT_EQ(outer_trip.ssp_after, 0);
}

/* --- tokens that are none -------------------------------------------------------------------------- */

/* From CPL 2, so that the exception finds the token of CPL 0. */
static struct x86_fault fault_at_pl1(uint64_t pl1_ssp)
{
	wrmsr(MSR_IA32_PL1_SSP, pl1_ssp);
	return through_gates(2, 1, NULL, FAULTS_OF_SUPERVISOR).fault;
}

TEST("a gate raises GP on a token that is busy, of another address, or has reserved bits")
{
	gates_set_up();
	const uint64_t tokens[] = { gate_tokens[1] | SHADOW_TOKEN_BUSY,
				    gate_tokens[1] - 8,
				    gate_tokens[1] + 8,
				    gate_tokens[1] | 2,
				    gate_tokens[1] | 4,
				    gate_tokens[1] | 1ull << 32,
				    0 };

	for (unsigned int i = 0; i < COUNT_OF(tokens); i++) {
		gates_arm();
		*token_word(1) = tokens[i];
		EXPECT_FAULT_EQ(fault_at_pl1(gate_tokens[1]), GP, 0, "case %u", i);
		EXPECT_EQ(*token_word(1), tokens[i], "case %u", i);
	}
}

TEST("a gate raises GP on a token at 4 mod 8")
{
	gates_set_up();
	EXPECT_FAULT_EQ(fault_at_pl1(gate_tokens[1] - 4), GP, 0);
}

/* The SDM has that; the APM has not. */
TEST("a gate raises GP on a token whose frame would leave its 32 bytes")
{
	gates_set_up();
	if (cpu_is_amd())
		SKIP("AMD's CPUs do not ask for that");
	for (unsigned int below = 8; below <= 24; below += 8) {
		gates_arm();
		*shadow_word(&gate_kernel[1], gate_tokens[1] - below) = gate_tokens[1] - below;
		EXPECT_FAULT_EQ(fault_at_pl1(gate_tokens[1] - below), GP, 0, "%u bytes below",
				below);
	}
}

TEST("a GP due to a token is raised at the CALL")
{
	gates_set_up();
	*token_word(1) = 0;
	EXPECT_EQ(fault_at_pl1(gate_tokens[1]).ip, (uintptr_t)far_call_instruction);
}

TEST("a GP due to a token finds CS and SSP as they were before the CALL")
{
	struct shadow_frame frame;
	struct x86_fault fault;

	gates_set_up();
	*token_word(1) = 0;
	fault = fault_at_pl1(gate_tokens[1]);
	ASSERT_EQ(fault.ssp, gate_tokens[0] - sizeof(frame));
	frame = shadow_frame_at(fault.ssp);
	EXPECT_EQ(frame.cs, CODE2 | 2);
	EXPECT_EQ(frame.ssp, inner_trip.ssp_before);
}

#ifdef __x86_64__
static uintptr_t spoil_token_and_call(uintptr_t unused)
{
	*token_word(0) |= SHADOW_TOKEN_BUSY;
	far_call(&outer_trip);
	return unused;
}

/* By IST, for which the SSP table has another token. */
TEST("a GP due to the token of CPL 0 is raised at CPL 3")
{
	struct user_result result;

	gates_set_up();
	gate_to(GATE_A, 0, &outer_trip);
	idt_set_ist(GP, IST_FREE);
	result = transfer_call(spoil_token_and_call, CET_SH_STK_EN, &gate_user, FAULTS_OF_USER);
	idt_set_ist(GP, IST_NONE);
	EXPECT_FAULT_EQ(result.fault, GP, 0);
	EXPECT_EQ(result.fault.ip, (uintptr_t)far_call_instruction);
}
#endif
