/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What belongs to one CPU: its descriptor tables, its stacks, and what it is doing
 *
 * All of it lies in one block whose alignment is its size, so that the stack pointer leads to it,
 * at every privilege level and with any segment registers.
 *
 * For the runtime's own use; tests use <x86/smp.h>, <x86/descriptors.h> and so on.
 */
#ifndef X86_CPU_H
#define X86_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include <libc/jump.h>
#include <x86/boot.h>
#include <x86/descriptors.h>
#include <x86/exception.h>
#include <x86/fault.h>
#include <x86/smp.h>

/* What an AP does; written by it and by the CPU that gives it work. */
enum cpu_state { CPU_ABSENT, CPU_IDLE, CPU_BUSY, CPU_DONE, CPU_LOST };

/* Where an exception of one CPU ends up: they nest. */
struct fault_catch {
	struct jump jump;
	struct fault_catch *outer;
	struct x86_fault fault;
	bool user, supervisor; /* what it catches: raised at CPL 3, raised below */
};

struct cpu {
	struct cpu *self; /* tells a block from any other memory */
	unsigned int number;
	unsigned int apic_id;

	/*
	 * Where exceptions go: the innermost FAULT_OF() or user_call(), and the end of the point.
	 */
	struct fault_catch *catch;
	const struct jump *abort;
	bool in_dump; /* an exception there cannot be reported like others */

	/* user_call() */
	bool user_returned;
	uintptr_t user_value;

	/* on_cpu() */
	enum cpu_state state;
	bool stop; /* the next NMI ends what runs */
	bool aborted;
	cpu_function *function;
	void *argument;

	bool apic_ready;
	bool apic_x2;

	/* lib/sev */
	struct {
		bool busy;	  /* the GHCB, or its MSR, is in use */
		bool ghcb_in_msr; /* the GHCB MSR holds the GHCB's address */
		bool in_nmi, nmi_noted;
		uint64_t dr7; /* as written last; 0: never */
	} sev;

	uint64_t gdt[GDT_ENTRIES] __attribute__((aligned(16)));
	struct x86_tss tss __attribute__((aligned(16)));
#ifndef __x86_64__
	struct x86_tss df_tss __attribute__((aligned(16)));
	/* The PDPTEs of this CPU, and of the task that handles its #DF: see cpu.c. */
	uint64_t page_table[4] __attribute__((aligned(32)));
	uint64_t df_page_table[4] __attribute__((aligned(32)));
#endif
};

/* The stacks, by the offset of their upper end in the block. */
enum {
	CPU_NMI_STACK = 0x4000,
	CPU_DF_STACK = 0x6000,
	CPU_MC_STACK = 0x8000,
	CPU_FREE_STACK = 0xa000,
	CPU_VC_STACK = 0xb000,
	CPU_USER_STACK = 0xf000,
	CPU_STACK = CPU_BLOCK_SIZE,
};

struct cpu *this_cpu(void);

/* Pages between the stacks, by their offset: of an SEV-ES guest, <sev/ghcb.h>. Two are shared. */
enum { CPU_GHCB = 0xf000, CPU_BOUNCE = 0x10000, CPU_GHCB_BACKUP = 0x11000 };

/* The address of a stack's upper end, or of one of these pages. */
static inline uintptr_t cpu_stack(const struct cpu *cpu, uintptr_t offset)
{
	return (uintptr_t)cpu + offset;
}

/* Makes the block that this CPU runs on into its struct cpu, and loads its tables. */
struct cpu *cpu_init(unsigned int number);

/* Loads the control, segment and table registers anew: after an aborted test point, say. */
void cpu_restore(void);

/*
 * At the end of a point: stops what still runs on other CPUs, which is an error of the point unless
 * it was aborted.
 */
void smp_settle(bool aborted);

/* At the end of a point: takes the test's interrupt handlers away. */
void irq_handlers_reset(void);

/* Starts the APIC of this CPU and installs its internal handlers; apic.h's functions call it. */
void apic_init(void);

#ifndef __x86_64__
/* Clears what TCG sets in PDPTEs: see cpu.c. */
void pdptes_clean(uint64_t pdptes[4]);

/* Back in the main task, after its #DF was caught. */
void double_fault_done(void);
#endif

/* Begins and ends the time in which "catch" is the innermost one of this CPU. */
void fault_catch(struct fault_catch *catch);
void fault_release(struct fault_catch *catch);

/* Goes on at "jump" when the handler of the exception returns. */
void frame_unwind(struct x86_frame *frame, const struct jump *jump);

/*
 * Loads the registers of a context at CPL 3, which goes on. The frame lies on this stack, below which
 * nothing is kept.
 */
__attribute__((noreturn)) void frame_enter(const struct x86_frame *frame);

/* Where all exceptions and interrupts arrive: exception_entry.S. */
void exception_dispatch(struct x86_frame *frame);

/* Reports an exception that nobody expects, ends the point, or else the guest. */
void exception_unexpected(struct x86_frame *frame);

#endif
