// SPDX-License-Identifier: BSD-2-Clause
#include <x86/shadow_stack.h>

#include <libc/array.h>
#include <x86/cpu.h>
#include <x86/cpuid.h>
#include <x86/user_entry.h>

/* shadow_stack_run.S */
void shadow_stack_enter(uintptr_t s_cet, void (*function)(void));

/* Behind what is the tests' own of VA_FREE. */
#define GATES_VA (VA_FREE + 0x3ff00000)

struct shadow_stack shadow_stack_new(uintptr_t va, enum shadow_kind kind)
{
	struct shadow_stack stack = {
		.base = va,
		.end = va + PAGE_SIZE,
		.words = (uintptr_t)page_alloc(),
	};

	map_page(va, stack.words, LEVEL_4K,
		 kind == SHADOW_USER ? PTE_SHADOW_USER : PTE_SHADOW_SUPERVISOR);
	return stack;
}

uintptr_t shadow_stack_token(const struct shadow_stack *stack)
{
	uintptr_t token = stack->end - sizeof(uint64_t);

	*shadow_word(stack, token) = token;
	return token;
}

void shadow_stack_run(const struct shadow_stack *stack, uint64_t s_cet, void (*function)(void))
{
	wrmsr(MSR_IA32_PL0_SSP, shadow_stack_token(stack));
	shadow_stack_enter(CET_SH_STK_EN | s_cet, function);
}

struct user_result shadow_user_call(const struct shadow_stack *stack, uint64_t u_cet,
				    user_function *function, uintptr_t argument)
{
	uintptr_t ssp = stack->end - sizeof(uintptr_t);

	*(volatile uintptr_t *)shadow_word(stack, ssp) = (uintptr_t)user_return;
	wrmsr(MSR_IA32_PL3_SSP, ssp);
	wrmsr(MSR_IA32_U_CET, CET_SH_STK_EN | u_cet);
	return user_call(function, argument);
}

void skip_without_task_switch(void)
{
#ifndef __x86_64__
	uint32_t base;

	if (cpuid_hypervisor("KVMKVMKVM\0\0", &base))
		SKIP("KVM switches to no task, as that of #DF, while CET is on");
#endif
}

#ifdef __x86_64__
/* One stack for each IST entry that the runtime has a stack for; <x86/descriptors.h>. */
void shadow_stacks_of_gates(void)
{
	static struct shadow_stack stacks[IST_FREE + 1];
	static uint64_t table[8] __attribute__((aligned(sizeof(uint64_t[8]))));

	if (!has_shadow_stacks())
		return;
	for (unsigned int ist = IST_NMI; ist < COUNT_OF(stacks); ist++) {
		if (!stacks[ist].base)
			stacks[ist] =
				shadow_stack_new(GATES_VA + ist * PAGE_SIZE, SHADOW_SUPERVISOR);
		table[ist] = shadow_stack_token(&stacks[ist]);
	}
	wrmsr(MSR_IA32_INTERRUPT_SSP_TABLE_ADDR, (uintptr_t)table);
}
#else
/* A task switch takes SSP from the new task's TSS, which is not to be read before. */
void shadow_stacks_of_gates(void)
{
	static struct shadow_stack stack;

	if (!has_shadow_stacks())
		return;
	if (!stack.base)
		stack = shadow_stack_new(GATES_VA, SHADOW_SUPERVISOR);
	this_cpu()->df_tss.ssp = shadow_stack_token(&stack);
}
#endif
