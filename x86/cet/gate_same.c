// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks, branch tracking, and call gates that change no privilege level
 *
 * A far CALL through a gate to code of the caller's level, or to conforming code of a more privileged one, pushes
 * CS, LIP and SSP on the shadow stack in use, in 8 bytes each and from a multiple of 8 on; RET far compares and
 * pops them. A far JMP through such a gate pushes nothing. Both, and a gate to another level, begin where
 * indirect branch tracking wants an ENDBR.
 *
 * Expectations: Intel SDM volume 2, "CALL" (SAME-PRIVILEGE), "JMP" (CALL-GATE) and "RET"
 * (RETURN-TO-SAME-PRIVILEGE-LEVEL), Operation; volume 1, "Indirect Branch Tracking".
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet_gates.h>

#define WORD sizeof(uintptr_t)

/* Conforming code of DPL 0, in the place of CPL 1's. */
#define CONFORMING	   CODE1

#define SEGMENT_CONFORMING (1ull << 42)

static void write_conforming(void)
{
#ifdef __x86_64__
	uint64_t size = SEGMENT_64;
#else
	uint64_t size = SEGMENT_32;
#endif

	gdt_write(CONFORMING,
		  SEGMENT_FLAT | SEGMENT_PRESENT | SEGMENT_CODE | SEGMENT_CONFORMING | size);
}

static struct shadow_frame frame;

static void see_user_frame(void)
{
	frame = shadow_frame_at(gate_visits[3].ssp);
}

/* From CPL 3, and it stays there. */
static struct user_result through_same_gate(uint16_t code, void (*hook)(void))
{
	gate_write(GATE_A, code, gate_target, 3);
	outer_trip = (struct far_trip){ .target.selector = GATE_A };
	gate_visits[3].hook = hook;
	return transfer_call(call_gate, CET_SH_STK_EN, &gate_user, FAULTS_OF_USER);
}

static void expect_user_frame(uint16_t code)
{
	EXPECT_RETURN(through_same_gate(code, see_user_frame));
	EXPECT_EQ(gate_visits[3].cs, code | 3);
	EXPECT_EQ(gate_visits[3].ssp, shadow_frame_below(outer_trip.ssp_before));
	EXPECT_EQ(frame.cs, USER_CS);
	EXPECT_EQ(frame.lip, (uintptr_t)far_call_return);
	EXPECT_EQ(frame.ssp, outer_trip.ssp_before);
	EXPECT_EQ(outer_trip.ssp_after, outer_trip.ssp_before);
}

TEST("a gate to CPL 3 from there pushes CS, LIP and SSP on the user's shadow stack")
{
	gates_set_up();
	expect_user_frame(USER_CS);
}

TEST("a gate to conforming code stays at CPL 3, and pushes the same")
{
	gates_set_up();
	write_conforming();
	expect_user_frame(CONFORMING);
}

/* The return address of one more CALL than call_gate() has made. */
__attribute__((noinline)) static void call_one_word_below(void)
{
	far_call(&outer_trip);
}

static uintptr_t call_at_both_alignments(uintptr_t unused)
{
	far_call(&inner_trip);
	call_one_word_below();
	return unused;
}

/* 8-byte words in 64-bit mode: there, 4 mod 8 comes of compatibility mode (modes.c). */
TEST("with SSP at any multiple of a word a gate pushes from a multiple of 8 on, and RET far restores SSP")
{
	gates_set_up();
	gate_write(GATE_A, USER_CS, gate_target, 3);
	outer_trip = (struct far_trip){ .target.selector = GATE_A };
	inner_trip = outer_trip;
	EXPECT_RETURN(
		transfer_call(call_at_both_alignments, CET_SH_STK_EN, &gate_user, FAULTS_OF_USER));
	EXPECT_EQ(outer_trip.ssp_before, inner_trip.ssp_before - WORD);
	EXPECT_EQ(gate_visits[3].ssp, shadow_frame_below(outer_trip.ssp_before));
	EXPECT_EQ(inner_trip.ssp_after, inner_trip.ssp_before);
	EXPECT_EQ(outer_trip.ssp_after, outer_trip.ssp_before);
}

static struct shadow_frame change;

static void change_user_frame(void)
{
	uintptr_t ssp = gate_visits[3].ssp;

	*shadow_word(&gate_user, ssp) ^= change.ssp;
	*shadow_word(&gate_user, ssp + 8) ^= change.lip;
	*shadow_word(&gate_user, ssp + 16) ^= change.cs;
}

