/* SPDX-License-Identifier: BSD-2-Clause */
/* See x86/cet_transfers.h. One source for both architectures: W is a word, A to D and so on the registers. */
#include <x86/cet_transfers.h>

#define KERNEL_CS      0x08
#define MSR_IA32_S_CET 0x6a2

#ifdef __x86_64__
#define W		   8
#define A		   %rax
#define B		   %rbx
#define C		   %rcx
#define D		   %rdx
#define DI		   %rdi
#define BP		   %rbp
#define SP		   %rsp
#define ENDBR		   endbr64
#define RDSSP		   rdsspq
#define LRET		   lretq
#define LOAD_ARGUMENT
#else
#define W		   4
#define A		   %eax
#define B		   %ebx
#define C		   %ecx
#define D		   %edx
#define DI		   %edi
#define BP		   %ebp
#define SP		   %esp
#define ENDBR		   endbr32
#define RDSSP		   rdsspd
#define LRET		   lretl
/* Above it: DI, BP, B and the return address. */
#define LOAD_ARGUMENT	   mov 4 * W(SP), DI
#endif

	.text
/* --- far CALL and JMP --------------------------------------------------------------------------- */

	.globl	far_call, far_call_instruction, far_call_return, far_call_elsewhere
	.globl	far_jump, far_jump_landing

/* What they lead to keeps no register. */
	.macro	FAR_BEGIN
	push	B
	push	BP
	push	DI
	LOAD_ARGUMENT
	push	DI
	xor	A, A
	RDSSP	A
	mov	A, FAR_SSP_BEFORE * W(DI)
	.endm

	.macro	FAR_END
	pop	DI
	xor	A, A
	RDSSP	A
	mov	A, FAR_SSP_AFTER * W(DI)
	pop	DI
	pop	BP
	pop	B
	ret
	.endm

far_call:
	FAR_BEGIN
far_call_instruction:
	lcall	*FAR_TARGET * W(DI)
far_call_return:
	FAR_END

far_call_elsewhere:
	mov	(SP), DI
	movl	$1, FAR_ELSEWHERE * W(DI)
	jmp	far_call_return

#ifdef __x86_64__
far_call_escaped:
	endbr64
	movl	%esp, %esp
	jmp	far_call_return
#endif

far_jump:
	FAR_BEGIN
	ljmp	*FAR_TARGET * W(DI)
far_jump_landing:
	ENDBR
	FAR_END

/* --- what a call gate leads to ------------------------------------------------------------------- */

	.globl	gate_target, gate_target_bare, gate_target_return

gate_target:
	ENDBR
gate_target_bare:
	mov	%cs, %eax
	mov	%eax, %ecx
	and	$3, %ecx
	imul	$VISIT_SIZE * W, %ecx
	lea	gate_visits(C), B
	mov	A, VISIT_CS * W(B)
	mov	SP, VISIT_SP * W(B)
	xor	A, A
	RDSSP	A
	mov	A, VISIT_SSP * W(B)
	mov	VISIT_HOOK * W(B), A
	test	A, A
	jz	1f
	call	*A
1:	mov	VISIT_POP * W(B), A
	test	A, A
	jz	gate_target_return
	incsspd	%eax
gate_target_return:
	LRET

/* --- compatibility mode -------------------------------------------------------------------------- */

#ifdef __x86_64__
	.globl	compat_target, compat_escape
	.globl	compat_trip, compat_trip_jump, compat_begin, compat_begin_bare, compat_begin_long, compat_end, long_target

/* In struct compat_trip. */
#define TRIP_TO_COMPAT	 0x00
#define TRIP_CALL_LONG	 0x08
#define TRIP_TO_LONG	 0x10
#define TRIP_SSP_BEGIN	 0x18
#define TRIP_SSP_NEAR	 0x1c
#define TRIP_NEAR_RETURN 0x20
#define TRIP_SSP_BEFORE	 0x24
#define TRIP_SSP_LONG	 0x28
#define TRIP_LONG_RETURN 0x2c
#define TRIP_SSP_AFTER	 0x30

/*
 * Compatibility mode keeps R8 to R15, but not the upper halves of the others (SDM volume 1, "General-Purpose
 * Registers in 64-Bit Mode").
 */
compat_trip:
	pushq	%rbx
	pushq	%rbp
compat_trip_jump:
	ljmp	*TRIP_TO_COMPAT(%rdi)
compat_end:
	endbr64
	movl	%esp, %esp
	popq	%rbp
	popq	%rbx
	ret

long_target:
	endbr64
	rdsspq	%rax
	movl	%eax, TRIP_SSP_LONG(%rdi)
	movl	(%rsp), %eax
	movl	%eax, TRIP_LONG_RETURN(%rdi)
	lretl

	.code32
compat_begin_long:
	endbr64
	jmp	compat_begin_bare
compat_begin:
	endbr32
