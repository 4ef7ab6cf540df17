/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions behind hypercall_stub(): see instruction.h. */
	.section .note.GNU-stack, "", @progbits
	.text
	.globl	hypercall_vmcall
	.type	hypercall_vmcall, @function
hypercall_vmcall:
	vmcall
	ret
	.size	hypercall_vmcall, . - hypercall_vmcall

	.globl	hypercall_vmmcall
	.type	hypercall_vmmcall, @function
hypercall_vmmcall:
	vmmcall
	ret
	.size	hypercall_vmmcall, . - hypercall_vmmcall
