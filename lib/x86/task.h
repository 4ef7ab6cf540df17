/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tasks: functions at CPL 3 that are left at any instruction, and gone on with later
 *
 * What a guest needs to run something else while one waits. Who runs next is for the test to say:
 *
 *	task_init(&task, function, argument);
 *	while (!result.returned)
 *		result = task_run(&task);
 *
 * with an interrupt handler, or a handler of exceptions, that calls task_leave().
 */
#ifndef X86_TASK_H
#define X86_TASK_H

#include <stdint.h>

#include <x86/exception.h>
#include <x86/user.h>

#define TASK_STACK_SIZE 1024

struct task {
	struct x86_frame frame;
	uint8_t stack[TASK_STACK_SIZE] __attribute__((aligned(16)));
};

/*
 * A task that begins with function(argument), to which applies what user_call() says of it; and cpu_id()
 * does not work there.
 */
void task_init(struct task *task, user_function *function, uintptr_t argument);

/*
 * Goes on with the task on this CPU, with interrupts enabled, until it returns, raises an exception that
 * nobody handles, or is left: then result.returned is false, and result.fault is NO_FAULT.
 */
struct user_result task_run(struct task *task);

/*
 * For a handler on the CPU that runs the task: with the end of the handler task_run() returns, and the
 * task stays as it is in the frame, which must be of CPL 3.
 */
void task_leave(struct task *task, struct x86_frame *frame);

#endif
