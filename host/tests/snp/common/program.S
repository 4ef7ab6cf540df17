/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest of guest.h runs: an operation out of the mailbox for each HLT
 *
 * Copied to GUEST_CODE, so it does not depend on where it is linked. The handler of #VC ends the operation; nothing
 * is on the stack at any other time.
 */
#include "layout.h"

#define BOX (VIEW_SHARED + GUEST_MAILBOX)

	.section .rodata
	.globl	guest_program, guest_program_size, guest_program_vc
guest_program:
	hlt
	mov	$BOX, %edi
	mov	BOX_OPERATION(%rdi), %rbx
	mov	BOX_ADDRESS(%rdi), %rax
	mov	BOX_RCX(%rdi), %rcx
	mov	BOX_RDX(%rdi), %rdx
	movq	$0, BOX_VC(%rdi)
	movq	$0, BOX_CARRY(%rdi)
	cmp	$OPERATION_WRITE, %ebx
	je	1f
	cmp	$OPERATION_PVALIDATE, %ebx
	je	2f
	mov	(%rax), %rax
	mov	%rax, BOX_RAX(%rdi)
	jmp	guest_program
1:	mov	%rdx, (%rax)
	jmp	guest_program
2:	.byte	0xf2, 0x0f, 0x01, 0xff	/* PVALIDATE */
	setc	BOX_CARRY(%rdi)
	mov	%rax, BOX_RAX(%rdi)
	jmp	guest_program

	/* On the stack: error code, RIP, CS, RFLAGS, RSP, SS. */
vc:
	pop	%rax
	mov	$GUEST_STACK_END, %esp
	mov	$BOX, %edi
	mov	%rax, BOX_VC(%rdi)
	jmp	guest_program
end:

	/* For C: how long it is, and where in it #VC arrives. */
	.balign	8
guest_program_size:
	.quad	end - guest_program
guest_program_vc:
	.quad	vc - guest_program

	.section .note.GNU-stack, "", @progbits
