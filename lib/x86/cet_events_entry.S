/* SPDX-License-Identifier: BSD-2-Clause */
/* See x86/cet_events.h. The selectors are those of <x86/descriptors.h>. */
#define KERNEL_CS	   0x08
#define KERNEL_DS	   0x10
#define USER_DS		   0x2b
#define TSS_SELECTOR	   0x38
#define FLAGS_ONE	   0x002
#define FLAGS_TF	   0x100
#define MSR_IA32_S_CET	   0x6a2
#define CET_SH_STK_EN	   1
#define VECTOR_USER_RETURN 0xf0

/* struct user_entry, in words. */
#define ENTRY_IP	0
#define ENTRY_CS	1
#define ENTRY_FLAGS	2
#define ENTRY_SP	3
#define ENTRY_SS	4
#define ENTRY_ARGUMENT	5
#define ENTRY_S_CET	6
#define ENTRY_POP	7

	.text
	.globl	step_call, step_ret, stepped_call, stepped_function, stepped_return
	.globl	iret_at, iret_at_instruction, user_enter_shadowed, user_enter_iret
#ifdef __x86_64__
	.globl	compat_user_ssp

step_call:
	pushfq
	orl	$FLAGS_TF, (%rsp)
	popfq
	call	stepped_function
stepped_call:
	ret
stepped_function:
	ret

step_ret:
	call	1f
stepped_return:
	ret
1:	pushfq
	orl	$FLAGS_TF, (%rsp)
	popfq
	ret

iret_at:
	rdsspq	%rax
	subq	%rax, %rdi
	shrq	$2, %rdi
	incsspd	%edi
	movq	%rsp, %rax
	pushq	$KERNEL_DS
	pushq	%rax
	pushq	$FLAGS_ONE
	pushq	$KERNEL_CS
	leaq	1f(%rip), %rax
	pushq	%rax
iret_at_instruction:
	iretq
1:	ret

user_enter_shadowed:
	movl	8 * ENTRY_S_CET(%rdi), %eax
	testl	%eax, %eax
	jz	1f
	movl	$MSR_IA32_S_CET, %ecx
	xorl	%edx, %edx
	wrmsr
	testl	$CET_SH_STK_EN, %eax
	jz	1f
	setssbsy
	movl	8 * ENTRY_POP(%rdi), %eax
	incsspd	%eax
1:	movl	$USER_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	pushq	8 * ENTRY_SS(%rdi)
	pushq	8 * ENTRY_SP(%rdi)
	pushq	8 * ENTRY_FLAGS(%rdi)
	pushq	8 * ENTRY_CS(%rdi)
	pushq	8 * ENTRY_IP(%rdi)
	movq	8 * ENTRY_ARGUMENT(%rdi), %rdi
	xorl	%ebp, %ebp
user_enter_iret:
	iretq

	.code32
compat_user_ssp:
	endbr32
	xorl	%eax, %eax
	rdsspd	%eax
	int	$VECTOR_USER_RETURN
	.code64
#else
	.globl	task_iret, task_jump

step_call:
	pushfl
	orl	$FLAGS_TF, (%esp)
	popfl
	call	stepped_function
stepped_call:
	ret
stepped_function:
	ret

step_ret:
	call	1f
stepped_return:
	ret
1:	pushfl
	orl	$FLAGS_TF, (%esp)
	popfl
	ret

iret_at:
	movl	4(%esp), %ecx
	rdsspd	%eax
	subl	%eax, %ecx
	shrl	$2, %ecx
	incsspd	%ecx
	pushl	$FLAGS_ONE
	pushl	$KERNEL_CS
	pushl	$1f
iret_at_instruction:
	iretl
1:	ret

user_enter_shadowed:
	movl	4(%esp), %ebx
	movl	4 * ENTRY_S_CET(%ebx), %eax
	testl	%eax, %eax
	jz	1f
	movl	$MSR_IA32_S_CET, %ecx
	xorl	%edx, %edx
	wrmsr
	testl	$CET_SH_STK_EN, %eax
	jz	1f
	setssbsy
	movl	4 * ENTRY_POP(%ebx), %eax
	incsspd	%eax
1:	movl	$USER_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	pushl	4 * ENTRY_SS(%ebx)
	pushl	4 * ENTRY_SP(%ebx)
	pushl	4 * ENTRY_FLAGS(%ebx)
	pushl	4 * ENTRY_CS(%ebx)
	pushl	4 * ENTRY_IP(%ebx)
	xorl	%ebp, %ebp
user_enter_iret:
	iretl

	.macro	LOOK
	xorl	%eax, %eax
	rdsspd	%eax
	movl	(%ebx), %ecx
	xorl	%edx, (%esi)
	.endm

/* A task goes on behind where it has left. */
task_iret:
	endbr32
	LOOK
	iretl
	jmp	task_iret

task_jump:
	endbr32
	LOOK
	ljmp	$TSS_SELECTOR, $0
	jmp	task_jump
#endif
