// SPDX-License-Identifier: BSD-2-Clause
/*
 * Indirect branch tracking: which branches want an ENDBR, and what is one
 *
 * After a near indirect CALL or JMP and any far one, the next instruction must be ENDBR64 in 64-bit mode, and
 * ENDBR32 in all others; any other raises #CP with error code 3, whose IP is that of this instruction. In
 * between, the tracker of the privilege level's class is in the state WAIT_FOR_ENDBRANCH, to be read as bit 11
 * (TRACKER) of IA32_U_CET and IA32_S_CET. Branches whose target is in the instruction, and returns, want none.
 * The prefix 3EH takes a near indirect branch out of it, if NO_TRACK_EN allows.
 *
 * A hypervisor that lets the CPU do this may still lose the state (it is part of the two MSRs, and of XSAVE's
 * CET_U), and one that emulates branches has to do it itself: KVM's emulator refuses them (arch/x86/kvm/
 * emulate.c, is_ibt_instruction).
 *
 * Sources: Intel SDM volume 1, "Indirect Branch Tracking", with the table "Indirect Branch Tracking State
 * Machine"; volume 2, ENDBR32 and ENDBR64. Its text takes direct far branches (of 32-bit mode) out of the
 * tracking, the table does not: they are not tested. AMD's CPUs have no indirect branch tracking.
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet.h>
#include <x86/cet_branches.h>
#include <x86/msr.h>
#include <x86/paging.h>
#include <x86/registers.h>

#define TRACKED		(CET_ENDBR_EN)
#define NOTRACK_ALLOWED (CET_ENDBR_EN | CET_NO_TRACK_EN)

/* What the MSR holds behind a #CP: at CPL 3 the tracker goes on waiting; see struct branch_result for CPL 0. */
static uint64_t waiting(enum cpl cpl, uint64_t cet)
{
	return cpl == CPL3 ? cet | CET_TRACKER : 0;
}

static void expect_reached(struct branch_result result, uint64_t cet, const char *name)
{
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0, "%s", name);
	EXPECT_EQ(result.value, TARGET_REACHED, "%s", name);
	EXPECT_EQ(result.cet, cet, "%s", name);
}

static void expect_missing(struct branch_result result, uintptr_t ip, uint64_t cet,
			   const char *name)
{
	EXPECT_FAULT_EQ(result.fault, CP, CP_ENDBRANCH, "%s", name);
	EXPECT_EQ(result.fault.ip, ip, "%s", name);
	EXPECT_EQ(result.cet, cet, "%s", name);
}

/*
 * --- the branches -------------------------------------------------------------------------------
 */

static void wants_endbr(enum cpl cpl, uint64_t cet, user_function *branch)
{
	uintptr_t with = target_new(TARGET_ENDBR), without = target_new(TARGET_NO_ENDBR);

	ibt_enable();
	expect_reached(branch_run(cpl, cet, branch, with), cet, "to ENDBR");
	expect_missing(branch_run(cpl, cet, branch, without), without, waiting(cpl, cet), "to NOP");
}

IN_BOTH_MODES("CALL by register wants an ENDBR, and raises CP at any other instruction")
{
	wants_endbr(cpl, TRACKED, branch_call_register);
}

IN_BOTH_MODES("CALL by memory wants an ENDBR, and raises CP at any other instruction")
{
	wants_endbr(cpl, TRACKED, branch_call_memory);
}

IN_BOTH_MODES("JMP by register wants an ENDBR, and raises CP at any other instruction")
{
	wants_endbr(cpl, TRACKED, branch_jmp_register);
}

IN_BOTH_MODES("JMP by memory wants an ENDBR, and raises CP at any other instruction")
{
	wants_endbr(cpl, TRACKED, branch_jmp_memory);
}

IN_BOTH_MODES("far CALL by memory wants an ENDBR, and raises CP at any other instruction")
{
	wants_endbr(cpl, TRACKED, branch_far_call);
}

IN_BOTH_MODES("far JMP by memory wants an ENDBR, and raises CP at any other instruction")
{
	wants_endbr(cpl, TRACKED, branch_far_jmp);
}

