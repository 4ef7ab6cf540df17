// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks and call gates from CPL 1 and 2
 *
 * A far CALL from there through a gate to a more privileged level pushes CS, LIP and SSP on the shadow stack of
 * that level, below its token; a far RET pops them, compares CS and LIP with what it takes from the stack, takes
 * SSP, and clears the busy bit of the token. IA32_PL3_SSP has no part in it.
 *
 * Expectations: Intel SDM volume 2, "CALL" (MORE-PRIVILEGE) and "RET" (RETURN-TO-OUTER-PRIVILEGE-LEVEL), Operation;
 * AMD APM volume 2, "Handling CS, LIP and SSP on Privilege Transitions". No current kernel uses CPL 1 and 2, so
 * that nothing else runs these paths of a CPU.
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet_gates.h>
#include <x86/instructions.h>

#define WORD sizeof(uintptr_t)

static struct {
	uint64_t token;
	uint64_t pl3_ssp;
	struct shadow_frame frame;
} seen;

static void see_pl3_ssp(void)
{
	seen.pl3_ssp = rdmsr(MSR_IA32_PL3_SSP);
}

static const struct {
	unsigned int outer, to;
} pairs[] = { { 1, 0 }, { 2, 0 }, { 2, 1 } };

static void see_frame(void)
{
	unsigned int level = read_cs() & 3;

	seen.frame = shadow_frame_at(gate_visits[level].ssp);
	seen.token = *token_word(level);
}

TEST("a gate from CPL 1 or 2 pushes CS, LIP and SSP on the new shadow stack")
{
	gates_set_up();
	for (unsigned int i = 0; i < COUNT_OF(pairs); i++) {
		unsigned int outer = pairs[i].outer, to = pairs[i].to;

		gates_arm();
		EXPECT_RETURN(through_gates(outer, to, see_frame, FAULTS_OF_USER));
		EXPECT_EQ(gate_visits[to].ssp, gate_tokens[to] - sizeof(seen.frame), "%u to %u",
			  outer, to);
		EXPECT_EQ(seen.frame.cs, code_of_level[outer] | outer, "%u to %u", outer, to);
		EXPECT_EQ(seen.frame.lip, (uintptr_t)far_call_return, "%u to %u", outer, to);
		EXPECT_EQ(seen.frame.ssp, inner_trip.ssp_before, "%u to %u", outer, to);
	}
}

TEST("a gate from CPL 1 or 2 marks the new token as busy, and RET far clears that")
{
	gates_set_up();
	for (unsigned int i = 0; i < COUNT_OF(pairs); i++) {
		unsigned int to = pairs[i].to;

		gates_arm();
		EXPECT_RETURN(through_gates(pairs[i].outer, to, see_frame, FAULTS_OF_USER));
		EXPECT_EQ(seen.token, gate_tokens[to] | SHADOW_TOKEN_BUSY, "to %u", to);
		EXPECT_EQ(gate_remains[to].token, gate_tokens[to], "to %u, after RET", to);
	}
}

TEST("RET far to CPL 1 or 2 gives the caller its SSP back")
{
	gates_set_up();
	for (unsigned int i = 0; i < COUNT_OF(pairs); i++) {
		gates_arm();
		EXPECT_RETURN(through_gates(pairs[i].outer, pairs[i].to, NULL, FAULTS_OF_USER));
		EXPECT_EQ(inner_trip.ssp_after, inner_trip.ssp_before, "from %u", pairs[i].outer);
		EXPECT_EQ(inner_trip.ssp_before, gate_tokens[pairs[i].outer] - 2 * WORD, "from %u",
			  pairs[i].outer);
	}
}

TEST("a gate from CPL 1 leaves PL3_SSP and PL1_SSP alone")
{
	gates_set_up();
	EXPECT_RETURN(through_gates(1, 0, see_pl3_ssp, FAULTS_OF_USER));
	EXPECT_EQ(seen.pl3_ssp, outer_trip.ssp_before);
	EXPECT_EQ(rdmsr(MSR_IA32_PL1_SSP), gate_tokens[1]);
}

/* The hook on the way back from CPL 0 to CPL 1: what it changes of the frame. */
static struct shadow_frame change;

static void change_frame(void)
{
	uintptr_t ssp = gate_visits[0].ssp;

	*shadow_word(&gate_kernel[0], ssp) ^= change.ssp;
	*shadow_word(&gate_kernel[0], ssp + 8) ^= change.lip;
	*shadow_word(&gate_kernel[0], ssp + 16) ^= change.cs;
}

static struct x86_fault fault_of_return(struct shadow_frame changed)
{
	gates_arm();
	change = changed;
	return through_gates(1, 0, change_frame, FAULTS_OF_SUPERVISOR).fault;
}

TEST("RET far to CPL 1 with another CS, LIP or a misaligned SSP in the frame raises CP")
{
	static const struct shadow_frame cases[] = {
		{ .cs = 1 },  { .cs = 8 },  { .cs = 1ull << 16 },  { .cs = 1ull << 63 },
		{ .lip = 1 }, { .lip = 8 }, { .lip = 1ull << 32 }, { .lip = 1ull << 63 },
		{ .ssp = 1 }, { .ssp = 2 },
	};

	gates_set_up();
	for (unsigned int i = 0; i < COUNT_OF(cases); i++) {
		struct x86_fault fault = fault_of_return(cases[i]);

		EXPECT_FAULT_EQ(fault, CP, CP_FAR_RET_IRET, "case %u", i);
		EXPECT_EQ(fault.ip, (uintptr_t)gate_target_return, "case %u", i);
	}
}

TEST("a RET far to CPL 1 that raises CP leaves the token busy")
{
	gates_set_up();
	fault_of_return((struct shadow_frame){ .lip = 1 });
	EXPECT_EQ(*token_word(0), gate_tokens[0] | SHADOW_TOKEN_BUSY);
}

#ifdef __x86_64__
TEST("RET far to CPL 1 with an SSP in the frame that is not canonical raises GP")
#else
TEST("RET far to CPL 1 with an SSP above 4 GiB in the frame raises GP")
#endif
{
	struct x86_fault fault;

	gates_set_up();
	fault = fault_of_return((struct shadow_frame){ .ssp = 1ull << 63 });
	EXPECT_FAULT_EQ(fault, GP, 0);
	EXPECT_EQ(fault.ip, (uintptr_t)gate_target_return);
}

static void return_to_level1_elsewhere(void)
{
	return_pointer(&gate_visits[0])[0] = (uintptr_t)far_call_elsewhere;
}

TEST("RET far to CPL 1 to another address than the frame has raises CP")
{
	gates_set_up();
	EXPECT_FAULT_EQ(through_gates(1, 0, return_to_level1_elsewhere, FAULTS_OF_SUPERVISOR).fault,
			CP, CP_FAR_RET_IRET);
}

static void pop_one_word(void)
{
	gate_visits[0].pop = 1;
}

TEST("RET far to CPL 1 with SSP at 4 mod 8 raises CP")
{
	gates_set_up();
	EXPECT_FAULT_EQ(through_gates(1, 0, pop_one_word, FAULTS_OF_SUPERVISOR).fault, CP,
			CP_FAR_RET_IRET);
}
