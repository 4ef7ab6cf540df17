// SPDX-License-Identifier: BSD-2-Clause
/*
 * Indirect branch tracking: what comes between a branch and its target
 *
 * There are two trackers, one for CPL 3 and one for the rest, each of which moves only while it is the active
 * one. So a branch at CPL 3 whose target is not reached at once (a fault of its page, a breakpoint, a single
 * step, an interrupt) leaves IA32_U_CET.TRACKER waiting; the handler sees it there, and behind its IRET the first
 * instruction must be the ENDBR. At CPL 0 the event takes the same tracker: delivery sets it waiting for the ENDBR
 * at the gate's entry, which ends the wait of the branch as well. IRET leaves it as it is.
 *
 * The order of what a target can raise: traps of the branch, code breakpoint, page fault of the fetch, then #CP,
 * and only then #UD, #NM and what else an instruction does. INT3 and INT1 do not raise #CP: debuggers put
 * them over an ENDBR. What the branch itself raises comes before it has any tracker wait.
 *
 * Sources: Intel SDM volume 1, "Indirect Branch Tracking": "Control Transfers between CPL 3 and CPL < 3",
 * "Control Transfers within CPL 3 or CPL < 3", the figure on the priority of #CP, the table "Indirect Branch
 * Tracking State Machine", "INT3 Treatment" and "Other Considerations". KVM has the CPU deliver events, also those
 * that it injects; #DB and #BP may exit to it and are injected again (arch/x86/kvm/vmx/vmx.c,
 * handle_exception_nmi), behind which the trackers must be as if nothing had been in between.
 */
#include <test/test.h>
#include <x86/apic.h>
#include <x86/cet.h>
#include <x86/cet_branches.h>
#include <x86/descriptors.h>
#include <x86/interrupt.h>
#include <x86/msr.h>
#include <x86/paging.h>
#include <x86/registers.h>

#define VECTOR_PENDING 0x40

#define OPCODE_INT1    0xf1
#define OPCODE_INT3    0xcc

/* The first breakpoint: on execution, or on data access of a word. SDM volume 3, "Debug Registers". */
#define DR6_B0	    (1ul << 0)
#define DR7_EXECUTE (DR7_DEFAULT | 1)
#ifdef __x86_64__
#define DR7_ACCESS (DR7_DEFAULT | 1 | 0xbul << 16)
#else
#define DR7_ACCESS (DR7_DEFAULT | 1 | 0xful << 16)
#endif

/* What a branch to a target raised, and where the code goes on behind that. */
struct event {
	struct branch_result result;
	uintptr_t resume;
};

/* Has a branch at this CPL raise something else before its target, which may be an ENDBR, could raise #CP. */
typedef struct event event_function(enum cpl cpl, bool endbr);

static uintptr_t target_either(bool endbr)
{
	return target_new(endbr ? TARGET_ENDBR : TARGET_NO_ENDBR);
}

/* At CPL 3: IRET to there goes on waiting. The resumed target runs on a stack of its own, to the same end. */
static void expect_waiting_behind(event_function *raise)
{
	for (int endbr = 0; endbr <= 1; endbr++) {
		struct event event = raise(CPL3, endbr);
		struct branch_result resumed;

		EXPECT_EQ(event.result.fault.ip, event.resume);
		EXPECT_EQ(event.result.cet, CET_ENDBR_EN | CET_TRACKER);
		wrmsr(MSR_IA32_U_CET, event.result.cet);
		resumed = branch_resume(event.resume);
		if (endbr) {
			EXPECT_FAULT_EQ(resumed.fault, NO_FAULT, 0);
			EXPECT_EQ(resumed.value, TARGET_REACHED);
			EXPECT_EQ(resumed.cet, CET_ENDBR_EN);
		} else {
			EXPECT_FAULT_EQ(resumed.fault, CP, CP_ENDBRANCH);
			EXPECT_EQ(resumed.fault.ip, event.resume);
			EXPECT_EQ(resumed.cet, CET_ENDBR_EN | CET_TRACKER);
		}
	}
}

