/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The boot loader: an option ROM in the place of the VGA BIOS
 *
 * The BIOS has set up chipset, PCI and ACPI tables when it looks for the VGA BIOS, and calls its byte 3 in
 * real mode. This one does not come back. It goes to flat 32-bit protected mode, and copies what comes in at
 * L1_PORT_INPUT (host/bochs-kvm/plugin/plugin.c), all in 32-bit words:
 *
 *	destination, count, that many words; any number of these
 *	entry, 0, start_info		jumps to the entry, with start_info's address in EBX, as PVH demands
 *
 * This is data to the program that holds it, and is never run there: all addresses are the ROM's. The
 * program makes its bytes add up to 0, which the BIOS demands.
 */
#define ROM_ADDRESS 0xc0000
#define ROM_BLOCKS  1 /* of 512 bytes */
#define IN_ROM(label) (ROM_ADDRESS + label - loader)

#define PORT_INPUT  0x5a0 /* L1_PORT_INPUT */
#define PORT_A20    0x92
#define CR0_PE_ET   0x11
#define FLAT_CODE   0x08
#define FLAT_DATA   0x10

	.section .rodata
	.globl	loader
	.balign	16
	.code16
loader:
	.word	0xaa55
	.byte	ROM_BLOCKS
	cli
	cld
	movb	$2, %al
	outb	%al, $PORT_A20
	lgdtl	%cs:(gdt_pointer - loader)
	movl	$CR0_PE_ET, %eax
	movl	%eax, %cr0
	ljmpl	$FLAT_CODE, $IN_ROM(flat)

	.code32
flat:
	movl	$FLAT_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$PORT_INPUT, %edx
next:
	inl	%dx, %eax
	movl	%eax, %edi
	inl	%dx, %eax
	movl	%eax, %ecx
	jecxz	last
	rep insl
	jmp	next
last:
	inl	%dx, %eax
	movl	%eax, %ebx
	jmp	*%edi

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* flat code */
	.quad	0x00cf93000000ffff	/* flat data */
gdt_pointer:
	.word	. - gdt - 1
	.long	IN_ROM(gdt)
	.fill	512 * ROM_BLOCKS - (. - loader), 1, 0

	.section .note.GNU-stack, "", @progbits