TEST("RET far at CPL 3 with another CS, LIP or a misaligned SSP in the frame raises CP there")
{
	static const struct shadow_frame cases[] = { { .cs = 8 }, { .lip = 1 }, { .ssp = 2 } };

	gates_set_up();
	for (unsigned int i = 0; i < COUNT_OF(cases); i++) {
		struct x86_fault fault;

		gates_arm();
		change = cases[i];
		fault = through_same_gate(USER_CS, change_user_frame).fault;
		EXPECT_FAULT_EQ(fault, CP, CP_FAR_RET_IRET, "case %u", i);
		EXPECT_EQ(fault.ip, (uintptr_t)gate_target_return, "case %u", i);
	}
}

/* --- at CPL 0 -------------------------------------------------------------------------------------- */

static struct {
	struct shadow_frame frame;
	uint64_t token, pl3_ssp;
} seen;

static void see_and_change(void)
{
	uintptr_t ssp = gate_visits[0].ssp;

	seen.frame = shadow_frame_at(ssp);
	seen.token = *token_word(0);
	seen.pl3_ssp = rdmsr(MSR_IA32_PL3_SSP);
	*shadow_word(&gate_kernel[0], ssp) ^= change.ssp;
	*shadow_word(&gate_kernel[0], ssp + 8) ^= change.lip;
	*shadow_word(&gate_kernel[0], ssp + 16) ^= change.cs;
}

/* On the shadow stack of CPL 0, whose token is busy. */
static struct x86_fault through_gate_at_cpl0(uint64_t s_cet, const void *target)
{
	struct x86_fault fault = { .vector = NO_FAULT };

	gate_write(GATE_A, KERNEL_CS, target, 0);
	outer_trip = (struct far_trip){ .target.selector = GATE_A };
	gate_visits[0].hook = see_and_change;
	ON_SHADOW_STACK(&gate_kernel[0], s_cet, fault = FAULT_OF(far_call(&outer_trip)));
	return fault;
}

TEST("a gate to CPL 0 from there pushes CS, LIP and SSP on the shadow stack in use")
{
	gates_set_up();
	change = (struct shadow_frame){ 0 };
	EXPECT_FAULT_EQ(through_gate_at_cpl0(0, gate_target), NO_FAULT, 0);
	EXPECT_EQ(gate_visits[0].ssp, shadow_frame_below(outer_trip.ssp_before));
	EXPECT_EQ(seen.frame.cs, KERNEL_CS);
	EXPECT_EQ(seen.frame.lip, (uintptr_t)far_call_return);
	EXPECT_EQ(seen.frame.ssp, outer_trip.ssp_before);
	EXPECT_EQ(outer_trip.ssp_after, outer_trip.ssp_before);
}

TEST("a gate to CPL 0 from there neither looks at the token of PL0_SSP nor writes PL3_SSP")
{
	const uint64_t marker = SHADOW_VA + 0x1230;

	gates_set_up();
	change = (struct shadow_frame){ 0 };
	wrmsr(MSR_IA32_PL3_SSP, marker);
	EXPECT_FAULT_EQ(through_gate_at_cpl0(0, gate_target), NO_FAULT, 0);
	EXPECT_EQ(seen.token, gate_tokens[0] | SHADOW_TOKEN_BUSY);
	EXPECT_EQ(seen.pl3_ssp, marker);
	EXPECT_EQ(*token_word(0), gate_tokens[0] | SHADOW_TOKEN_BUSY);
}

TEST("RET far at CPL 0 with another CS, LIP or a misaligned SSP in the frame raises CP")
{
	static const struct shadow_frame cases[] = {
		{ .cs = 1 },  { .cs = 8 },	     { .cs = 1ull << 16 }, { .lip = 1 },
		{ .lip = 8 }, { .lip = 1ull << 63 }, { .ssp = 1 },	   { .ssp = 2 },
	};

	gates_set_up();
	for (unsigned int i = 0; i < COUNT_OF(cases); i++) {
		struct x86_fault fault;

		change = cases[i];
		fault = through_gate_at_cpl0(0, gate_target);
		EXPECT_FAULT_EQ(fault, CP, CP_FAR_RET_IRET, "case %u", i);
		EXPECT_EQ(fault.ip, (uintptr_t)gate_target_return, "case %u", i);
	}
}

static uintptr_t jump_through_gate(uintptr_t unused)
{
	far_jump(&outer_trip);
	return unused;
}