/* The event is this one, whatever the target is, and its IP is where the code goes on. */
static void expect_event(enum cpl cpl, event_function *raise, unsigned int vector,
			 uint32_t error_code)
{
	for (int endbr = 0; endbr <= 1; endbr++) {
		struct event event = raise(cpl, endbr);

		EXPECT_FAULT_EQ(event.result.fault, vector, error_code);
		EXPECT_EQ(event.result.fault.ip, event.resume);
	}
}

/*
 * --- what comes before #CP ----------------------------------------------------------------------
 */

static struct event single_step(enum cpl cpl, bool endbr)
{
	uintptr_t target = target_either(endbr);

	write_dr6(DR6_DEFAULT);
	return (struct event){ branch_run(cpl, CET_ENDBR_EN, branch_stepped, target), target };
}

IN_BOTH_MODES("a single step over the branch comes before CP")
{
	ibt_enable();
	expect_event(cpl, single_step, DB, 0);
	EXPECT_EQ(read_dr6() & DR6_BS, DR6_BS);
	write_dr6(DR6_DEFAULT);
}

TEST("behind a single step and its IRET to CPL 3, the target is held to ENDBR")
{
	ibt_enable();
	expect_waiting_behind(single_step);
}

static struct event code_breakpoint(enum cpl cpl, bool endbr)
{
	uintptr_t target = target_either(endbr);
	struct branch_result result;

	write_dr6(DR6_DEFAULT);
	write_dr0(target);
	write_dr7(DR7_EXECUTE);
	result = branch_run(cpl, CET_ENDBR_EN, branch_call_register, target);
	write_dr7(DR7_DEFAULT);
	return (struct event){ result, target };
}

IN_BOTH_MODES("a code breakpoint at the target comes before CP")
{
	ibt_enable();
	expect_event(cpl, code_breakpoint, DB, 0);
	EXPECT_EQ(read_dr6() & DR6_B0, DR6_B0);
	write_dr6(DR6_DEFAULT);
}

TEST("behind a code breakpoint and its IRET to CPL 3, the target is held to ENDBR")
{
	ibt_enable();
	expect_waiting_behind(code_breakpoint);
}

static struct event data_breakpoint(enum cpl cpl, bool endbr)
{
	uintptr_t target = target_either(endbr);
	uintptr_t operand = (uintptr_t)page_alloc();
	struct branch_result result;

	*(volatile uintptr_t *)operand = target;
	write_dr6(DR6_DEFAULT);
	write_dr0(operand);
	write_dr7(DR7_ACCESS);
	result = branch_run(cpl, CET_ENDBR_EN, branch_call_pointer, operand);
	write_dr7(DR7_DEFAULT);
	return (struct event){ result, target };
}

IN_BOTH_MODES("a data breakpoint of the branch's operand comes before CP")
{
	ibt_enable();
	expect_event(cpl, data_breakpoint, DB, 0);
	EXPECT_EQ(read_dr6() & DR6_B0, DR6_B0);
	write_dr6(DR6_DEFAULT);
}

TEST("behind a data breakpoint and its IRET to CPL 3, the target is held to ENDBR")
{
	ibt_enable();
	expect_waiting_behind(data_breakpoint);
}

/* The page is there again afterwards. */
static struct event fetch_fault(enum cpl cpl, bool endbr)
{
	uintptr_t page = target_either(endbr);
	struct branch_result result;

	map_page(VA_FREE, page, LEVEL_4K, 0);
	result = branch_run(cpl, CET_ENDBR_EN, branch_call_register, VA_FREE);
	result.fault.error_code &= ~PF_FETCH;
	EXPECT_EQ(result.fault.cr2, VA_FREE);
	map_page(VA_FREE, page, LEVEL_4K, PTE_RAM);
	return (struct event){ result, VA_FREE };
}

IN_BOTH_MODES("a page fault at the target comes before CP")
{
	ibt_enable();
	expect_event(cpl, fetch_fault, PF, cpl == CPL3 ? PF_USER : 0);
}

TEST("behind a page fault and its IRET to CPL 3, the target is held to ENDBR")
{
	ibt_enable();
	expect_waiting_behind(fetch_fault);
}

