// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks, and transfers between 64-bit and compatibility mode
 *
 * Compatibility mode has an SSP of 32 bits. With shadow stacks on at the level that is reached, a far JMP, CALL
 * or RET to it raises #GP(0) if SSP is not below 4 GiB: the SSP in use, or what RET takes from the frame or from
 * IA32_PL3_SSP. In there a near CALL pushes 4 bytes; a far CALL pushes its frame of three 8-byte words, from a
 * multiple of 8 on, in each mode and between them.
 *
 * Expectations: Intel SDM volume 2, "JMP", "CALL" and "RET", Operation; volume 1, "Shadow Stacks".
 */
#include <libc/string.h>
#include <test/test.h>
#include <x86/cet_gates.h>
#include <x86/paging.h>

/* A supervisor's and a user's shadow stack below 4 GiB. */
static struct shadow_stack low, user_low;

static void set_up(void)
{
	gates_set_up();
	low = shadow_stack_new(SHADOW_VA_LOW, SHADOW_SUPERVISOR);
	user_low = shadow_stack_new(SHADOW_VA_LOW + PAGE_SIZE, SHADOW_USER);
	compat_ssp = 0;
	compat_cs = 0;
}

static struct compat_trip round_trip;

static void plan(const void *begin, uint16_t compat_cs_selector, uint16_t long_cs, bool call_long)
{
	round_trip = (struct compat_trip){
		.to_compat = { (uintptr_t)begin, compat_cs_selector },
		.call_long = { call_long ? (uintptr_t)long_target : 0, long_cs },
		.to_long = { (uintptr_t)compat_end, long_cs },
	};
}

/* --- JMP ------------------------------------------------------------------------------------------- */

static struct x86_fault jump_at_cpl0(const struct shadow_stack *stack, uint64_t s_cet,
				     const void *begin)
{
	struct x86_fault fault = { .vector = NO_FAULT };

	plan(begin, KERNEL_CS32, KERNEL_CS, false);
	ON_SHADOW_STACK(stack, s_cet, fault = FAULT_OF(compat_trip(&round_trip)));
	return fault;
}

TEST("JMP far to compatibility mode with SSP above 4 GiB raises GP")
{
	struct x86_fault fault;

	set_up();
	fault = jump_at_cpl0(&gate_kernel[0], 0, compat_begin);
	EXPECT_FAULT_EQ(fault, GP, 0);
	EXPECT_EQ(fault.ip, (uintptr_t)compat_trip_jump);
}

TEST("JMP far to compatibility mode with SSP below 4 GiB keeps SSP, there and back")
{
	uintptr_t before = 0, after = 0;

	set_up();
	plan(compat_begin, KERNEL_CS32, KERNEL_CS, false);
	ON_SHADOW_STACK(&low, 0, before = rdssp(); compat_trip(&round_trip); after = rdssp());
	EXPECT_EQ(round_trip.ssp_begin, before - 8);
	EXPECT_EQ(after, before);
	EXPECT_NE(before, 0);
}

TEST("JMP far to compatibility mode without shadow stacks does not look at SSP")
{
	struct x86_fault fault;

	set_up();
	/* Leaves SSP above 4 GiB behind. */
	ON_SHADOW_STACK(&gate_kernel[0], 0, (void)0);
	plan(compat_begin, KERNEL_CS32, KERNEL_CS, false);
	fault = FAULT_OF(compat_trip(&round_trip));
	EXPECT_FAULT_EQ(fault, NO_FAULT, 0);
	EXPECT_EQ(round_trip.ssp_begin, 0);
	EXPECT_NE(round_trip.near_return, 0);
}

TEST("a near CALL in compatibility mode pushes 4 bytes")
{
	set_up();
	EXPECT_FAULT_EQ(jump_at_cpl0(&low, 0, compat_begin), NO_FAULT, 0);
	EXPECT_EQ(round_trip.ssp_near, round_trip.ssp_begin - 4);
	EXPECT_EQ(*(volatile uint32_t *)shadow_word(&low, round_trip.ssp_begin - 4),
		  round_trip.near_return);
}

static uintptr_t user_trip(uintptr_t unused)
{
	compat_trip(&round_trip);
	return unused;
}

static struct x86_fault jump_at_cpl3(const struct shadow_stack *stack)
{
	plan(compat_begin, USER_CS32, USER_CS, false);
	return shadow_user_call(stack, 0, user_trip, 0).fault;
}

TEST("at CPL 3, JMP far to compatibility mode with SSP above 4 GiB raises GP")
{
	struct x86_fault fault;

	set_up();
	fault = jump_at_cpl3(&gate_user);
	EXPECT_FAULT_EQ(fault, GP, 0);
	EXPECT_EQ(fault.ip, (uintptr_t)compat_trip_jump);
}