static void jump_to(uint16_t code)
{
	gate_write(GATE_A, code, far_jump_landing, 3);
	outer_trip = (struct far_trip){ .target.selector = GATE_A };
}

static void expect_jump_without_push(const struct shadow_stack *stack)
{
	uintptr_t ssp = outer_trip.ssp_before & ~7ul;

	EXPECT_NE(ssp, 0);
	EXPECT_EQ(outer_trip.ssp_after, outer_trip.ssp_before);
	EXPECT_EQ(*shadow_word(stack, ssp - 8), 0);
	EXPECT_EQ(*shadow_word(stack, ssp - 16), 0);
}

TEST("JMP far through a gate pushes nothing on the shadow stack, at CPL 0 and 3")
{
	gates_set_up();
	jump_to(KERNEL_CS);
	ON_SHADOW_STACK(&gate_kernel[0], 0, far_jump(&outer_trip));
	expect_jump_without_push(&gate_kernel[0]);
	gates_arm();
	jump_to(USER_CS);
	EXPECT_RETURN(transfer_call(jump_through_gate, CET_SH_STK_EN, &gate_user, FAULTS_OF_USER));
	expect_jump_without_push(&gate_user);
}

/* --- branch tracking ------------------------------------------------------------------------------- */

static void tracking_set_up(void)
{
	gates_set_up();
	if (!has_ibt())
		SKIP("this CPU has no indirect branch tracking");
	change = (struct shadow_frame){ 0 };
}

/* From CPL 3 to CPL 0; the IRET before it leaves the tracker of CPL 0 as it is. */
static struct x86_fault tracked_gate(uint64_t s_cet, const void *target)
{
	gates_arm();
	gate_write(GATE_A, KERNEL_CS, target, 3);
	outer_trip = (struct far_trip){ .target.selector = GATE_A };
	return transfer_call(call_gate, s_cet, &gate_user, FAULTS_OF_SUPERVISOR).fault;
}

TEST("with S_CET.ENDBR_EN a gate from CPL 3 must lead to an ENDBR")
{
	struct x86_fault fault;

	tracking_set_up();
	EXPECT_FAULT_EQ(tracked_gate(CET_ENDBR_EN, gate_target), NO_FAULT, 0);
	fault = tracked_gate(CET_ENDBR_EN, gate_target_bare);
	EXPECT_FAULT_EQ(fault, CP, CP_ENDBRANCH);
	EXPECT_EQ(fault.ip, (uintptr_t)gate_target_bare);
}

TEST("the CP for a missing ENDBR behind a gate finds the shadow stack switched")
{
	struct x86_fault fault;

	tracking_set_up();
	EXPECT_FAULT_EQ(tracked_gate(CET_ENDBR_EN | CET_SH_STK_EN, gate_target), NO_FAULT, 0);
	fault = tracked_gate(CET_ENDBR_EN | CET_SH_STK_EN, gate_target_bare);
	EXPECT_FAULT_EQ(fault, CP, CP_ENDBRANCH);
	EXPECT_EQ(fault.ssp, gate_tokens[0] - sizeof(struct shadow_frame));
}

TEST("a gate from CPL 3 ends the suppression of tracking at CPL 0")
{
	tracking_set_up();
	EXPECT_FAULT_EQ(tracked_gate(CET_ENDBR_EN | CET_SUPPRESS, gate_target_bare), CP,
			CP_ENDBRANCH);
}

TEST("with S_CET.ENDBR_EN a gate from CPL 0 to there must lead to an ENDBR")
{
	tracking_set_up();
	EXPECT_FAULT_EQ(through_gate_at_cpl0(CET_ENDBR_EN, gate_target), NO_FAULT, 0);
	EXPECT_FAULT_EQ(through_gate_at_cpl0(CET_ENDBR_EN, gate_target_bare), CP, CP_ENDBRANCH);
}

TEST("with S_CET.ENDBR_EN a JMP far through a gate must lead to an ENDBR")
{
	struct x86_fault fault = { .vector = NO_FAULT };

	tracking_set_up();
	gate_write(GATE_A, KERNEL_CS, gate_target_bare, 0);
	outer_trip = (struct far_trip){ .target.selector = GATE_A };
	ON_SHADOW_STACK(&gate_kernel[0], CET_ENDBR_EN, fault = FAULT_OF(far_jump(&outer_trip)));
	EXPECT_FAULT_EQ(fault, CP, CP_ENDBRANCH);
	EXPECT_EQ(fault.ip, (uintptr_t)gate_target_bare);
}