static const struct {
	const char *name;
	user_function *branch;
} branches[] = {
	{ "CALL by register", branch_call_register },
	{ "CALL by memory", branch_call_memory },
	{ "JMP by register", branch_jmp_register },
	{ "JMP by memory", branch_jmp_memory },
	{ "far CALL", branch_far_call },
	{ "far JMP", branch_far_jmp },
};

static void untracked(enum cpl cpl, user_function *branch)
{
	ibt_enable();
	expect_reached(branch_run(cpl, TRACKED, branch, 0), TRACKED, "");
}

IN_BOTH_MODES("CALL to an address in the instruction wants no ENDBR")
{
	untracked(cpl, direct_call);
}

IN_BOTH_MODES("CALL with zero displacement wants no ENDBR")
{
	untracked(cpl, direct_call_zero);
}

IN_BOTH_MODES("JMP to an address in the instruction wants no ENDBR")
{
	untracked(cpl, direct_jmp);
}

IN_BOTH_MODES("Jcc wants no ENDBR")
{
	untracked(cpl, direct_jcc);
}

IN_BOTH_MODES("LOOP wants no ENDBR")
{
	untracked(cpl, direct_loop);
}

IN_BOTH_MODES("near RET wants no ENDBR")
{
	untracked(cpl, return_near);
}

IN_BOTH_MODES("near RET with an immediate wants no ENDBR")
{
	untracked(cpl, return_imm);
}

IN_BOTH_MODES("far RET wants no ENDBR")
{
	untracked(cpl, return_far);
}

IN_BOTH_MODES("IRET wants no ENDBR")
{
	untracked(cpl, return_iret);
}

/*
 * --- enabling -----------------------------------------------------------------------------------
 */

static void not_tracked(enum cpl cpl, uint64_t cet)
{
	uintptr_t target = target_new(TARGET_NO_ENDBR);

	for (unsigned int i = 0; i < COUNT_OF(branches); i++)
		expect_reached(branch_run(cpl, cet, branches[i].branch, target), cet,
			       branches[i].name);
}

IN_BOTH_MODES("without ENDBR_EN nothing is tracked")
{
	ibt_enable();
	not_tracked(cpl, CET_NO_TRACK_EN);
}

IN_BOTH_MODES("without CR4.CET nothing is tracked")
{
	ibt_enable();
	write_cr4(read_cr4() & ~CR4_CET);
	not_tracked(cpl, TRACKED);
}

TEST("tracking at CPL 3 does not reach CPL 0")
{
	ibt_enable();
	wrmsr(MSR_IA32_U_CET, TRACKED);
	not_tracked(CPL0, 0);
	EXPECT_EQ(rdmsr(MSR_IA32_U_CET), TRACKED);
}

/* S_CET is in force in the handler that comes between, which begins with ENDBR. */
TEST("tracking at CPL 0 does not reach CPL 3")
{
	uintptr_t target = target_new(TARGET_NO_ENDBR);
	struct user_result user;

	ibt_enable();
	wrmsr(MSR_IA32_S_CET, TRACKED);
	user = user_call(branch_call_register, target);
	wrmsr(MSR_IA32_S_CET, 0);
	EXPECT_FAULT_EQ(user.fault, NO_FAULT, 0);
	EXPECT_EQ(user.value, TARGET_REACHED);
}

/*
 * --- what is an ENDBR ---------------------------------------------------------------------------
 */

IN_BOTH_MODES("the other mode's ENDBR is none")
{
	uintptr_t target = target_new(TARGET_OTHER_ENDBR);

	ibt_enable();
	for (unsigned int i = 0; i < COUNT_OF(branches); i++)
		expect_missing(branch_run(cpl, TRACKED, branches[i].branch, target), target,
			       waiting(cpl, TRACKED), branches[i].name);
}

#ifdef __x86_64__
static void wants_endbr32(enum cpl cpl, user_function *branch)
{
	uintptr_t with = target_new(TARGET_OTHER_ENDBR), without = target_new(TARGET_ENDBR);

	ibt_enable();
	expect_reached(branch_run(cpl, TRACKED, branch, with), TRACKED, "to ENDBR32");
	expect_missing(branch_run(cpl, TRACKED, branch, without), without, waiting(cpl, TRACKED),
		       "to ENDBR64");
}