TEST("at CPL 3, JMP far to compatibility mode with SSP below 4 GiB keeps SSP, and a near CALL pushes 4 bytes")
{
	set_up();
	EXPECT_FAULT_EQ(jump_at_cpl3(&user_low), NO_FAULT, 0);
	EXPECT_EQ(round_trip.ssp_begin, user_low.end - 16);
	EXPECT_EQ(round_trip.ssp_near, round_trip.ssp_begin - 4);
	EXPECT_EQ(*(volatile uint32_t *)shadow_word(&user_low, round_trip.ssp_near),
		  round_trip.near_return);
}

/* --- CALL and RET, same level ----------------------------------------------------------------------- */

static struct far_trip trip;

static struct x86_fault call_at_cpl0(const struct shadow_stack *stack)
{
	struct x86_fault fault = { .vector = NO_FAULT };

	trip = (struct far_trip){ .target = { (uintptr_t)compat_target, KERNEL_CS32 } };
	ON_SHADOW_STACK(stack, 0, fault = FAULT_OF(far_call(&trip)));
	return fault;
}

TEST("CALL far to compatibility mode with SSP above 4 GiB raises GP")
{
	struct x86_fault fault;

	set_up();
	fault = call_at_cpl0(&gate_kernel[0]);
	EXPECT_FAULT_EQ(fault, GP, 0);
	EXPECT_EQ(fault.ip, (uintptr_t)far_call_instruction);
}

TEST("CALL far to compatibility mode with SSP below 4 GiB pushes its frame, and RET far pops it")
{
	struct shadow_frame frame;

	set_up();
	EXPECT_FAULT_EQ(call_at_cpl0(&low), NO_FAULT, 0);
	EXPECT_EQ(compat_cs, KERNEL_CS32);
	ASSERT_EQ(compat_ssp, shadow_frame_below(trip.ssp_before));
	frame = shadow_frame_at(compat_ssp);
	EXPECT_EQ(frame.cs, KERNEL_CS);
	EXPECT_EQ(frame.lip, (uintptr_t)far_call_return);
	EXPECT_EQ(frame.ssp, trip.ssp_before);
	EXPECT_EQ(trip.ssp_after, trip.ssp_before);
}

/* The hole above the frame is written, whatever was there. */
static void expect_long_frame(const struct shadow_stack *stack, uint16_t compat_code)
{
	struct shadow_frame frame;

	ASSERT_EQ(round_trip.ssp_before % 8, 4);
	ASSERT_EQ(round_trip.ssp_long, shadow_frame_below(round_trip.ssp_before));
	frame = shadow_frame_at(round_trip.ssp_long);
	EXPECT_EQ(frame.cs, compat_code);
	EXPECT_EQ(frame.lip, round_trip.long_return);
	EXPECT_EQ(frame.ssp, round_trip.ssp_before);
	EXPECT_EQ(*(volatile uint32_t *)shadow_word(stack, round_trip.ssp_before - 4), 0);
	EXPECT_EQ(round_trip.ssp_after, round_trip.ssp_before);
}

TEST("CALL far from compatibility to 64-bit mode fills a hole of 4 bytes, pushes its frame, and comes back")
{
	struct x86_fault fault = { .vector = NO_FAULT };

	set_up();
	memset((void *)low.words, 0xff, PAGE_SIZE);
	plan(compat_begin, KERNEL_CS32, KERNEL_CS, true);
	ON_SHADOW_STACK(&low, 0, fault = FAULT_OF(compat_trip(&round_trip)));
	EXPECT_FAULT_EQ(fault, NO_FAULT, 0);
	expect_long_frame(&low, KERNEL_CS32);
}

TEST("at CPL 3, CALL far from compatibility to 64-bit mode does the same")
{
	set_up();
	memset((void *)user_low.words, 0xff, PAGE_SIZE);
	plan(compat_begin, USER_CS32, USER_CS, true);
	EXPECT_FAULT_EQ(shadow_user_call(&user_low, 0, user_trip, 0).fault, NO_FAULT, 0);
	expect_long_frame(&user_low, USER_CS32);
}

/*
 * RET from a gate's target to compatibility mode: the frames on both stacks are rewritten for it. The SSP in
 * the frame stays.
 */
static void return_to_compat(void)
{
	uintptr_t ssp = gate_visits[0].ssp;
	struct shadow_stack stack = ssp >> 32 ? gate_kernel[0] : low;

	return_pointer(&gate_visits[0])[0] = (uintptr_t)compat_escape;
	return_pointer(&gate_visits[0])[1] = KERNEL_CS32;
	*shadow_word(&stack, ssp + 8) = (uintptr_t)compat_escape;
	*shadow_word(&stack, ssp + 16) = KERNEL_CS32;
}

static struct x86_fault return_at_cpl0(const struct shadow_stack *stack)
{
	struct x86_fault fault = { .vector = NO_FAULT };

