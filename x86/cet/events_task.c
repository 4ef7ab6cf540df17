// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks: task switches in protected mode
 *
 * A TSS has the SSP of its task at offset 104, and so 108 bytes at least. With shadow stacks on, a switch to a
 * task by CALL, by JMP or by an event takes SSP from there: a multiple of 8, with a token that holds its own
 * address and is not busy, else #TS with the new TSS's selector. The token becomes busy. CALL and events
 * then push CS, LIP and SSP of the old task there, which IRET from the nested task pops, frees the
 * token, and compares CS and LIP with those that it loads from the old TSS: else #CP(FAR-RET/IRET). JMP
 * pushes nothing. No switch writes SSP to a TSS.
 *
 * Sources: Intel SDM volume 3, "Task Switching" and "Interrupt 10 - Invalid TSS Exception (#TS)"; volume 1,
 * "Shadow Stacks".
 *
 * Bochs raises #GP(0) for a token that is busy or wrong (cpu/call_far.cc, shadow_stack_switch).
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet_events.h>
#include <x86/descriptors.h>
#include <x86/instructions.h>
#include <x86/registers.h>

#define TASK_SELECTOR FREE_SELECTOR

#define STACK_VA      (SHADOW_VA + PAGE_SIZE)
#define TASK_VA	      (SHADOW_VA + 3 * PAGE_SIZE)
#define BACK_VA	      (SHADOW_VA + 5 * PAGE_SIZE)

static struct shadow_stack stack, task_stack;
static uintptr_t token; /* on the task's */
static struct x86_tss *task;
static uintptr_t ssp_before, ssp_after;
static uint32_t nowhere;

static void set_limit(uint32_t limit)
{
	gdt_write(TASK_SELECTOR, descriptor((uintptr_t)task, limit, SEGMENT_PRESENT | SEGMENT_TSS));
}

static void begin(const char *code)
{
	skip_without_task_switch();
	cet_enable();
	stack = shadow_stack_new(STACK_VA, SHADOW_SUPERVISOR);
	task_stack = shadow_stack_new(TASK_VA, SHADOW_SUPERVISOR);
	token = shadow_stack_token(&task_stack);
	task = page_alloc();
	*task = (struct x86_tss){
		.cr3 = read_cr3(),
		.ip = (uintptr_t)code,
		.flags = FLAGS_ONE,
		.sp = (uintptr_t)page_alloc() + PAGE_SIZE,
		.bx = (uintptr_t)shadow_word(&task_stack, token),
		.si = (uintptr_t)&nowhere,
		.es = KERNEL_DS,
		.cs = KERNEL_CS,
		.ss = KERNEL_DS,
		.ds = KERNEL_DS,
		.io_map = sizeof(*task),
		.ssp = token,
	};
	set_limit(sizeof(*task) - 1);
}

static void call(void)
{
	ssp_before = rdssp();
	call_task(TASK_SELECTOR);
	ssp_after = rdssp();
}

/* A fault may have been raised in either task. */
static struct x86_fault fault_of_call(void)
{
	struct x86_fault fault;

	ON_SHADOW_STACK(&stack, 0, fault = FAULT_OF(call()));
	load_cpu_tss();
	set_limit(sizeof(*task) - 1);
	return fault;
}

TEST("a task that is called begins with SSP from its TSS, below CS, LIP and SSP of its caller")
{
	struct shadow_frame frame;

	begin(task_iret);
	EXPECT_FAULT_EQ(fault_of_call(), NO_FAULT, 0);
	ASSERT_EQ(task->ax, token - sizeof(frame));
	frame = shadow_frame_at(task->ax);
	EXPECT_EQ(frame.cs, KERNEL_CS);
	EXPECT_EQ(frame.lip, cpu_tss()->ip);
	EXPECT_EQ(frame.ssp, ssp_before);
}

TEST("the token of a task is busy while it runs, and free after its IRET")
{
	begin(task_iret);
	EXPECT_FAULT_EQ(fault_of_call(), NO_FAULT, 0);
	EXPECT_EQ(task->cx, token | SHADOW_TOKEN_BUSY);
	EXPECT_EQ(*shadow_word(&task_stack, token), token);
}

