// SPDX-License-Identifier: BSD-2-Clause
#include "exits.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <uapi/kvm.h>
#include <vmrun/snp.h>

#include "memory.h"
#include "say.h"
#include "vcpu.h"
#include "vm.h"

/* Where an x86 CPU begins after a reset. */
#define RESET_CS_BASE 0xffff0000
#define RESET_RIP     0xfff0

/* GHCB specification, table 3: a termination request. */
#define TERMINATION 0x100

/*
 * By number (include/uapi/linux/kvm.h of Linux 7.2) and not by KVM_EXIT_*: the headers that vmrun
 * is built with may be older than the kernel that it runs on.
 */
static const char *const names[] = {
	[0] = "KVM_EXIT_UNKNOWN: KVM does not know why the CPU left the guest",
	[1] = "KVM_EXIT_EXCEPTION",
	[2] = "KVM_EXIT_IO",
	[3] = "KVM_EXIT_HYPERCALL",
	[4] = "KVM_EXIT_DEBUG",
	[5] = "KVM_EXIT_HLT",
	[6] = "KVM_EXIT_MMIO",
	[7] = "KVM_EXIT_IRQ_WINDOW_OPEN",
	[8] = "KVM_EXIT_SHUTDOWN: the guest shut down, by a triple fault unless it meant to",
	[9] = "KVM_EXIT_FAIL_ENTRY: the CPU refused to enter the guest",
	[10] = "KVM_EXIT_INTR",
	[11] = "KVM_EXIT_SET_TPR",
	[12] = "KVM_EXIT_TPR_ACCESS",
	[13] = "KVM_EXIT_S390_SIEIC",
	[14] = "KVM_EXIT_S390_RESET",
	[15] = "KVM_EXIT_DCR",
	[16] = "KVM_EXIT_NMI",
	[17] = "KVM_EXIT_INTERNAL_ERROR: KVM gave up",
	[18] = "KVM_EXIT_OSI",
	[19] = "KVM_EXIT_PAPR_HCALL",
	[20] = "KVM_EXIT_S390_UCONTROL",
	[21] = "KVM_EXIT_WATCHDOG",
	[22] = "KVM_EXIT_S390_TSCH",
	[23] = "KVM_EXIT_EPR",
	[24] = "KVM_EXIT_SYSTEM_EVENT",
	[25] = "KVM_EXIT_S390_STSI",
	[26] = "KVM_EXIT_IOAPIC_EOI",
	[27] = "KVM_EXIT_HYPERV",
	[28] = "KVM_EXIT_ARM_NISV",
	[29] = "KVM_EXIT_X86_RDMSR",
	[30] = "KVM_EXIT_X86_WRMSR",
	[31] = "KVM_EXIT_DIRTY_RING_FULL",
	[32] = "KVM_EXIT_AP_RESET_HOLD",
	[33] = "KVM_EXIT_X86_BUS_LOCK",
	[34] = "KVM_EXIT_XEN",
	[35] = "KVM_EXIT_RISCV_SBI",
	[36] = "KVM_EXIT_RISCV_CSR",
	[37] = "KVM_EXIT_NOTIFY",
	[38] = "KVM_EXIT_LOONGARCH_IOCSR",
	[39] = "KVM_EXIT_MEMORY_FAULT",
	[40] = "KVM_EXIT_TDX",
	[41] = "KVM_EXIT_ARM_SEA",
	[42] = "KVM_EXIT_ARM_LDST64B",
	[43] = "KVM_EXIT_SNP_REQ_CERTS",
};

static const char *const suberrors[] = {
	[1] = "KVM_INTERNAL_ERROR_EMULATION: it could not emulate the instruction at RIP",
	[2] = "KVM_INTERNAL_ERROR_SIMUL_EX: unexpected exceptions at the same time",
	[3] = "KVM_INTERNAL_ERROR_DELIVERY_EV: the CPU left the guest while it delivered an event",
	[4] = "KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: the CPU left the guest for a reason that "
	      "KVM does not handle",
};

static const char *const events[] = {
	[1] = "KVM_SYSTEM_EVENT_SHUTDOWN", [2] = "KVM_SYSTEM_EVENT_RESET: the guest asked for it",
	[3] = "KVM_SYSTEM_EVENT_CRASH",	   [4] = "KVM_SYSTEM_EVENT_WAKEUP",
	[5] = "KVM_SYSTEM_EVENT_SUSPEND",  [6] = "KVM_SYSTEM_EVENT_SEV_TERM",
	[7] = "KVM_SYSTEM_EVENT_TDX_FATAL"
};

static const char *lookup(const char *const *table, size_t count, uint32_t number)
{
	return number < count && table[number] ? table[number] : "unknown to this vmrun";
}

#define LOOKUP(table, number) lookup(table, sizeof(table) / sizeof((table)[0]), number)

