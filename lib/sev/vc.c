// SPDX-License-Identifier: BSD-2-Clause
#ifdef __x86_64__
#include <sev/vc.h>

#include <sev/sev.h>
#include <x86/fpu.h>
#include <x86/registers.h>

#define CPUID_XSAVE 0xd
#define XCR0_RESET  1

static enum vc_result raise(struct x86_frame *frame, uint64_t event)
{
	if (!(event & GHCB_EVENT_VALID))
		return VC_UNKNOWN;
	frame->vector = GHCB_EVENT_VECTOR(event);
	frame->error_code = event & GHCB_EVENT_ERROR_CODE ? event >> GHCB_EVENT_ERROR_SHIFT : 0;
	return VC_RAISED;
}

enum vc_result vc_exit(struct x86_frame *frame, struct ghcb *ghcb, uint64_t event, uint64_t info_1,
		       uint64_t info_2)
{
	switch (ghcb_exit(ghcb, event, info_1, info_2)) {
	case GHCB_NO_ACTION:
		return VC_DONE;
	case GHCB_EXCEPTION:
		return raise(frame, ghcb->sw_exit_info_2);
	default:
		return VC_UNKNOWN;
	}
}

static enum vc_result vc_cpuid(struct x86_frame *frame, struct ghcb *ghcb)
{
	enum vc_result result;

	GHCB_SET(ghcb, rax, (uint32_t)frame->ax);
	GHCB_SET(ghcb, rcx, (uint32_t)frame->cx);
	/* Its sizes depend on XCR0, which the hypervisor cannot see. */
	if ((uint32_t)frame->ax == CPUID_XSAVE)
		GHCB_SET(ghcb, xcr0, read_cr4() & CR4_OSXSAVE ? xgetbv(0) : XCR0_RESET);
	result = vc_exit(frame, ghcb, SVM_EXIT_CPUID, 0, 0);
	if (result == VC_DONE) {
		frame->ax = (uint32_t)ghcb->rax;
		frame->bx = (uint32_t)ghcb->rbx;
		frame->cx = (uint32_t)ghcb->rcx;
		frame->dx = (uint32_t)ghcb->rdx;
	}
	return result;
}

static enum vc_result vc_msr(struct x86_frame *frame, struct ghcb *ghcb,
			     const struct instruction *instruction)
{
	bool write = instruction->opcode == (OPCODE_0F | 0x30);
	enum vc_result result;

	GHCB_SET(ghcb, rcx, (uint32_t)frame->cx);
	if (write) {
		GHCB_SET(ghcb, rax, (uint32_t)frame->ax);
		GHCB_SET(ghcb, rdx, (uint32_t)frame->dx);
	}
	result = vc_exit(frame, ghcb, SVM_EXIT_MSR, write, 0);
	if (result == VC_DONE && !write) {
		frame->ax = (uint32_t)ghcb->rax;
		frame->dx = (uint32_t)ghcb->rdx;
	}
	return result;
}

/* RDTSC, RDTSCP and RDPMC: the value in EDX:EAX. RDTSCP: TSC_AUX in ECX. */
static enum vc_result vc_counter(struct x86_frame *frame, struct ghcb *ghcb, uint64_t event)
{
	enum vc_result result;

	if (event == SVM_EXIT_RDPMC)
		GHCB_SET(ghcb, rcx, (uint32_t)frame->cx);
	result = vc_exit(frame, ghcb, event, 0, 0);
	if (result == VC_DONE) {
		frame->ax = (uint32_t)ghcb->rax;
		frame->dx = (uint32_t)ghcb->rdx;
		if (event == SVM_EXIT_RDTSCP)
			frame->cx = (uint32_t)ghcb->rcx;
	}
	return result;
}

/* Which registers a hypercall has is the hypervisor's matter: all that the GHCB offers. */
static enum vc_result vc_vmmcall(struct x86_frame *frame, struct ghcb *ghcb)
{
	enum vc_result result;

	ghcb->cpl = frame->cs & 3;
	ghcb_set_valid(ghcb, GHCB_BIT(cpl), true);
	GHCB_SET(ghcb, rax, frame->ax);
	GHCB_SET(ghcb, rbx, frame->bx);
	GHCB_SET(ghcb, rcx, frame->cx);
	GHCB_SET(ghcb, rdx, frame->dx);
	GHCB_SET(ghcb, rsi, frame->si);
	GHCB_SET(ghcb, rdi, frame->di);
	GHCB_SET(ghcb, r8, frame->r8);
	result = vc_exit(frame, ghcb, SVM_EXIT_VMMCALL, 0, 0);
	if (result == VC_DONE)
		frame->ax = ghcb->rax;
	return result;
}