/* All but the target's first byte, that of an ENDBR or of another NOP of its length, is in a page that is missing. */
static struct event fetch_fault_within(enum cpl cpl, bool endbr)
{
	const uintptr_t target = VA_FREE + PAGE_SIZE - 1, missing = VA_FREE + PAGE_SIZE;
	uintptr_t pages = (uintptr_t)pages_alloc(1);
	struct branch_result result;

	target_write(pages + PAGE_SIZE - 1,
		     endbr ? TARGET_ENDBR : TARGET_BYTES(0x0f, 0x1f, 0x40, 0x00));
	map_page(VA_FREE, pages, LEVEL_4K, PTE_RAM);
	map_page(missing, pages + PAGE_SIZE, LEVEL_4K, 0);
	result = branch_run(cpl, CET_ENDBR_EN, branch_call_register, target);
	result.fault.error_code &= ~PF_FETCH;
	EXPECT_EQ(result.fault.cr2, missing);
	map_page(missing, pages + PAGE_SIZE, LEVEL_4K, PTE_RAM);
	return (struct event){ result, target };
}

IN_BOTH_MODES("a page fault within the target's instruction comes before CP")
{
	ibt_enable();
	expect_event(cpl, fetch_fault_within, PF, cpl == CPL3 ? PF_USER : 0);
}

TEST("behind a page fault within the instruction and its IRET to CPL 3, it is held to ENDBR")
{
	ibt_enable();
	expect_waiting_behind(fetch_fault_within);
}

/* At the target; behind it is what goes on. */
static struct event run_trap(enum cpl cpl, bool endbr, uint8_t opcode)
{
	uintptr_t target =
		target_new(endbr ? TARGET_BYTES(opcode, BYTES_ENDBR) : TARGET_BYTES(opcode, 0x90));

	return (struct event){ branch_run(cpl, CET_ENDBR_EN, branch_call_register, target),
			       target + 1 };
}

static struct event int3_at_target(enum cpl cpl, bool endbr)
{
	return run_trap(cpl, endbr, OPCODE_INT3);
}

static struct event int1_at_target(enum cpl cpl, bool endbr)
{
	return run_trap(cpl, endbr, OPCODE_INT1);
}

IN_BOTH_MODES("INT3 at the target raises BP, not CP")
{
	ibt_enable();
	expect_event(cpl, int3_at_target, BP, 0);
}

TEST("behind INT3 and its IRET to CPL 3, what follows is held to ENDBR")
{
	ibt_enable();
	expect_waiting_behind(int3_at_target);
}

IN_BOTH_MODES("INT1 at the target raises DB, not CP")
{
	ibt_enable();
	expect_event(cpl, int1_at_target, DB, 0);
}

TEST("behind INT1 and its IRET to CPL 3, what follows is held to ENDBR")
{
	ibt_enable();
	expect_waiting_behind(int1_at_target);
}

/*
 * --- an interrupt in between ---------------------------------------------------------------------
 */

static struct {
	unsigned int count;
	uintptr_t ip;
	uint64_t u_cet;
} interrupt;

static void note_interrupt(struct x86_frame *frame)
{
	interrupt.count++;
	interrupt.ip = frame->ip;
	interrupt.u_cet = rdmsr(MSR_IA32_U_CET);
	apic_eoi();
}

static void allow_sti(struct x86_frame *frame)
{
	if (frame_is_user(frame))
		frame->flags |= FLAGS_IOPL;
}

static struct branch_result run_interrupted(enum cpl cpl, uintptr_t target)
{
	struct branch_result result;

	interrupt.count = 0;
	irq_handler(VECTOR_PENDING, note_interrupt);
	irq_handler(VECTOR_BRANCH_IOPL, allow_sti);
	idt_set_dpl(VECTOR_BRANCH_IOPL, 3);
	apic_ipi(0, VECTOR_PENDING);
	result = branch_run(cpl, CET_ENDBR_EN, branch_after_sti, target);
	idt_set_dpl(VECTOR_BRANCH_IOPL, 0);
	EXPECT_EQ(interrupt.count, 1);
	EXPECT_EQ(interrupt.ip, target);
	return result;
}

TEST("an interrupt between a branch at CPL 3 and its target sees the tracker waiting")
{
	ibt_enable();
	run_interrupted(CPL3, target_new(TARGET_ENDBR));
	EXPECT_EQ(interrupt.u_cet, CET_ENDBR_EN | CET_TRACKER);
}