const char *exits_name(uint32_t reason)
{
	return LOOKUP(names, reason);
}

static void say_internal_error(const struct kvm_run *run)
{
	uint32_t count = run->internal.ndata;

	say("  suberror %u, %s", run->internal.suberror, LOOKUP(suberrors, run->internal.suberror));
	for (uint32_t i = 0; i < count && i < 16; i++)
		say("  data[%u] = %#" PRIx64, i, (uint64_t)run->internal.data[i]);
}

static void say_system_event(const struct kvm_run *run)
{
	uint32_t count = run->system_event.ndata;

	say("  event %u, %s", run->system_event.type, LOOKUP(events, run->system_event.type));
	for (uint32_t i = 0; i < count && i < 16; i++)
		say("  data[%u] = %#" PRIx64, i, (uint64_t)run->system_event.data[i]);
}

static void say_memory_fault(const struct kvm_run *run)
{
	const struct gmem_fault *fault = (const struct gmem_fault *)run->padding;

	say("  gpa %#" PRIx64 ", size %#" PRIx64 ", flags %#" PRIx64 ": KVM has no %s page there",
	    (uint64_t)fault->gpa, (uint64_t)fault->size, (uint64_t)fault->flags,
	    fault->flags & KVM_MEMORY_EXIT_FLAG_PRIVATE ? "private" : "shared");
}

void exits_say_details(const struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_UNKNOWN:
		say("  hardware exit reason %#" PRIx64, (uint64_t)run->hw.hardware_exit_reason);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		say("  hardware entry failure reason %#" PRIx64 " on host CPU %u",
		    (uint64_t)run->fail_entry.hardware_entry_failure_reason, run->fail_entry.cpu);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		say_internal_error(run);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		say_system_event(run);
		break;
	case KVM_EXIT_MEMORY_FAULT:
		say_memory_fault(run);
		break;
	case KVM_EXIT_XEN:
		say("  type %u", run->xen.type);
		break;
	case KVM_EXIT_HYPERV:
		say("  type %u", run->hyperv.type);
		break;
	case KVM_EXIT_SHUTDOWN:
		/* svm.c, shutdown_interception(): AMD CPUs leave nothing that could be relied on. */
		if (vcpu->state.sregs.cs.base == RESET_CS_BASE && vcpu->state.regs.rip == RESET_RIP)
			say("  KVM on AMD resets the vCPU then: the registers below are not those "
			    "of the fault");
		break;
	default:
		say("  exit reason %u", run->exit_reason);
	}
}

/* GHCB specification, table 3, request 0x100: the reasons of set 0. */
static const char *const specified_ends[] = {
	[0] = "general termination",
	[1] = "the hypervisor's versions of the GHCB protocol do not serve it",
	[2] = "the hypervisor lacks features of SEV-SNP",
};

/* As enum vmrun_sev_term says. */
static const char *const suite_ends[VMRUN_SEV_TERM_REASONS] = {
	[VMRUN_SEV_TERM_BOOT] = "it did not find what vmrun hands over",
	[VMRUN_SEV_TERM_PROTOCOL] =
		"the hypervisor's versions of the GHCB protocol do not serve it",
	[VMRUN_SEV_TERM_C_BIT] = "CPUID page and SEV information disagree on the C-bit",
	[VMRUN_SEV_TERM_FEATURES] = "the hypervisor lacks features of SEV-SNP",
	[VMRUN_SEV_TERM_REGISTER] = "the hypervisor did not register its GHCB",
	[VMRUN_SEV_TERM_PSC] = "a page state change failed",
	[VMRUN_SEV_TERM_PVALIDATE] = "PVALIDATE failed, or changed nothing",
	[VMRUN_SEV_TERM_RESPONSE] = "a response of the MSR protocol is not known",
	[VMRUN_SEV_TERM_PANIC] = "a panic whose words did not get out",
};

/*
 * KVM hands on the GHCB MSR. It also comes when the guest has not asked for it: with a request that the protocol of this
 * kind of guest does not have (arch/x86/kvm/svm/sev.c, sev_handle_vmgexit_msr_protocol).
 */
static void say_termination(const struct vcpu *vcpu)
{
	uint64_t msr = vcpu->run->system_event.data[0];
	unsigned int code = msr & 0xfff, set = msr >> 12 & 0xf, reason = msr >> 16 & 0xff;

	if (!code)
		say("vCPU %u: the guest asks for its termination by its GHCB at %#" PRIx64,
		    vcpu->id, msr);
	else if (code != TERMINATION)
		say("vCPU %u: KVM ends the guest for a request of the GHCB MSR protocol that it may "
		    "not make: %#" PRIx64,
		    vcpu->id, msr);
	else
		say("vCPU %u: the guest asks for its termination: set %#x, reason %u (%s)",
		    vcpu->id, set, reason,
		    set == VMRUN_SEV_TERM_SET ? LOOKUP(suite_ends, reason)
		    : set == 0		      ? LOOKUP(specified_ends, reason)
					      : "a set unknown to this vmrun");
}