TEST("IRET from a nested task brings the old SSP back, and writes none to its TSS")
{
	begin(task_iret);
	EXPECT_FAULT_EQ(fault_of_call(), NO_FAULT, 0);
	EXPECT_NE(ssp_before, 0);
	EXPECT_EQ(ssp_after, ssp_before);
	EXPECT_EQ(task->ssp, token);
}

/* On the way back, the token is that of the main TSS. */
TEST("a task that is jumped to begins at the token of its TSS, and nothing is pushed")
{
	struct shadow_stack back;
	uintptr_t ssp = 0;

	begin(task_jump);
	back = shadow_stack_new(BACK_VA, SHADOW_SUPERVISOR);
	cpu_tss()->ssp = shadow_stack_token(&back);
	ON_SHADOW_STACK(&stack, 0, jump_to_task(TASK_SELECTOR); ssp = rdssp();
			wrmsr(MSR_IA32_S_CET, 0));
	EXPECT_EQ(task->ax, token);
	EXPECT_EQ(task->cx, token | SHADOW_TOKEN_BUSY);
	EXPECT_EQ(*shadow_word(&task_stack, token), token | SHADOW_TOKEN_BUSY);
	EXPECT_EQ(ssp, cpu_tss()->ssp);
	EXPECT_EQ(*shadow_word(&back, ssp), ssp | SHADOW_TOKEN_BUSY);
	cpu_tss()->ssp = 0;
}

TEST("without IA32_S_CET.SH_STK_EN a task switch does not look at SSP in the TSS")
{
	begin(task_iret);
	task->ssp = 1;
	EXPECT_NO_FAULT(call());
	EXPECT_EQ(task->ax, 0);
	EXPECT_EQ(task->cx, token);
}

TEST("a TSS without room for SSP raises TS")
{
	static const uint32_t limits[] = { 103, 106 };

	begin(task_iret);
	for (unsigned int i = 0; i < COUNT_OF(limits); i++) {
		set_limit(limits[i]);
		EXPECT_FAULT_EQ(fault_of_call(), TS, TASK_SELECTOR, "limit %u", limits[i]);
		EXPECT_EQ(*shadow_word(&task_stack, token), token, "limit %u", limits[i]);
	}
}

TEST("a TSS whose SSP is no multiple of 8 raises TS")
{
	static const unsigned int offsets[] = { 1, 2, 4 };

	begin(task_iret);
	for (unsigned int i = 0; i < COUNT_OF(offsets); i++) {
		task->ssp = token + offsets[i];
		EXPECT_FAULT_EQ(fault_of_call(), TS, TASK_SELECTOR, "token + %u", offsets[i]);
		task->ip = (uintptr_t)task_iret;
	}
}

TEST("a task whose token is busy, or of another address, raises TS, and leaves it as it is")
{
	begin(task_iret);
	const uint64_t wrong[] = { token | SHADOW_TOKEN_BUSY, 0, token - 8, token | 1ull << 32 };

	for (unsigned int i = 0; i < COUNT_OF(wrong); i++) {
		*shadow_word(&task_stack, token) = wrong[i];
		EXPECT_FAULT_EQ(fault_of_call(), TS, TASK_SELECTOR, "case %u", i);
		EXPECT_EQ(*shadow_word(&task_stack, token), wrong[i], "case %u", i);
	}
}

/*
 * The comparison comes when SSP has left the nested task and is not yet the old one: whether there is a shadow
 * stack for the frame of the #CP is not said.
 */
TEST("IRET from a nested task to another CS or LIP than on its shadow stack raises CP, or so DF")
{
	const unsigned int lip = 16, cs = 8; /* below the token */

	begin(task_iret);
	for (unsigned int offset = cs; offset <= lip; offset += lip - cs) {
		struct x86_fault fault;

		task->ip = (uintptr_t)task_iret;
		task->si = (uintptr_t)shadow_word(&task_stack, token - offset);
		task->dx = 1 << 4;
		*shadow_word(&task_stack, token) = token;
		fault = fault_of_call();
		if (fault.vector == DF)
			EXPECT_FAULT_EQ(fault, DF, 0, "token - %u", offset);
		else
			EXPECT_FAULT_EQ(fault, CP, CP_FAR_RET_IRET, "token - %u", offset);
	}
}
