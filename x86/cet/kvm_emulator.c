// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET under KVM: the emulator executes no branch that CET watches
 *
 * KVM's emulator (arch/x86/kvm/emulate.c) knows nothing of shadow stacks and of indirect branch tracking: what it
 * executed would push no return address, or land anywhere. So it refuses (x86_decode_insn):
 *
 *	instruction		refused if
 *	near CALL, RET		SH_STK_EN where it is executed: IA32_S_CET, or IA32_U_CET at CPL 3
 *	near indirect branch	ENDBR_EN where it is executed
 *	far branch		either, in IA32_S_CET or IA32_U_CET, since it may lead from one to the other;
 *				SH_STK_EN does not matter to a far JMP, nor ENDBR_EN to a far RET
 *	any other		never
 *
 * and CR4.CET set. Refused means #UD, at the instruction behind the forced emulation prefix (x86.c, handle_ud and
 * x86_emulate_instruction). All of these instructions the emulator otherwise knows, which is seen first.
 *
 * What it executes of them is right on a shadow stack too: a far JMP pushes nothing there, but must not leave
 * 64-bit mode with SSP above 4 GiB (emulator_is_ssp_invalid; Intel SDM volume 2, "JMP").
 */
#include <kvm/emulate.h>
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/cet.h>
#include <x86/descriptors.h>
#include <x86/registers.h>
#include <x86/shadow_stack.h>

enum needs { NOTHING = 0, SHADOW = 1, TRACKING = 2, FAR = 4 };

/*
 * A function: ENDBR64, what comes before, the prefix and the instruction, and what comes after. All of
 * them return to their caller, on the same stack.
 */
struct branch {
	const char *name;
	enum needs kind;
	uint8_t before[10], instruction[8], after[8];
	uint8_t before_size, size;
};

static const struct branch branches[] = {
	{ "near CALL", SHADOW, { 0 }, { 0xe8, 1, 0, 0, 0 }, { 0xc3, 0xc3 }, 0, 5 },
	{ "near RET", SHADOW, { 0 }, { 0xc3 }, { 0 }, 0, 1 },
	{ "near RET $0", SHADOW, { 0 }, { 0xc2, 0, 0 }, { 0 }, 0, 3 },
	/* LEA 7(%rip), %rax: behind the prefix and the instruction, an ENDBR64 and a RET. */
	{ "near indirect JMP",
	  TRACKING,
	  { 0x48, 0x8d, 0x05, 7, 0, 0, 0 },
	  { 0xff, 0xe0 },
	  { 0xf3, 0x0f, 0x1e, 0xfa, 0xc3 },
	  7,
	  2 },
	/* LEA 8(%rip), %rax; behind the CALL a RET, then the ENDBR64 and RET that are called. */
	{ "near indirect CALL",
	  SHADOW | TRACKING,
	  { 0x48, 0x8d, 0x05, 8, 0, 0, 0 },
	  { 0xff, 0xd0 },
	  { 0xc3, 0xf3, 0x0f, 0x1e, 0xfa, 0xc3 },
	  7,
	  2 },
	/* POP %rax; PUSH $KERNEL_CS; PUSH %rax; LRETQ */
	{ "far RET", SHADOW | FAR, { 0x58, 0x6a, 0x08, 0x50 }, { 0x48, 0xcb }, { 0 }, 4, 2 },
	/* POP %rax; PUSH $KERNEL_CS; PUSH %rax; LRETQ $0 */
	{ "far RET $0",
	  SHADOW | FAR,
	  { 0x58, 0x6a, 0x08, 0x50 },
	  { 0x48, 0xca, 0, 0 },
	  { 0 },
	  4,
	  4 },
	/*
	 * LEA 12(%rip), %rax; PUSH $KERNEL_CS; PUSH %rax; REX.W JMP (%rsp). Behind that is what it leads to:
	 * ADD $16, %rsp; RET.
	 */
	{ "far JMP",
	  TRACKING | FAR,
	  { 0x48, 0x8d, 0x05, 12, 0, 0, 0, 0x6a, 0x08, 0x50 },
	  { 0x48, 0xff, 0x2c, 0x24 },
	  { 0x48, 0x83, 0xc4, 16, 0xc3 },
	  10,
	  4 },
	/* The same; the CALL has pushed 16 bytes more. */
	{ "far CALL",
	  SHADOW | TRACKING | FAR,
	  { 0x48, 0x8d, 0x05, 12, 0, 0, 0, 0x6a, 0x08, 0x50 },
	  { 0x48, 0xff, 0x1c, 0x24 },
	  { 0x48, 0x83, 0xc4, 32, 0xc3 },
	  10,
	  4 },
	{ "near direct JMP", NOTHING, { 0 }, { 0xeb, 0 }, { 0xc3 }, 0, 2 },
	{ "MOV", NOTHING, { 0 }, { 0x89, 0xc0 }, { 0xc3 }, 0, 2 },
};

