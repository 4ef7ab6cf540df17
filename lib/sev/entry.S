/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The entries of an SEV-ES or SNP guest, in 64-bit mode: of CPU 0 as <vmrun/snp.h> has it, and of
 * an AP as ap.c sets it up
 */
#ifdef __x86_64__
#include <vmrun/snp.h>
#include <x86/boot.h>

#define KERNEL_DS 0x10

	.section .note.vmabi, "a", @note
	.align	4
	.long	2f - 1f, 4f - 3f, VMRUN_NOTE_SEV_ENTRY
1:	.asciz	VMRUN_NOTE_OWNER
2:	.align	4
3:	.quad	sev_entry
4:	.align	4

	.text
	.code64
sev_entry:
	cld
	movl	$boot_cpu + CPU_BLOCK_SIZE, %esp
	xorl	%ebp, %ebp
	movl	%ebx, start_info_address
	lgdt	boot_gdt_pointer
	movl	$KERNEL_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movq	%rsi, %rdi
	call	sev_start_c
1:	hlt
	jmp	1b

	.globl	sev_ap_entry
sev_ap_entry:
	cld
	xorl	%ebp, %ebp
	call	sev_ap_start_c
1:	hlt
	jmp	1b

#endif
