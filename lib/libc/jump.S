/* SPDX-License-Identifier: BSD-2-Clause */
/* See libc/jump.h. The offsets are those of struct jump. */
	.text
#ifdef __x86_64__
	.globl jump_save
jump_save:
	movq	(%rsp), %rax
	movq	%rax, 0(%rdi)
	leaq	8(%rsp), %rax
	movq	%rax, 8(%rdi)
	movq	%rbp, 16(%rdi)
	movq	%rbx, 24(%rdi)
	pushfq
	popq	32(%rdi)
	movq	%r12, 40(%rdi)
	movq	%r13, 48(%rdi)
	movq	%r14, 56(%rdi)
	movq	%r15, 64(%rdi)
	xorl	%eax, %eax
	ret

	.globl jump_restore
jump_restore:
	movq	8(%rdi), %rsp
	movq	16(%rdi), %rbp
	movq	24(%rdi), %rbx
	movq	40(%rdi), %r12
	movq	48(%rdi), %r13
	movq	56(%rdi), %r14
	movq	64(%rdi), %r15
	pushq	0(%rdi)
	pushq	32(%rdi)
	popfq
	movl	$1, %eax
	ret
#else
	.globl jump_save
jump_save:
	movl	4(%esp), %ecx
	movl	(%esp), %eax
	movl	%eax, 0(%ecx)
	leal	4(%esp), %eax
	movl	%eax, 4(%ecx)
	movl	%ebp, 8(%ecx)
	movl	%ebx, 12(%ecx)
	pushfl
	popl	16(%ecx)
	movl	%esi, 20(%ecx)
	movl	%edi, 24(%ecx)
	xorl	%eax, %eax
	ret

	/* The argument comes in EAX. */
	.globl jump_restore
jump_restore:
	movl	4(%eax), %esp
	movl	8(%eax), %ebp
	movl	12(%eax), %ebx
	movl	20(%eax), %esi
	movl	24(%eax), %edi
	pushl	0(%eax)
	pushl	16(%eax)
	popfl
	movl	$1, %eax
	ret
#endif
