// SPDX-License-Identifier: BSD-2-Clause
/*
 * #VC of an access to memory that nothing is behind: MMIO
 *
 * The hypervisor is told the physical address, which the page tables have.
 */
#ifdef __x86_64__
#include <sev/vc.h>

#include <libc/string.h>
#include <x86/memory.h>
#include <x86/paging.h>
#include <x86/registers.h>

static bool find_gpa(uintptr_t va, uint64_t *gpa)
{
	unsigned int level = leaf_level(va);
	uint64_t entry = *pte_at(va, level);
	uint64_t offset = LEVEL_SIZE(level) - 1;

	*gpa = (entry & PTE_ADDRESS & ~pte_encrypted & ~offset) | (va & offset);
	return entry & PTE_P;
}

/* One access by the hypervisor, of at most 8 bytes. */
static enum vc_result transfer(struct x86_frame *frame, uintptr_t va, void *data, unsigned int size,
			       bool write)
{
	struct ghcb_hold hold;
	enum vc_result result;
	struct ghcb *ghcb;
	uint64_t gpa;

	if (!find_gpa(va, &gpa))
		return VC_UNKNOWN;
	ghcb = ghcb_take(&hold);
	if (write)
		memcpy(ghcb->shared_buffer, data, size);
	GHCB_SET(ghcb, sw_scratch, ghcb_buffer_gpa());
	result = vc_exit(frame, ghcb, write ? GHCB_MMIO_WRITE : GHCB_MMIO_READ, gpa, size);
	if (result == VC_DONE && !write)
		memcpy(data, ghcb->shared_buffer, size);
	ghcb_release(&hold);
	return result;
}

static bool is_mmio(uintptr_t va)
{
	uint64_t gpa;

	return find_gpa(va, &gpa) && !memory_is_ram(gpa, 1);
}

/* One side of MOVS may be memory. */
static enum vc_result access(struct x86_frame *frame, uintptr_t va, void *data, unsigned int size,
			     bool write)
{
	if (is_mmio(va))
		return transfer(frame, va, data, size, write);
	memcpy(write ? (void *)va : data, write ? data : (void *)va, size);
	return VC_DONE;
}

/* MOVS and STOS: *done says whether the instruction is at its end. */
static enum vc_result string(struct x86_frame *frame, const struct instruction *in)
{
	unsigned int size = in->opcode & 1 ? operand_size(in) : 1;
	bool move = in->opcode <= 0xa5;
	uint64_t step = frame->flags & FLAGS_DF ? -(uint64_t)size : size;
	enum vc_result result = VC_DONE;
	uint64_t value = frame->ax;

	for (; !in->repeat || frame->cx; frame->cx--) {
		if (move)
			result = access(frame, frame->si, &value, size, false);
		if (result == VC_DONE)
			result = access(frame, frame->di, &value, size, true);
		if (result != VC_DONE)
			return result;
		frame->di += step;
		frame->si += move ? step : 0;
		if (!in->repeat)
			return VC_DONE;
	}
	return VC_DONE;
}

static enum vc_result load(struct x86_frame *frame, const struct instruction *in, unsigned int to,
			   unsigned int size)
{
	uint64_t value = 0;
	enum vc_result result = transfer(frame, in->address, &value, size, false);

	if (result == VC_DONE)
		register_write(frame, in, to, size, value);
	return result;
}

static enum vc_result store(struct x86_frame *frame, const struct instruction *in, uint64_t value,
			    unsigned int size)
{
	return transfer(frame, in->address, &value, size, true);
}

/* MOVZX and MOVSX: the register is as wide as the operand, memory one or two bytes. */
static enum vc_result extend(struct x86_frame *frame, const struct instruction *in)
{
	unsigned int size = in->opcode & 1 ? 2 : 1;
	unsigned int shift = 64 - 8 * size;
	uint64_t value = 0;
	enum vc_result result = transfer(frame, in->address, &value, size, false);

	if (in->opcode >= (OPCODE_0F | 0xbe))
		value = (int64_t)(value << shift) >> shift;
	if (result == VC_DONE)
		register_write(frame, in, modrm_reg(in), operand_size(in), value);
	return result;
}

enum vc_result vc_mmio(struct x86_frame *frame, const struct instruction *in)
{
	unsigned int size = in->opcode & 1 ? operand_size(in) : 1;

	switch (in->opcode) {
	case 0x88:
	case 0x89:
		return store(frame, in, register_read(frame, in, modrm_reg(in), size), size);
	case 0x8a:
	case 0x8b:
		return load(frame, in, modrm_reg(in), size);
	case 0xa0:
	case 0xa1:
		return load(frame, in, 0, size);
	case 0xa2:
	case 0xa3:
		return store(frame, in, register_read(frame, in, 0, size), size);
	case 0xa4:
	case 0xa5:
	case 0xaa:
	case 0xab:
		return string(frame, in);
	case 0xc6:
	case 0xc7:
		return store(frame, in, in->immediate, size);
	case OPCODE_0F | 0xb6:
	case OPCODE_0F | 0xb7:
	case OPCODE_0F | 0xbe:
	case OPCODE_0F | 0xbf:
		return extend(frame, in);
	default:
		return VC_UNKNOWN;
	}
}
#endif
