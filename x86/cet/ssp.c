// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks: INCSSP and RDSSP
 *
 * INCSSPD and INCSSPQ add 4 or 8 times bits 7:0 of their operand to SSP. Before that they read the
 * first and the last of the words that they pop, or the first one if these are none: by the
 * greatest step, 255 * 8 bytes, no page that is not a shadow stack can be passed over. These are
 * shadow stack reads, with bit 6 in the error code of #PF.
 *
 * RDSSPD and RDSSPQ give SSP, its lower half zero-extended or all of it. They are NOPs, which leave
 * their whole operand as it was, where shadow stacks are off: by CR4.CET = 0, or by SH_STK_EN = 0
 * at this privilege level. INCSSP is #UD there.
 *
 * Sources: Intel SDM volume 2, "INCSSPD/INCSSPQ", "RDSSPD/RDSSPQ"; AMD APM volume 3, "INCSSP",
 * "RDSSP".
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet_calls.h>
#include <x86/registers.h>

static struct cet_call call_on(const struct shadow_stack *stack)
{
	return (struct cet_call){ .ssp = stack->base + 0x100 };
}

static uint32_t pf_user(const struct cet_mode *mode)
{
	return mode->user ? PF_USER : 0;
}

static void steps(const struct cet_mode *mode, struct cet_sequence sequence, unsigned int size)
{
	const uint64_t counts[] = { 0, 1, 2, 3, 127, 128, 255 };

	for (unsigned int i = 0; i < COUNT_OF(counts); i++) {
		struct shadow_stack stack = cet_stack(mode);
		struct cet_call call = call_on(&stack);

		call.value = counts[i];
		EXPECT_FAULT_EQ(cet_run(mode, 0, sequence, &call), NO_FAULT, 0);
		EXPECT_EQ(call.ssp_after, call.ssp + counts[i] * size, "%u words",
			  (unsigned int)counts[i]);
		cet_expect_pushed(&stack, call.ssp, NULL, 0);
	}
}

static void ignored_bits(const struct cet_mode *mode, struct cet_sequence sequence,
			 unsigned int size)
{
	for (unsigned int bit = 8; bit < 8 * mode->word; bit++) {
		struct shadow_stack stack = cet_stack(mode);
		struct cet_call call = call_on(&stack);

		call.value = 3 | 1ull << bit;
		EXPECT_FAULT_EQ(cet_run(mode, 0, sequence, &call), NO_FAULT, 0);
		EXPECT_EQ(call.ssp_after, call.ssp + 3 * size, "bit %u", bit);
	}
}

/* The words of "size" bytes that it reads at the page's end, of which the last one is not there. */
static void past_end(const struct cet_mode *mode, struct cet_sequence sequence, unsigned int size)
{
	const struct {
		unsigned int there, count;
		int faulting; /* the word's number from the page's end on; -1: none */
	} cases[] = {
		{ 0, 0, 0 }, { 0, 1, 0 }, { 0, 255, 0 }, { 1, 0, -1 },	  { 1, 1, -1 },
		{ 1, 2, 0 }, { 1, 3, 1 }, { 2, 2, -1 },	 { 4, 255, 250 },
	};

	for (unsigned int i = 0; i < COUNT_OF(cases); i++) {
		struct shadow_stack stack = cet_stack(mode);
		struct cet_call call = call_on(&stack);
		struct x86_fault fault;

		call.ssp = stack.end - cases[i].there * size;
		call.value = cases[i].count;
		fault = cet_run(mode, 0, sequence, &call);
		if (cases[i].faulting < 0) {
			EXPECT_FAULT_EQ(fault, NO_FAULT, 0, "case %u", i);
			EXPECT_EQ(call.ssp_after, call.ssp + cases[i].count * size);
		} else {
			EXPECT_FAULT_EQ(fault, PF, PF_SHADOW_STACK | pf_user(mode), "case %u", i);
			EXPECT_EQ(fault.cr2, stack.end + cases[i].faulting * size, "case %u", i);
			EXPECT_EQ(call.ssp_end, call.ssp);
		}
	}
}

static void steps_d(const struct cet_mode *mode)
{
	steps(mode, CET_SEQUENCE(incssp_d), 4);
}
CET_TEST("INCSSPD adds 4 for each word, 0 to 255", steps_d)

