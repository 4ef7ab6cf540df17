/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last 64 KiB of the ROM: from the CPU's reset to the guest's entry
 *
 * The CPU begins at 0xfffffff0 with CS's base 0xffff0000 (Intel SDM volume 3, "First Instruction
 * Executed"). What lies here goes to flat 32-bit protected mode, copies what the table names from the
 * ROM to RAM, and enters the guest as PVH demands: EBX is the address of start_info.
 *
 * A row of the table: source, destination, count of 32-bit words. The last one has the count 0,
 * start_info's address as source, and the entry as destination (see rom.h).
 *
 * This is data to the program that holds it, and is never run there: all addresses are the ROM's.
 */
#define STUB_ADDRESS 0xffff0000
#define IN_ROM(label) (STUB_ADDRESS + label - rom_stub)

#define CR0_PE_ET  0x11
#define FLAT_CODE  0x08
#define FLAT_DATA  0x10

	.section .rodata
	.globl	rom_stub, rom_stub_table_offset
	.balign	4
rom_stub_table_offset:
	.long	table - rom_stub
	.balign	16
	.code16
rom_stub:
enter:
	cli
	cld
	lgdtl	%cs:(gdt_pointer - rom_stub)
	movl	$CR0_PE_ET, %eax
	movl	%eax, %cr0
	ljmpl	$FLAT_CODE, $IN_ROM(flat)

	.code32
flat:
	movl	$FLAT_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$IN_ROM(table), %ebx
next_row:
	movl	0(%ebx), %esi
	movl	4(%ebx), %edi
	movl	8(%ebx), %ecx
	jecxz	last_row
	rep movsl
	addl	$12, %ebx
	jmp	next_row
last_row:
	movl	%esi, %ebx
	jmp	*%edi

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* flat code */
	.quad	0x00cf93000000ffff	/* flat data */
gdt_pointer:
	.word	. - gdt - 1
	.long	IN_ROM(gdt)

	.balign	16
table:
	.fill	0xfff0 - (table - rom_stub), 1, 0
	.code16
	jmp	enter
	.balign	16

	.section .note.GNU-stack, "", @progbits
