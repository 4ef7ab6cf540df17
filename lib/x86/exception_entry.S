/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the IDT's gates lead: the registers go into a struct x86_frame, and C takes over
 */
#include <x86/boot.h>

#define STUB_SIZE 16
#define KERNEL_DS 0x10
#define VECTOR_NMI 2
#define VECTOR_VC  29

/* The offset of "vector" in struct x86_frame of 64-bit guests. */
#define FRAME_VECTOR 128

/*
 * The vectors at which the CPU pushes an error code: Intel SDM volume 3, table 7-1; 29 and 30
 * AMD's.
 */
#define HAS_ERROR_CODE(vector)                                                                     \
	(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 ||          \
	 vector == 29 || vector == 30)

	.text
	.balign	STUB_SIZE
	.globl	exception_stubs
exception_stubs:
	.set	vector, 0
	.rept	256
	.balign	STUB_SIZE
#ifdef __x86_64__
	endbr64
	.if	!HAS_ERROR_CODE(vector)
	pushq	$0
	.endif
	pushq	$vector
#else
	endbr32
	.if	!HAS_ERROR_CODE(vector)
	pushl	$0
	.endif
	pushl	$vector
#endif
	jmp	exception_common
	.set	vector, vector + 1
	.endr

#ifdef __x86_64__
exception_common:
	cld
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rbx
	pushq	%rbp
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	/* A NOP where there is no shadow stack. */
	xorl	%eax, %eax
	rdsspq	%rax
	pushq	%rax
	movq	%rsp, %rdi
	cmpb	$VECTOR_VC, FRAME_VECTOR(%rsp)
	je	3f
	cmpb	$VECTOR_NMI, FRAME_VECTOR(%rsp)
	je	3f
2:	call	exception_dispatch
frame_load:
	addq	$8, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rbp
	popq	%rbx
	popq	%rdx
	popq	%rcx
	popq	%rax
	addq	$16, %rsp
	iretq
3:	call	sev_leave_stack
	movq	%rax, %rsp
	movq	%rax, %rdi
	jmp	2b

	/* x86/cpu.h */
	.globl	frame_enter
frame_enter:
	movq	%rdi, %rsp
	jmp	frame_load
#else
exception_common:
	cld
	pushal
	pushl	%ds
	pushl	%es
	pushl	%fs
	pushl	%gs
	movl	$KERNEL_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	xorl	%eax, %eax
	rdsspd	%eax
	pushl	%eax
	pushl	%esp
	call	exception_dispatch
	addl	$4, %esp
frame_load:
	addl	$4, %esp
	popl	%gs
	popl	%fs
	popl	%es
	popl	%ds
	popal
	addl	$8, %esp
	iretl

	.globl	frame_enter
frame_enter:
	movl	4(%esp), %esp
	jmp	frame_load

/*
 * #DF switches to a task of its own, with the error code on its stack. The interrupted registers
 * are in the CPU's main TSS, from which IRET loads them. The next #DF goes on behind that IRET.
 */
	.globl	double_fault_task
double_fault_task:
	endbr32
	call	double_fault_dispatch
	addl	$4, %esp
	iretl
	jmp	double_fault_task
#endif
