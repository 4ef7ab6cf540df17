// SPDX-License-Identifier: BSD-2-Clause
#include <x86/cet_events.h>

#include <libc/string.h>
#include <test/test.h>
#include <x86/cpu.h>
#include <x86/cpuid.h>
#include <x86/registers.h>
#include <x86/user_entry.h>

struct user_entry user_entry_of(user_function *function, uintptr_t argument, uintptr_t flags)
{
	uintptr_t *sp = (uintptr_t *)cpu_stack(this_cpu(), CPU_USER_STACK);

#ifndef __x86_64__
	sp -= 4; /* the argument, where the alignment is what a function expects */
	*sp = argument;
#endif
	*--sp = (uintptr_t)user_return;
	return (struct user_entry){
		.ip = (uintptr_t)function,
		.cs = USER_CS,
		.flags = FLAGS_ONE | flags,
		.sp = (uintptr_t)sp,
		.ss = USER_DS,
		.argument = argument,
	};
}

static void set_user_shadow_stack(const struct shadow_stack *user)
{
	uintptr_t ssp;

	if (!user) {
		wrmsr(MSR_IA32_U_CET, 0);
		return;
	}
	ssp = user->end - sizeof(uintptr_t);
	*(volatile uintptr_t *)shadow_word(user, ssp) = (uintptr_t)user_return;
	wrmsr(MSR_IA32_PL3_SSP, ssp);
	wrmsr(MSR_IA32_U_CET, CET_SH_STK_EN);
}

/* As user_call(): events from CPL 3 go below what is on this stack. */
struct user_result user_call_shadowed(struct user_entry *entry, const struct shadow_stack *user)
{
	struct cpu *cpu = this_cpu();
	struct fault_catch catch;

	set_user_shadow_stack(user);
	fault_catch(&catch);
	catch.user = true;
	cpu->user_returned = false;
	if (!jump_save(&catch.jump)) {
#ifdef __x86_64__
		cpu->tss.sp[0] = catch.jump.sp;
#else
		cpu->tss.stack[0].sp = catch.jump.sp;
#endif
		user_enter_shadowed(entry);
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

void skip_without_task_switch(void)
{
#ifndef __x86_64__
	uint32_t base;

	if (cpuid_hypervisor("KVMKVMKVM\0\0", &base))
		SKIP("KVM emulates no task switch with shadow stacks on");
#endif
}

#ifdef __x86_64__
#define SSP_TABLE_ENTRIES 8

uint64_t *ssp_table_new(void)
{
	uint64_t *table = page_alloc();

	memcpy(table, (const void *)rdmsr(MSR_IA32_INTERRUPT_SSP_TABLE_ADDR),
	       SSP_TABLE_ENTRIES * sizeof(*table));
	ssp_table_use(table);
	return table;
}
#endif
