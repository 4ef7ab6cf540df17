// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks and the system call instructions: SYSCALL and SYSENTER
 *
 * With U_CET.SH_STK_EN they put SSP into IA32_PL3_SSP; with S_CET.SH_STK_EN they make it 0, and leave the switch to
 * a shadow stack to SETSSBSY: until then a CALL faults. With S_CET.ENDBR_EN their target must be an ENDBR. They
 * look at no token and no shadow stack page. The way back is in sysret.c.
 *
 * Expectations: Intel SDM volume 2, "SYSCALL" and "SYSENTER", Operation; AMD APM volume 2, "Shadow Stack Operation
 * for SYSCALL and SYSRET". AMD's CPUs have SYSENTER in legacy mode only, and Intel's SYSCALL in 64-bit mode only, so
 * that 32-bit guests use SYSENTER alone.
 */
#include <test/test.h>
#include <x86/cet_call_pairs.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>

#define WORD sizeof(uintptr_t)

static struct {
	uint64_t pl3_ssp, token;
} seen;

static void see(void)
{
	seen.pl3_ssp = rdmsr(MSR_IA32_PL3_SSP);
	seen.token = *token_word(0);
}

static void keeps_ssp(const struct call_pair *pair)
{
	pair_set_up(pair);
	make_call(pair, see);
	EXPECT_EQ(system_call.ssp_before, gate_user.end - WORD);
	EXPECT_EQ(seen.pl3_ssp, gate_user.end - WORD);
}
TEST_SYSCALL("SYSCALL keeps the caller's SSP in PL3_SSP", keeps_ssp)
TEST_SYSENTER("SYSENTER keeps the caller's SSP in PL3_SSP", keeps_ssp)

static void makes_ssp_zero(const struct call_pair *pair)
{
	pair_set_up(pair);
	make_call(pair, NULL);
	EXPECT_EQ(system_call.ssp, 0);
}
TEST_SYSCALL("SYSCALL makes SSP 0 where S_CET.SH_STK_EN is set", makes_ssp_zero)
TEST_SYSENTER("SYSENTER makes SSP 0 where S_CET.SH_STK_EN is set", makes_ssp_zero)

static void leads_to_setssbsy(const struct call_pair *pair)
{
	pair_set_up(pair);
	make_call(pair, see);
	EXPECT_EQ(system_call.ssp_ready, gate_tokens[0]);
	EXPECT_EQ(seen.token, gate_tokens[0] | SHADOW_TOKEN_BUSY);
}
TEST_SYSCALL("SETSSBSY after SYSCALL finds the token free, and takes SSP from PL0_SSP",
	     leads_to_setssbsy)
TEST_SYSENTER("SETSSBSY after SYSENTER finds the token free, and takes SSP from PL0_SSP",
	      leads_to_setssbsy)

#ifdef __x86_64__
static void lets_call_fault(const struct call_pair *pair)
{
	struct x86_fault fault;

	pair_set_up(pair);
	system_call.call = true;
	idt_set_ist(PF, IST_FREE);
	fault = run_call(pair, pair->entry, CET_SH_STK_EN, &gate_user, FAULTS_OF_SUPERVISOR).fault;
	idt_set_ist(PF, IST_NONE);
	EXPECT_FAULT_EQ(fault, PF, PF_WRITE | PF_SHADOW_STACK);
	EXPECT_EQ(fault.cr2, -sizeof(uint64_t));
	EXPECT_EQ(fault.ip, (uintptr_t)system_call_near);
}
TEST_SYSCALL("a CALL between SYSCALL and SETSSBSY faults, with SSP 0", lets_call_fault)
TEST_SYSENTER("a CALL between SYSENTER and SETSSBSY faults, with SSP 0", lets_call_fault)
#else
/*
 * Here the #PF would find no place for its own frame, and the #DF would be a task switch, which KVM does not make
 * with shadow stacks on (x86.c, kvm_task_switch): so there is a shadow stack page.
 */
TEST("a CALL between SYSENTER and SETSSBSY pushes below 4 GiB, with SSP 0")
{
	const uintptr_t last = -PAGE_SIZE;
	struct shadow_stack top;
	struct user_result result;

	pair_set_up(&sysenter_pair);
	system_call.call = true;
	system_call.setssbsy = true;
	top = shadow_stack_new(last, SHADOW_SUPERVISOR);
	result = run_call(&sysenter_pair, sysenter_entry, CET_SH_STK_EN, &gate_user,
			  FAULTS_OF_SUPERVISOR);
	map_page(last, last, LEVEL_4K, PTE_RAM);
	EXPECT_RETURN(result);
	EXPECT_EQ(*(volatile uint32_t *)(top.words + PAGE_SIZE - 4),
		  (uintptr_t)system_call_near_return);
}
#endif

