// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET: its instructions while it is off
 *
 * Below CR4.CET, SH_STK_EN of IA32_S_CET is for CPL 0 to 2 and that of IA32_U_CET for CPL 3;
 * neither stands for the other. Where it is off, RDSSP and ENDBR are the NOPs that they are on
 * older CPUs, and the rest of the instructions raise #UD (Intel SDM volume 2, the instructions' own
 * pages), before memory is looked at. There are these exceptions: WRUSS asks for CR4.CET alone, and
 * then for CPL 0; SETSSBSY and CLRSSBSY ask for IA32_S_CET at every CPL, and then for CPL 0; WRSS
 * asks for WR_SHSTK_EN as well. ENDBR changes the tracker only where ENDBR_EN and CR4.CET are set.
 *
 * Each table has a column in which the instruction is on: without it, a wrong encoding would pass
 * as off.
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet.h>
#include <x86/endbr.h>
#include <x86/registers.h>
#include <x86/shadow_stack.h>
#include <x86/user.h>

#define ALL_ON	     (CET_SH_STK_EN | CET_WR_SHSTK_EN)
#define USER_VA	     (SHADOW_VA + 0x10000)
#define EVENTS_VA    (SHADOW_VA + 0x20000)
#define RDSSP_BEFORE 0x5ca1ab1e

static uintptr_t run_incssp(uintptr_t address)
{
	(void)address;
	incssp(0);
	return 0;
}

static uintptr_t run_incssp32(uintptr_t address)
{
	(void)address;
	incssp32(0);
	return 0;
}

static uintptr_t run_saveprevssp(uintptr_t address)
{
	(void)address;
	saveprevssp();
	return 0;
}

static uintptr_t run_rstorssp(uintptr_t address)
{
	return rstorssp(address);
}

static uintptr_t run_wrss(uintptr_t address)
{
	wrss(address, 0);
	return 0;
}

static uintptr_t run_wrss32(uintptr_t address)
{
	wrss32(address, 0);
	return 0;
}

static uintptr_t run_wruss(uintptr_t address)
{
	wruss(address, 0);
	return 0;
}

static uintptr_t run_wruss32(uintptr_t address)
{
	wruss32(address, 0);
	return 0;
}

static uintptr_t run_setssbsy(uintptr_t address)
{
	(void)address;
	setssbsy();
	return 0;
}

static uintptr_t run_clrssbsy(uintptr_t address)
{
	return clrssbsy(address);
}

/* Whatever the instruction does with what it is given: it is not #UD. */
#define DEFINED (VECTOR_COUNT + 1)

static const struct instruction {
	const char *name;
	user_function *run;
	unsigned int cpl0_off; /* at CPL 0, SH_STK_EN clear in IA32_S_CET, set in IA32_U_CET */
	unsigned int cpl0_on;  /* the other way round */
	unsigned int cpl3_off; /* at CPL 3, clear in both */
	unsigned int cpl3_s;   /* at CPL 3, set in IA32_S_CET alone */
	unsigned int cpl3_on;  /* at CPL 3, set in IA32_U_CET alone */
} instructions[] = {
	{ "INCSSP", run_incssp, UD, DEFINED, UD, UD, DEFINED },
	{ "INCSSPD", run_incssp32, UD, DEFINED, UD, UD, DEFINED },
	{ "SAVEPREVSSP", run_saveprevssp, UD, DEFINED, UD, UD, DEFINED },
	{ "RSTORSSP", run_rstorssp, UD, DEFINED, UD, UD, DEFINED },
	{ "WRSS", run_wrss, UD, DEFINED, UD, UD, DEFINED },
	{ "WRSSD", run_wrss32, UD, DEFINED, UD, UD, DEFINED },
	{ "WRUSS", run_wruss, NO_FAULT, DEFINED, GP, GP, GP },
	{ "WRUSSD", run_wruss32, NO_FAULT, DEFINED, GP, GP, GP },
	{ "SETSSBSY", run_setssbsy, UD, DEFINED, UD, GP, UD },
	{ "CLRSSBSY", run_clrssbsy, UD, DEFINED, UD, GP, UD },
};