compat_begin_bare:
	xorl	%eax, %eax
	rdsspd	%eax
	movl	%eax, TRIP_SSP_BEGIN(%edi)
	call	compat_near
	cmpl	$0, TRIP_CALL_LONG(%edi)
	je	1f
	/* Below the word of another near CALL, so that the far one finds SSP at 4 mod 8. */
	call	compat_call_long
1:	ljmp	*TRIP_TO_LONG(%edi)

compat_near:
	xorl	%eax, %eax
	rdsspd	%eax
	movl	%eax, TRIP_SSP_NEAR(%edi)
	movl	(%esp), %eax
	movl	%eax, TRIP_NEAR_RETURN(%edi)
	ret

compat_call_long:
	xorl	%eax, %eax
	rdsspd	%eax
	movl	%eax, TRIP_SSP_BEFORE(%edi)
	lcall	*TRIP_CALL_LONG(%edi)
	xorl	%eax, %eax
	rdsspd	%eax
	movl	%eax, TRIP_SSP_AFTER(%edi)
	ret

compat_target:
	endbr32
	xorl	%eax, %eax
	rdsspd	%eax
	movl	%eax, compat_ssp
	movl	%cs, %eax
	movl	%eax, compat_cs
	lretl

compat_escape:
	endbr32
	xorl	%eax, %eax
	rdsspd	%eax
	movl	%eax, compat_ssp
	movl	%cs, %eax
	movl	%eax, compat_cs
	ljmp	$KERNEL_CS, $far_call_escaped

	.code64
#endif

/* --- system calls -------------------------------------------------------------------------------- */

	.globl	do_sysenter, sysenter_entry, sysenter_entry_bare, sysenter_instruction
	.globl	system_call_near, system_call_near_return
#define SYSTEM(word) system_call + (word) * W

	.macro	RECORD_SSP word
	xor	A, A
	RDSSP	A
	mov	A, SYSTEM(\word)
	.endm

/* SYSEXIT wants them in C and D. */
do_sysenter:
	push	B
	push	BP
	RECORD_SSP SYSTEM_BEFORE
	mov	SP, C
	mov	$1f, D
sysenter_instruction:
	sysenter
1:	RECORD_SSP SYSTEM_AFTER
	pop	BP
	pop	B
	ret

sysenter_entry:
	ENDBR
sysenter_entry_bare:
	mov	C, SYSTEM(SYSTEM_USER_SP)
	mov	D, SYSTEM(SYSTEM_IP)
	jmp	system_call_common

#ifdef __x86_64__
	.globl	do_syscall, syscall_entry, syscall_entry_bare, syscall_instruction

do_syscall:
	pushq	%rbx
	pushq	%rbp
	RECORD_SSP SYSTEM_BEFORE
syscall_instruction:
	syscall
	RECORD_SSP SYSTEM_AFTER
	popq	%rbp
	popq	%rbx
	ret

syscall_entry:
	endbr64
syscall_entry_bare:
	movq	%rsp, SYSTEM(SYSTEM_USER_SP)
	movq	%rcx, SYSTEM(SYSTEM_IP)
	movq	%r11, SYSTEM(SYSTEM_FLAGS)
#endif

system_call_common:
	mov	$-1, A
	RDSSP	A
	mov	A, SYSTEM(SYSTEM_SSP)
	mov	SYSTEM(SYSTEM_SP), SP
	cmpl	$0, SYSTEM(SYSTEM_CALL)
	je	1f
system_call_near:
	call	system_call_nothing
system_call_near_return:
1:	cmpl	$0, SYSTEM(SYSTEM_SETSSBSY)
	je	2f
	setssbsy
	RECORD_SSP SYSTEM_SSP_READY
2:	mov	SYSTEM(SYSTEM_HOOK), A
	test	A, A
	jz	3f
	call	*A
3:	cmpl	$0, SYSTEM(SYSTEM_SETSSBSY)
	je	4f
	mov	SYSTEM(SYSTEM_SSP_READY), A
	clrssbsy (A)
4:	mov	SYSTEM(SYSTEM_USER_SP), C
	mov	SYSTEM(SYSTEM_IP), D
	mov	SYSTEM(SYSTEM_LEAVE), A
	jmp	*A
system_call_nothing:
	ret

	.globl	leave_sysexit, leave_jump
leave_sysexit:
	ENDBR
#ifdef __x86_64__
	sysexitq
#else
	sysexit
#endif

/* To a caller at CPL 0, without a shadow stack. */
leave_jump:
	ENDBR
	mov	D, DI
	mov	C, SP
	mov	$MSR_IA32_S_CET, %ecx
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
	jmp	*DI

#ifdef __x86_64__
	.globl	leave_sysexit_compat, leave_sysret, leave_sysret_compat
leave_sysexit_compat:
	endbr64
	sysexitl

leave_sysret:
	endbr64
	movq	%rcx, %rsp
	movq	%rdx, %rcx
	movq	SYSTEM(SYSTEM_FLAGS), %r11
	sysretq

leave_sysret_compat:
	endbr64
	movq	%rcx, %rsp
	movq	%rdx, %rcx
	movq	SYSTEM(SYSTEM_FLAGS), %r11
	sysretl
#endif