IN_BOTH_MODES("a far JMP to compatibility mode wants an ENDBR32")
{
	wants_endbr32(cpl, branch_compat_far_jmp);
}

IN_BOTH_MODES("a near CALL in compatibility mode wants an ENDBR32")
{
	wants_endbr32(cpl, branch_compat_call);
}
#endif

#define CASE(name, ...)                         \
	{                                       \
		name, TARGET_BYTES(__VA_ARGS__) \
	}

/* ENDBR is F3 0F 1E and a ModR/M byte, in a range of NOPs and RDSSP. */
static const struct {
	const char *name;
	struct target_bytes bytes;
} no_endbr[] = {
	CASE("without the prefix F3H", 0x0f, 0x1e, 0xfa),
	CASE("ENDBR32 without the prefix F3H", 0x0f, 0x1e, 0xfb),
	CASE("with 66H in its place", 0x66, 0x0f, 0x1e, 0xfa),
	CASE("with F2H in its place", 0xf2, 0x0f, 0x1e, 0xfa),
	CASE("the ModR/M byte before", 0xf3, 0x0f, 0x1e, 0xf9),
	CASE("the ModR/M byte behind", 0xf3, 0x0f, 0x1e, 0xfc),
	CASE("another NOP in that range", 0xf3, 0x0f, 0x1e, 0xc0),
	CASE("RDSSP", 0xf3, 0x0f, 0x1e, 0xc8),
	CASE("PAUSE", 0xf3, 0x90),
	CASE("MOV", 0x89, 0xc0),
	CASE("RET", 0xc3),
	CASE("direct JMP to an ENDBR", 0xeb, 0x00, BYTES_ENDBR),
	CASE("NOP, then ENDBR", 0x90, BYTES_ENDBR),
	CASE("INT n", 0xcd, 0x03),
};

IN_BOTH_MODES("what only resembles an ENDBR is none, nor are other instructions")
{
	ibt_enable();
	for (unsigned int i = 0; i < COUNT_OF(no_endbr); i++) {
		uintptr_t target = target_new(no_endbr[i].bytes);

		expect_missing(branch_run(cpl, TRACKED, branch_call_register, target), target,
			       waiting(cpl, TRACKED), no_endbr[i].name);
	}
}

IN_BOTH_MODES("an ENDBR counts at any alignment, and across pages")
{
	const unsigned int endbr_size = 4;
	uintptr_t base = (uintptr_t)pages_alloc(1);

	ibt_enable();
	for (uintptr_t at = base + PAGE_SIZE - endbr_size - 16; at <= base + PAGE_SIZE; at++) {
		uintptr_t target = target_write(at, TARGET_ENDBR);

		expect_reached(branch_run(cpl, TRACKED, branch_call_register, target), TRACKED, "");
	}
}

/* All status flags and DF; the latter is cleared before C goes on. */
#define FLAGS_STATUS 0x8d5ul

IN_BOTH_MODES("ENDBR without a wait is a NOP of either kind, and changes no flag or register")
{
	static const uint64_t settings[] = { 0, CET_ENDBR_EN };
	static const uintptr_t flags[] = { 0, FLAGS_STATUS, FLAGS_STATUS | FLAGS_DF };
	const uintptr_t mask = FLAGS_STATUS | FLAGS_DF;

	ibt_enable();
	for (unsigned int i = 0; i < COUNT_OF(settings); i++) {
		for (unsigned int j = 0; j < COUNT_OF(flags); j++) {
			struct branch_result result =
				branch_run(cpl, settings[i], endbr_both, FLAGS_ONE | flags[j]);

			EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
			EXPECT_EQ(result.value & (FLAGS_ONE | mask), FLAGS_ONE | flags[j]);
			EXPECT_EQ(result.cet, settings[i]);
		}
	}
}

/* SDM volume 2, ENDBR64: "IF EndbranchEnabled(CPL)"; and the state machine's rows with ENDBR_EN = 0. */
IN_BOTH_MODES("ENDBR leaves TRACKER and SUPPRESS alone while ENDBR_EN is clear")
{
	ibt_enable();
	for (uint64_t state = CET_SUPPRESS; state <= CET_TRACKER; state *= 2)
		EXPECT_EQ(branch_run(cpl, state, endbr_both, FLAGS_ONE).cet, state);
}