static void ignored_d(const struct cet_mode *mode)
{
	ignored_bits(mode, CET_SEQUENCE(incssp_d), 4);
}
CET_TEST("INCSSPD looks at bits 7:0 of its operand only", ignored_d)

static void past_end_d(const struct cet_mode *mode)
{
	past_end(mode, CET_SEQUENCE(incssp_d), 4);
}
CET_TEST("INCSSPD reads the first and the last word, also of none", past_end_d)

#ifdef __x86_64__
#define TEST_64(statement, check)       \
	CET_TEST_CPL0(statement, check) \
	CET_TEST_CPL3(statement, check)

static void steps_q(const struct cet_mode *mode)
{
	steps(mode, CET_SEQUENCE64(incssp_q), 8);
}
TEST_64("INCSSPQ adds 8 for each word, 0 to 255", steps_q)

static void ignored_q(const struct cet_mode *mode)
{
	ignored_bits(mode, CET_SEQUENCE64(incssp_q), 8);
}
TEST_64("INCSSPQ looks at bits 7:0 of its operand only", ignored_q)

static void past_end_q(const struct cet_mode *mode)
{
	past_end(mode, CET_SEQUENCE64(incssp_q), 8);
}
TEST_64("INCSSPQ reads the first and the last word, also of none", past_end_q)
#endif

#ifdef __x86_64__
#define OVERWRITTEN 0x123456789abcdef1ull
#else
#define OVERWRITTEN 0x9abcdef1u
#endif

static void reads(const struct cet_mode *mode)
{
	struct shadow_stack stack = cet_stack(mode);
	struct cet_call call = call_on(&stack);

	call.value = OVERWRITTEN;
	EXPECT_FAULT_EQ(cet_run(mode, 0, CET_SEQUENCE(rdssp_d), &call), NO_FAULT, 0);
	EXPECT_EQ((uint32_t)call.value, (uint32_t)call.ssp);
	if (mode->wide)
		EXPECT_EQ(call.value, (uint32_t)call.ssp);
#ifdef __x86_64__
	if (!mode->wide)
		return;
	call.value = OVERWRITTEN;
	EXPECT_FAULT_EQ(cet_run(mode, 0, CET_SEQUENCE64(rdssp_q), &call), NO_FAULT, 0);
	EXPECT_EQ(call.value, call.ssp);
#endif
}
CET_TEST("RDSSPD gives the lower half of SSP, zero-extended, and RDSSPQ all of it", reads)

/* At CPL 0 a sequence leaves IA32_S_CET zero. */
static struct x86_fault run(const struct cet_mode *mode, struct cet_sequence sequence, uint64_t cet,
			    struct cet_call *call)
{
	struct x86_fault fault;

	wrmsr(MSR_IA32_U_CET, cet);
	wrmsr(MSR_IA32_S_CET, cet);
	fault = cet_run_off(mode, sequence, call);
	wrmsr(MSR_IA32_U_CET, 0);
	wrmsr(MSR_IA32_S_CET, 0);
	return fault;
}

/* With CR4.CET as it is. */
static void expect_off(const struct cet_mode *mode, uint64_t cet)
{
	struct cet_call call = { .value = OVERWRITTEN };

	EXPECT_FAULT_EQ(run(mode, CET_SEQUENCE(rdssp_d), cet, &call), NO_FAULT, 0);
	EXPECT_EQ(call.value, OVERWRITTEN);
	EXPECT_FAULT_EQ(run(mode, CET_SEQUENCE(incssp_d), cet, &call), UD, 0);
#ifdef __x86_64__
	if (!mode->wide)
		return;
	EXPECT_FAULT_EQ(run(mode, CET_SEQUENCE64(rdssp_q), cet, &call), NO_FAULT, 0);
	EXPECT_EQ(call.value, OVERWRITTEN);
	EXPECT_FAULT_EQ(run(mode, CET_SEQUENCE64(incssp_q), cet, &call), UD, 0);
#endif
}

static void without_cr4(const struct cet_mode *mode)
{
	expect_off(mode, CET_SH_STK_EN);
}
CET_TEST("without CR4.CET RDSSP is a NOP, and INCSSP UD", without_cr4)

static void without_enable(const struct cet_mode *mode)
{
	cet_enable();
	expect_off(mode, CET_WR_SHSTK_EN);
}
CET_TEST("without SH_STK_EN RDSSP is a NOP, and INCSSP UD", without_enable)
