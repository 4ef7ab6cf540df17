/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypercall instruction of this CPU's vendor
 *
 * VMCALL on Intel (SDM volume 3, "VMX Instruction Reference"), VMMCALL on AMD (APM volume 3). Each
 * is #UD on the other vendor's CPU. KVM writes that of the CPU it runs on (vmx.c and svm.c,
 * patch_hypercall).
 */
#ifndef HYPERCALL_INSTRUCTION_H
#define HYPERCALL_INSTRUCTION_H

#include <stdint.h>

#define HYPERCALL_INSTRUCTION_SIZE 3

/* The bytes of the instruction. */
const uint8_t *hypercall_instruction(void);

/* A function that consists of that instruction and RET, for call_with_registers(). */
const void *hypercall_stub(void);

#endif
