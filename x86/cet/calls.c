// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks: near CALL and RET, INCSSP and RDSSP
 *
 * With shadow stacks on at the current privilege level
 *
 *	near CALL	pushes its return address on both stacks: 8 bytes in 64-bit mode, else 4.
 *			The form that is relative to the next instruction pushes none on the shadow
 *			stack if its displacement is 0, since this is how code learns its own
 *			address
 *	near RET	pops both, and raises #CP(NEAR-RET), 1, if they differ: a fault, so that
 *			neither stack pointer has moved
 *	INCSSP n	adds n (bits 7:0) words to SSP. It reads the first and the last of them, of
 *			0 words the first, so that no step leads beyond a page that is not there.
 *			#UD where shadow stacks are off
 *	RDSSP		reads SSP, and is a NOP where shadow stacks are off
 *
 * and no other branch within the code segment has to do with the shadow stack. What these read and
 * write there are shadow stack accesses: in the error code of #PF they have bit 6, PF_SHADOW_STACK.
 *
 * All of this is checked in each mode at the same places of a page between two that are not
 * present. SSP has to be a multiple of 4 only.
 *
 * Sources: Intel SDM volume 1, "Shadow Stacks"; volume 2, "CALL", "RET", "INCSSPD/INCSSPQ",
 * "RDSSPD/RDSSPQ"; volume 3, "Interrupt 21 - Control Protection Exception (#CP)" and "Page-Fault
 * Exceptions"; AMD APM volume 2, "Shadow Stacks", volume 3, the same instructions.
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet_calls.h>
#include <x86/registers.h>

/* Below all that C has on the page, and not near its lower end. */
static struct cet_call call_on(const struct shadow_stack *stack)
{
	return (struct cet_call){ .ssp = stack->end - 0x200 };
}

static uint32_t pf_user(const struct cet_mode *mode)
{
	return mode->user ? PF_USER : 0;
}

/* RET, or RET imm16. */
static bool is_ret(uintptr_t ip)
{
	uint8_t opcode = *(const uint8_t *)ip;

	return opcode == 0xc3 || opcode == 0xc2;
}

/* That the fault was the RET's, and has moved nothing. */
static void expect_ret_undone(const struct x86_fault *fault, const struct cet_call *call)
{
	EXPECT_TRUE(is_ret(fault->ip), "ip 0x%lx", (unsigned long)fault->ip);
	EXPECT_EQ(fault->sp, call->sp_inside);
	EXPECT_EQ(call->ssp_end, call->ssp_inside);
}

static void near_call(const struct cet_mode *mode, struct cet_sequence sequence, unsigned int imm)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = call_on(&stack);

	EXPECT_FAULT_EQ(cet_run(mode, 0, sequence, &call), NO_FAULT, 0);
	EXPECT_EQ(call.on_stack, call.return_address);
	EXPECT_EQ(call.sp_inside, call.sp_before - imm - mode->word);
	EXPECT_EQ(call.ssp_inside, call.ssp - mode->word);
	cet_expect_pushed(&stack, call.ssp, &call.return_address, mode->word);
	EXPECT_EQ(call.sp_after, call.sp_before);
	EXPECT_EQ(call.ssp_after, call.ssp);
}

static void near_relative(const struct cet_mode *mode)
{
	near_call(mode, CET_SEQUENCE(call_relative), 0);
}
CET_TEST("a near CALL pushes the return address on the shadow stack too, and RET pops it",
	 near_relative)

static void near_indirect(const struct cet_mode *mode)
{
	near_call(mode, CET_SEQUENCE(call_register), 0);
	near_call(mode, CET_SEQUENCE(call_memory), 0);
}
CET_TEST("so do indirect CALLs, by register and by memory", near_indirect)

static void near_ret_imm(const struct cet_mode *mode)
{
	near_call(mode, CET_SEQUENCE(call_ret_imm), CALL_RET_IMM);
}
CET_TEST("RET imm16 pops one word of the shadow stack", near_ret_imm)

static void odd_ssp(const struct cet_mode *mode)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = { .ssp = stack.end - 0x204 };

	EXPECT_FAULT_EQ(cet_run(mode, 0, CET_SEQUENCE(call_relative), &call), NO_FAULT, 0);
	EXPECT_EQ(call.ssp_inside, call.ssp - mode->word);
	cet_expect_pushed(&stack, call.ssp, &call.return_address, mode->word);
	EXPECT_EQ(call.ssp_after, call.ssp);
}
CET_TEST("a near CALL aligns nothing: SSP is a multiple of 4", odd_ssp)

