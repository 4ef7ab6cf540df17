// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks: far CALL and RET, and IRET, within the privilege level
 *
 * A far CALL at the same privilege level pushes on the shadow stack, 8 bytes each in every mode,
 *
 *	SSP + 16	CS, the selector
 *	SSP + 8		LIP, the linear address that it returns to: with the base of CS
 *	SSP		SSP as it was before
 *
 * below four bytes of 0 if SSP was not a multiple of 8. A far RET there compares CS and LIP, as 64
 * bits each, with what it pops from the data stack, and goes on with the SSP of the frame.
 * #CP(FAR-RET/IRET), 2, is raised if one differs, if SSP is not a multiple of 8, or the saved one
 * not of 4: a fault, which moves nothing. A saved SSP from 4 GiB on is #GP(0) if the code that is
 * returned to is not 64-bit; so is a far JMP or CALL to such code with SSP there.
 *
 * IRET to the same privilege level does the same with the frame that an interrupt or exception
 * pushes, which is this one. In IA-32e mode it may come back from a stack of the IST, in which case
 * it gives that stack's token free, above the frame; not if the frame's SSP is right above it, for
 * then this is the same stack.
 *
 * The frames of IRET are made by hand here from those of a far CALL; with events: events.c.
 *
 * Bochs looks at PL3_SSP instead of the shadow stack in an IRETQ from CPL 3 to CPL 3, and for a
 * token behind any other frame (cpu/iret.cc, long_iret), which is listed in knownbugs.cfg.
 *
 * Sources: Intel SDM volume 2, "CALL", "RET", "IRET/IRETD/IRETQ", "JMP"; volume 3, "Interrupt 21 -
 * Control Protection Exception (#CP)"; AMD APM volume 3, the same instructions. CALL m16:64 exists
 * on Intel's CPUs only.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <x86/cet_calls.h>
#include <x86/cpuid.h>
#include <x86/descriptors.h>

struct far_frame {
	uint64_t ssp, lip, cs;
};

#define FRAME_SIZE sizeof(struct far_frame)

/* Where the words of the frame are that a CALL at call->ssp pushes. */
enum { SAVED_SSP = 24, SAVED_LIP = 16, SAVED_CS = 8 };

static struct cet_call call_on(const struct cet_mode *mode, const struct shadow_stack *stack,
			       struct cet_sequence callee)
{
	return (struct cet_call){ .ssp = stack->end - 0x200, .far = cet_target(mode, callee) };
}

static uint32_t pf_user(const struct cet_mode *mode)
{
	return mode->user ? PF_USER : 0;
}

/* RET far, with an immediate too, and IRET; with REX.W too. */
static bool is_far_return(uintptr_t ip)
{
	const uint8_t *code = (const uint8_t *)ip;

	code += *code == 0x48;
	return *code == 0xcb || *code == 0xca || *code == 0xcf;
}

static void expect_undone(const struct x86_fault *fault, const struct cet_call *call)
{
	EXPECT_TRUE(is_far_return(fault->ip), "ip 0x%lx", (unsigned long)fault->ip);
	EXPECT_EQ(fault->sp, call->sp_inside);
	EXPECT_EQ(call->ssp_end, call->ssp_inside);
}

/* The hole of four bytes is there where SSP is no multiple of 8. */
static void expect_frame(const struct cet_mode *mode, const struct shadow_stack *stack,
			 const struct cet_call *call)
{
	uint8_t pushed[FRAME_SIZE + 4] = { 0 };
	const struct far_frame frame = { call->ssp, call->return_address, mode->cs };
	size_t size = FRAME_SIZE + call->ssp % 8;

	memcpy(pushed, &frame, sizeof(frame));
	cet_expect_pushed(stack, call->ssp, pushed, size);
	EXPECT_EQ(call->ssp_inside, call->ssp - size);
}

static void far_call(const struct cet_mode *mode, struct cet_sequence sequence,
		     struct cet_sequence callee, unsigned int pushed, int popped)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = call_on(mode, &stack, callee);

	call.far64[0] = call.far.offset;
	call.far64[1] = call.far.selector;
	EXPECT_FAULT_EQ(cet_run(mode, 0, sequence, &call), NO_FAULT, 0);
	EXPECT_EQ((uint32_t)call.on_stack, call.return_address);
	EXPECT_EQ(call.sp_inside, call.sp_before - pushed);
	expect_frame(mode, &stack, &call);
	EXPECT_EQ(call.sp_after, call.sp_before + popped);
	EXPECT_EQ(call.ssp_after, call.ssp);
}

