/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A multiboot guest that is none of ours, for make check: it says on COM1 whether it was entered as the
 * Multiboot Specification (0.6.96, 3.2) demands, and ends by port 0xf4.
 */
#define HEADER_MAGIC 0x1badb002
#define HEADER_FLAGS 0x00000002 /* it wants the memory map */
#define LOADER_MAGIC 0x2badb002
#define INFO_MEMORY  0x00000001 /* mem_lower and mem_upper are valid */

#define COM1	     0x3f8
#define PORT_EXIT    0xf4

	.text
	.balign	4
	.long	HEADER_MAGIC, HEADER_FLAGS, -(HEADER_MAGIC + HEADER_FLAGS)

	.globl	start
start:
	cmp	$LOADER_MAGIC, %eax
	jne	wrong
	testl	$INFO_MEMORY, (%ebx)
	jz	wrong
	mov	$right_text, %esi
	mov	$right_end - right_text, %ecx
	mov	$0, %bl
	jmp	say
wrong:
	mov	$wrong_text, %esi
	mov	$wrong_end - wrong_text, %ecx
	mov	$1, %bl
say:
	mov	$COM1, %dx
	cld
	rep outsb
	mov	%bl, %al
	out	%al, $PORT_EXIT
	hlt

right_text:
	.ascii	"1..1\nok 1 - entered by multiboot\n"
right_end:
wrong_text:
	.ascii	"1..1\nnot ok 1 - entered by multiboot\n"
wrong_end:
	.section .note.GNU-stack, "", @progbits
