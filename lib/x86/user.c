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

static struct user_result call(user_function *function, uintptr_t argument, uintptr_t flags)
{
	struct cpu *cpu = this_cpu();
	struct fault_catch catch;
	struct user_result result;

	fault_catch(&catch);
	catch.user = true;
	cpu->user_returned = false;
	if (!jump_save(&catch.jump)) {
		set_kernel_stack(cpu, catch.jump.sp);
		user_enter(function, argument, cpu_stack(cpu, CPU_USER_STACK), FLAGS_ONE | flags);
	}
	fault_release(&catch);
	load_ds(KERNEL_DS);
	load_es(KERNEL_DS);

	result = (struct user_result){
		.returned = cpu->user_returned,
		.value = cpu->user_returned ? cpu->user_value : 0,
		.fault = catch.fault,
	};
	return result;
}

struct user_result user_call(user_function *function, uintptr_t argument)
{
	return call(function, argument, read_flags() & FLAGS_IF);
}

struct user_result user_call_interruptible(user_function *function, uintptr_t argument)
{
	return call(function, argument, FLAGS_IF);
}
