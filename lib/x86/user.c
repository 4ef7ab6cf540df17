// SPDX-License-Identifier: BSD-2-Clause
#include <x86/user.h>

#include <test/test.h>
#include <x86/cpu.h>
#include <x86/registers.h>
#include <x86/user_entry.h>

/* Where the CPU goes from CPL 3: below what user_call() has on this stack. */
static void set_kernel_stack(struct cpu *cpu, uintptr_t sp)
{
#ifdef __x86_64__
	cpu->tss.sp[0] = sp;
#else
	cpu->tss.stack[0].sp = sp;
#endif
}

struct user_result user_run(enum user_faults faults, void (*enter)(void *context), void *context)
{
	struct cpu *cpu = this_cpu();
	struct fault_catch catch;

	fault_catch(&catch);
	catch.user = faults != FAULTS_OF_SUPERVISOR;
	catch.supervisor = faults != FAULTS_OF_USER;
	cpu->user_returned = false;
	if (!jump_save(&catch.jump)) {
		set_kernel_stack(cpu, catch.jump.sp);
		enter(context);
	}
	fault_release(&catch);
	load_ds(KERNEL_DS);
	load_es(KERNEL_DS);
	return (struct user_result){
		.returned = cpu->user_returned,
		.value = cpu->user_returned ? cpu->user_value : 0,
		.fault = catch.fault,
	};
}

struct call {
	user_function *function;
	uintptr_t argument, flags;
};

static void enter_call(void *context)
{
	const struct call *call = context;

	user_enter(call->function, call->argument, cpu_stack(this_cpu(), CPU_USER_STACK),
		   FLAGS_ONE | call->flags);
}

static struct user_result call(user_function *function, uintptr_t argument, uintptr_t flags)
{
	struct call call = { function, argument, flags };

	return user_run(FAULTS_OF_USER, enter_call, &call);
}

struct user_result user_call(user_function *function, uintptr_t argument)
{
	return call(function, argument, read_flags() & FLAGS_IF);
}

struct user_result user_call_interruptible(user_function *function, uintptr_t argument)
{
	return call(function, argument, FLAGS_IF);
}