static void call_of_next(const struct cet_mode *mode, struct cet_sequence sequence,
			 unsigned int pushed)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = call_on(&stack);

	EXPECT_FAULT_EQ(cet_run(mode, 0, sequence, &call), NO_FAULT, 0);
	EXPECT_EQ(call.on_stack, call.return_address);
	EXPECT_EQ(call.sp_inside, call.sp_before - mode->word);
	EXPECT_EQ(call.ssp_inside, call.ssp - pushed);
	cet_expect_pushed(&stack, call.ssp, &call.return_address, pushed);
}

static void call_zero(const struct cet_mode *mode)
{
	call_of_next(mode, CET_SEQUENCE(call_zero), 0);
}
CET_TEST("a CALL with displacement 0 pushes nothing on the shadow stack", call_zero)

static void call_register_next(const struct cet_mode *mode)
{
	call_of_next(mode, CET_SEQUENCE(call_register_next), mode->word);
}
CET_TEST("an indirect CALL of the next instruction does push", call_register_next)

static void jumps(const struct cet_mode *mode)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = call_on(&stack);

	call.far.selector = mode->cs;
	EXPECT_FAULT_EQ(cet_run(mode, 0, CET_SEQUENCE(jumps), &call), NO_FAULT, 0);
	EXPECT_EQ(call.ssp_after, call.ssp);
	cet_expect_pushed(&stack, call.ssp, NULL, 0);
}
CET_TEST("JMP near and far, Jcc, LOOP and JECXZ leave the shadow stack alone", jumps)

static void changed_address(const struct cet_mode *mode, struct cet_sequence sequence)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = call_on(&stack);
	struct x86_fault fault;

	call.stray = cet_target(mode, CET_SEQUENCE(stray)).offset;
	fault = cet_run(mode, 0, sequence, &call);
	EXPECT_FAULT_EQ(fault, CP, CP_NEAR_RET);
	expect_ret_undone(&fault, &call);
}

static void changed_ret(const struct cet_mode *mode)
{
	changed_address(mode, CET_SEQUENCE(call_relative));
}
CET_TEST("RET to an address that was changed on the data stack raises CP(1) and pops nothing",
	 changed_ret)

static void changed_ret_imm(const struct cet_mode *mode)
{
	changed_address(mode, CET_SEQUENCE(call_ret_imm));
}
CET_TEST("so does RET imm16", changed_ret_imm)

#ifdef __x86_64__
/* As far as the address is canonical. */
static void changed_high_bits(const struct cet_mode *mode)
{
	for (unsigned int bit = 32; bit < 47; bit++) {
		struct shadow_stack stack = cet_stack(mode);
		struct cet_call call = call_on(&stack);
		struct x86_fault fault;

		call.tamper = 1ull << bit;
		fault = cet_run(mode, 0, CET_SEQUENCE(call_relative), &call);
		EXPECT_FAULT_EQ(fault, CP, CP_NEAR_RET, "bit %u", bit);
		expect_ret_undone(&fault, &call);
	}
}
CET_TEST_CPL0("RET compares bits 63:32 of the address too", changed_high_bits)
CET_TEST_CPL3("RET compares bits 63:32 of the address too", changed_high_bits)
#endif

static void tampered_shadow(const struct cet_mode *mode)
{
	for (unsigned int bit = 0; bit < mode->word * 8; bit++) {
		struct shadow_stack stack = cet_stack(mode);
		struct cet_call call = call_on(&stack);
		struct x86_fault fault;

		cet_tamper(&call, &stack, call.ssp - mode->word, bit);
		fault = cet_run(mode, 0, CET_SEQUENCE(call_relative), &call);
		EXPECT_FAULT_EQ(fault, CP, CP_NEAR_RET, "bit %u", bit);
		expect_ret_undone(&fault, &call);
	}
}
CET_TEST("RET compares every bit of the word on the shadow stack", tampered_shadow)

static void neighbours(const struct cet_mode *mode)
{
	const int offsets[] = { -2, 0 }; /* in words, from SSP before the CALL */

	for (unsigned int i = 0; i < COUNT_OF(offsets); i++) {
		struct shadow_stack stack = cet_stack(mode);
		struct cet_call call = call_on(&stack);

		cet_tamper(&call, &stack, call.ssp + offsets[i] * (int)mode->word, 0);
		EXPECT_FAULT_EQ(cet_run(mode, 0, CET_SEQUENCE(call_relative), &call), NO_FAULT, 0,
				"word %d", offsets[i]);
	}
}
CET_TEST("RET does not look at the words beside it", neighbours)