static void expect_vector(const struct instruction *instruction, struct x86_fault fault,
			  unsigned int vector)
{
	if (vector == DEFINED)
		EXPECT_NE(fault.vector, UD, "%s", instruction->name);
	else
		EXPECT_FAULT_EQ(fault, vector, 0, "%s", instruction->name);
}

/* A user shadow stack, whose address the instructions get that have a memory operand. */
static struct shadow_stack begin(void)
{
	if (!has_shadow_stacks())
		SKIP("CPUID leaf 7 shows no shadow stacks");
	cet_enable();
	return shadow_stack_new(USER_VA, SHADOW_USER);
}

TEST("with CR4.CET clear the instructions are undefined at CPL 0, whatever the MSRs hold")
{
	struct shadow_stack user = begin();

	write_cr4(read_cr4() & ~CR4_CET);
	for (unsigned int i = 0; i < COUNT_OF(instructions); i++) {
		wrmsr(MSR_IA32_S_CET, ALL_ON);
		wrmsr(MSR_IA32_U_CET, ALL_ON);
		expect_vector(&instructions[i], FAULT_OF(instructions[i].run(user.base)), UD);
	}
}

TEST("with CR4.CET clear the instructions are undefined at CPL 3, whatever the MSRs hold")
{
	struct shadow_stack user = begin();

	write_cr4(read_cr4() & ~CR4_CET);
	for (unsigned int i = 0; i < COUNT_OF(instructions); i++) {
		wrmsr(MSR_IA32_S_CET, ALL_ON);
		wrmsr(MSR_IA32_U_CET, ALL_ON);
		expect_vector(&instructions[i], user_call(instructions[i].run, user.base).fault,
			      UD);
	}
}

TEST("at CPL 0 it is IA32_S_CET that makes them undefined; WRUSS asks for CR4.CET alone")
{
	struct shadow_stack user = begin();

	for (unsigned int i = 0; i < COUNT_OF(instructions); i++) {
		wrmsr(MSR_IA32_U_CET, ALL_ON);
		expect_vector(&instructions[i], FAULT_OF(instructions[i].run(user.base)),
			      instructions[i].cpl0_off);
	}
}

TEST("at CPL 0 IA32_S_CET defines them, whatever IA32_U_CET holds")
{
	struct shadow_stack user = begin();
	struct shadow_stack stack = shadow_stack_new(SHADOW_VA, SHADOW_SUPERVISOR);

	for (unsigned int i = 0; i < COUNT_OF(instructions); i++) {
		struct x86_fault fault = { 0 };

		ON_SHADOW_STACK(&stack, CET_WR_SHSTK_EN,
				fault = FAULT_OF(instructions[i].run(user.base)));
		expect_vector(&instructions[i], fault, instructions[i].cpl0_on);
	}
}

TEST("at CPL 3 they are undefined with SH_STK_EN clear, and WRUSS is privileged")
{
	struct shadow_stack user = begin();

	for (unsigned int i = 0; i < COUNT_OF(instructions); i++)
		expect_vector(&instructions[i], user_call(instructions[i].run, user.base).fault,
			      instructions[i].cpl3_off);
}

/*
 * user_call() with SH_STK_EN in IA32_S_CET. The IRET to CPL 3 wants SSP aligned to 8 bytes (else
 * #CP(2)), and in 32-bit guests it is the compiler's calls that decide: then one more entry is
 * popped, which nobody returns to.
 */
static struct user_result user_call_from_shadow_stack(user_function *function, uintptr_t argument)
{
	struct shadow_stack stack = shadow_stack_new(SHADOW_VA, SHADOW_SUPERVISOR);
	struct shadow_stack events = shadow_stack_new(EVENTS_VA, SHADOW_SUPERVISOR);
	struct user_result result = { 0 };
	struct x86_fault fault = { 0 };

	for (unsigned int pop = 0; pop < 2; pop++) {
		ON_SHADOW_STACK(&stack, CET_WR_SHSTK_EN,
				wrmsr(MSR_IA32_PL0_SSP, shadow_stack_token(&events));
				incssp(pop);
				fault = FAULT_OF(result = user_call(function, argument)));
		if (fault.vector != CP)
			break;
	}
	REQUIRE(fault.vector == NO_FAULT);
	return result;
}