static const uint8_t endbr[] = { 0xf3, 0x0f, 0x1e, 0xfa };

/* Returns where the instruction is, behind its prefix. */
static uintptr_t write_code(uint8_t *code, const struct branch *branch)
{
	uint8_t *at = code;

	memcpy(at, endbr, sizeof(endbr));
	at += sizeof(endbr);
	memcpy(at, branch->before, branch->before_size);
	at += branch->before_size;
	emulated_code(at, branch->instruction, branch->size);
	at += KVM_EMULATE_PREFIX_SIZE;
	memcpy(at + branch->size, branch->after, sizeof(branch->after));
	return (uintptr_t)at;
}

static void expect(struct x86_fault fault, bool refused, uintptr_t instruction, const char *name)
{
	EXPECT_FAULT_EQ(fault, refused ? UD : NO_FAULT, 0, "%s", name);
	if (refused)
		EXPECT_EQ(fault.ip, instruction, "%s", name);
}

static void begin(void)
{
	if (!has_shadow_stacks())
		SKIP("this CPU has no shadow stacks");
	REQUIRE(vmm_forces_emulation());
	cet_enable();
}

/* All of them at CPL 0, with these values; a set SH_STK_EN puts them on a shadow stack. */
static void try_all(uint64_t s_cet, uint64_t u_cet)
{
	struct shadow_stack stack = shadow_stack_new(SHADOW_VA, SHADOW_SUPERVISOR);
	uint8_t *code = page_alloc();

	for (unsigned int i = 0; i < COUNT_OF(branches); i++) {
		const struct branch *branch = &branches[i];
		uint64_t cet = s_cet | (branch->kind & FAR ? u_cet : 0);
		bool refused = (branch->kind & SHADOW && cet & CET_SH_STK_EN) ||
			       (branch->kind & TRACKING && cet & CET_ENDBR_EN);
		uintptr_t instruction = write_code(code, branch);
		struct x86_fault fault = { 0 };

		wrmsr(MSR_IA32_U_CET, u_cet);
		if (s_cet & CET_SH_STK_EN) {
			ON_SHADOW_STACK(&stack, s_cet, fault = FAULT_OF(((void (*)(void))code)()));
		} else {
			wrmsr(MSR_IA32_S_CET, s_cet);
			fault = FAULT_OF(((void (*)(void))code)());
			wrmsr(MSR_IA32_S_CET, 0);
		}
		expect(fault, refused, instruction, branch->name);
	}
	wrmsr(MSR_IA32_U_CET, 0);
	page_free(code);
}

TEST("with CR4.CET alone, the emulator executes every branch")
{
	begin();
	try_all(0, 0);
}

TEST("with supervisor shadow stacks it refuses calls and returns, and nothing else")
{
	begin();
	try_all(CET_SH_STK_EN, 0);
}

TEST("with supervisor branch tracking it refuses indirect branches, and nothing else")
{
	begin();
	if (!has_ibt())
		SKIP("this CPU has no indirect branch tracking");
	try_all(CET_ENDBR_EN, 0);
}

