// SPDX-License-Identifier: BSD-2-Clause
/*
 * AP creation: the guest makes a VMSA, and the hypervisor runs a vCPU by it. GHCB specification, 4.1.9 "SNP AP
 * Creation"
 */
#ifdef __x86_64__
#include <sev/ap.h>

#include <sev/ghcb.h>
#include <sev/instructions.h>
#include <sev/sev.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/paging.h>
#include <x86/registers.h>

#define ATTRIBUTES_CODE64 0xa9b /* G, L; P, code, execute, read, accessed */
#define ATTRIBUTES_DATA	  0xc93 /* G, B; P, data, read, write, accessed */
#define ATTRIBUTES_TSS	  0x08b /* P, busy */
#define ATTRIBUTES_LDT	  0x082 /* P */
#define LIMIT_FLAT	  0xffffffff
#define LIMIT_RESET	  0xffff

/* APM volume 2, table 14-1 "Initial Processor State", but for INIT's EFER.SVME, which a VMSA needs. */
#define EFER_SVME   (1u << 12)
#define PAT_RESET   0x0007040600070406ull
#define XCR0_RESET  1
#define MXCSR_RESET 0x1f80
#define FTW_RESET   0x5555
#define FCW_RESET   0x0040

#define VMPL1	    1

extern uint64_t boot_page_table[];
extern struct descriptor_pointer boot_gdt_pointer;

void sev_ap_entry(void);

struct vmsa *vmsa_new(uintptr_t entry, uintptr_t stack)
{
	struct vmsa_segment data = { KERNEL_DS, ATTRIBUTES_DATA, LIMIT_FLAT, 0 };
	struct vmsa *vmsa = page_alloc();

	/* A VMSA that is 2 MiB-aligned meets an erratum, and KVM refuses it (sev_snp_ap_creation). */
	if (!((uintptr_t)vmsa & (LEVEL_SIZE(LEVEL_2M) - 1)))
		vmsa = page_alloc();
	vmsa->es = vmsa->ss = vmsa->ds = vmsa->fs = vmsa->gs = data;
	vmsa->cs = (struct vmsa_segment){ KERNEL_CS, ATTRIBUTES_CODE64, LIMIT_FLAT, 0 };
	vmsa->gdtr.limit = boot_gdt_pointer.limit;
	vmsa->gdtr.base = boot_gdt_pointer.base;
	vmsa->ldtr = (struct vmsa_segment){ 0, ATTRIBUTES_LDT, LIMIT_RESET, 0 };
	vmsa->tr = (struct vmsa_segment){ 0, ATTRIBUTES_TSS, LIMIT_RESET, 0 };
	vmsa->efer = EFER_SVME | EFER_LME | EFER_LMA | EFER_NXE;
	vmsa->cr0 = BOOT_CR0;
	vmsa->cr4 = BOOT_CR4;
	vmsa->cr3 = (uintptr_t)boot_page_table | pte_encrypted;
	vmsa->dr6 = DR6_DEFAULT;
	vmsa->dr7 = DR7_DEFAULT;
	vmsa->rflags = FLAGS_ONE;
	vmsa->rip = entry;
	vmsa->rsp = stack;
	vmsa->g_pat = PAT_RESET;
	vmsa->sev_features = sev.features;
	vmsa->xcr0 = XCR0_RESET;
	vmsa->mxcsr = MXCSR_RESET;
	vmsa->x87_ftw = FTW_RESET;
	vmsa->x87_fcw = FCW_RESET;
	return vmsa;
}

bool vmsa_seal(struct vmsa *vmsa)
{
	/* The VMSA of this VMPL or of VMPL0 cannot be changed by RMPADJUST; the target is a lower one. */
	return (uint32_t)rmpadjust((uintptr_t)vmsa, RMP_4K, RMPADJUST_VMSA | VMPL1) == RMP_OK;
}

uint32_t ap_creation(enum ap_creation request, unsigned int apic_id, uint64_t vmsa_gpa,
		     uint64_t features, uint64_t *info_2)
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	uint32_t result;

	GHCB_SET(ghcb, rax, features);
	result = ghcb_exit(ghcb, GHCB_AP_CREATION, (uint64_t)apic_id << 32 | request, vmsa_gpa);
	*info_2 = ghcb->sw_exit_info_2;
	ghcb_release(&hold);
	return result;
}

void sev_start_cpu(struct cpu *cpu, unsigned int apic_id)
{
	struct vmsa *vmsa;
	uint64_t info_2;

	if (!(sev.hv_features & GHCB_FEATURE_AP_CREATION))
		test_error(TEST_SITE("cpu_count", true),
			   "the hypervisor does not offer AP creation");
	vmsa = vmsa_new((uintptr_t)sev_ap_entry, cpu_stack(cpu, CPU_STACK));
	/* One that is started anew has its GHCB already. */
	if (cpu->self != cpu)
		ghcb_prepare(cpu);
	if (!vmsa_seal(vmsa))
		test_error(TEST_SITE("RMPADJUST", true), "a page does not become a VMSA");
	if (ap_creation(AP_CREATE, apic_id, (uintptr_t)vmsa, sev.features, &info_2))
		test_error(TEST_SITE("AP creation", true), "of APIC id %u: error %llu", apic_id,
			   (unsigned long long)info_2);
}
#endif
