/* SPDX-License-Identifier: BSD-2-Clause */
/* See <x86/cet_branches.h>, also for the constants. Functions of one argument, which is in AX. */
#define MSR_IA32_S_CET	   0x6a2
#define TARGET_REACHED	   0x600d600d
#define VECTOR_BRANCH_IOPL 0x41
#define VECTOR_BRANCH_GATE 0x42
#define FLAGS_TF	   (1 << 8)

/* <x86/descriptors.h> */
#define KERNEL_CS	   0x08
#define KERNEL_CS32	   0x18
#define USER_CS32	   0x23
#define USER_CS		   0x33

#define PREFIX_ES	   0x26
#define PREFIX_DS	   0x3e /* the no-track prefix */
#define PREFIX_FS	   0x64

#ifdef __x86_64__
#define AX	 %rax
#define BX	 %rbx
#define CX	 %rcx
#define SP	 %rsp
#define WORD	 8
#define ENDBR	 endbr64
#define ARGUMENT mov %rdi, AX
#define FAR	 rex.w
#define FAR_RET	 lretq
#define IRET	 iretq
#else
#define AX	 %eax
#define BX	 %ebx
#define CX	 %ecx
#define SP	 %esp
#define WORD	 4
#define ENDBR	 endbr32
#define ARGUMENT mov 4(SP), AX
#define FAR
#define FAR_RET lretl
#define IRET	iretl
#endif

	.macro function name
	.balign	16
	.globl	\name
\name:
	ENDBR
	ARGUMENT
	.endm

	.macro reached
	movl	$TARGET_REACHED, %eax
	ret
	.endm

	/* Fills in the operand of a far branch: AX, and the CS in use. */
	.macro set_far_pointer
	mov	AX, far_pointer
	movl	%cs, %ecx
	movw	%cx, far_pointer + WORD
	.endm

	.data
	.balign	8
near_pointer:
	.fill	WORD, 1, 0
	.balign	8
far_pointer:
	.fill	WORD + 2, 1, 0
	.balign	8
	.globl	gate_seen
gate_seen:
	.fill	2 * WORD, 1, 0

	.text
	function branch_call_register
	call	*AX
	ret

	function branch_call_memory
	mov	AX, near_pointer
	call	*near_pointer
	ret

	function branch_jmp_register
	jmp	*AX

	function branch_jmp_memory
	mov	AX, near_pointer
	jmp	*near_pointer

	/* The target's near RET leaves the CS of the far CALL on the stack. */
	function branch_far_call
far_call:
	set_far_pointer
	FAR lcall *far_pointer
	pop	CX
	ret

	function branch_far_jmp
	set_far_pointer
	FAR ljmp *far_pointer

	function notrack_call_register
	.byte	PREFIX_DS
	call	*AX
	ret

	function notrack_call_memory
	mov	AX, near_pointer
	.byte	PREFIX_DS
	call	*near_pointer
	ret

	function notrack_jmp_register
	.byte	PREFIX_DS
	jmp	*AX

	function notrack_jmp_memory
	mov	AX, near_pointer
	.byte	PREFIX_DS
	jmp	*near_pointer

	function notrack_far_call
	set_far_pointer
	.byte	PREFIX_DS
	FAR lcall *far_pointer
	pop	CX
	ret

	function notrack_far_jmp
	set_far_pointer
	.byte	PREFIX_DS
	FAR ljmp *far_pointer

	function notrack_then_fs
	.byte	PREFIX_DS, PREFIX_FS
	call	*AX
	ret

	function fs_then_notrack
	.byte	PREFIX_FS, PREFIX_DS
	call	*AX
	ret

	function notrack_then_es
	.byte	PREFIX_DS, PREFIX_ES
	call	*AX
	ret

	function es_then_notrack
	.byte	PREFIX_ES, PREFIX_DS
	call	*AX
	ret

#ifdef __x86_64__
	/* AX in compatibility mode, by a far JMP; its near RET, which pops 4 bytes, leads to compat_back. */
	function branch_compat_far_jmp
	mov	AX, far_pointer
	subl	$4, %esp
	movl	$compat_back, (SP)
	jmp	compat_enter

	/* A near CALL of AX there. */
	function branch_compat_call
	movq	$compat_call, far_pointer
