/* SPDX-License-Identifier: BSD-2-Clause */
/* See x86/cet_calls.h. The selectors are those of <x86/descriptors.h>. */
#include <x86/cet_calls.h>

#define MSR_IA32_S_CET	   0x6a2
#define KERNEL_CS	   0x08
#define VECTOR_USER_RETURN 0xf0

/*
 * The macros take the letter of the registers' width (r, e) and that of RDSSP and INCSSP (q, d).
 * EBX is the struct cet_call; label 7 is where a CALL returns.
 */

/*
 * Down by CALLs whose return addresses are dropped, then up by INCSSPD. RDSSP gives 0 where it is a
 * NOP.
 */
	.macro	arrive r, q
	mov	CALL_SSP(%\r\()bx), %\r\()si
	test	%\r\()si, %\r\()si
	jz	9f
1:	xorl	%eax, %eax
	rdssp\q	%\r\()ax
	cmp	%\r\()si, %\r\()ax
	jbe	3f
	call	2f
	nop
2:	pop	%\r\()dx
	jmp	1b
3:	sub	%\r\()ax, %\r\()si
	shr	$2, %\r\()si
4:	test	%\r\()si, %\r\()si
	jz	9f
	movl	$255, %eax
	cmp	%\r\()ax, %\r\()si
	cmovb	%esi, %eax
	incsspd	%eax
	sub	%\r\()ax, %\r\()si
	jmp	4b
9:
	.endm

	.macro	before r, q
	arrive	\r, \q
	mov	CALL_STACK(%\r\()bx), %\r\()ax
	test	%\r\()ax, %\r\()ax
	jz	9f
	mov	%\r\()ax, %\r\()sp
9:	movl	$7f, CALL_RETURN_ADDRESS(%\r\()bx)
	mov	%\r\()sp, CALL_SP_BEFORE(%\r\()bx)
	.endm

	.macro	inside r, q
	movl	$1, %eax
	rdssp\q	%\r\()ax
	mov	%\r\()ax, CALL_SSP_INSIDE(%\r\()bx)
	mov	%\r\()sp, CALL_SP_INSIDE(%\r\()bx)
	mov	(%\r\()sp), %\r\()ax
	mov	%\r\()ax, CALL_ON_STACK(%\r\()bx)
	.endm

	.macro	tamper r
	mov	CALL_TAMPER_AT(%\r\()bx), %\r\()cx
	test	%\r\()cx, %\r\()cx
	jnz	9f
	mov	%\r\()sp, %\r\()cx
	add	CALL_TAMPER_OFFSET(%\r\()bx), %\r\()cx
9:	mov	CALL_TAMPER(%\r\()bx), %\r\()dx
	xor	%\r\()dx, (%\r\()cx)
	movl	CALL_STRAY(%\r\()bx), %edx
	test	%edx, %edx
	jz	9f
	movl	%edx, (%\r\()sp)
9:
	.endm

/* Takes that many words of 4 bytes off the shadow stack. */
	.macro	drop r
	movl	CALL_VALUE(%\r\()bx), %eax
	incsspd	%eax
	.endm

	.macro	after p, r, q
	movl	$1, %eax
	rdssp\q	%\r\()ax
	mov	%\r\()ax, CALL_SSP_AFTER(%\r\()bx)
	mov	%\r\()sp, CALL_SP_AFTER(%\r\()bx)
	jmp	\p\()finish
	.endm

/* The status flags as CALL_FLAGS has them, and back into it. */
	.macro	load_flags r
	pushf
	pop	%\r\()ax
	andl	$~FLAGS_STATUS, %eax
	orl	CALL_FLAGS(%\r\()bx), %eax
	push	%\r\()ax
	popf
	.endm

	.macro	save_flags r
	pushf
	pop	%\r\()ax
	andl	$FLAGS_STATUS, %eax
	movl	%eax, CALL_FLAGS(%\r\()bx)
	.endm

	.macro	label p, name
	.globl	\p\name
\p\name:
	.endm

	.macro	near_calls p, r, q
	label	\p, call_relative
	before	\r, \q
	call	\p\()callee
7:	after	\p, \r, \q

	label	\p, call_register
	before	\r, \q
	movl	$\p\()callee, %eax
	call	*%\r\()ax
