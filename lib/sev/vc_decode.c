// SPDX-License-Identifier: BSD-2-Clause
#ifdef __x86_64__
#include <sev/vc_decode.h>

#include <libc/array.h>
#include <libc/string.h>
#include <stddef.h>
#include <x86/msr.h>

#define LENGTH_MAX 15
#define REX_B	   1
#define REX_X	   2
#define REX_R	   4
#define REX_W	   8
#define RM_SIB	   4
#define RM_RIP	   5
#define REG_SP	   4
#define NO_INDEX   4

/* The next bytes of the instruction, as a signed number. */
static int64_t take(struct instruction *in, unsigned int size)
{
	const uint8_t *at = (const uint8_t *)in->start + in->length;
	uint64_t value = 0;

	memcpy(&value, at, size);
	in->length += size;
	return size == 8 ? (int64_t)value : (int64_t)(value << (64 - 8 * size)) >> (64 - 8 * size);
}

/* Whether the byte is a prefix, whose effect is then noted. REX counts only right before the opcode. */
static bool take_prefix(struct instruction *in, uint8_t byte)
{
	if ((byte & 0xf0) == 0x40) {
		in->rex = byte;
		return true;
	}
	switch (byte) {
	case 0x66:
		in->operand_16 = true;
		break;
	case 0x67:
		in->address_32 = true;
		break;
	case 0x64:
		in->segment_msr = (int)MSR_FS_BASE;
		break;
	case 0x65:
		in->segment_msr = (int)MSR_GS_BASE;
		break;
	case 0xf2:
	case 0xf3:
		in->repeat = true;
		break;
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0xf0:
		break;
	default:
		return false;
	}
	in->rex = 0;
	return true;
}

static enum operands operands_of(uint16_t opcode)
{
	static const struct {
		uint16_t first, last;
		enum operands operands;
	} known[] = {
		{ 0x6c, 0x6f, OPERANDS_NONE },				/* INS, OUTS */
		{ 0x88, 0x8b, OPERANDS_MODRM },				/* MOV */
		{ 0xa0, 0xa3, OPERANDS_OFFSET },			/* MOV */
		{ 0xa4, 0xa5, OPERANDS_NONE },				/* MOVS */
		{ 0xaa, 0xab, OPERANDS_NONE },				/* STOS */
		{ 0xc6, 0xc7, OPERANDS_MODRM_IMMEDIATE },		/* MOV */
		{ 0xe4, 0xe7, OPERANDS_IMMEDIATE_8 },			/* IN, OUT */
		{ 0xec, 0xef, OPERANDS_NONE },				/* IN, OUT */
		{ OPCODE_0F | 0x01, OPCODE_0F | 0x01, OPERANDS_MODRM }, /* MONITOR, VMMCALL, .. */
		{ OPCODE_0F | 0x08, OPCODE_0F | 0x09, OPERANDS_NONE },	/* INVD, WBINVD */
		{ OPCODE_0F | 0x21, OPCODE_0F | 0x21, OPERANDS_MODRM }, /* MOV from DR */
		{ OPCODE_0F | 0x23, OPCODE_0F | 0x23, OPERANDS_MODRM }, /* MOV to DR */
		{ OPCODE_0F | 0x30, OPCODE_0F | 0x33, OPERANDS_NONE },	/* WRMSR, RDTSC, .. */
		{ OPCODE_0F | 0xa2, OPCODE_0F | 0xa2, OPERANDS_NONE },	/* CPUID */
		{ OPCODE_0F | 0xb6, OPCODE_0F | 0xb7, OPERANDS_MODRM }, /* MOVZX */
		{ OPCODE_0F | 0xbe, OPCODE_0F | 0xbf, OPERANDS_MODRM }, /* MOVSX */
	};

	for (unsigned int i = 0; i < COUNT_OF(known); i++)
		if (opcode >= known[i].first && opcode <= known[i].last)
			return known[i].operands;
	return OPERANDS_UNKNOWN;
}

static void set_address(struct instruction *in, uint64_t address)
{
	if (in->address_32)
		address = (uint32_t)address;
	if (in->segment_msr)
		address += rdmsr((uint32_t)in->segment_msr);
	in->address = address;
}

/* The SIB byte, with the base's displacement where there is no base. */
static uint64_t take_sib(struct x86_frame *frame, struct instruction *in)
{
	uint8_t sib = take(in, 1);
	unsigned int index = (sib >> 3 & 7) | (in->rex & REX_X ? 8 : 0);
	unsigned int base = (sib & 7) | (in->rex & REX_B ? 8 : 0);
	uint64_t address = 0;

	if (index != NO_INDEX)
		address = *frame_register(frame, index) << (sib >> 6);
	if ((sib & 7) == 5 && !(in->modrm >> 6))
		return address + take(in, 4);
	return address + *frame_register(frame, base);
}