static void far_ret(const struct cet_mode *mode)
{
	far_call(mode, CET_SEQUENCE(call_far), CET_SEQUENCE(far_ret), 8, 0);
}
CET_TEST("a far CALL pushes CS, LIP and SSP on the shadow stack, and RET pops them", far_ret)

static void far_ret_imm(const struct cet_mode *mode)
{
	far_call(mode, CET_SEQUENCE(call_far), CET_SEQUENCE(far_ret_imm), 8, CALL_RET_IMM);
}
CET_TEST("a far RET imm16 pops the frame and no more", far_ret_imm)

#ifdef __x86_64__
static void far_retq(const struct cet_mode *mode)
{
	far_call(mode, CET_SEQUENCE(call_far), CET_SEQUENCE64(far_retq), 16, 0);
}
CET_TEST_CPL0("a far RET of 64 bits pops the same frame", far_retq)
CET_TEST_CPL3("a far RET of 64 bits pops the same frame", far_retq)

static void far_call64(const struct cet_mode *mode)
{
	if (cpu_is_amd())
		SKIP("CALL m16:64 is Intel's");
	far_call(mode, CET_SEQUENCE64(call_far64), CET_SEQUENCE64(far64_retq), 16, 0);
}
CET_TEST_CPL0("CALL m16:64 pushes the same frame", far_call64)
CET_TEST_CPL3("CALL m16:64 pushes the same frame", far_call64)
#endif

static unsigned int iret_frame(const struct cet_mode *mode)
{
	return mode->wide ? 40 : 12;
}

static void far_iret(const struct cet_mode *mode)
{
	far_call(mode, CET_SEQUENCE(call_far), CET_SEQUENCE(far_iret), iret_frame(mode), 0);
}
CET_TEST("IRET pops CS, LIP and SSP from the shadow stack", far_iret)

static void aligned(const struct cet_mode *mode, struct cet_sequence callee)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = call_on(mode, &stack, callee);

	call.ssp -= 4;
	EXPECT_FAULT_EQ(cet_run(mode, 0, CET_SEQUENCE(call_far), &call), NO_FAULT, 0);
	expect_frame(mode, &stack, &call);
	EXPECT_EQ(call.ssp_after, call.ssp);
}

static void aligned_ret(const struct cet_mode *mode)
{
	aligned(mode, CET_SEQUENCE(far_ret));
}
CET_TEST("a far CALL pushes 4 bytes of 0 where SSP is no multiple of 8, and RET comes back there",
	 aligned_ret)

static void aligned_iret(const struct cet_mode *mode)
{
	aligned(mode, CET_SEQUENCE(far_iret));
}
CET_TEST("IRET comes back to an SSP that is no multiple of 8", aligned_iret)

/*
 * Bits of a word of the frame, each flipped, and the fault. With RET these are all of them; with
 * IRET, where the words are compared no differently, one in seven.
 */
static void tampered(const struct cet_mode *mode, struct cet_sequence callee, unsigned int word,
		     unsigned int first, unsigned int last, unsigned int vector,
		     uint32_t error_code)
{
	unsigned int step = callee.native == seq_far_iret && last - first > 1 ? 7 : 1;

	for (unsigned int bit = first; bit <= last; bit += step) {
		struct shadow_stack stack = cet_stack(mode);
		struct cet_call call = call_on(mode, &stack, callee);
		struct x86_fault fault;

		cet_tamper(&call, &stack, call.ssp - word, bit);
		fault = cet_run(mode, 0, CET_SEQUENCE(call_far), &call);
		EXPECT_FAULT_EQ(fault, vector, error_code, "bit %u", bit);
		expect_undone(&fault, &call);
	}
}

static void cs_ret(const struct cet_mode *mode)
{
	tampered(mode, CET_SEQUENCE(far_ret), SAVED_CS, 0, 63, CP, CP_FAR_RET_IRET);
}
CET_TEST("a far RET compares 64 bits of CS, or raises CP(2)", cs_ret)

static void cs_iret(const struct cet_mode *mode)
{
	tampered(mode, CET_SEQUENCE(far_iret), SAVED_CS, 0, 63, CP, CP_FAR_RET_IRET);
}
CET_TEST("IRET compares 64 bits of CS, or raises CP(2)", cs_iret)

