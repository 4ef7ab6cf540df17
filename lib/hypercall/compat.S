/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * call_in_compatibility_mode(code, before, after): see compat.h. Stack and image lie below 4 GiB.
 * Going to 32-bit code and back is by RET far; what 32-bit code cannot keep is on the stack.
 */
	.section .note.GNU-stack, "", @progbits
#ifdef __x86_64__
#include <hypercall/compat.h>

#define KERNEL_CS   0x08
#define KERNEL_CS32 0x18

	.text
	.globl	call_in_compatibility_mode
	.type	call_in_compatibility_mode, @function
call_in_compatibility_mode:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	pushq	$KERNEL_CS32
	lea	1f(%rip), %rax
	push	%rax
	lretq

	.code32
1:	push	%edx			/* after */
	push	%edi			/* code */
	mov	COMPAT_EAX(%esi), %eax
	mov	COMPAT_EBX(%esi), %ebx
	mov	COMPAT_ECX(%esi), %ecx
	mov	COMPAT_EDX(%esi), %edx
	mov	COMPAT_EDI(%esi), %edi
	mov	COMPAT_ESI(%esi), %esi
	call	*(%esp)
	mov	4(%esp), %ebp		/* after */
	mov	%eax, COMPAT_EAX(%ebp)
	mov	%ebx, COMPAT_EBX(%ebp)
	mov	%ecx, COMPAT_ECX(%ebp)
	mov	%edx, COMPAT_EDX(%ebp)
	mov	%esi, COMPAT_ESI(%ebp)
	mov	%edi, COMPAT_EDI(%ebp)
	add	$8, %esp
	pushl	$KERNEL_CS
	pushl	$2f
	lretl

	.code64
2:	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
	.size	call_in_compatibility_mode, . - call_in_compatibility_mode
#endif
