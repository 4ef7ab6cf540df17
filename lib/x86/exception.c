// SPDX-License-Identifier: BSD-2-Clause
/*
 * What becomes of an exception or interrupt: in this order a handler, a fix-up, whoever catches
 */
#include <x86/exception.h>

#include <libc/string.h>
#include <sev/sev.h>
#include <x86/cet.h>
#include <x86/cpu.h>
#include <x86/fixup.h>
#include <x86/interrupt.h>
#include <x86/registers.h>

struct fixup {
	uintptr_t from, to, vector;
};

extern const struct fixup __fixups_start[], __fixups_end[];

static irq_function *handlers[VECTOR_COUNT];
static exception_function *exception_handlers[VECTOR_IRQ_FIRST];
static bool handlers_in_use;

void irq_handler(unsigned int vector, irq_function *function)
{
	REQUIRE(vector == NMI || (vector >= VECTOR_IRQ_FIRST && vector < VECTOR_COUNT));
	handlers_in_use = true;
	__atomic_store_n(&handlers[vector], function, __ATOMIC_RELEASE);
}

void exception_handler(unsigned int vector, exception_function *function)
{
	REQUIRE(vector < VECTOR_IRQ_FIRST && vector != NMI);
	handlers_in_use = true;
	__atomic_store_n(&exception_handlers[vector], function, __ATOMIC_RELEASE);
}

void irq_handlers_reset(void)
{
	if (!handlers_in_use)
		return;
	for (unsigned int vector = 0; vector < VECTOR_IRQ_FIRST; vector++)
		exception_handlers[vector] = NULL;
	handlers[NMI] = NULL;
	for (unsigned int vector = VECTOR_IRQ_FIRST; vector < VECTOR_USER_RETURN; vector++)
		handlers[vector] = NULL;
	handlers_in_use = false;
}

bool fixup_apply(struct x86_frame *frame)
{
	/* cppcheck-suppress comparePointers */
	for (const struct fixup *row = __fixups_start; row < __fixups_end; row++) {
		if (row->from != frame->ip || row->vector != frame->vector)
			continue;
		frame->ip = row->to;
		frame->flags |= FLAGS_CF;
		return true;
	}
	return false;
}

void frame_unwind(struct x86_frame *frame, const struct jump *jump)
{
	cet_unwind();
	frame->ip = (uintptr_t)jump_restore;
	frame->cs = KERNEL_CS;
	frame->flags = FLAGS_ONE;
#ifdef __x86_64__
	frame->di = (uintptr_t)jump;
	frame->sp = jump->sp;
	frame->ss = KERNEL_DS;
#else
	frame->ax = (uintptr_t)jump;
	frame->ds = KERNEL_DS;
	frame->es = KERNEL_DS;
	frame->fs = 0;
	frame->gs = 0;
#endif
}

void fault_catch(struct fault_catch *catch)
{
	struct cpu *cpu = this_cpu();

	catch->fault = (struct x86_fault){ .vector = NO_FAULT };
	catch->user = false;
	catch->supervisor = true;
	catch->outer = cpu->catch;
	cpu->catch = catch;
}

void fault_release(struct fault_catch *catch)
{
	this_cpu()->catch = catch->outer;
#ifndef __x86_64__
	if (catch->fault.vector == DF)
		double_fault_done();
#endif
}

struct x86_fault fault_of(void (*statement)(void))
{
	struct fault_catch catch;

	fault_catch(&catch);
	if (!jump_save(&catch.jump))
		statement();
	fault_release(&catch);
	return catch.fault;
}

/*
 * What user_call() catches comes from CPL 3, and FAULT_OF() is for CPL 0: an exception in an
 * interrupt handler that came in between is not the user function's.
 */
static bool catch_fault(struct cpu *cpu, struct x86_frame *frame)
{
	struct fault_catch *catch = cpu->catch;

	if (!catch || !(frame_is_user(frame) ? catch->user : catch->supervisor))
		return false;
	catch->fault = (struct x86_fault){
		.vector = frame->vector,
		.error_code = frame->error_code,
		.cr2 = frame->vector == PF ? read_cr2() : 0,
		.ip = frame->ip,
		.sp = frame_sp(frame),
		.ssp = frame->ssp,
	};
	frame_unwind(frame, &catch->jump);
	return true;
}

#define OPCODE_HLT 0xf4

/*
 * An interrupt between STI and HLT would be waited for behind it for ever. No CPU lets one in there;
 * nested SVM in QEMU TCG does, since VMRUN there does not load the interrupt shadow (as of QEMU 7.2,
 * target/i386/tcg/sysemu/svm_helper.c, helper_vmrun). So the HLT is over as if it had been reached.
 */
static void end_halt(struct x86_frame *frame)
{
	if (!frame_is_user(frame) && *(const uint8_t *)frame->ip == OPCODE_HLT)
		frame->ip++;
}

static bool handle_exception(struct x86_frame *frame)
{
	exception_function *handler;

	if (frame->vector >= VECTOR_IRQ_FIRST)
		return false;
	handler = __atomic_load_n(&exception_handlers[frame->vector], __ATOMIC_ACQUIRE);
	return handler && handler(frame);
}

static void deliver(struct x86_frame *frame)
{
	struct cpu *cpu = this_cpu();
	unsigned int vector = frame->vector;
	irq_function *handler = __atomic_load_n(&handlers[vector], __ATOMIC_ACQUIRE);

	if (vector == VECTOR_USER_RETURN && frame_is_user(frame) && cpu->catch) {
		cpu->user_returned = true;
		cpu->user_value = frame->ax;
		frame_unwind(frame, &cpu->catch->jump);
	} else if (vector == NMI && cpu->stop) {
		cpu->stop = false;
		if (cpu->abort) /* else it has come to its end by itself */
			frame_unwind(frame, cpu->abort);
	} else if (handler) {
		end_halt(frame);
		handler(frame);
	} else if (!handle_exception(frame) && (frame_is_user(frame) || !fixup_apply(frame))) {
		if (!catch_fault(cpu, frame))
			exception_unexpected(frame);
	}
}

void exception_dispatch(struct x86_frame *frame)
{
	if (sev_active() && frame->vector == VC && vc_handle(frame))
		return;
	if (sev_active() && frame->vector == NMI)
		sev_nmi(frame, deliver);
	else
		deliver(frame);
}