7:	after	\p, \r, \q

	label	\p, call_memory
	before	\r, \q
	movl	$\p\()callee, CALL_POINTER(%\r\()bx)
	call	*CALL_POINTER(%\r\()bx)
7:	after	\p, \r, \q

	label	\p, call_ret_imm
	before	\r, \q
	sub	$CALL_RET_IMM, %\r\()sp
	call	\p\()callee_imm
7:	after	\p, \r, \q

	label	\p, call_zero
	before	\r, \q
	.byte	0xe8
	.long	0
7:	inside	\r, \q
	pop	%\r\()dx
	after	\p, \r, \q

	label	\p, call_register_next
	before	\r, \q
	movl	$7f, %eax
	call	*%\r\()ax
7:	inside	\r, \q
	pop	%\r\()dx
	after	\p, \r, \q

	label	\p, push_ret
	before	\r, \q
	push	$7f
	inside	\r, \q
	tamper	\r
	ret
7:	after	\p, \r, \q

	label	\p, unwind
	before	\r, \q
	call	1f
7:	after	\p, \r, \q
1:	call	2f
	ud2
2:	pop	%\r\()dx
	inside	\r, \q
	mov	CALL_VALUE(%\r\()bx), %\r\()ax
	incssp\q %\r\()ax
	ret

	label	\p, stray
	ud2

\p\()callee:
	inside	\r, \q
	tamper	\r
	ret

\p\()callee_imm:
	inside	\r, \q
	tamper	\r
	ret	$CALL_RET_IMM
	.endm

	.macro	jump_sequence p, r, q
	label	\p, jumps
	before	\r, \q
	jmp	1f
	ud2
1:	xorl	%eax, %eax
	jnz	1b
	jz	2f
	ud2
2:	movl	$3f, %eax
	jmp	*%\r\()ax
	ud2
3:	movl	$4f, CALL_POINTER(%\r\()bx)
	jmp	*CALL_POINTER(%\r\()bx)
	ud2
4:	movl	$2, %ecx
5:	loop	5b
	jecxz	6f
	ud2
6:	movl	$7f, CALL_FAR(%\r\()bx)
	ljmp	*CALL_FAR(%\r\()bx)
	ud2
7:	after	\p, \r, \q
	.endm

	.macro	far_calls p, r, q
	label	\p, call_far
	before	\r, \q
	lcall	*CALL_FAR(%\r\()bx)
7:	after	\p, \r, \q

	label	\p, far_ret
	drop	\r
	inside	\r, \q
	tamper	\r
	lretl

	label	\p, far_ret_imm
	drop	\r
	inside	\r, \q
	tamper	\r
	lretl	$CALL_RET_IMM
	.endm

/*
 * These have turned the frame of 32 bits that CALL pushed into the one of 64 bits, or that
 * of IRET.
 */
	.macro	far_returns64
	label	seq_, far_retq
	drop	r
	movl	(%rsp), %eax
	movl	4(%rsp), %ecx
	addq	$8, %rsp
	pushq	%rcx
	pushq	%rax
	label	seq_, far64_retq
	inside	r, q
	tamper	r
	lretq

	label	seq_, far_iret
	drop	r
	movl	(%rsp), %eax
	movl	4(%rsp), %ecx
	addq	$8, %rsp
	movq	%rsp, %rdx
	movl	%ss, %esi
	pushq	%rsi
	pushq	%rdx
	pushfq
	pushq	%rcx
	pushq	%rax
	inside	r, q
	tamper	r
	iretq

	label	seq_, call_far64
	before	r, q
	rex.w lcall *CALL_FAR64(%rbx)
7:	after	seq_, r, q
	.endm

	.macro	far_iret32 p
	label	\p, far_iret
	drop	e
	popl	%eax
	popl	%ecx
	pushfl
	pushl	%ecx
	pushl	%eax
	inside	e, d
	tamper	e
	iretl
	.endm

/* \d: the form's suffix */
	.macro	instructions p, r, q, d, value
	label	\p, incssp_\d
	before	\r, \q
	mov	CALL_VALUE(%\r\()bx), %\r\()ax
	incssp\d \value