static void pushes_nothing(const struct call_pair *pair)
{
	pair_set_up(pair);
	make_call(pair, NULL);
	EXPECT_EQ(system_call.ssp_before, gate_user.end - WORD);
	for (unsigned int word = 2; word < 8; word++)
		EXPECT_EQ(
			*(volatile uintptr_t *)shadow_word(&gate_user, gate_user.end - word * WORD),
			0, "word %u", word);
}
TEST_SYSCALL("SYSCALL pushes nothing on the user's shadow stack", pushes_nothing)
TEST_SYSENTER("SYSENTER pushes nothing on the user's shadow stack", pushes_nothing)

static void without_kernel_stack(const struct call_pair *pair)
{
	pair_set_up(pair);
	system_call.hook = see;
	EXPECT_RETURN(run_call(pair, pair->entry, 0, &gate_user, FAULTS_OF_USER));
	EXPECT_EQ(system_call.ssp, ~(uintptr_t)0);
	EXPECT_EQ(seen.pl3_ssp, gate_user.end - WORD);
	EXPECT_EQ(seen.token, gate_tokens[0]);
	EXPECT_EQ(system_call.ssp_after, gate_user.end - WORD);
}
TEST_SYSCALL(
	"SYSCALL keeps SSP in PL3_SSP without S_CET.SH_STK_EN as well, and RDSSP is a NOP then",
	without_kernel_stack)
TEST_SYSENTER(
	"SYSENTER keeps SSP in PL3_SSP without S_CET.SH_STK_EN as well, and RDSSP is a NOP then",
	without_kernel_stack)

#define MARKER (SHADOW_VA + 0x1230)

static void without_user_stack(const struct call_pair *pair)
{
	pair_set_up(pair);
	wrmsr(MSR_IA32_PL3_SSP, MARKER);
	system_call.setssbsy = true;
	system_call.hook = see;
	EXPECT_RETURN(run_call(pair, pair->entry, CET_SH_STK_EN, NULL, FAULTS_OF_USER));
	EXPECT_EQ(seen.pl3_ssp, MARKER);
	EXPECT_EQ(system_call.ssp, 0);
	EXPECT_EQ(system_call.ssp_after, 0);
}
TEST_SYSCALL("SYSCALL leaves PL3_SSP alone without U_CET.SH_STK_EN", without_user_stack)
TEST_SYSENTER("SYSENTER leaves PL3_SSP alone without U_CET.SH_STK_EN", without_user_stack)

/* The interrupt at the end wants a good token again. */
static const struct call_pair *calling;
static uint64_t token_after;

static uintptr_t call_with_bad_token(uintptr_t unused)
{
	*token_word(0) = 0;
	calling->call(unused);
	token_after = *token_word(0);
	*token_word(0) = gate_tokens[0];
	return unused;
}

static void ignores_token(const struct call_pair *pair)
{
	struct call_pair spoiled = *pair;

	pair_set_up(pair);
	calling = pair;
	spoiled.call = call_with_bad_token;
	EXPECT_RETURN(run_call(&spoiled, pair->entry, CET_SH_STK_EN, &gate_user, FAULTS_OF_USER));
	EXPECT_EQ(token_after, 0);
	EXPECT_EQ(system_call.ssp_after, system_call.ssp_before);
}
TEST_SYSCALL("SYSCALL and SYSRET look at no token", ignores_token)
TEST_SYSENTER("SYSENTER and SYSEXIT look at no token", ignores_token)

/* --- branch tracking --------------------------------------------------------------------------------- */

static void wants_endbr(const struct call_pair *pair)
{
	struct x86_fault fault;

	pair_set_up(pair);
	if (!has_ibt())
		SKIP("this CPU has no indirect branch tracking");
	EXPECT_RETURN(run_call(pair, pair->entry, CET_ENDBR_EN, &gate_user, FAULTS_OF_SUPERVISOR));
	fault = run_call(pair, pair->entry_bare, CET_ENDBR_EN, &gate_user, FAULTS_OF_SUPERVISOR)
			.fault;
	EXPECT_FAULT_EQ(fault, CP, CP_ENDBRANCH);
	EXPECT_EQ(fault.ip, (uintptr_t)pair->entry_bare);
}
TEST_SYSCALL("SYSCALL must lead to an ENDBR where S_CET.ENDBR_EN is set", wants_endbr)
TEST_SYSENTER("SYSENTER must lead to an ENDBR where S_CET.ENDBR_EN is set", wants_endbr)