TEST("at CPL 3 IA32_S_CET defines none of them; SETSSBSY and CLRSSBSY are privileged then")
{
	struct shadow_stack user = begin();

	for (unsigned int i = 0; i < COUNT_OF(instructions); i++) {
		struct user_result result =
			user_call_from_shadow_stack(instructions[i].run, user.base);

		expect_vector(&instructions[i], result.fault, instructions[i].cpl3_s);
	}
}

TEST("at CPL 3 IA32_U_CET defines them; SETSSBSY and CLRSSBSY ask for IA32_S_CET")
{
	struct shadow_stack user = begin();

	for (unsigned int i = 0; i < COUNT_OF(instructions); i++) {
		struct user_result result =
			shadow_user_call(&user, CET_WR_SHSTK_EN, instructions[i].run, user.base);

		expect_vector(&instructions[i], result.fault, instructions[i].cpl3_on);
	}
}

TEST("WRSS asks for both SH_STK_EN and WR_SHSTK_EN, at CPL 0")
{
	struct shadow_stack stack;
	struct x86_fault fault = { 0 };

	begin();
	stack = shadow_stack_new(SHADOW_VA, SHADOW_SUPERVISOR);
	wrmsr(MSR_IA32_S_CET, CET_WR_SHSTK_EN);
	EXPECT_FAULT(UD, 0, wrss(stack.base, 1));
	ON_SHADOW_STACK(&stack, 0, fault = FAULT_OF(wrss(stack.base, 2)));
	EXPECT_FAULT_EQ(fault, UD, 0);
	EXPECT_EQ(*shadow_word(&stack, stack.base), 0);
	ON_SHADOW_STACK(&stack, CET_WR_SHSTK_EN, fault = FAULT_OF(wrss(stack.base, 3)));
	EXPECT_FAULT_EQ(fault, NO_FAULT, 0);
	EXPECT_EQ(*shadow_word(&stack, stack.base), 3);
}

static uintptr_t write_one(uintptr_t address)
{
	wrss(address, 1);
	return 0;
}

TEST("WRSS asks for both SH_STK_EN and WR_SHSTK_EN, at CPL 3")
{
	struct shadow_stack user = begin();

	wrmsr(MSR_IA32_U_CET, CET_WR_SHSTK_EN);
	EXPECT_FAULT_EQ(user_call(write_one, user.base).fault, UD, 0);
	EXPECT_FAULT_EQ(shadow_user_call(&user, 0, write_one, user.base).fault, UD, 0);
	EXPECT_EQ(*shadow_word(&user, user.base), 0);
	EXPECT_TRUE(shadow_user_call(&user, CET_WR_SHSTK_EN, write_one, user.base).returned);
	EXPECT_EQ(*shadow_word(&user, user.base), 1);
}

/*
 * --- RDSSP --------------------------------------------------------------------------------------
 */

static uintptr_t run_rdssp(uintptr_t before)
{
	return rdssp_over(before);
}

static uintptr_t run_rdssp32(uintptr_t before)
{
	return rdssp32_over(before);
}

static user_function *const rdssps[] = { run_rdssp, run_rdssp32 };

TEST("RDSSP is a NOP with CR4.CET clear, whatever the MSRs hold")
{
	struct shadow_stack user = begin();

	write_cr4(read_cr4() & ~CR4_CET);
	for (unsigned int i = 0; i < COUNT_OF(rdssps); i++) {
		wrmsr(MSR_IA32_S_CET, CET_SH_STK_EN);
		EXPECT_EQ(rdssps[i](RDSSP_BEFORE), RDSSP_BEFORE, "form %u", i);
		wrmsr(MSR_IA32_S_CET, 0);
		EXPECT_EQ(shadow_user_call(&user, 0, rdssps[i], RDSSP_BEFORE).value, RDSSP_BEFORE,
			  "form %u", i);
	}
}

