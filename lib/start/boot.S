/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the loader's hands, or a SIPI, to C
 *
 * The loader enters at "start", the first byte of the image, in 32-bit protected mode without
 * paging, with flat segments and interrupts off. EBX holds the physical address of struct
 * hvm_start_info (PVH: xen/include/public/arch-x86/hvm/start_info.h), or 0 if the image was loaded
 * flat.
 *
 * Nothing here probes what it need not: in a nested VM each CPUID, MSR or CR access costs 0.1 ms.
 */
#include <x86/boot.h>

#define ELF_NOTE_PHYS32_ENTRY 18

#define KERNEL_CS   0x08
#define KERNEL_DS   0x10
#define KERNEL_CS32 0x18

#define CR0_PE_ET 0x11
#define MSR_EFER  0xc0000080
#define EFER_LME  0x100
#define EFER_NXE  0x800

/* CPUID leaf 0x80000001, EDX */
#define CPUID_NX   0x00100000
#define CPUID_LONG 0x20000000

#define PORT_CONSOLE 0xe9
#define PORT_COM1    0x3f8
#define PORT_EXIT    0xf4
#define STATUS_PANIC 3

	.section .note.Xen, "a", @note
	.align	4
	.long	2f - 1f, 4f - 3f, ELF_NOTE_PHYS32_ENTRY
1:	.asciz	"Xen"
2:	.align	4
3:	.long	start
4:	.align	4

	.section .start, "ax"
	.code32
	.globl	start
start:
	cld
	movl	$boot_cpu + CPU_BLOCK_SIZE, %esp
	/* A flat loader brings no zeros. EBX is not touched. */
	xorl	%eax, %eax
	movl	$__bss_start, %edi
	movl	$__bss_end, %ecx
	subl	%edi, %ecx
	shrl	$2, %ecx
	rep stosl
	movl	%ebx, start_info_address
	call	choose_efer
	movl	$start_c, %ebx

/*
 * All CPUs: ESP is the end of the CPU's block, EBX the C function to call, which does not return.
 */
enter_c:
	lgdt	boot_gdt_pointer
	movl	$BOOT_CR4, %eax
	movl	%eax, %cr4
	movl	$boot_page_table, %eax
	movl	%eax, %cr3
	movl	boot_efer, %eax
	testl	%eax, %eax
	jz	1f
	movl	$MSR_EFER, %ecx
	xorl	%edx, %edx
	wrmsr
1:	movl	$BOOT_CR0, %eax
	movl	%eax, %cr0
	ljmp	$KERNEL_CS, $2f
#ifdef __x86_64__
	.code64
#endif
2:	movl	$KERNEL_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	xorl	%ebp, %ebp
#ifdef __x86_64__
	movl	%esp, %esp
	movl	%ebx, %ebx
	call	*%rbx
#else
	call	*%ebx
#endif
3:	cli
	hlt
	jmp	3b

	.code32
/*
 * boot_efer: NX where CPUID offers it and, in 64-bit guests, long mode. 0 stays untouched, since a
 * CPU that is so old may have no EFER.
 */
choose_efer:
	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x80000001, %eax
	jb	1f
	movl	$0x80000001, %eax
	cpuid
	testl	$CPUID_NX, %edx
	jz	1f
	orl	$EFER_NXE, boot_efer
1:
#ifdef __x86_64__
	/*
	 * EDX is not of leaf 0x80000001 if the CPU has no such leaf; bit 29 of leaf 0x80000000 is
	 * 0.
	 */
	testl	$CPUID_LONG, %edx
	jz	no_long_mode
	orl	$EFER_LME, boot_efer
#endif
	ret

#ifdef __x86_64__
/* Both consoles get the message, since which one there is is found out in C. */
no_long_mode:
	movw	$PORT_CONSOLE, %dx
	movl	$no_long_mode_text, %esi
	movl	$no_long_mode_end - no_long_mode_text, %ecx
	rep outsb
	movw	$PORT_COM1, %dx
	movl	$no_long_mode_text, %esi
	movl	$no_long_mode_end - no_long_mode_text, %ecx
	rep outsb
	movb	$STATUS_PANIC, %al
	outb	%al, $PORT_EXIT
1:	hlt
	jmp	1b
no_long_mode_text:
	.ascii	"# panic: this CPU has no long mode, which a 64-bit guest needs\n"
no_long_mode_end:
#endif

/*
 * Where a started AP begins: smp.c copies this to AP_TRAMPOLINE, and the SIPI names that page. It
 * runs with CS at the page and nothing else to rely on.
 */
	.code16
	.globl	ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	ap_gdt_pointer - ap_trampoline
	movl	$CR0_PE_ET, %eax
	movl	%eax, %cr0
	ljmpl	$KERNEL_CS32, $ap_protected
	.align	4
ap_gdt_pointer:
	.word	boot_gdt_end - boot_gdt - 1
	.long	boot_gdt
ap_trampoline_end:

	.code32
ap_protected:
	movl	$KERNEL_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	ap_block, %esp
	addl	$CPU_BLOCK_SIZE, %esp
	movl	$ap_start_c, %ebx
	jmp	enter_c

	.data
	.align	8
	.globl	boot_gdt_pointer
/* As far as <x86/descriptors.h> numbers them; each CPU soon has a table of its own. */
boot_gdt:
	.quad	0
#ifdef __x86_64__
	.quad	0x00af9b000000ffff
#else
	.quad	0x00cf9b000000ffff
#endif
	.quad	0x00cf93000000ffff
	.quad	0x00cf9b000000ffff
boot_gdt_end:
/* For LGDT in 32- and in 64-bit mode. */
boot_gdt_pointer:
	.word	boot_gdt_end - boot_gdt - 1
	.long	boot_gdt, 0
	.align	4
boot_efer:
	.long	0
/* Not in the BSS: the block of the CPU that is being started, by smp.c. */
	.globl	ap_block
ap_block:
#ifdef __x86_64__
	.quad	0
#else
	.long	0
#endif

	.section .noinit, "aw", @nobits
	.globl	boot_cpu
	.balign	CPU_BLOCK_SIZE
boot_cpu:
	.skip	CPU_BLOCK_SIZE
