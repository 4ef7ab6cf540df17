// SPDX-License-Identifier: BSD-2-Clause
#include <x86/task.h>

#include <libc/string.h>
#include <test/test.h>
#include <x86/cpu.h>
#include <x86/registers.h>
#include <x86/user_entry.h>

/* As a CALL would leave it: the return address, and behind it what the ABI has on the stack. */
static void push_call(struct x86_frame *frame, uintptr_t stack, uintptr_t argument)
{
	uintptr_t *top = (uintptr_t *)(stack - 16);

#ifdef __x86_64__
	frame->di = argument;
#else
	*top = argument;
#endif
	*--top = (uintptr_t)user_return;
	frame->sp = (uintptr_t)top;
}

void task_init(struct task *task, user_function *function, uintptr_t argument)
{
	struct x86_frame *frame = &task->frame;

	memset(frame, 0, sizeof(*frame));
	frame->ip = (uintptr_t)function;
	frame->cs = USER_CS;
	frame->ss = USER_DS;
	frame->flags = FLAGS_ONE | FLAGS_IF;
#ifndef __x86_64__
	frame->ds = USER_DS;
	frame->es = USER_DS;
#endif
	push_call(frame, (uintptr_t)(task->stack + sizeof(task->stack)), argument);
}

static void enter(void *context)
{
	const struct task *task = context;
	struct x86_frame frame = task->frame;

	frame_enter(&frame);
}

struct user_result task_run(struct task *task)
{
	return user_run(FAULTS_OF_USER, enter, task);
}

void task_leave(struct task *task, struct x86_frame *frame)
{
	REQUIRE(frame_is_user(frame) && this_cpu()->catch);
	task->frame = *frame;
	frame_unwind(frame, &this_cpu()->catch->jump);
}