TEST("with both it refuses both")
{
	begin();
	if (!has_ibt())
		SKIP("this CPU has no indirect branch tracking");
	try_all(CET_SH_STK_EN | CET_ENDBR_EN, 0);
}

TEST("with the user's shadow stacks it refuses far branches of CPL 0")
{
	begin();
	try_all(0, CET_SH_STK_EN);
}

TEST("with the user's branch tracking it refuses far branches of CPL 0, but not the far return")
{
	begin();
	if (!has_ibt())
		SKIP("this CPU has no indirect branch tracking");
	try_all(0, CET_ENDBR_EN);
}

/* The same at CPL 3. Far branches lead to CPL 0's segment, and are left out. */
static void try_all_of_user(uint64_t u_cet)
{
	struct shadow_stack stack = shadow_stack_new(SHADOW_VA_LOW, SHADOW_USER);
	uint8_t *code = page_alloc();

	for (unsigned int i = 0; i < COUNT_OF(branches); i++) {
		const struct branch *branch = &branches[i];
		bool refused = (branch->kind & SHADOW && u_cet & CET_SH_STK_EN) ||
			       (branch->kind & TRACKING && u_cet & CET_ENDBR_EN);
		uintptr_t instruction = write_code(code, branch);
		struct user_result result;

		if (branch->kind & FAR)
			continue;
		if (u_cet & CET_SH_STK_EN) {
			result = shadow_user_call(&stack, u_cet, (user_function *)code, 0);
		} else {
			wrmsr(MSR_IA32_U_CET, u_cet);
			result = user_call((user_function *)code, 0);
		}
		expect(result.fault, refused, instruction, branch->name);
		EXPECT_EQ(result.returned, !refused, "%s", branch->name);
	}
	wrmsr(MSR_IA32_U_CET, 0);
	page_free(code);
}

TEST("at CPL 3 the user's setting decides")
{
	begin();
	try_all_of_user(0);
	try_all_of_user(CET_SH_STK_EN);
	if (has_ibt())
		try_all_of_user(CET_ENDBR_EN);
}

TEST("with CR4.CET clear it executes every branch, whatever the MSRs have")
{
	begin();
	write_cr4(read_cr4() & ~CR4_CET);
	wrmsr(MSR_IA32_S_CET, CET_SH_STK_EN | (has_ibt() ? CET_ENDBR_EN : 0));
	{
		uint8_t *code = page_alloc();

		for (unsigned int i = 0; i < COUNT_OF(branches); i++) {
			uintptr_t instruction = write_code(code, &branches[i]);

			expect(FAULT_OF(((void (*)(void))code)()), false, instruction,
			       branches[i].name);
		}
		page_free(code);
	}
	wrmsr(MSR_IA32_S_CET, 0);
}

TEST("a far JMP out of 64-bit mode with SSP above 4 GiB raises GP in the emulator too")
{
	/* As above, to KERNEL_CS32; and a UD2, which shows that it got there. */
	static const struct branch jump = {
		"far JMP to 32 bits",
		FAR,
		{ 0x48, 0x8d, 0x05, 12, 0, 0, 0, 0x6a, KERNEL_CS32, 0x50 },
		{ 0x48, 0xff, 0x2c, 0x24 },
		{ 0x0f, 0x0b },
		10,
		4,
	};
	struct shadow_stack stack = shadow_stack_new(SHADOW_VA, SHADOW_SUPERVISOR);
	uint8_t *code = page_alloc();
	uintptr_t instruction = write_code(code, &jump);
	struct x86_fault fault = { 0 };

	begin();
	ON_SHADOW_STACK(&stack, 0, fault = FAULT_OF(((void (*)(void))code)()));
	EXPECT_FAULT_EQ(fault, GP, 0);
	EXPECT_EQ(fault.ip, instruction);
	page_free(code);
}