static void take_modrm(struct x86_frame *frame, struct instruction *in, unsigned int immediate)
{
	uint64_t address;

	in->modrm = take(in, 1);
	if (!modrm_is_memory(in))
		return;
	if ((in->modrm & 7) == RM_SIB) {
		address = take_sib(frame, in);
	} else if ((in->modrm & 7) == RM_RIP && !(in->modrm >> 6)) {
		address = take(in, 4);
		address += in->start + in->length + immediate;
	} else {
		address = *frame_register(frame, modrm_rm(in));
	}
	if (in->modrm >> 6 == 1)
		address += take(in, 1);
	else if (in->modrm >> 6 == 2)
		address += take(in, 4);
	set_address(in, address);
}

bool vc_decode(const struct x86_frame *constant_frame, struct instruction *in)
{
	struct x86_frame *frame = (struct x86_frame *)(uintptr_t)constant_frame;
	unsigned int size;

	*in = (struct instruction){ .start = frame->ip };
	do
		in->opcode = (uint8_t)take(in, 1);
	while (take_prefix(in, in->opcode) && in->length < LENGTH_MAX);
	if (in->opcode == OPCODE_0F >> 8)
		in->opcode = OPCODE_0F | (uint8_t)take(in, 1);

	size = operand_size(in) < 4 ? operand_size(in) : 4;
	switch (operands_of(in->opcode)) {
	case OPERANDS_NONE:
		return true;
	case OPERANDS_IMMEDIATE_8:
		in->immediate = take(in, 1);
		return true;
	case OPERANDS_OFFSET:
		set_address(in, take(in, in->address_32 ? 4 : 8));
		return true;
	case OPERANDS_MODRM:
		take_modrm(frame, in, 0);
		return true;
	case OPERANDS_MODRM_IMMEDIATE:
		size = in->opcode & 1 ? size : 1;
		take_modrm(frame, in, size);
		in->immediate = take(in, size);
		return true;
	default:
		return false;
	}
}

unsigned int operand_size(const struct instruction *in)
{
	if (in->rex & REX_W)
		return 8;
	return in->operand_16 ? 2 : 4;
}

unsigned int modrm_reg(const struct instruction *in)
{
	return (in->modrm >> 3 & 7) | (in->rex & REX_R ? 8 : 0);
}

unsigned int modrm_rm(const struct instruction *in)
{
	return (in->modrm & 7) | (in->rex & REX_B ? 8 : 0);
}

bool modrm_is_memory(const struct instruction *in)
{
	return in->modrm >> 6 != 3;
}

uint64_t *frame_register(struct x86_frame *frame, unsigned int number)
{
	static const uint8_t offsets[] = {
		offsetof(struct x86_frame, ax),	 offsetof(struct x86_frame, cx),
		offsetof(struct x86_frame, dx),	 offsetof(struct x86_frame, bx),
		offsetof(struct x86_frame, sp),	 offsetof(struct x86_frame, bp),
		offsetof(struct x86_frame, si),	 offsetof(struct x86_frame, di),
		offsetof(struct x86_frame, r8),	 offsetof(struct x86_frame, r9),
		offsetof(struct x86_frame, r10), offsetof(struct x86_frame, r11),
		offsetof(struct x86_frame, r12), offsetof(struct x86_frame, r13),
		offsetof(struct x86_frame, r14), offsetof(struct x86_frame, r15),
	};

	return (uint64_t *)((char *)frame + offsets[number]);
}

/* Without REX the byte registers 4 to 7 are AH, CH, DH and BH. */
static bool is_high_byte(const struct instruction *in, unsigned int number, unsigned int size)
{
	return size == 1 && !in->rex && number >= REG_SP && number < 8;
}

uint64_t register_read(struct x86_frame *frame, const struct instruction *in, unsigned int number,
		       unsigned int size)
{
	uint64_t value;

	if (is_high_byte(in, number, size))
		return *frame_register(frame, number - REG_SP) >> 8 & 0xff;
	value = *frame_register(frame, number);
	return size == 8 ? value : value & ((1ull << 8 * size) - 1);
}

void register_write(struct x86_frame *frame, const struct instruction *in, unsigned int number,
		    unsigned int size, uint64_t value)
{
	uint64_t *destination = frame_register(frame, number);
	uint8_t *byte = (uint8_t *)destination;

	if (is_high_byte(in, number, size))
		((uint8_t *)frame_register(frame, number - REG_SP))[1] = value;
	else if (size == 4)
		*destination = (uint32_t)value;
	else
		memcpy(byte, &value, size);
}
#endif
