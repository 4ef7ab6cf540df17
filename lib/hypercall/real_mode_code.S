/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a CPU does in real mode for call_in_real_mode(): real_mode.c copies it to a page, which CS then names. The page's
 * end is the stack.
 */
#include <hypercall/real_mode.h>

#define AT(label) ((label) - real_mode_code)

	.section .note.GNU-stack, "", @progbits
	.section .rodata
	.code16
	.globl	real_mode_code, real_mode_instruction, real_mode_ud, real_mode_fault
	.globl	real_mode_idt, real_mode_code_end
real_mode_code:
	cli
	movw	%cs, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movw	$0x1000, %sp
	lidtl	AT(real_mode_idt)
	movl	REAL_MODE_CALL + REAL_MODE_EAX, %eax
	xorl	%ebx, %ebx
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	xorl	%esi, %esi
	xorl	%edi, %edi
	xorl	%ebp, %ebp
real_mode_instruction:
	.byte	0xcc, 0xcc, 0xcc	/* the vendor's */
	movl	%eax, REAL_MODE_CALL + REAL_MODE_RESULT
	movw	$REAL_MODE_RETURNED, REAL_MODE_CALL + REAL_MODE_END
1:	hlt
	jmp	1b
real_mode_ud:
	popw	%ax
	subw	$AT(real_mode_instruction), %ax
	movw	%ax, REAL_MODE_CALL + REAL_MODE_IP
	movw	$REAL_MODE_UD, REAL_MODE_CALL + REAL_MODE_END
1:	hlt
	jmp	1b
real_mode_fault:
	movw	$REAL_MODE_FAULT, REAL_MODE_CALL + REAL_MODE_END
1:	hlt
	jmp	1b
/* Limit and base of the IDT, which real_mode.c fills in. */
	.align	4
real_mode_idt:
	.word	0
	.long	0
real_mode_code_end:
