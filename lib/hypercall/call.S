/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * call_with_registers(code, before, after): see registers.h. All that must outlive the call is on
 * the stack, so that any CPU may run it at any time, in user mode too.
 */
#include <hypercall/registers.h>

	.section .note.GNU-stack, "", @progbits
	.text
	.globl	call_with_registers
	.type	call_with_registers, @function

#ifdef __x86_64__
#define SLOT(reg, base) (8 * reg)(base)

call_with_registers:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdx			/* after */
	push	%rdi			/* code */

	pushf
	mov	SLOT(REG_FLAGS, %rsi), %rax
	and	$FLAGS_STATUS, %eax
	andq	$~FLAGS_STATUS, (%rsp)
	or	%rax, (%rsp)
	popf
	pushf
	pop	SLOT(REG_FLAGS, %rsi)

	mov	SLOT(REG_AX, %rsi), %rax
	mov	SLOT(REG_BX, %rsi), %rbx
	mov	SLOT(REG_CX, %rsi), %rcx
	mov	SLOT(REG_DX, %rsi), %rdx
	mov	SLOT(REG_DI, %rsi), %rdi
	mov	SLOT(REG_BP, %rsi), %rbp
	mov	SLOT(REG_R8, %rsi), %r8
	mov	SLOT(REG_R9, %rsi), %r9
	mov	SLOT(REG_R10, %rsi), %r10
	mov	SLOT(REG_R11, %rsi), %r11
	mov	SLOT(REG_R12, %rsi), %r12
	mov	SLOT(REG_R13, %rsi), %r13
	mov	SLOT(REG_R14, %rsi), %r14
	mov	SLOT(REG_R15, %rsi), %r15
	mov	SLOT(REG_SI, %rsi), %rsi

	call	*(%rsp)

	pushf
	push	%rsi
	mov	24(%rsp), %rsi		/* after */
	mov	%rax, SLOT(REG_AX, %rsi)
	mov	%rbx, SLOT(REG_BX, %rsi)
	mov	%rcx, SLOT(REG_CX, %rsi)
	mov	%rdx, SLOT(REG_DX, %rsi)
	mov	%rdi, SLOT(REG_DI, %rsi)
	mov	%rbp, SLOT(REG_BP, %rsi)
	mov	%r8, SLOT(REG_R8, %rsi)
	mov	%r9, SLOT(REG_R9, %rsi)
	mov	%r10, SLOT(REG_R10, %rsi)
	mov	%r11, SLOT(REG_R11, %rsi)
	mov	%r12, SLOT(REG_R12, %rsi)
	mov	%r13, SLOT(REG_R13, %rsi)
	mov	%r14, SLOT(REG_R14, %rsi)
	mov	%r15, SLOT(REG_R15, %rsi)
	pop	SLOT(REG_SI, %rsi)
	pop	SLOT(REG_FLAGS, %rsi)

	add	$16, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
#else
#define SLOT(reg, base) (4 * reg)(base)

call_with_registers:
	push	%ebp
	push	%ebx
	push	%esi
	push	%edi			/* now code, before, after are at 20, 24, 28(%esp) */
	mov	24(%esp), %ebp

	pushf
	mov	SLOT(REG_FLAGS, %ebp), %eax
	and	$FLAGS_STATUS, %eax
	andl	$~FLAGS_STATUS, (%esp)
	or	%eax, (%esp)
	popf
	pushf
	pop	SLOT(REG_FLAGS, %ebp)

	mov	SLOT(REG_AX, %ebp), %eax
	mov	SLOT(REG_BX, %ebp), %ebx
	mov	SLOT(REG_CX, %ebp), %ecx
	mov	SLOT(REG_DX, %ebp), %edx
	mov	SLOT(REG_SI, %ebp), %esi
	mov	SLOT(REG_DI, %ebp), %edi
	mov	SLOT(REG_BP, %ebp), %ebp

	call	*20(%esp)

	pushf
	push	%ebp
	mov	36(%esp), %ebp		/* after */
	mov	%eax, SLOT(REG_AX, %ebp)
	mov	%ebx, SLOT(REG_BX, %ebp)
	mov	%ecx, SLOT(REG_CX, %ebp)
	mov	%edx, SLOT(REG_DX, %ebp)
	mov	%esi, SLOT(REG_SI, %ebp)
	mov	%edi, SLOT(REG_DI, %ebp)
	pop	SLOT(REG_BP, %ebp)
	pop	SLOT(REG_FLAGS, %ebp)

	pop	%edi
	pop	%esi
	pop	%ebx
	pop	%ebp
	ret
#endif
	.size	call_with_registers, . - call_with_registers
