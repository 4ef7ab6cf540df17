// SPDX-License-Identifier: BSD-2-Clause
/*
 * The stacks of #VC and NMI, and NMIs in a guest where the hypervisor does not see IRET
 *
 * Both come on stacks of their own, since at the first instruction of a SYSCALL entry, say, no
 * other could be relied on; and both leave them at once for the interrupted code's stack, where
 * what they do may raise #VC again. Until #VC has left, its stack holds the only copy of its frame.
 * Nothing raises #VC in that time, but an NMI may come; so its handler has #VC's stack begin below.
 *
 * The hypervisor holds back the next NMI until the guest says that this one is over (GHCB
 * specification, "NMI Complete"), and then delivers it at once: into that very call, where
 * it is only noted. An NMI's own IRET would be too late: the IRET of a #VC in the NMI's handler
 * has long unblocked NMIs.
 */
#ifdef __x86_64__
#include <sev/ghcb.h>
#include <sev/sev.h>

/* Room for what a #VC that was interrupted is about to put below the interrupted stack pointer. */
#define MARGIN 1024

/* What the CPU has pushed at the top of #VC's stack, from the top down. */
enum { PUSHED_SS = 1, PUSHED_SP, PUSHED_FLAGS, PUSHED_CS };

static bool on_vc_stack(const struct cpu *cpu, uintptr_t sp)
{
	return sp > cpu_stack(cpu, CPU_FREE_STACK) && sp <= cpu_stack(cpu, CPU_VC_STACK);
}

static uintptr_t stack_of(const struct cpu *cpu, bool user, uintptr_t sp)
{
	return user ? cpu->tss.sp[0] : sp;
}

/* The stack of the code that a #VC has interrupted, which an NMI then has. */
static uintptr_t stack_behind_vc(const struct cpu *cpu)
{
	const uintptr_t *top = (const uintptr_t *)cpu->tss.ist[IST_VC - 1];

	return stack_of(cpu, (top[-PUSHED_CS] & 3) == 3, top[-PUSHED_SP]) - MARGIN;
}

struct x86_frame *sev_leave_stack(struct x86_frame *frame)
{
	const struct cpu *cpu = this_cpu();
	struct x86_frame *moved;
	uintptr_t sp;

	if (!sev_active())
		return frame;
	sp = stack_of(cpu, frame_is_user(frame), frame->sp);
	if (on_vc_stack(cpu, sp))
		sp = stack_behind_vc(cpu);
	moved = (struct x86_frame *)(sp & ~15ul) - 1;
	*moved = *frame;
	return moved;
}

void sev_nmi(struct x86_frame *frame, void (*deliver)(struct x86_frame *frame))
{
	struct cpu *cpu = this_cpu();
	uint64_t ist = cpu->tss.ist[IST_VC - 1];

	if (cpu->sev.in_nmi) {
		cpu->sev.nmi_noted = true;
		return;
	}
	if (on_vc_stack(cpu, frame->sp))
		cpu->tss.ist[IST_VC - 1] = frame->sp & ~15ul;
	do {
		cpu->sev.in_nmi = true;
		cpu->sev.nmi_noted = false;
		deliver(frame);
		ghcb_event(GHCB_NMI_COMPLETE, 0, 0, NULL);
		__atomic_store_n(&cpu->sev.in_nmi, false, __ATOMIC_SEQ_CST);
	} while (__atomic_load_n(&cpu->sev.nmi_noted, __ATOMIC_SEQ_CST));
	cpu->tss.ist[IST_VC - 1] = ist;
}
#endif