static void lip_ret(const struct cet_mode *mode)
{
	tampered(mode, CET_SEQUENCE(far_ret), SAVED_LIP, 0, 63, CP, CP_FAR_RET_IRET);
}
CET_TEST("a far RET compares 64 bits of LIP, or raises CP(2)", lip_ret)

static void lip_iret(const struct cet_mode *mode)
{
	tampered(mode, CET_SEQUENCE(far_iret), SAVED_LIP, 0, 63, CP, CP_FAR_RET_IRET);
}
CET_TEST("IRET compares 64 bits of LIP, or raises CP(2)", lip_iret)

static void saved_ssp_ret(const struct cet_mode *mode)
{
	tampered(mode, CET_SEQUENCE(far_ret), SAVED_SSP, 0, 1, CP, CP_FAR_RET_IRET);
}
CET_TEST("a far RET to an SSP that is no multiple of 4 raises CP(2)", saved_ssp_ret)

static void saved_ssp_iret(const struct cet_mode *mode)
{
	tampered(mode, CET_SEQUENCE(far_iret), SAVED_SSP, 0, 1, CP, CP_FAR_RET_IRET);
}
CET_TEST("IRET to an SSP that is no multiple of 4 raises CP(2)", saved_ssp_iret)

static void high_ssp(const struct cet_mode *mode)
{
	tampered(mode, CET_SEQUENCE(far_ret), SAVED_SSP, 32, 63, GP, 0);
	tampered(mode, CET_SEQUENCE(far_iret), SAVED_SSP, 32, 63, GP, 0);
}
#ifdef __x86_64__
CET_TEST_COMPAT0("far RET and IRET to an SSP above 4 GiB raise GP(0)", high_ssp)
CET_TEST_COMPAT3("far RET and IRET to an SSP above 4 GiB raise GP(0)", high_ssp)
#else
CET_TEST("far RET and IRET to an SSP above 4 GiB raise GP(0)", high_ssp)
#endif

/* The rest of the frame's SSP is believed. */
static void other_ssp(const struct cet_mode *mode, struct cet_sequence callee)
{
	for (unsigned int bit = 2; bit < 8; bit++) {
		struct shadow_stack stack = cet_stack(mode);
		struct cet_call call = call_on(mode, &stack, callee);

		cet_tamper(&call, &stack, call.ssp - SAVED_SSP, bit);
		EXPECT_FAULT_EQ(cet_run(mode, 0, CET_SEQUENCE(call_far), &call), NO_FAULT, 0);
		EXPECT_EQ(call.ssp_after, call.ssp ^ 1u << bit);
	}
}

static void other_ssp_ret(const struct cet_mode *mode)
{
	other_ssp(mode, CET_SEQUENCE(far_ret));
}
CET_TEST("a far RET takes SSP from the frame", other_ssp_ret)

static void other_ssp_iret(const struct cet_mode *mode)
{
	other_ssp(mode, CET_SEQUENCE(far_iret));
}
CET_TEST("IRET takes SSP from the frame", other_ssp_iret)

/* A second selector for the same code. */
static uint16_t other_cs(const struct cet_mode *mode)
{
	gdt_write(FREE_SELECTOR,
		  descriptor(0, 0xfffff,
			     SEGMENT_PRESENT | SEGMENT_CODE | SEGMENT_4K_LIMIT |
				     (mode->wide && sizeof(long) == 8 ? SEGMENT_64 : SEGMENT_32) |
				     SEGMENT_DPL(mode->user ? 3 : 0)));
	return FREE_SELECTOR | (mode->user ? 3 : 0);
}

/* The frame on the data stack: IP, CS, and so on, each of "size" bytes. */
static void data_stack(const struct cet_mode *mode, struct cet_sequence callee, unsigned int size)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct shadow_stack stack = cet_stack(mode);
		struct cet_call call = call_on(mode, &stack, callee);
		struct x86_fault fault;

		if (i) {
			call.stray = cet_target(mode, CET_SEQUENCE(stray)).offset;
		} else {
			call.tamper_offset = size;
			call.tamper = mode->cs ^ other_cs(mode);
		}
		fault = cet_run(mode, 0, CET_SEQUENCE(call_far), &call);
		EXPECT_FAULT_EQ(fault, CP, CP_FAR_RET_IRET, "%s", i ? "IP" : "CS");
		expect_undone(&fault, &call);
	}
}