/*
 * --- the no-track prefix ------------------------------------------------------------------------
 */

static void exempt(enum cpl cpl, user_function *branch)
{
	uintptr_t target = target_new(TARGET_NO_ENDBR);

	ibt_enable();
	expect_reached(branch_run(cpl, NOTRACK_ALLOWED, branch, target), NOTRACK_ALLOWED, "");
}

IN_BOTH_MODES("with 3EH and NO_TRACK_EN, CALL by register wants no ENDBR")
{
	exempt(cpl, notrack_call_register);
}

IN_BOTH_MODES("with 3EH and NO_TRACK_EN, CALL by memory wants no ENDBR")
{
	exempt(cpl, notrack_call_memory);
}

IN_BOTH_MODES("with 3EH and NO_TRACK_EN, JMP by register wants no ENDBR")
{
	exempt(cpl, notrack_jmp_register);
}

IN_BOTH_MODES("with 3EH and NO_TRACK_EN, JMP by memory wants no ENDBR")
{
	exempt(cpl, notrack_jmp_memory);
}

IN_BOTH_MODES("with 3EH without NO_TRACK_EN, CALL by register wants an ENDBR")
{
	wants_endbr(cpl, TRACKED, notrack_call_register);
}

IN_BOTH_MODES("with 3EH without NO_TRACK_EN, CALL by memory wants an ENDBR")
{
	wants_endbr(cpl, TRACKED, notrack_call_memory);
}

IN_BOTH_MODES("with 3EH without NO_TRACK_EN, JMP by register wants an ENDBR")
{
	wants_endbr(cpl, TRACKED, notrack_jmp_register);
}

IN_BOTH_MODES("with 3EH without NO_TRACK_EN, JMP by memory wants an ENDBR")
{
	wants_endbr(cpl, TRACKED, notrack_jmp_memory);
}

IN_BOTH_MODES("with 3EH and NO_TRACK_EN, far CALL wants an ENDBR")
{
	wants_endbr(cpl, NOTRACK_ALLOWED, notrack_far_call);
}

IN_BOTH_MODES("with 3EH and NO_TRACK_EN, far JMP wants an ENDBR")
{
	wants_endbr(cpl, NOTRACK_ALLOWED, notrack_far_jmp);
}

IN_BOTH_MODES("with NO_TRACK_EN, branches without 3EH want an ENDBR")
{
	uintptr_t target = target_new(TARGET_NO_ENDBR);

	ibt_enable();
	for (unsigned int i = 0; i < COUNT_OF(branches); i++)
		expect_missing(branch_run(cpl, NOTRACK_ALLOWED, branches[i].branch, target), target,
			       waiting(cpl, NOTRACK_ALLOWED), branches[i].name);
}

/*
 * Volume 1, "No-track Prefix for Near Indirect CALL/JMP": in 64-bit mode 3EH is one if there is neither 64H nor
 * 65H, which still mean something there; in other modes, if it is the last of the segment prefixes.
 */
IN_BOTH_MODES("3EH behind a prefix for ES is still one")
{
	exempt(cpl, es_then_notrack);
}

#ifdef __x86_64__
IN_BOTH_MODES("3EH before a prefix for ES, which means nothing, is still one")
{
	exempt(cpl, notrack_then_es);
}

IN_BOTH_MODES("3EH before or behind a prefix for FS is none")
{
	wants_endbr(cpl, NOTRACK_ALLOWED, notrack_then_fs);
	wants_endbr(cpl, NOTRACK_ALLOWED, fs_then_notrack);
}
#else
IN_BOTH_MODES("3EH behind a prefix for FS is still one")
{
	exempt(cpl, fs_then_notrack);
}

IN_BOTH_MODES("3EH before another segment prefix is none")
{
	wants_endbr(cpl, NOTRACK_ALLOWED, notrack_then_es);
	wants_endbr(cpl, NOTRACK_ALLOWED, notrack_then_fs);
}
#endif
