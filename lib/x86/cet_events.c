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
void user_enter_entry(void *entry)
{
	user_enter_shadowed(entry);
}

struct user_result user_call_shadowed(struct user_entry *entry, const struct shadow_stack *user)
{
	set_user_shadow_stack(user);
	return user_run(FAULTS_OF_BOTH, user_enter_entry, entry);
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
