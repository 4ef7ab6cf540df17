/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A BIOS that does nothing but enter what lies at 1 MiB
 *
 * For make check, which boots a guest flat with it: "objcopy -O binary" of the guest, put at 1 MiB by
 * QEMU's loader device, entered in flat 32-bit mode with EBX = 0 (no start_info). 64 KiB, whose last 16
 * bytes are where the CPU begins: at 0xfffffff0, CS with base 0xffff0000 (SDM volume 3, 10.1.4).
 */
	.code16
	.text
rom:
enter:
	cli
	lgdtl	%cs:(gdt_pointer - rom)
	mov	$1, %eax		/* PE; caching as it is does not matter */
	mov	%eax, %cr0
	ljmpl	$8, $0xffff0000 + flat - rom

	.code32
flat:
	mov	$16, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%ebx, %ebx
	mov	$0x100000, %eax
	jmp	*%eax

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* flat code */
	.quad	0x00cf93000000ffff	/* flat data */
gdt_pointer:
	.word	. - gdt - 1
	.long	0xffff0000 + gdt - rom

	.org	0xfff0
	.code16
	jmp	enter
	.org	0x10000