TEST("RDSSP at CPL 0 is a NOP unless SH_STK_EN is set in IA32_S_CET")
{
	struct shadow_stack stack;
	uintptr_t value = 0;

	begin();
	stack = shadow_stack_new(SHADOW_VA, SHADOW_SUPERVISOR);
	for (unsigned int i = 0; i < COUNT_OF(rdssps); i++) {
		wrmsr(MSR_IA32_U_CET, CET_SH_STK_EN);
		EXPECT_EQ(rdssps[i](RDSSP_BEFORE), RDSSP_BEFORE, "form %u", i);
		ON_SHADOW_STACK(&stack, 0, value = rdssps[i](RDSSP_BEFORE));
		EXPECT_NE(value, RDSSP_BEFORE, "form %u", i);
	}
}

TEST("RDSSP at CPL 3 is a NOP unless SH_STK_EN is set in IA32_U_CET")
{
	struct shadow_stack user = begin();

	for (unsigned int i = 0; i < COUNT_OF(rdssps); i++) {
		wrmsr(MSR_IA32_U_CET, 0);
		EXPECT_EQ(user_call_from_shadow_stack(rdssps[i], RDSSP_BEFORE).value, RDSSP_BEFORE,
			  "form %u", i);
		EXPECT_NE(shadow_user_call(&user, 0, rdssps[i], RDSSP_BEFORE).value, RDSSP_BEFORE,
			  "form %u", i);
	}
}

#ifdef __x86_64__
TEST("a NOP form of RDSSP with 32 bits leaves the upper half of its register")
{
	uintptr_t value = 0x1234567800000000 | RDSSP_BEFORE;

	begin();
	EXPECT_EQ(rdssp32_over(value), value);
}
#endif

/*
 * --- ENDBR --------------------------------------------------------------------------------------
 */

static void (*const endbrs[])(void) = { endbr64, endbr32 };

static uintptr_t run_endbrs(uintptr_t argument)
{
	endbr64();
	endbr32();
	return argument;
}

TEST("ENDBR64 and ENDBR32 are NOPs in both modes, at CPL 0 and 3, with CR4.CET clear and set")
{
	for (unsigned int cet = 0; cet < 2; cet++) {
		if (cet)
			cet_enable();
		for (unsigned int i = 0; i < COUNT_OF(endbrs); i++) {
			uintptr_t flags = read_flags() | FLAGS_CF;

			write_flags(flags);
			EXPECT_FAULT_EQ(FAULT_OF(endbrs[i]()), NO_FAULT, 0, "form %u", i);
		}
		EXPECT_EQ(user_call(run_endbrs, RDSSP_BEFORE).value, RDSSP_BEFORE);
	}
}

static const uint64_t tracker_states[] = { CET_TRACKER, CET_SUPPRESS };

TEST("ENDBR leaves the tracker of IA32_S_CET while ENDBR_EN is clear")
{
	if (!has_ibt())
		SKIP("CPUID leaf 7 shows no indirect branch tracking");
	cet_enable();
	for (unsigned int i = 0; i < COUNT_OF(tracker_states); i++) {
		wrmsr(MSR_IA32_S_CET, tracker_states[i]);
		endbr64();
		endbr32();
		EXPECT_EQ(rdmsr(MSR_IA32_S_CET), tracker_states[i], "case %u", i);
	}
}

TEST("ENDBR leaves the tracker of IA32_U_CET while ENDBR_EN is clear")
{
	if (!has_ibt())
		SKIP("CPUID leaf 7 shows no indirect branch tracking");
	cet_enable();
	for (unsigned int i = 0; i < COUNT_OF(tracker_states); i++) {
		wrmsr(MSR_IA32_U_CET, tracker_states[i]);
		EXPECT_TRUE(user_call(run_endbrs, 0).returned);
		EXPECT_EQ(rdmsr(MSR_IA32_U_CET), tracker_states[i], "case %u", i);
	}
}

TEST("ENDBR leaves the tracker while CR4.CET is clear, whatever the MSRs hold")
{
	if (!has_ibt())
		SKIP("CPUID leaf 7 shows no indirect branch tracking");
	cet_enable();
	write_cr4(read_cr4() & ~CR4_CET);
	for (unsigned int i = 0; i < COUNT_OF(tracker_states); i++) {
		wrmsr(MSR_IA32_S_CET, CET_ENDBR_EN | tracker_states[i]);
		endbr64();
		endbr32();
		EXPECT_EQ(rdmsr(MSR_IA32_S_CET), CET_ENDBR_EN | tracker_states[i], "case %u", i);
	}
}
