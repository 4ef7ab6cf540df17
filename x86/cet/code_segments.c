// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks: code segments with a base, and the way between 64-bit and compatibility mode
 *
 * A near CALL pushes EIP on both stacks. A far CALL pushes EIP on the data stack and, on the shadow
 * stack, the linear address, LIP: they differ where CS has a base, outside of 64-bit mode.
 *
 * In IA-32e mode a far CALL may lead from 64-bit to compatibility mode and RET back; the frame on
 * the shadow stack is of 64 bits in both. SSP has to be below 4 GiB in compatibility mode: a far
 * JMP, CALL or RET to there with a higher one is #GP(0), and nothing has moved.
 *
 * Sources: Intel SDM volume 2, "CALL", "RET", "JMP"; volume 1, "Shadow Stacks"; AMD APM volume 3,
 * the same.
 */
#include <test/test.h>
#include <x86/cet_calls.h>
#include <x86/descriptors.h>

struct far_frame {
	uint64_t ssp, lip, cs;
};

#define CS_BASE 0x1230

/* Code of 32 bits with this base. */
static struct cet_mode based(const struct cet_mode *mode)
{
	struct cet_mode result = *mode;

	gdt_write(FREE_SELECTOR, descriptor(CS_BASE, 0xfffff,
					    SEGMENT_PRESENT | SEGMENT_CODE | SEGMENT_4K_LIMIT |
						    SEGMENT_32 | SEGMENT_DPL(mode->user ? 3 : 0)));
	result.cs = FREE_SELECTOR | (mode->user ? 3 : 0);
	result.cs_base = CS_BASE;
	return result;
}

static void near_based(const struct cet_mode *mode)
{
	struct cet_mode code = based(mode);
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = { .ssp = stack.end - 0x200 };
	uint32_t pushed;

	EXPECT_FAULT_EQ(cet_run(&code, 0, CET_SEQUENCE(call_relative), &call), NO_FAULT, 0);
	pushed = call.return_address - CS_BASE;
	EXPECT_EQ(call.on_stack, pushed);
	cet_expect_pushed(&stack, call.ssp, &pushed, sizeof(pushed));
	EXPECT_EQ(call.ssp_after, call.ssp);
}

static void far_based(const struct cet_mode *mode, struct cet_sequence callee)
{
	struct cet_mode code = based(mode);
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = { .ssp = stack.end - 0x200, .far = cet_target(&code, callee) };
	struct far_frame frame;

	EXPECT_FAULT_EQ(cet_run(&code, 0, CET_SEQUENCE(call_far), &call), NO_FAULT, 0);
	frame = (struct far_frame){ call.ssp, call.return_address, code.cs };
	EXPECT_EQ(call.on_stack, call.return_address - CS_BASE);
	cet_expect_pushed(&stack, call.ssp, &frame, sizeof(frame));
	EXPECT_EQ(call.ssp_after, call.ssp);
}

static void far_ret_based(const struct cet_mode *mode)
{
	far_based(mode, CET_SEQUENCE(far_ret));
}

static void far_iret_based(const struct cet_mode *mode)
{
	far_based(mode, CET_SEQUENCE(far_iret));
}

#ifdef __x86_64__
#define TEST_32(statement, check)          \
	CET_TEST_COMPAT0(statement, check) \
	CET_TEST_COMPAT3(statement, check)
#else
#define TEST_32(statement, check) CET_TEST(statement, check)
#endif

TEST_32("a near CALL pushes EIP, without the base of CS", near_based)
TEST_32("a far CALL pushes EIP with the base of CS, and RET compares that", far_ret_based)
TEST_32("IRET compares EIP with the base of CS", far_iret_based)

#ifdef __x86_64__
/* 64-bit mode on the shadow stack of compatibility mode, and the other way round. */
static struct cet_mode on_stack_of(const struct cet_mode *mode, const struct cet_mode *other)
{
	struct cet_mode result = *mode;

	result.va = other->va;
	return result;
}

static const struct cet_mode *wide(const struct cet_mode *mode)
{
	return mode->user ? &cet_cpl3 : &cet_cpl0;
}

/* There and back. The callee's code is that of the other mode. */
static void cross(const struct cet_mode *from, const struct cet_mode *to,
		  const struct shadow_stack *stack)
{
	struct cet_call call = { .ssp = stack->end - 0x200 };
	struct far_frame frame;

	call.far = cet_target(to, CET_SEQUENCE(far_ret));
	EXPECT_FAULT_EQ(cet_run(from, 0, CET_SEQUENCE(call_far), &call), NO_FAULT, 0);
	frame = (struct far_frame){ call.ssp, call.return_address, from->cs };
	EXPECT_EQ(call.ssp_inside, call.ssp - sizeof(frame));
	cet_expect_pushed(stack, call.ssp, &frame, sizeof(frame));
	EXPECT_EQ(call.ssp_after, call.ssp);
}

static void to_compat(const struct cet_mode *compat)
{
	struct shadow_stack stack = cet_stack(compat);
	struct cet_mode low = on_stack_of(wide(compat), compat);

	cross(&low, compat, &stack);
}
TEST_32("a far CALL from 64-bit mode leads here, and RET back", to_compat)

static void to_wide(const struct cet_mode *compat)
{
	struct shadow_stack stack = cet_stack(compat);

	cross(compat, wide(compat), &stack);
}
TEST_32("a far CALL from here leads to 64-bit mode, and RET back", to_wide)

static void high_call(const struct cet_mode *compat)
{
	const struct cet_mode *mode = wide(compat);
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = { .ssp = stack.end - 0x200 };
	struct x86_fault fault;

	call.far = cet_target(compat, CET_SEQUENCE(far_ret));
	fault = cet_run(mode, 0, CET_SEQUENCE(call_far), &call);
	EXPECT_FAULT_EQ(fault, GP, 0);
	EXPECT_EQ(fault.sp, call.sp_before);
	EXPECT_EQ(call.ssp_end, call.ssp);
}
TEST_32("a far CALL to here with SSP above 4 GiB raises GP(0)", high_call)

/* The JMP to the sequence. */
static void high_jump(const struct cet_mode *compat)
{
	struct cet_mode high = on_stack_of(compat, wide(compat));
	struct cet_call call = { 0 };

	cet_stack(wide(compat));
	EXPECT_FAULT_EQ(cet_run(&high, 0, CET_SEQUENCE(nothing), &call), GP, 0);
	EXPECT_EQ(call.sp_before, 0);
}
TEST_32("a far JMP to here with SSP above 4 GiB raises GP(0)", high_jump)

static void high_ret(const struct cet_mode *compat)
{
	for (unsigned int bit = 32; bit < 47; bit++) {
		struct shadow_stack stack = cet_stack(compat);
		struct cet_call call = { .ssp = stack.end - 0x200 };
		struct x86_fault fault;

		call.far = cet_target(wide(compat), CET_SEQUENCE(far_ret));
		cet_tamper(&call, &stack, call.ssp - sizeof(struct far_frame), bit);
		fault = cet_run(compat, 0, CET_SEQUENCE(call_far), &call);
		EXPECT_FAULT_EQ(fault, GP, 0, "bit %u", bit);
		EXPECT_EQ(fault.sp, call.sp_inside);
		EXPECT_EQ(call.ssp_end, call.ssp_inside);
	}
}
TEST_32("a far RET from 64-bit mode to here and to an SSP above 4 GiB raises GP(0)", high_ret)
#endif