/* SSP is at the fill. */
static void pushed_address(const struct cet_mode *mode)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = { .ssp = stack.end - 0x200 };
	struct x86_fault fault;

	fault = cet_run(mode, 0, CET_SEQUENCE(push_ret), &call);
	EXPECT_FAULT_EQ(fault, CP, CP_NEAR_RET);
	expect_ret_undone(&fault, &call);
}
CET_TEST("RET to an address that was pushed, not called, raises CP(1)", pushed_address)

/* SSP is left at the end of a function that was called by another: its own word is on top. */
static void unwind(const struct cet_mode *mode, unsigned int words, unsigned int vector)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = call_on(&stack);
	struct x86_fault fault;

	call.value = words;
	fault = cet_run(mode, 0, CET_SEQUENCE(unwind), &call);
	EXPECT_FAULT_EQ(fault, vector, CP_NEAR_RET);
	if (vector == NO_FAULT)
		EXPECT_EQ(call.ssp_after, call.ssp);
}

static void unwind_alone(const struct cet_mode *mode)
{
	unwind(mode, 0, CP);
}
CET_TEST("RET past the caller raises CP(1)", unwind_alone)

static void unwind_incssp(const struct cet_mode *mode)
{
	unwind(mode, 1, NO_FAULT);
}
CET_TEST("after INCSSP of its word RET past the caller works", unwind_incssp)

static void empty(const struct cet_mode *mode)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = { .ssp = stack.end };
	struct x86_fault fault = cet_run(mode, 0, CET_SEQUENCE(push_ret), &call);

	EXPECT_FAULT_EQ(fault, PF, PF_SHADOW_STACK | pf_user(mode));
	EXPECT_EQ(fault.cr2, stack.end);
	EXPECT_EQ(call.ssp_inside, stack.end);
	expect_ret_undone(&fault, &call);
}
CET_TEST("RET from the end of the shadow stack's page is a shadow stack read beyond it", empty)

/* Where no gate has a shadow stack of its own, there is no place for the frame of #PF either: #DF. */
static bool frame_has_place(const struct cet_mode *mode)
{
	if (mode->user || mode->wide || mode->compat)
		return true;
	skip_without_task_switch();
	return false;
}

static void full(const struct cet_mode *mode)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = { .ssp = stack.base };
	bool has_place = frame_has_place(mode);
	struct x86_fault fault = cet_run(mode, 0, CET_SEQUENCE(call_relative), &call);

	if (!has_place) {
		EXPECT_FAULT_EQ(fault, DF, 0);
		EXPECT_EQ(read_cr2() & PAGE_MASK, stack.base - PAGE_SIZE);
		return;
	}
	EXPECT_FAULT_EQ(fault, PF, PF_SHADOW_STACK | PF_WRITE | pf_user(mode));
	EXPECT_EQ(fault.cr2, stack.base - mode->word);
	EXPECT_EQ(fault.sp, call.sp_before);
	EXPECT_EQ(call.ssp_end, stack.base);
}
CET_TEST("a near CALL from the beginning of the page is a shadow stack write before it", full)

static void no_data_stack(const struct cet_mode *mode)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = call_on(&stack);
	bool has_place = frame_has_place(mode);
	struct x86_fault fault;

	call.stack = stack.base; /* below it there is no page */
	fault = cet_run(mode, 0, CET_SEQUENCE(call_relative), &call);
	if (!has_place) {
		EXPECT_FAULT_EQ(fault, DF, 0);
	} else {
		EXPECT_FAULT_EQ(fault, PF, PF_WRITE | pf_user(mode));
		EXPECT_EQ(fault.cr2, stack.base - mode->word);
		EXPECT_EQ(fault.sp, call.stack);
		EXPECT_EQ(call.ssp_end, call.ssp);
	}
	cet_expect_pushed(&stack, call.ssp, NULL, 0);
}
CET_TEST("a near CALL that faults on the data stack leaves the shadow stack alone", no_data_stack)

static void not_enabled(const struct cet_mode *mode)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = { 0 };

	cet_enable();
	wrmsr(MSR_IA32_PL3_SSP, stack.end - 0x200);
	EXPECT_FAULT_EQ(cet_run_off(mode, CET_SEQUENCE(call_relative), &call), NO_FAULT, 0);
	call.tamper = 0;
	EXPECT_FAULT_EQ(cet_run_off(mode, CET_SEQUENCE(push_ret), &call), NO_FAULT, 0);
	cet_expect_pushed(&stack, stack.end - 0x200, NULL, 0);
	EXPECT_EQ(rdmsr(MSR_IA32_PL3_SSP), stack.end - 0x200);
}
CET_TEST("with CR4.CET and without SH_STK_EN there is no shadow stack", not_enabled)
