// SPDX-License-Identifier: BSD-2-Clause
/*
 * #VC of IN, OUT, INS and OUTS
 */
#ifdef __x86_64__
#include <sev/vc.h>

#include <libc/string.h>
#include <x86/fault.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/paging.h>
#include <x86/registers.h>

#define SEGMENT_ES 0
#define SEGMENT_DS 3

struct io {
	uint64_t info; /* SW_EXITINFO1 */
	unsigned int size;
	bool in, string;
};

static struct io decode_io(const struct x86_frame *frame, const struct instruction *in)
{
	struct io io = { .string = in->opcode <= 0x6f };
	uint16_t port = in->opcode >= 0xe4 && in->opcode <= 0xe7 ? (uint8_t)in->immediate
								 : (uint16_t)frame->dx;

	io.in = io.string ? in->opcode <= 0x6d : !(in->opcode & 2);
	io.size = in->opcode & 1 ? (in->operand_16 ? 2 : 4) : 1;
	io.info = (uint64_t)port << IOIO_PORT_SHIFT | (uint64_t)io.size << IOIO_SIZE_SHIFT |
		  IOIO_ADDRESS_64 | (io.in ? IOIO_IN : 0);
	return io;
}

static enum vc_result single_io(struct x86_frame *frame, const struct instruction *in,
				const struct io *io)
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	enum vc_result result;

	GHCB_SET(ghcb, rax, io->in ? 0 : register_read(frame, in, 0, io->size));
	result = vc_exit(frame, ghcb, SVM_EXIT_IOIO, io->info, 0);
	if (result == VC_DONE && io->in)
		register_write(frame, in, 0, io->size, ghcb->rax);
	ghcb_release(&hold);
	return result;
}

/* Between memory and the shared buffer, element by element in the order of DF. */
static void copy_elements(uint8_t *memory, uint8_t *buffer, unsigned int count, const struct io *io,
			  bool down)
{
	for (unsigned int i = 0; i < count; i++) {
		uint8_t *at = down ? memory - i * io->size : memory + i * io->size;
		uint8_t *element = buffer + i * io->size;

		memcpy(io->in ? at : element, io->in ? element : at, io->size);
	}
}

static bool is_mapped(uintptr_t va)
{
	return *pte_at(va, leaf_level(va)) & PTE_P;
}

/* Whether an element at this address is in memory; *fault is else where it is not. */
static bool element_is_mapped(uintptr_t va, unsigned int size, uintptr_t *fault)
{
	*fault = is_mapped(va) ? (va + size - 1) & PAGE_MASK : va;
	return is_mapped(*fault);
}

/* How many of these elements come before one that is not in memory. */
static uint64_t count_mapped(uintptr_t va, uint64_t count, unsigned int size, bool down,
			     uintptr_t *fault)
{
	for (uint64_t i = 0; i < count; i++)
		if (!element_is_mapped(down ? va - i * size : va + i * size, size, fault))
			return i;
	return count;
}

/* As the instruction would: what comes before is done. */
static enum vc_result raise_page_fault(struct x86_frame *frame, bool write, uintptr_t address)
{
	frame->vector = PF;
	frame->error_code = (write ? PF_WRITE : 0) | (frame_is_user(frame) ? PF_USER : 0);
	write_cr2(address);
	return VC_RAISED;
}

/*
 * As many elements as fit the shared buffer. The registers advance by what is done. That a page is there is looked
 * at before, since the page fault is the instruction's and not this function's.
 */
static enum vc_result string_part(struct x86_frame *frame, const struct instruction *in,
				  const struct io *io)
{
	uint64_t *pointer = io->in ? &frame->di : &frame->si;
	uint64_t most = GHCB_SHARED_BUFFER_SIZE / io->size;
	uint64_t count = !in->repeat ? 1 : frame->cx < most ? frame->cx : most;
	bool down = frame->flags & FLAGS_DF;
	/* The override concerns the source alone: INS always writes by ES. */
	uint64_t base = in->segment_msr && !io->in ? rdmsr((uint32_t)in->segment_msr) : 0;
	uint64_t info = io->info | IOIO_STRING | (in->repeat ? IOIO_REP : 0) |
			(uint64_t)(io->in ? SEGMENT_ES : SEGMENT_DS) << IOIO_SEGMENT_SHIFT;
	struct ghcb_hold hold;
	enum vc_result result;
	struct ghcb *ghcb;
	uintptr_t fault = 0;

	count = count_mapped(*pointer + base, count, io->size, down, &fault);
	if (!count)
		return raise_page_fault(frame, io->in, fault);
	ghcb = ghcb_take(&hold);
	if (!io->in)
		copy_elements((uint8_t *)(*pointer + base), ghcb->shared_buffer, count, io, down);
	GHCB_SET(ghcb, sw_scratch, ghcb_buffer_gpa());
	result = vc_exit(frame, ghcb, SVM_EXIT_IOIO, info, count);
	if (result == VC_DONE && io->in)
		copy_elements((uint8_t *)*pointer, ghcb->shared_buffer, count, io, down);
	ghcb_release(&hold);
	if (result != VC_DONE)
		return result;
	*pointer += down ? -count * io->size : count * io->size;
	if (in->repeat)
		frame->cx -= count;
	return VC_DONE;
}

static enum vc_result string_io(struct x86_frame *frame, const struct instruction *in,
				const struct io *io)
{
	enum vc_result result = VC_DONE;

	if (!in->repeat)
		return string_part(frame, in, io);
	while (frame->cx && result == VC_DONE)
		result = string_part(frame, in, io);
	return result;
}

enum vc_result vc_io(struct x86_frame *frame, const struct instruction *instruction)
{
	struct io io = decode_io(frame, instruction);

	return io.string ? string_io(frame, instruction, &io) : single_io(frame, instruction, &io);
}
#endif