static void say_wrong_access(const struct vcpu *vcpu)
{
	const struct gmem_fault *fault = (const struct gmem_fault *)vcpu->run->padding;
	bool private = fault->flags & KVM_MEMORY_EXIT_FLAG_PRIVATE;

	if (memory_is_ram(vcpu->vm, fault->gpa))
		say("vCPU %u: %s access (C-bit %s) to the page at %#" PRIx64 ", which is %s",
		    vcpu->id, private ? "a private" : "a shared", private ? "set" : "clear",
		    (uint64_t)fault->gpa, memory_is_private(fault->gpa) ? "private" : "shared");
	else
		say("vCPU %u: %s access (C-bit %s) to %#" PRIx64 ", where no RAM is", vcpu->id,
		    private ? "a private" : "a shared", private ? "set" : "clear",
		    (uint64_t)fault->gpa);
}

void exits_say_encrypted(const struct vcpu *vcpu, const char *cause, bool reason)
{
	const struct kvm_run *run = vcpu->run;

	if (reason && run->exit_reason == KVM_EXIT_MEMORY_FAULT) {
		say_wrong_access(vcpu);
	} else if (reason && run->exit_reason == KVM_EXIT_SYSTEM_EVENT &&
		   run->system_event.type == KVM_SYSTEM_EVENT_SEV_TERM) {
		say_termination(vcpu);
	} else {
		say("vCPU %u: %s", vcpu->id, cause);
		if (reason && run->exit_reason != KVM_EXIT_SHUTDOWN)
			exits_say_details(vcpu);
	}
}

static void say_segment(const char *name, const struct kvm_segment *segment)
{
	say("  %s %04x base %016" PRIx64 " limit %08x type %x s %u dpl %u p %u db %u l %u g %u",
	    name, segment->selector, (uint64_t)segment->base, segment->limit, segment->type,
	    segment->s, segment->dpl, segment->present, segment->db, segment->l, segment->g);
}

/* The bytes at RIP, as far as the guest maps them to its RAM. */
static void say_code(const struct vcpu *vcpu)
{
	uint64_t address = vcpu->state.regs.rip + vcpu->state.sregs.cs.base;
	char text[16 * 3 + 1] = "";
	int length = 0;

	for (unsigned int i = 0; i < 16; i++) {
		struct kvm_translation at = { .linear_address = address + i };
		const uint8_t *byte;

		if (ioctl(vcpu->fd, KVM_TRANSLATE, &at) < 0 || !at.valid)
			break;
		byte = memory_at(vcpu->vm, at.physical_address, 1);
		if (!byte)
			break;
		length += snprintf(text + length, sizeof(text) - (size_t)length, " %02x", *byte);
	}
	say("  code at rip:%s", length ? text : " not mapped to RAM");
}

void exits_say_registers(const struct vcpu *vcpu)
{
	const struct kvm_regs *r = &vcpu->state.regs;
	const struct kvm_sregs *s = &vcpu->state.sregs;

	say("vCPU %u registers:", vcpu->id);
#define SAY4(n1, v1, n2, v2, n3, v3, n4, v4)                                          \
	say("  " n1 " %016" PRIx64 " " n2 " %016" PRIx64 " " n3 " %016" PRIx64 " " n4 \
	    " %016" PRIx64,                                                           \
	    (uint64_t)(v1), (uint64_t)(v2), (uint64_t)(v3), (uint64_t)(v4))
	SAY4("rax", r->rax, "rbx", r->rbx, "rcx", r->rcx, "rdx", r->rdx);
	SAY4("rsi", r->rsi, "rdi", r->rdi, "rbp", r->rbp, "rsp", r->rsp);
	SAY4("r8 ", r->r8, "r9 ", r->r9, "r10", r->r10, "r11", r->r11);
	SAY4("r12", r->r12, "r13", r->r13, "r14", r->r14, "r15", r->r15);
	SAY4("rip", r->rip, "flg", r->rflags, "efr", s->efer, "apb", s->apic_base);
	SAY4("cr0", s->cr0, "cr2", s->cr2, "cr3", s->cr3, "cr4", s->cr4);
#undef SAY4
	say_segment("cs ", &s->cs);
	say_segment("ss ", &s->ss);
	say_segment("ds ", &s->ds);
	say_segment("tr ", &s->tr);
	say("  gdt base %016" PRIx64 " limit %04x  idt base %016" PRIx64 " limit %04x",
	    (uint64_t)s->gdt.base, s->gdt.limit, (uint64_t)s->idt.base, s->idt.limit);
	say_code(vcpu);
}