TEST("behind an interrupt and its IRET to CPL 3, an ENDBR ends the wait")
{
	struct branch_result result;

	ibt_enable();
	result = run_interrupted(CPL3, target_new(TARGET_ENDBR));
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_EQ(result.value, TARGET_REACHED);
	EXPECT_EQ(result.cet, CET_ENDBR_EN);
}

TEST("behind an interrupt and its IRET to CPL 3, another instruction raises CP")
{
	uintptr_t target = target_new(TARGET_NO_ENDBR);
	struct branch_result result;

	ibt_enable();
	result = run_interrupted(CPL3, target);
	EXPECT_FAULT_EQ(result.fault, CP, CP_ENDBRANCH);
	EXPECT_EQ(result.fault.ip, target);
	EXPECT_EQ(result.cet, CET_ENDBR_EN | CET_TRACKER);
}

/* Its delivery sets the same tracker waiting, for the handler's ENDBR; IRET keeps what that left. */
TEST("an interrupt at CPL 0 ends the wait of the branch before it")
{
	struct branch_result result;

	ibt_enable();
	result = run_interrupted(CPL0, target_new(TARGET_NO_ENDBR));
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_EQ(result.value, TARGET_REACHED);
	EXPECT_EQ(result.cet, CET_ENDBR_EN);
}

/*
 * --- what comes behind #CP ----------------------------------------------------------------------
 */

static void expect_cp_first(enum cpl cpl, struct target_bytes bytes)
{
	uintptr_t target = target_new(bytes);
	struct branch_result result;

	ibt_enable();
	result = branch_run(cpl, CET_ENDBR_EN, branch_call_register, target);
	write_cr0(read_cr0() & ~CR0_TS);
	EXPECT_FAULT_EQ(result.fault, CP, CP_ENDBRANCH);
	EXPECT_EQ(result.fault.ip, target);
}

IN_BOTH_MODES("CP comes before the UD of the target's instruction")
{
	expect_cp_first(cpl, TARGET_BYTES(0x0f, 0x0b)); /* UD2 */
}

IN_BOTH_MODES("CP comes before the NM of the target's instruction")
{
	write_cr0(read_cr0() | CR0_TS);
	expect_cp_first(cpl, TARGET_BYTES(0xd9, 0xd0)); /* FNOP */
}

/* The address is that of no memory; a MOV reads it, by an absolute 64-bit or 32-bit address. */
#ifdef __x86_64__
#define BYTES_LOAD 0x48, 0xa1, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00
_Static_assert(VA_FREE == 0x100000000000, "the address in BYTES_LOAD");
#else
#define BYTES_LOAD 0xa1, 0x00, 0x00, 0x00, 0x80
_Static_assert(VA_FREE == 0x80000000, "the address in BYTES_LOAD");
#endif

IN_BOTH_MODES("CP comes before the PF of the target's data")
{
	map_page(VA_FREE, 0, LEVEL_4K, 0);
	expect_cp_first(cpl, TARGET_BYTES(BYTES_LOAD));
}

/* At CPL 0 this one raises nothing. */
TEST("CP comes before the GP of a privileged instruction at CPL 3")
{
	expect_cp_first(CPL3, TARGET_BYTES(0xfa)); /* CLI */
}

IN_BOTH_MODES("a branch that raises an exception itself has no tracker wait")
{
	struct branch_result result;

	ibt_enable();
	map_page(VA_FREE, 0, LEVEL_4K, 0);
	result = branch_run(cpl, CET_ENDBR_EN, branch_call_pointer, VA_FREE);
	EXPECT_FAULT_EQ(result.fault, PF, cpl == CPL3 ? PF_USER : 0);
	EXPECT_EQ(result.fault.cr2, VA_FREE);
	EXPECT_EQ(result.cet, cpl == CPL3 ? CET_ENDBR_EN : 0);
#ifdef __x86_64__
	result = branch_run(cpl, CET_ENDBR_EN, branch_call_register, 1ul << 63);
	EXPECT_FAULT_EQ(result.fault, GP, 0);
	EXPECT_EQ(result.cet, cpl == CPL3 ? CET_ENDBR_EN : 0);
#endif
}
