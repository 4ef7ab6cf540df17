/* SPDX-License-Identifier: BSD-2-Clause */
/* See x86/user_entry.h. The selectors are those of <x86/descriptors.h>. */
#define USER_DS		   0x2b
#define USER_CS		   0x33
#define VECTOR_USER_RETURN 0xf0

	.text
	.globl	user_enter, user_return
#ifdef __x86_64__
user_enter:
	/* RDI function, RSI argument, RDX stack, RCX flags */
	movl	$USER_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	/* The return address, where the alignment is what a function expects. */
	subq	$8, %rdx
	movq	$user_return, (%rdx)
	pushq	$USER_DS
	pushq	%rdx
	pushq	%rcx
	pushq	$USER_CS
	pushq	%rdi
	movq	%rsi, %rdi
	xorl	%ebp, %ebp
	iretq

user_return:
	int	$VECTOR_USER_RETURN
#else
user_enter:
	movl	4(%esp), %eax	/* function */
	movl	8(%esp), %ecx	/* argument */
	movl	12(%esp), %edx	/* stack */
	movl	16(%esp), %ebx	/* flags */
	movl	$USER_DS, %esi
	movl	%esi, %ds
	movl	%esi, %es
	subl	$16, %edx
	movl	%ecx, (%edx)
	subl	$4, %edx
	movl	$user_return, (%edx)
	pushl	$USER_DS
	pushl	%edx
	pushl	%ebx
	pushl	$USER_CS
	pushl	%eax
	/* IRET wants SSP to be a multiple of 8, and nothing returns on this shadow stack any more. */
	xorl	%esi, %esi
	rdsspd	%esi
	testl	$4, %esi
	jz	1f
	movl	$1, %esi
	incsspd	%esi
1:	xorl	%ebp, %ebp
	iretl

user_return:
	int	$VECTOR_USER_RETURN
#endif