7:	after	\p, \r, \q

	label	\p, rdssp_\d
	arrive	\r, \q
	mov	CALL_VALUE(%\r\()bx), %\r\()ax
	rdssp\d	\value
	mov	%\r\()ax, CALL_VALUE(%\r\()bx)
	jmp	\p\()finish

	label	\p, wrss_\d
	before	\r, \q
	mov	CALL_ADDRESS(%\r\()bx), %\r\()cx
	mov	CALL_VALUE(%\r\()bx), %\r\()ax
	wrss\d	\value, (%\r\()cx)
7:	after	\p, \r, \q

	label	\p, wruss_\d
	before	\r, \q
	mov	CALL_ADDRESS(%\r\()bx), %\r\()cx
	mov	CALL_VALUE(%\r\()bx), %\r\()ax
	wruss\d	\value, (%\r\()cx)
7:	after	\p, \r, \q
	.endm

	.macro	tokens p, r, q
	label	\p, nothing
	before	\r, \q
7:	after	\p, \r, \q

	label	\p, rstorssp
	before	\r, \q
	mov	CALL_ADDRESS(%\r\()bx), %\r\()cx
	load_flags \r
	rstorssp (%\r\()cx)
	save_flags \r
7:	after	\p, \r, \q

	label	\p, saveprevssp
	before	\r, \q
	mov	CALL_ADDRESS(%\r\()bx), %\r\()cx
	.irp	offset, 0, 4, 8, 12
	movl	CALL_WORDS + \offset(%\r\()bx), %eax
	movl	%eax, \offset(%\r\()cx)
	.endr
	load_flags \r
	saveprevssp
	save_flags \r
7:	after	\p, \r, \q

	label	\p, setssbsy
	before	\r, \q
	load_flags \r
	setssbsy
	save_flags \r
7:	after	\p, \r, \q

	label	\p, clrssbsy
	before	\r, \q
	mov	CALL_ADDRESS(%\r\()bx), %\r\()cx
	load_flags \r
	clrssbsy (%\r\()cx)
	save_flags \r
7:	after	\p, \r, \q

	label	\p, switch_stacks
	before	\r, \q
	mov	CALL_ADDRESS(%\r\()bx), %\r\()cx
	mov	CALL_VALUE(%\r\()bx), %\r\()dx
	rstorssp (%\r\()cx)
	saveprevssp
	call	1f
	rstorssp (%\r\()dx)
	saveprevssp
7:	after	\p, \r, \q
1:	inside	\r, \q
	ret
	.endm

	.macro	sequences p, r, q
	near_calls \p, \r, \q
	jump_sequence \p, \r, \q
	far_calls \p, \r, \q
	instructions \p, \r, \q, d, %eax
	tokens	\p, \r, \q
	.endm

/* At CPL 0: IA32_S_CET = 0; 32-bit code then leaves the code segment that it was given. */
	.macro	finish p
\p\()finish:
	movl	%cs, %eax
	testb	$3, %al
	jz	1f
	int	$VECTOR_USER_RETURN
1:	movl	$MSR_IA32_S_CET, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	.endm

	.text
	.globl	cet_sequence
#ifdef __x86_64__
cet_sequence:
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rdi, %rbx
	movq	%rsp, CALL_HOME(%rbx)
	ljmp	*CALL_ENTRY(%rbx)

	finish	seq_
seq_home:
	movq	CALL_HOME(%rbx), %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	xorl	%eax, %eax
	ret

	sequences seq_, r, q
	instructions seq_, r, q, q, %rax
	far_returns64

	.code32
	finish	seq32_
	ljmpl	$KERNEL_CS, $seq_home

	sequences seq32_, e, d
	far_iret32 seq32_
	.code64
#else
cet_sequence:
	pushl	%ebp
	pushl	%ebx
	pushl	%esi
	pushl	%edi
	movl	20(%esp), %ebx
	movl	%esp, CALL_HOME(%ebx)
	ljmp	*CALL_ENTRY(%ebx)

	finish	seq_
	ljmpl	$KERNEL_CS, $seq_home
seq_home:
	movl	CALL_HOME(%ebx), %esp
	popl	%edi
	popl	%esi
	popl	%ebx
	popl	%ebp
	xorl	%eax, %eax
	ret

	sequences seq_, e, d
	far_iret32 seq_
#endif
