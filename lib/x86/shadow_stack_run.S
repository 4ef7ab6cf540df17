/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shadow_stack_enter(s_cet, function): the way onto a shadow stack, whose token IA32_PL0_SSP names, and off it
 *
 * It is called without a shadow stack and returns without one, so that no return is ever seen of which the
 * call was not. Off it, IA32_S_CET is zero.
 */
#define MSR_IA32_S_CET 0x6a2

	.text
	.globl	shadow_stack_enter
#ifdef __x86_64__
shadow_stack_enter:
	movl	$MSR_IA32_S_CET, %ecx
	movl	%edi, %eax
	movq	%rdi, %rdx
	shrq	$32, %rdx
	wrmsr
	setssbsy
	call	*%rsi
	movl	$MSR_IA32_S_CET, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	ret
#else
shadow_stack_enter:
	movl	$MSR_IA32_S_CET, %ecx
	movl	4(%esp), %eax
	xorl	%edx, %edx
	wrmsr
	setssbsy
	call	*8(%esp)
	movl	$MSR_IA32_S_CET, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	ret
#endif
