/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instructions that #VC has to do with, decoded: AMD APM volume 3, chapter 1 and appendix A
 *
 * In 64-bit code alone. What the runtime does not carry out by itself is not decoded.
 */
#ifndef SEV_VC_DECODE_H
#define SEV_VC_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/exception.h>

#define OPCODE_0F 0x0f00 /* with the second byte of a two-byte opcode in the low half */

/* What an opcode is followed by. */
enum operands {
	OPERANDS_NONE,
	OPERANDS_IMMEDIATE_8,
	OPERANDS_OFFSET, /* MOV with a full address */
	OPERANDS_MODRM,
	OPERANDS_MODRM_IMMEDIATE, /* as wide as the operand, 4 bytes at most */
	OPERANDS_UNKNOWN,
};

struct instruction {
	uintptr_t start;
	unsigned int length;
	uint16_t opcode;
	uint8_t rex, modrm;
	bool operand_16, address_32, repeat;
	int segment_msr;   /* of the base that a prefix adds; 0: none */
	uintptr_t address; /* of the memory operand, for MODRM with memory and OFFSET */
	int64_t immediate;
};

/* Decodes what stands at the frame's instruction pointer. False: it is not known here. */
bool vc_decode(const struct x86_frame *frame, struct instruction *instruction);

/* The bytes of an operand that is not a single byte: 2, 4 or 8. */
unsigned int operand_size(const struct instruction *instruction);

/* The register fields of ModRM, with their REX bits. */
unsigned int modrm_reg(const struct instruction *instruction);
unsigned int modrm_rm(const struct instruction *instruction);
bool modrm_is_memory(const struct instruction *instruction);

/* A general register of the frame by its number. */
uint64_t *frame_register(struct x86_frame *frame, unsigned int number);

/* Reads or writes a register operand of 1, 2, 4 or 8 bytes; writing 4 clears the upper half. */
uint64_t register_read(struct x86_frame *frame, const struct instruction *instruction,
		       unsigned int number, unsigned int size);
void register_write(struct x86_frame *frame, const struct instruction *instruction,
		    unsigned int number, unsigned int size, uint64_t value);

#endif
