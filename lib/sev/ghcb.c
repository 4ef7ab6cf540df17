// SPDX-License-Identifier: BSD-2-Clause
#ifdef __x86_64__
#include <sev/ghcb.h>

#include <libc/string.h>
#include <sev/instructions.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/registers.h>

static uint64_t block_ghcb_gpa(const struct cpu *cpu)
{
	return cpu_stack(cpu, CPU_GHCB);
}

static struct ghcb *block_ghcb(const struct cpu *cpu)
{
	return sev_shared((void *)cpu_stack(cpu, CPU_GHCB));
}

uint64_t ghcb_msr_early(uint64_t request)
{
	wrmsr(MSR_GHCB, request);
	vmgexit();
	return rdmsr(MSR_GHCB);
}

uint64_t ghcb_msr(uint64_t request)
{
	struct cpu *cpu = this_cpu();
	uintptr_t flags = read_flags();
	bool busy, in_msr;
	uint64_t response, msr = 0;

	irq_disable();
	busy = cpu->sev.busy;
	in_msr = cpu->sev.ghcb_in_msr;
	if (busy)
		msr = rdmsr(MSR_GHCB);
	cpu->sev.busy = true;
	cpu->sev.ghcb_in_msr = false;
	response = ghcb_msr_early(request);
	if (busy) {
		wrmsr(MSR_GHCB, msr);
		cpu->sev.ghcb_in_msr = in_msr;
	}
	cpu->sev.busy = busy;
	write_flags(flags);
	return response;
}

uint64_t ghcb_gpa(void)
{
	return block_ghcb_gpa(this_cpu());
}

struct ghcb *ghcb_take(struct ghcb_hold *hold)
{
	struct cpu *cpu = this_cpu();
	struct ghcb *ghcb = block_ghcb(cpu);

	hold->flags = read_flags();
	irq_disable();
	hold->nested = cpu->sev.busy;
	if (hold->nested) {
		hold->msr = rdmsr(MSR_GHCB);
		cpu->sev.ghcb_in_msr = false;
		memcpy((void *)cpu_stack(cpu, CPU_GHCB_BACKUP), ghcb, sizeof(*ghcb));
	}
	cpu->sev.busy = true;
	memset(ghcb->valid_bitmap, 0, sizeof(ghcb->valid_bitmap));
	return ghcb;
}

void ghcb_release(struct ghcb_hold *hold)
{
	struct cpu *cpu = this_cpu();

	if (hold->nested) {
		memcpy(block_ghcb(cpu), (void *)cpu_stack(cpu, CPU_GHCB_BACKUP),
		       sizeof(struct ghcb));
		wrmsr(MSR_GHCB, hold->msr);
		cpu->sev.ghcb_in_msr = hold->msr == block_ghcb_gpa(cpu);
	} else {
		cpu->sev.busy = false;
	}
	write_flags(hold->flags);
}

/* The MSR keeps its value, and to write it costs an exit where the hardware is a model. */
void ghcb_exit_raw(uint64_t gpa)
{
	struct cpu *cpu = this_cpu();
	bool own = gpa == block_ghcb_gpa(cpu);

	if (!own || !cpu->sev.ghcb_in_msr)
		wrmsr(MSR_GHCB, gpa);
	cpu->sev.ghcb_in_msr = own;
	vmgexit();
}

uint32_t ghcb_exit(struct ghcb *ghcb, uint64_t event, uint64_t info_1, uint64_t info_2)
{
	ghcb->protocol_version = sev.version;
	ghcb->usage = 0;
	GHCB_SET(ghcb, sw_exit_code, event);
	GHCB_SET(ghcb, sw_exit_info_1, info_1);
	GHCB_SET(ghcb, sw_exit_info_2, info_2);
	ghcb_exit_raw(ghcb_gpa());
	return (uint32_t)ghcb->sw_exit_info_1;
}

uint64_t ghcb_event(uint64_t event, uint64_t info_1, uint64_t info_2, uint32_t *result)
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	uint32_t info = ghcb_exit(ghcb, event, info_1, info_2);
	uint64_t data = ghcb->sw_exit_info_2;

	ghcb_release(&hold);
	if (result)
		*result = info;
	return data;
}

static void share_early(uintptr_t page)
{
	struct rmp_outcome outcome;

	if (!sev_snp())
		return;
	outcome = pvalidate_raw(page, RMP_4K, 0);
	if (outcome.carry || (uint32_t)outcome.rax != RMP_OK)
		sev_terminate(VMRUN_SEV_TERM_PVALIDATE);
	if (ghcb_msr_early(GHCB_MSR_PSC(page >> PAGE_SHIFT, PSC_SHARED)) != GHCB_MSR_PSC_RESP)
		sev_terminate(VMRUN_SEV_TERM_PSC);
}

void ghcb_prepare_early(struct cpu *cpu)
{
	share_early(cpu_stack(cpu, CPU_GHCB));
	share_early(cpu_stack(cpu, CPU_BOUNCE));
	memset(block_ghcb(cpu), 0, sizeof(struct ghcb));
}

void ghcb_prepare(struct cpu *cpu)
{
	page_share((void *)cpu_stack(cpu, CPU_BOUNCE));
	memset(page_share((void *)cpu_stack(cpu, CPU_GHCB)), 0, sizeof(struct ghcb));
}

void ghcb_register(struct cpu *cpu)
{
	uint64_t gpa = block_ghcb_gpa(cpu);

	if (sev_snp() &&
	    ghcb_msr_early(gpa | GHCB_MSR_REGISTER_REQ) != (gpa | GHCB_MSR_REGISTER_RESP))
		sev_terminate(VMRUN_SEV_TERM_REGISTER);
}
#endif