static void needs_no_endbr(const struct call_pair *pair)
{
	pair_set_up(pair);
	EXPECT_RETURN(run_call(pair, pair->entry_bare, 0, &gate_user, FAULTS_OF_SUPERVISOR));
	EXPECT_EQ(system_call.ssp, ~(uintptr_t)0);
}
TEST_SYSCALL("SYSCALL need not lead to an ENDBR where S_CET.ENDBR_EN is clear", needs_no_endbr)
TEST_SYSENTER("SYSENTER need not lead to an ENDBR where S_CET.ENDBR_EN is clear", needs_no_endbr)

static void ends_suppression(const struct call_pair *pair)
{
	pair_set_up(pair);
	if (!has_ibt())
		SKIP("this CPU has no indirect branch tracking");
	EXPECT_FAULT_EQ(run_call(pair, pair->entry_bare, CET_ENDBR_EN | CET_SUPPRESS, &gate_user,
				 FAULTS_OF_SUPERVISOR)
				.fault,
			CP, CP_ENDBRANCH);
}
TEST_SYSCALL("SYSCALL ends the suppression of tracking at CPL 0", ends_suppression)
TEST_SYSENTER("SYSENTER ends the suppression of tracking at CPL 0", ends_suppression)

/* --- at CPL 0 ---------------------------------------------------------------------------------------- */

static void from_cpl0(const struct call_pair *pair)
{
	pair_set_up(pair);
	system_call.leave = leave_jump;
	pair->enable(pair->entry);
	ON_SHADOW_STACK(&gate_kernel[0], 0, pair->call(0));
	pair->disable();
	EXPECT_NE(system_call.ssp_before, 0);
	EXPECT_EQ(rdmsr(MSR_IA32_PL3_SSP), system_call.ssp_before);
	EXPECT_EQ(system_call.ssp, 0);
}
TEST_SYSCALL("SYSCALL from CPL 0 does the same with the SSP of CPL 0", from_cpl0)
TEST_SYSENTER("SYSENTER from CPL 0 does the same with the SSP of CPL 0", from_cpl0)

/* --- not enabled ----------------------------------------------------------------------------------- */

#ifdef __x86_64__
TEST("without EFER.SCE, SYSCALL raises UD at CPL 3")
{
	struct x86_fault fault;

	pair_set_up(&syscall_pair);
	fault = run_call(&syscall_pair, NULL, CET_SH_STK_EN, &gate_user, FAULTS_OF_USER).fault;
	EXPECT_FAULT_EQ(fault, UD, 0);
	EXPECT_EQ(fault.ip, (uintptr_t)syscall_instruction);
}
#endif

TEST("without a selector in IA32_SYSENTER_CS, SYSENTER raises GP at CPL 3")
{
	struct x86_fault fault;

	pair_set_up(&sysenter_pair);
	fault = run_call(&sysenter_pair, NULL, CET_SH_STK_EN, &gate_user, FAULTS_OF_USER).fault;
	EXPECT_FAULT_EQ(fault, GP, 0);
	EXPECT_EQ(fault.ip, (uintptr_t)sysenter_instruction);
}

/* --- beside them, INT n ------------------------------------------------------------------------------- */

#define VECTOR 0x41

static uintptr_t ssp_of_event;

static void event(struct x86_frame *frame)
{
	ssp_of_event = frame->ssp;
	see();
}

static uintptr_t raise(uintptr_t unused)
{
	int_n(VECTOR);
	return rdssp() + unused;
}

TEST("INT n, unlike SYSCALL and SYSENTER, takes SSP from PL0_SSP itself")
{
	struct user_result result;

	gates_set_up();
	irq_handler(VECTOR, event);
	idt_set_dpl(VECTOR, 3);
	result = transfer_call(raise, CET_SH_STK_EN, &gate_user, FAULTS_OF_USER);
	idt_set_dpl(VECTOR, 0);
	EXPECT_RETURN(result);
	EXPECT_EQ(ssp_of_event, gate_tokens[0]);
	EXPECT_EQ(seen.token, gate_tokens[0] | SHADOW_TOKEN_BUSY);
	EXPECT_EQ(seen.pl3_ssp, gate_user.end - WORD);
	EXPECT_EQ(result.value, gate_user.end - WORD);
}