compat_enter:
	movl	%cs, %ecx
	testl	$3, %ecx
	movl	$KERNEL_CS32, %ecx
	movl	$USER_CS32, %edx
	cmovnz	%edx, %ecx
	movw	%cx, far_pointer + WORD
	FAR ljmp *far_pointer

	.code32
compat_call:
	endbr32
	call	*%eax
compat_back:
	movl	%cs, %ecx
	testl	$3, %ecx
	jnz	1f
	ljmp	$KERNEL_CS, $compat_end
1:	ljmp	$USER_CS, $compat_end
	.code64
compat_end:
	endbr64
	ret
#endif

	function branch_stepped
	pushf
	orl	$FLAGS_TF, (SP)
	popf
	call	*AX
	ret

	function branch_after_sti
	int	$VECTOR_BRANCH_IOPL
	sti
	call	*AX
	cli
	ret

	function branch_call_pointer
	call	*(AX)
	ret

	function branch_call_list
	push	BX
	mov	AX, BX
1:	mov	(BX), CX
	test	CX, CX
	jz	2f
	call	*CX
	add	$WORD, BX
	jmp	1b
2:	pop	BX
	ret

	function branch_call_then_far
	push	BX
	mov	AX, BX
	mov	(BX), AX
	call	*AX
	mov	WORD(BX), AX
	call	far_call
	pop	BX
	ret

	function direct_call
	call	1f
	ret
1:	reached

	function direct_call_zero
	call	1f
1:	pop	CX
	reached

	function direct_jmp
	jmp	1f
	.balign	16
1:	reached

	function direct_jcc
	test	SP, SP
	jnz	1f
	.balign	16
1:	reached

	function direct_loop
	movl	$2, %ecx
1:	loop	1b
	reached

	function return_near
	push	$1f
	ret
	.balign	16
1:	reached

	function return_imm
	push	$0
	push	$1f
	ret	$WORD
	.balign	16
1:	reached

	function return_far
	movl	%cs, %ecx
	push	CX
	push	$1f
	FAR_RET
	.balign	16
1:	reached

	function return_iret
#ifdef __x86_64__
	movl	%ss, %ecx
	push	CX
	lea	WORD(SP), CX
	push	CX
#endif
	pushf
	movl	%cs, %ecx
	push	CX
	push	$1f
	IRET
	.balign	16
1:	reached

	function return_corrupted
	call	1f
2:	reached
1:	addl	$3f - 2b, (SP)
	ret
3:	reached

	/* MOV leaves the flags alone. */
	function endbr_both
	push	AX
	movl	$0x11111111, %eax
	movl	$0x22222222, %ecx
	movl	$0x33333333, %edx
	popf
	endbr32
	endbr64
	pushf
	cld
	cmp	$0x11111111, AX
	jne	1f
	cmp	$0x22222222, CX
	jne	1f
	cmpl	$0x33333333, %edx
	jne	1f
	pop	AX
	ret
1:	pop	AX
	xorl	%eax, %eax
	ret

	function tracker_set_then_nop
	movl	$MSR_IA32_S_CET, %ecx
	xorl	%edx, %edx
	wrmsr
	.globl	tracker_set_nop
tracker_set_nop:
	nop
	reached

	function tracker_set_then_endbr
	movl	$MSR_IA32_S_CET, %ecx
	xorl	%edx, %edx
	wrmsr
	ENDBR
	reached

	function branch_int
	int	$VECTOR_BRANCH_GATE
	reached

	.globl	gate_far_return
	.balign	16
gate_far_return:
	ENDBR
	pop	AX
	pop	CX
	add	$WORD, SP /* the flags */
	push	CX
	push	AX
	FAR_RET

	.globl	gate_without_endbr
	.balign	16
gate_without_endbr:
	IRET

	/* Behind the error code: IP, CS, flags; and in 64-bit mode the stack pointer, which says where the other frame is. */
	.globl	gate_of_cp
	.balign	16
gate_of_cp:
	ENDBR
	push	AX
	mov	WORD(SP), AX
	mov	AX, gate_seen
	mov	2 * WORD(SP), AX
	mov	AX, gate_seen + WORD
	pop	AX
#ifdef __x86_64__
	mov	4 * WORD(SP), SP
#else
	add	$4 * WORD, SP
#endif
	IRET