	gate_to(GATE_A, 0, &trip);
	gate_visits[0].hook = return_to_compat;
	ON_SHADOW_STACK(stack, 0, fault = FAULT_OF(far_call(&trip)));
	return fault;
}

TEST("RET far to compatibility mode with an SSP above 4 GiB in the frame raises GP")
{
	struct x86_fault fault;

	set_up();
	fault = return_at_cpl0(&gate_kernel[0]);
	EXPECT_FAULT_EQ(fault, GP, 0);
	EXPECT_EQ(fault.ip, (uintptr_t)gate_target_return);
}

TEST("RET far to compatibility mode with an SSP below 4 GiB in the frame takes it")
{
	set_up();
	EXPECT_FAULT_EQ(return_at_cpl0(&low), NO_FAULT, 0);
	EXPECT_EQ(compat_cs, KERNEL_CS32);
	EXPECT_EQ(compat_ssp, trip.ssp_before);
}

/* --- RET to CPL 3 ----------------------------------------------------------------------------------- */

static uint64_t pl3_ssp;

/* The stack segment that the CALL has left is good for both modes. */
static void return_to_user_compat(void)
{
	return_pointer(&gate_visits[0])[0] = (uintptr_t)compat_user_ssp;
	return_pointer(&gate_visits[0])[1] = USER_CS32;
	wrmsr(MSR_IA32_PL3_SSP, pl3_ssp);
}

static struct user_result return_to_cpl3(uint64_t ssp, const struct shadow_stack *kernel_stack)
{
	pl3_ssp = ssp;
	gate_to(GATE_A, 0, &outer_trip);
	gate_visits[0].hook = return_to_user_compat;
	wrmsr(MSR_IA32_PL0_SSP, shadow_stack_token(kernel_stack));
	return transfer_call(call_gate, CET_SH_STK_EN, &gate_user, FAULTS_OF_SUPERVISOR);
}

static void expect_return_to_cpl3_refused(const struct shadow_stack *kernel_stack)
{
	struct user_result result;

	set_up();
	result = return_to_cpl3(gate_user.end - 64, kernel_stack);
	EXPECT_FAULT_EQ(result.fault, GP, 0);
	EXPECT_EQ(result.fault.ip, (uintptr_t)gate_target_return);
	EXPECT_FALSE(result.returned);
}

TEST("RET far to compatibility mode at CPL 3 with PL3_SSP and SSP above 4 GiB raises GP")
{
	expect_return_to_cpl3_refused(&gate_kernel[0]);
}

TEST("RET far to compatibility mode at CPL 3 with PL3_SSP above 4 GiB and SSP below raises GP")
{
	expect_return_to_cpl3_refused(&low);
}

TEST("RET far to compatibility mode at CPL 3 with PL3_SSP below 4 GiB takes it")
{
	struct user_result result;

	set_up();
	result = return_to_cpl3(user_low.end - 64, &low);
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_TRUE(result.returned);
	EXPECT_EQ(result.value, user_low.end - 64);
}

TEST("RET far to compatibility mode at CPL 3 with PL3_SSP below 4 GiB and SSP above takes PL3_SSP")
{
	struct user_result result;

	set_up();
	result = return_to_cpl3(user_low.end - 64, &gate_kernel[0]);
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_EQ(result.value, user_low.end - 64);
}

TEST("RET far to compatibility mode at CPL 3 without U_CET.SH_STK_EN does not look at PL3_SSP")
{
	struct user_result result;

	set_up();
	pl3_ssp = gate_user.end - 64;
	gate_to(GATE_A, 0, &outer_trip);
	gate_visits[0].hook = return_to_user_compat;
	result = transfer_call(call_gate, CET_SH_STK_EN, NULL, FAULTS_OF_SUPERVISOR);
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_TRUE(result.returned);
	EXPECT_EQ(result.value, 0);
}

/* --- branch tracking -------------------------------------------------------------------------------- */

static void tracking_set_up(void)
{
	set_up();
	if (!has_ibt())
		SKIP("this CPU has no indirect branch tracking");
}

TEST("JMP far to compatibility mode must lead to an ENDBR32")
{
	struct x86_fault fault;

	tracking_set_up();
	EXPECT_FAULT_EQ(jump_at_cpl0(&low, CET_ENDBR_EN, compat_begin), NO_FAULT, 0);
	fault = jump_at_cpl0(&low, CET_ENDBR_EN, compat_begin_bare);
	EXPECT_FAULT_EQ(fault, CP, CP_ENDBRANCH);
	EXPECT_EQ(fault.ip, (uintptr_t)compat_begin_bare);
}

TEST("an ENDBR64 does not serve in compatibility mode")
{
	tracking_set_up();
	EXPECT_FAULT_EQ(jump_at_cpl0(&low, CET_ENDBR_EN, compat_begin_long), CP, CP_ENDBRANCH);
}
