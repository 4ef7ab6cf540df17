// SPDX-License-Identifier: BSD-2-Clause
#include <x86/cpu.h>

#include <libc/string.h>
#include <x86/boot.h>
#include <x86/exception.h>
#include <x86/fixup.h>
#include <x86/idt.h>
#include <x86/paging.h>
#include <x86/registers.h>

_Static_assert(BOOT_CR0 == (CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG),
	       "as in <x86/registers.h>");
_Static_assert(BOOT_CR4 == (CR4_PAE | CR4_PGE), "as in <x86/registers.h>");
_Static_assert(sizeof(struct cpu) <= 0x2000, "the lowest stack has 8 KiB");

extern uint64_t boot_page_table[];

static struct cpu *block_of(uintptr_t address)
{
	return (struct cpu *)(address & ~(uintptr_t)(CPU_BLOCK_SIZE - 1));
}

struct cpu *this_cpu(void)
{
	struct cpu *cpu = block_of((uintptr_t)__builtin_frame_address(0));
	struct descriptor_pointer gdt;

	if (cpu->self == cpu)
		return cpu;
	/* On a stack of the test's own. The GDT's address still tells. */
	asm volatile("sgdt %0" : "=m"(gdt));
	return block_of(gdt.base);
}

unsigned int cpu_id(void)
{
	return this_cpu()->number;
}

static void fill_gdt(struct cpu *cpu)
{
	uintptr_t tss = (uintptr_t)&cpu->tss;
	uint64_t *gdt = cpu->gdt;

#ifdef __x86_64__
	gdt[KERNEL_CS / 8] = SEGMENT_FLAT | SEGMENT_PRESENT | SEGMENT_CODE | SEGMENT_64;
	gdt[USER_CS / 8] =
		SEGMENT_FLAT | SEGMENT_PRESENT | SEGMENT_CODE | SEGMENT_64 | SEGMENT_DPL(3);
	gdt[TSS_SELECTOR / 8 + 1] = tss >> 32;
#else
	gdt[KERNEL_CS / 8] = SEGMENT_FLAT | SEGMENT_PRESENT | SEGMENT_CODE | SEGMENT_32;
	gdt[USER_CS / 8] =
		SEGMENT_FLAT | SEGMENT_PRESENT | SEGMENT_CODE | SEGMENT_32 | SEGMENT_DPL(3);
	gdt[DF_SELECTOR / 8] = descriptor((uintptr_t)&cpu->df_tss, sizeof(cpu->df_tss) - 1,
					  SEGMENT_PRESENT | SEGMENT_TSS);
#endif
	gdt[KERNEL_DS / 8] = SEGMENT_FLAT | SEGMENT_PRESENT | SEGMENT_DATA | SEGMENT_32;
	gdt[KERNEL_CS32 / 8] = SEGMENT_FLAT | SEGMENT_PRESENT | SEGMENT_CODE | SEGMENT_32;
	gdt[USER_CS32 / 8] =
		SEGMENT_FLAT | SEGMENT_PRESENT | SEGMENT_CODE | SEGMENT_32 | SEGMENT_DPL(3);
	gdt[USER_DS / 8] =
		SEGMENT_FLAT | SEGMENT_PRESENT | SEGMENT_DATA | SEGMENT_32 | SEGMENT_DPL(3);
	gdt[TSS_SELECTOR / 8] =
		descriptor(tss, sizeof(cpu->tss) - 1, SEGMENT_PRESENT | SEGMENT_TSS);
}

/*
 * QEMU's TCG sets the A bit of a PDPTE that it uses, in PAE paging, where it is reserved (Intel SDM
 * volume 3, "PDPTE Registers"). KVM on such a CPU then refuses to load these entries, by #GP: when
 * CR4 or the paging bits of CR0 change, in a task switch, and at the start of another CPU. So each
 * CPU has its own four PDPTEs, the task of #DF has its own, too, and who makes the CPU load some
 * clears the bit before.
 *
 * For CR0 and CR4 once is not enough: if L1 takes an interrupt just before the MOV, the CPU comes
 * back with an empty TLB, and the walk for the MOV itself sets the bit again.
 */
#ifndef __x86_64__
void pdptes_clean(uint64_t pdptes[4])
{
	for (unsigned int i = 0; i < 4; i++)
		pdptes[i] &= ~PTE_A;
}

#define LOAD_TRIES 1000

static uint64_t *current_pdptes(void)
{
	return (uint64_t *)(read_cr3() & ~31ul);
}

static bool pdptes_are_clean(const uint64_t pdptes[4])
{
	return !((pdptes[0] | pdptes[1] | pdptes[2] | pdptes[3]) & PTE_A);
}

/* False on #GP. The flags are undefined after the MOV, so that the carry flag is cleared there. */
static bool try_write_cr0(uintptr_t value)
{
	bool fault;

	asm volatile("1: mov %1, %%cr0\n"
		     "clc\n"
		     "2:\n" FIXUP("1b", "2b", FIXUP_GP)
		     : "=@ccc"(fault)
		     : "r"(value)
		     : "memory");
	return !fault;
}

static bool try_write_cr4(uintptr_t value)
{
	bool fault;

	asm volatile("1: mov %1, %%cr4\n"
		     "clc\n"
		     "2:\n" FIXUP("1b", "2b", FIXUP_GP)
		     : "=@ccc"(fault)
		     : "r"(value)
		     : "memory");
	return !fault;
}

