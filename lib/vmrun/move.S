/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The requests that need the instructions around their OUT to be these: see vmm.h
 */
	.section .note.GNU-stack, "", @progbits
	.text
	.globl	vmm_move_stub
	.type	vmm_move_stub, @function
vmm_move_stub:
	out	%eax, %dx
	ret
	.size	vmm_move_stub, . - vmm_move_stub

/* move_interruptible(address of the request, port) */
	.globl	move_interruptible, move_first, move_second
	.type	move_interruptible, @function
move_interruptible:
#ifdef __x86_64__
	mov	%edi, %eax
	mov	%esi, %edx
#else
	mov	4(%esp), %eax
	mov	8(%esp), %edx
#endif
	sti
	out	%eax, %dx
move_first:
	nop
move_second:
	cli
	ret
	.size	move_interruptible, . - move_interruptible
