/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segments, gates and the task state: what GDT, IDT and TSS of each CPU hold
 *
 * Intel SDM volume 3, "Protected-Mode Memory Management", "Interrupt and Exception Handling" and
 * "Task Management"; AMD APM volume 2, chapters 4, 8 and 12.
 */
#ifndef X86_DESCRIPTORS_H
#define X86_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>

/* The order suits SYSCALL and SYSRET: STAR = KERNEL_CS << 32 | USER_CS32 << 48. */
#define KERNEL_CS     0x08
#define KERNEL_DS     0x10
#define KERNEL_CS32   0x18
#define USER_CS32     0x23
#define USER_DS	      0x2b
#define USER_CS	      0x33
#define TSS_SELECTOR  0x38 /* two entries in 64-bit mode */
#define DF_SELECTOR   0x48 /* 32-bit: the task that handles #DF */
#define FREE_SELECTOR 0x50 /* from here on the entries are for tests */
#define GDT_ENTRIES   16

/* The stacks of the IST (64-bit), by their number in a gate; 0 is the stack in use. */
enum { IST_NONE = 0, IST_NMI = 1, IST_DF = 2, IST_MC = 3, IST_FREE = 4, IST_VC = 5 };

struct __attribute__((packed)) x86_tss {
#ifdef __x86_64__
	uint32_t reserved0;
	uint64_t sp[3];
	uint64_t reserved1;
	uint64_t ist[7]; /* ist[0] is IST 1 */
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t io_map; /* offset of the I/O permission map; past the limit: none */
#else
	uint32_t link;
	struct {
		uint32_t sp, ss;
	} stack[3];
	uint32_t cr3, ip, flags, ax, cx, dx, bx, sp, bp, si, di;
	uint32_t es, cs, ss, ds, fs, gs, ldt;
	uint16_t trap;
	uint16_t io_map;
	uint32_t ssp; /* only read with shadow stacks on */
#endif
};

struct __attribute__((packed)) descriptor_pointer {
	uint16_t limit;
	uintptr_t base;
};

/* Descriptor bits 47:40, and the flags at 55:52. */
#define SEGMENT_PRESENT	  (1ull << 47)
#define SEGMENT_DPL(dpl)  ((uint64_t)(dpl) << 45)
#define SEGMENT_CODE_DATA (1ull << 44)
#define SEGMENT_CODE	  (SEGMENT_CODE_DATA | 0xaull << 40) /* readable */
#define SEGMENT_DATA	  (SEGMENT_CODE_DATA | 0x2ull << 40) /* writable */
#define SEGMENT_TSS	  (0x9ull << 40)		     /* available, 32- or 64-bit */
#define SEGMENT_TSS_BUSY  (0x2ull << 40)
#define SEGMENT_LDT	  (0x2ull << 40)
#define SEGMENT_32	  (1ull << 54)
#define SEGMENT_64	  (1ull << 53)
#define SEGMENT_4K_LIMIT  (1ull << 55)
#define SEGMENT_FLAT	  (SEGMENT_4K_LIMIT | 0xfull << 48 | 0xffffull)

/* The low 8 bytes of a descriptor with this base and limit (in the units that the flags say). */
uint64_t descriptor(uint32_t base, uint32_t limit, uint64_t bits);

/* Writes an entry of this CPU's GDT; the selector is one from FREE_SELECTOR on. */
void gdt_write(uint16_t selector, uint64_t value);

/* This CPU's TSS; and loads TR with it again, after a test had another one there. */
struct x86_tss *cpu_tss(void);
void load_cpu_tss(void);

/* Gates are common to all CPUs. A gate of the runtime's own is there for every vector. */
void idt_set_ist(unsigned int vector, unsigned int ist); /* 64-bit only */
void idt_set_dpl(unsigned int vector, unsigned int dpl);
void idt_set_present(unsigned int vector, bool present);

/* This CPU's IDT becomes a copy of the common one, in this page; with NULL the common one again. */
void idt_use_copy(void *page);

static inline void load_ds(uint16_t selector)
{
	asm volatile("movl %0, %%ds" ::"r"((uint32_t)selector) : "memory");
}

static inline void load_es(uint16_t selector)
{
	asm volatile("movl %0, %%es" ::"r"((uint32_t)selector) : "memory");
}

static inline void load_ss(uint16_t selector)
{
	asm volatile("movl %0, %%ss" ::"r"((uint32_t)selector) : "memory");
}

static inline void load_tr(uint16_t selector)
{
	asm volatile("ltr %0" ::"r"(selector) : "memory");
}

static inline void load_ldt(uint16_t selector)
{
	asm volatile("lldt %0" ::"r"(selector) : "memory");
}

#endif