/* Whether the value is written. A #GP that is not due to a PDPTE comes back as false. */
static bool write_with_clean_pdptes(bool (*try_write)(uintptr_t value), uintptr_t value)
{
	for (unsigned int i = 0; i < LOAD_TRIES; i++) {
		pdptes_clean(current_pdptes());
		if (try_write(value))
			return true;
		if (pdptes_are_clean(current_pdptes()))
			return false;
	}
	return false;
}

/* A #GP is raised again, for whom it concerns. */
void write_cr0(uintptr_t value)
{
	if (!write_with_clean_pdptes(try_write_cr0, value))
		asm volatile("mov %0, %%cr0" ::"r"(value) : "memory");
}

void write_cr4(uintptr_t value)
{
	if (!write_with_clean_pdptes(try_write_cr4, value))
		asm volatile("mov %0, %%cr4" ::"r"(value) : "memory");
}

static void own_page_table(struct cpu *cpu)
{
	memcpy(cpu->page_table, boot_page_table, sizeof(cpu->page_table));
	memcpy(cpu->df_page_table, boot_page_table, sizeof(cpu->df_page_table));
	/* The copies: this CPU may use, and so mark, the original until the end. */
	pdptes_clean(cpu->page_table);
	pdptes_clean(cpu->df_page_table);
	write_cr3((uintptr_t)cpu->page_table);
	/* The next CPU to start begins with this one. */
	pdptes_clean(boot_page_table);
}
#else
static void own_page_table(struct cpu *cpu)
{
	(void)cpu; /* all have boot_page_table */
}
#endif

static uintptr_t page_table_of(const struct cpu *cpu)
{
#ifdef __x86_64__
	(void)cpu;
	return (uintptr_t)boot_page_table | pte_encrypted;
#else
	return (uintptr_t)cpu->page_table;
#endif
}

#ifdef __x86_64__
static void fill_tss(struct cpu *cpu)
{
	cpu->tss.ist[IST_NMI - 1] = cpu_stack(cpu, CPU_NMI_STACK);
	cpu->tss.ist[IST_DF - 1] = cpu_stack(cpu, CPU_DF_STACK);
	cpu->tss.ist[IST_MC - 1] = cpu_stack(cpu, CPU_MC_STACK);
	cpu->tss.ist[IST_FREE - 1] = cpu_stack(cpu, CPU_FREE_STACK);
	cpu->tss.ist[IST_VC - 1] = cpu_stack(cpu, CPU_VC_STACK);
	cpu->tss.sp[0] = cpu_stack(cpu, CPU_STACK);
	cpu->tss.io_map = sizeof(cpu->tss);
}
#else
static void fill_tss(struct cpu *cpu)
{
	cpu->tss.stack[0].sp = cpu_stack(cpu, CPU_STACK);
	cpu->tss.stack[0].ss = KERNEL_DS;
	cpu->tss.cr3 = page_table_of(cpu); /* loaded on the way back from the task of #DF */
	cpu->tss.io_map = sizeof(cpu->tss);

	/*
	 * In a nested VM on TCG a page that L1 has yet to provide must not be met in the middle of
	 * the switch to the task of #DF: L1 then injects the first fault again, after the switch.
	 */
	*(volatile uint32_t *)(cpu_stack(cpu, CPU_DF_STACK) - sizeof(uint32_t)) = 0;

	cpu->df_tss = (struct x86_tss){
		.cr3 = (uintptr_t)cpu->df_page_table,
		.ip = (uintptr_t)double_fault_task,
		.flags = FLAGS_ONE,
		.sp = cpu_stack(cpu, CPU_DF_STACK),
		.es = KERNEL_DS,
		.cs = KERNEL_CS,
		.ss = KERNEL_DS,
		.ds = KERNEL_DS,
		.io_map = sizeof(cpu->df_tss),
	};
}
#endif

static void load_tables(struct cpu *cpu)
{
	struct descriptor_pointer gdt = { .limit = sizeof(cpu->gdt) - 1,
					  .base = (uintptr_t)cpu->gdt };

	asm volatile("lgdt %0" ::"m"(gdt) : "memory");
	load_ds(KERNEL_DS);
	load_es(KERNEL_DS);
	load_ss(KERNEL_DS);
	load_tr(TSS_SELECTOR);
	idt_load();
}

struct cpu *cpu_init(unsigned int number)
{
	struct cpu *cpu = block_of((uintptr_t)__builtin_frame_address(0));

	memset(cpu, 0, sizeof(*cpu));
	cpu->self = cpu;
	cpu->number = number;
	own_page_table(cpu);
	fill_gdt(cpu);
	fill_tss(cpu);
	load_tables(cpu);
	return cpu;
}

void cpu_restore(void)
{
	struct cpu *cpu = this_cpu();

	write_cr0(BOOT_CR0);
	write_cr4(BOOT_CR4);
	write_cr3(page_table_of(cpu));
	own_page_table(cpu);
	write_dr7(DR7_DEFAULT);
	memset(cpu->gdt, 0, sizeof(cpu->gdt));
	fill_gdt(cpu); /* with a TSS that is not busy */
	fill_tss(cpu);
	load_tables(cpu);
}
