// SPDX-License-Identifier: BSD-2-Clause
/*
 * From the entry of <vmrun/snp.h> to where a plain VM would be in start_c(): page tables with the
 * C-bit, and a GHCB
 *
 * There is no IDT yet, so that nothing here may raise an exception.
 */
#ifdef __x86_64__
#include <sev/ghcb.h>
#include <sev/instructions.h>
#include <sev/sev.h>
#include <start/start_info.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/paging.h>
#include <x86/registers.h>

#define LEAVES_2M    2048 /* of the lower 4 GiB */
#define LEAVES_1G    4
#define MSR_REASON   0xff
#define SHARED_PML4E (VA_SHARED / LEVEL_SIZE(LEVEL_512G))

struct sev_state sev;

/* page_tables.S */
extern uint64_t boot_page_table[], page_directory_pointers[], page_directories[];
extern struct cpu boot_cpu;
extern uint32_t start_info_address;

static uint64_t shared_directory_pointers[512] __attribute__((aligned(4096)));

void sev_start_c(const struct vmrun_sev_boot *boot);
void sev_ap_start_c(void);
void start_c(void);
void ap_start_c(void);

void sev_terminate(enum vmrun_sev_term reason)
{
	for (;;) {
		ghcb_msr_early(GHCB_MSR_TERMINATION(VMRUN_SEV_TERM_SET, reason & MSR_REASON));
		asm volatile("hlt");
	}
}

/* The CPUID page is the firmware's word, and what the MSR protocol says is the hypervisor's. */
static unsigned int c_bit_by_page(const struct cpuid_page *page)
{
	for (uint32_t i = 0; i < page->count && i < CPUID_PAGE_MAX; i++)
		if (page->entries[i].eax_in == CPUID_SEV)
			return page->entries[i].ebx & CPUID_SEV_EBX_C_BIT;
	return 0;
}

static unsigned int find_c_bit(void)
{
	uint64_t info = ghcb_msr_early(GHCB_MSR_SEV_INFO_REQ);
	unsigned int bit = SEV_INFO_C_BIT(info);

	if ((info & GHCB_MSR_INFO_MASK) != GHCB_MSR_SEV_INFO)
		sev_terminate(VMRUN_SEV_TERM_RESPONSE);
	/* SNP is of version 2. */
	sev.version = SEV_INFO_MAX(info) < GHCB_VERSION ? SEV_INFO_MAX(info) : GHCB_VERSION;
	if (SEV_INFO_MIN(info) > sev.version || !sev.version ||
	    (sev.snp && sev.version < GHCB_VERSION))
		sev_terminate(VMRUN_SEV_TERM_PROTOCOL);
	if (sev.snp && c_bit_by_page((void *)sev.cpuid_page) != bit)
		sev_terminate(VMRUN_SEV_TERM_C_BIT);
	/* Below it there must be room for the lower 4 GiB. */
	if (bit < 32 || bit > 51)
		sev_terminate(VMRUN_SEV_TERM_C_BIT);
	return bit;
}

/* The end of RAM, which begins at 0; what is reserved below 1 MiB is RAM, too. */
static uint64_t ram_end(const struct start_info *info)
{
	const struct start_info_memory *map = (const void *)(uintptr_t)info->memory_map;
	uint64_t end = 0;

	for (uint32_t i = 0; i < info->memory_map_entries; i++)
		if (map[i].type == MEMORY_RAM && map[i].address + map[i].size > end)
			end = map[i].address + map[i].size;
	return end;
}

/*
 * The tables of the image, with the C-bit where they lead to RAM or to one another. Page walks are
 * encrypted in any case (APM volume 2, 15.34.5), but the addresses shall say so. The last leaf may
 * reach beyond RAM: no device is there.
 */
static void make_page_tables(uint64_t end)
{
	uint64_t leaves = (end + LEVEL_SIZE(LEVEL_2M) - 1) / LEVEL_SIZE(LEVEL_2M);

	for (uint64_t i = 0; i < leaves && i < LEAVES_2M; i++)
		page_directories[i] |= pte_encrypted;
	for (unsigned int i = 0; i < LEAVES_1G; i++) {
		page_directory_pointers[i] |= pte_encrypted;
		shared_directory_pointers[i] =
			i * LEVEL_SIZE(LEVEL_1G) | PTE_PS | PTE_NX | PTE_P | PTE_W;
	}
	boot_page_table[0] |= pte_encrypted;
	boot_page_table[SHARED_PML4E] =
		(uintptr_t)shared_directory_pointers | pte_encrypted | PTE_P | PTE_W;
	write_cr3((uintptr_t)boot_page_table | pte_encrypted);
}

static void load_control_registers(void)
{
	/* SVME is set in a VMSA, and must stay: without it the next VMRUN fails. */
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	write_cr0(BOOT_CR0);
	write_cr4(BOOT_CR4);
}

void sev_start_c(const struct vmrun_sev_boot *boot)
{
	uint64_t status = rdmsr(MSR_SEV_STATUS);

	sev.ghcb_msr_reset = rdmsr(MSR_GHCB);
	sev.es = true;
	sev.snp = status & SEV_STATUS_SNP;
	sev.features = status >> SEV_STATUS_FEATURES_SHIFT;
	if (boot->magic != VMRUN_SEV_BOOT_MAGIC)
		sev_terminate(VMRUN_SEV_TERM_BOOT);
	sev.cpuid_page = boot->cpuid_page;
	sev.secrets_page = boot->secrets_page;
	pte_encrypted = 1ull << find_c_bit();

	load_control_registers();
	make_page_tables(ram_end((const void *)(uintptr_t)start_info_address));
	if (sev.snp) {
		sev.hv_features = ghcb_msr_early(GHCB_MSR_FEATURES_REQ) >> GHCB_MSR_DATA_SHIFT;
		if (!(sev.hv_features & GHCB_FEATURE_SNP))
			sev_terminate(VMRUN_SEV_TERM_FEATURES);
	}
	ghcb_prepare_early(&boot_cpu);
	ghcb_register(&boot_cpu);
	start_c();
}

/* On its own stack, with the VMSA's registers: ap.c. */
void sev_ap_start_c(void)
{
	struct cpu *cpu =
		(void *)((uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)(CPU_BLOCK_SIZE - 1));

	ghcb_register(cpu);
	ap_start_c();
}

void sev_accept(void *pages, size_t size)
{
	for (size_t offset = 0; offset < size; offset += PAGE_SIZE) {
		struct rmp_outcome outcome = pvalidate_raw((uintptr_t)pages + offset, RMP_4K, 1);

		if (outcome.carry || (uint32_t)outcome.rax != RMP_OK)
			sev_terminate(VMRUN_SEV_TERM_PVALIDATE);
	}
}
#endif