static void data_stack_ret(const struct cet_mode *mode)
{
	data_stack(mode, CET_SEQUENCE(far_ret), 4);
}
CET_TEST("a far RET to another CS or IP on the data stack raises CP(2)", data_stack_ret)

static void data_stack_iret(const struct cet_mode *mode)
{
	data_stack(mode, CET_SEQUENCE(far_iret), mode->word);
}
CET_TEST("IRET to another CS or IP on the data stack raises CP(2)", data_stack_iret)

static void misaligned(const struct cet_mode *mode, struct cet_sequence callee)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = call_on(mode, &stack, callee);
	struct x86_fault fault;

	call.value = 1;
	fault = cet_run(mode, 0, CET_SEQUENCE(call_far), &call);
	EXPECT_FAULT_EQ(fault, CP, CP_FAR_RET_IRET);
	EXPECT_EQ(call.ssp_inside, call.ssp - FRAME_SIZE + 4);
	expect_undone(&fault, &call);
}

static void misaligned_ret(const struct cet_mode *mode)
{
	misaligned(mode, CET_SEQUENCE(far_ret));
}
CET_TEST("a far RET from an SSP that is no multiple of 8 raises CP(2)", misaligned_ret)

static void misaligned_iret(const struct cet_mode *mode)
{
	misaligned(mode, CET_SEQUENCE(far_iret));
}
CET_TEST("IRET from an SSP that is no multiple of 8 raises CP(2)", misaligned_iret)

/* Up to two words of the frame are there. Which of the others is read first is the CPU's choice. */
static void empty(const struct cet_mode *mode, struct cet_sequence callee)
{
	for (unsigned int words = 0; words <= 2; words++) {
		struct shadow_stack stack = cet_stack(mode);
		struct cet_call call = call_on(mode, &stack, callee);
		struct x86_fault fault;

		call.ssp = stack.end - 8 * words;
		call.value = FRAME_SIZE / 4;
		fault = cet_run(mode, 0, CET_SEQUENCE(call_far), &call);
		EXPECT_FAULT_EQ(fault, PF, PF_SHADOW_STACK | pf_user(mode), "%u words", words);
		EXPECT_GE(fault.cr2, stack.end);
		EXPECT_LT(fault.cr2, call.ssp + FRAME_SIZE);
		expect_undone(&fault, &call);
	}
}

static void empty_ret(const struct cet_mode *mode)
{
	empty(mode, CET_SEQUENCE(far_ret));
}
CET_TEST("a far RET with no whole frame in the page is a shadow stack read beyond it", empty_ret)

static void empty_iret(const struct cet_mode *mode)
{
	empty(mode, CET_SEQUENCE(far_iret));
}
CET_TEST("IRET with no whole frame in the page is a shadow stack read beyond it", empty_iret)

static void full(const struct cet_mode *mode)
{
	/* Without a gate that has a stack of its own, there is no place for the frame of #PF either. */
	bool has_place = mode->word == 8 || mode->compat || mode->user;

	if (!has_place)
		skip_without_task_switch();
	for (unsigned int words = 0; words <= 2; words++) {
		struct shadow_stack stack = cet_stack(mode);
		struct cet_call call = call_on(mode, &stack, CET_SEQUENCE(far_ret));
		struct x86_fault fault;

		call.ssp = stack.base + 8 * words;
		fault = cet_run(mode, 0, CET_SEQUENCE(call_far), &call);
		if (!has_place) {
			EXPECT_FAULT_EQ(fault, DF, 0);
			continue;
		}
		EXPECT_FAULT_EQ(fault, PF, PF_SHADOW_STACK | PF_WRITE | pf_user(mode), "%u words",
				words);
		EXPECT_GE(fault.cr2, call.ssp - FRAME_SIZE);
		EXPECT_LT(fault.cr2, stack.base);
		EXPECT_EQ(fault.sp, call.sp_before);
		EXPECT_EQ(call.ssp_end, call.ssp);
	}
}
CET_TEST("a far CALL with no place for its frame is a shadow stack write before the page", full)

static void top_of_page(const struct cet_mode *mode)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = call_on(mode, &stack, CET_SEQUENCE(far_iret));

	call.ssp = stack.end;
	EXPECT_FAULT_EQ(cet_run(mode, 0, CET_SEQUENCE(call_far), &call), NO_FAULT, 0);
}
CET_TEST("IRET looks for no token above the frame of the same stack", top_of_page)
