/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest as an SEV-ES or SEV-SNP guest: what it is, its memory, and what lib/x86 asks of it
 *
 * Started by the note of <vmrun/snp.h>, the runtime does for the tests what an operating system
 * would do for its programs: #VC (vc.h) makes the instructions that exit work as in a plain VM,
 * RAM is validated as the allocator hands it out, and leaves of the page tables that map RAM have
 * the C-bit. So a test need not know. 32-bit guests do not run so.
 *
 * What the hypervisor shall read or write must be shared memory: page_share() (psc.h) makes a page
 * so, and sev_shared() says at which address the guest sees it.
 */
#ifndef SEV_SEV_H
#define SEV_SEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmrun/snp.h>
#include <x86/cpu.h>
#include <x86/exception.h>

#ifdef __x86_64__

/* Where the lower 4 GiB are mapped a second time, without the C-bit. Not to be executed. */
#define VA_SHARED 0x200000000000ul

struct sev_state {
	bool es, snp;	      /* an SNP guest is an SEV-ES guest also */
	uint16_t version;     /* of the GHCB: 2, or 1 where the hypervisor has no other */
	uint64_t features;    /* SEV_FEATURES of the VMSA */
	uint64_t hv_features; /* GHCB_FEATURE_.. */
	uint64_t cpuid_page, secrets_page; /* 0: there is none */
	uint64_t ghcb_msr_reset;	   /* what CPU 0 found in the GHCB MSR */
};

extern struct sev_state sev;

static inline bool sev_active(void)
{
	return sev.es;
}

static inline bool sev_snp(void)
{
	return sev.snp;
}

/* The address at which a shared page of identity-mapped RAM is seen. */
static inline void *sev_shared(const void *page)
{
	return (void *)((uintptr_t)page + VA_SHARED);
}

/* A page of this CPU's own that is shared: for what the VMM reads by an address. */
static inline void *sev_bounce(void)
{
	return (void *)cpu_stack(this_cpu(), CPU_BOUNCE);
}

/* Ends the guest by a termination request with a reason of the suite's set. Works at any time. */
__attribute__((noreturn)) void sev_terminate(enum vmrun_sev_term reason);

/* SNP: validates pages that are private, and have not been validated before. */
void sev_accept(void *pages, size_t size);

/* SNP: has the CPU with this APIC id start in the given block, at ap_start_c(). */
void sev_start_cpu(struct cpu *cpu, unsigned int apic_id);

/*
 * Off the stack on which #VC and NMI arrive, for exception_entry.S: where the frame is now. In plain VMs it
 * stays.
 */
struct x86_frame *sev_leave_stack(struct x86_frame *frame);

/* An NMI: delivers it, and tells the hypervisor that the next one may come. */
void sev_nmi(struct x86_frame *frame, void (*deliver)(struct x86_frame *frame));

/*
 * What raised #VC is done, or (false) the frame is now that of the exception that it shall raise.
 * A #VC that nobody can handle stays what it is.
 */
bool vc_handle(struct x86_frame *frame);

#else
static inline bool sev_active(void)
{
	return false;
}

static inline bool sev_snp(void)
{
	return false;
}

static inline void sev_terminate(enum vmrun_sev_term reason)
{
	(void)reason;
}

static inline void sev_accept(void *pages, size_t size)
{
	(void)pages;
	(void)size;
}

static inline void sev_start_cpu(struct cpu *cpu, unsigned int apic_id)
{
	(void)cpu;
	(void)apic_id;
}

static inline void sev_nmi(struct x86_frame *frame, void (*deliver)(struct x86_frame *frame))
{
	deliver(frame);
}

static inline bool vc_handle(struct x86_frame *frame)
{
	(void)frame;
	return false;
}

static inline void *sev_bounce(void)
{
	return NULL;
}

static inline void *sev_shared(const void *page)
{
	(void)page;
	return NULL;
}
#endif

#endif