static enum vc_result vc_monitor(struct x86_frame *frame, struct ghcb *ghcb, uint64_t event)
{
	GHCB_SET(ghcb, rax, frame->ax);
	GHCB_SET(ghcb, rcx, frame->cx);
	GHCB_SET(ghcb, rdx, frame->dx);
	return vc_exit(frame, ghcb, event, 0, 0);
}

/*
 * DR7 is the CPU's own, and the hypervisor is only told: KVM intercepts it to keep the guest from
 * using breakpoints that it would have to switch (arch/x86/kvm/svm/svm.c, dr_interception). So what
 * the guest wrote last is remembered here, and is what it reads.
 */
static enum vc_result vc_dr7(struct x86_frame *frame, struct ghcb *ghcb, uint64_t event,
			     const struct instruction *instruction)
{
	uint64_t *operand = frame_register(frame, modrm_rm(instruction));
	uint64_t *dr7 = &this_cpu()->sev.dr7;
	enum vc_result result;

	if (event == SVM_EXIT_READ_DR7) {
		*operand = *dr7 ? *dr7 : DR7_DEFAULT;
		return VC_DONE;
	}
	GHCB_SET(ghcb, rax, *operand);
	result = vc_exit(frame, ghcb, event, 0, 0);
	if (result == VC_DONE)
		*dr7 = *operand | DR7_DEFAULT;
	return result;
}

static enum vc_result handle_register_exit(struct x86_frame *frame, struct ghcb *ghcb,
					   const struct instruction *instruction)
{
	uint64_t event = frame->error_code;

	switch (event) {
	case SVM_EXIT_CPUID:
		return vc_cpuid(frame, ghcb);
	case SVM_EXIT_MSR:
		return vc_msr(frame, ghcb, instruction);
	case SVM_EXIT_RDTSC:
	case SVM_EXIT_RDTSCP:
	case SVM_EXIT_RDPMC:
		return vc_counter(frame, ghcb, event);
	case SVM_EXIT_VMMCALL:
		return vc_vmmcall(frame, ghcb);
	case SVM_EXIT_MONITOR:
	case SVM_EXIT_MWAIT:
		return vc_monitor(frame, ghcb, event);
	case SVM_EXIT_READ_DR7:
	case SVM_EXIT_WRITE_DR7:
		return vc_dr7(frame, ghcb, event, instruction);
	case SVM_EXIT_INVD:
	case SVM_EXIT_WBINVD:
		return vc_exit(frame, ghcb, event, 0, 0);
	default:
		return VC_UNKNOWN;
	}
}

static enum vc_result handle_exit(struct x86_frame *frame, const struct instruction *instruction)
{
	struct ghcb_hold hold;
	enum vc_result result;

	if (frame->error_code == SVM_EXIT_IOIO)
		return vc_io(frame, instruction);
	if (frame->error_code == SVM_EXIT_NPF)
		return vc_mmio(frame, instruction);
	result = handle_register_exit(frame, ghcb_take(&hold), instruction);
	ghcb_release(&hold);
	return result;
}

/*
 * An intercepted exception is no exit of its own: the guest raises it by itself. GHCB specification, 4.1, on #DB
 * and #AC, which KVM intercepts so that no guest hangs its CPU.
 */
static bool is_exception(struct x86_frame *frame)
{
	if (frame->error_code != SVM_EXIT_EXCEPTION + DB &&
	    frame->error_code != SVM_EXIT_EXCEPTION + AC)
		return false;
	frame->vector = frame->error_code - SVM_EXIT_EXCEPTION;
	frame->error_code = 0;
	return true;
}

bool vc_handle(struct x86_frame *frame)
{
	struct instruction instruction;

	if (is_exception(frame))
		return false;

	/* A page that is not validated has nothing to do with the instruction. */
	if (frame->error_code == VC_PAGE_NOT_VALIDATED || !vc_decode(frame, &instruction))
		return false;
	if (handle_exit(frame, &instruction) != VC_DONE)
		return false;
	frame->ip += instruction.length;
	frame->flags &= ~FLAGS_RF;
	return true;
}
#endif
