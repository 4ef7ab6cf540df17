// SPDX-License-Identifier: BSD-2-Clause
#include <x86/idt.h>

#include <libc/string.h>
#include <x86/cpu.h>
#include <x86/descriptors.h>
#include <x86/vectors.h>

struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t attributes; /* P, DPL, type */
	uint16_t offset_middle;
#ifdef __x86_64__
	uint32_t offset_high;
	uint32_t reserved;
#endif
};

#define GATE_PRESENT   0x80
#define GATE_DPL_SHIFT 5
#define GATE_DPL_MASK  (3 << GATE_DPL_SHIFT)
#define GATE_TASK      0x05
#define GATE_INTERRUPT 0x0e

static struct gate idt[VECTOR_COUNT] __attribute__((aligned(16)));

static void set_gate(unsigned int vector)
{
	uintptr_t stub = (uintptr_t)exception_stubs + vector * STUB_SIZE;

	idt[vector] = (struct gate){
		.offset_low = stub,
		.selector = KERNEL_CS,
		.attributes = GATE_PRESENT | GATE_INTERRUPT,
		.offset_middle = stub >> 16,
	};
}

void idt_init(void)
{
	for (unsigned int vector = 0; vector < VECTOR_COUNT; vector++)
		set_gate(vector);

	/* INT3, INTO and the way back may be used at CPL 3. */
	idt_set_dpl(BP, 3);
	idt_set_dpl(OF, 3);
	idt_set_dpl(VECTOR_USER_RETURN, 3);

#ifdef __x86_64__
	idt_set_ist(NMI, IST_NMI);
	idt_set_ist(DF, IST_DF);
	idt_set_ist(MC, IST_MC);
	idt_set_ist(VC, IST_VC);
#else
	/* A stack pointer gone wrong must not keep #DF from being reported. */
	idt[DF] = (struct gate){ .selector = DF_SELECTOR, .attributes = GATE_PRESENT | GATE_TASK };
#endif
}

static void load(const void *table)
{
	struct descriptor_pointer pointer = { .limit = sizeof(idt) - 1, .base = (uintptr_t)table };

	asm volatile("lidt %0" ::"m"(pointer) : "memory");
}

void idt_load(void)
{
	load(idt);
}

void idt_use_copy(void *page)
{
	if (page)
		memcpy(page, idt, sizeof(idt));
	load(page ? page : idt);
}

#ifdef __x86_64__
void idt_set_ist(unsigned int vector, unsigned int ist)
{
	idt[vector].ist = ist;
	asm volatile("" ::: "memory");
}
#endif

void idt_set_dpl(unsigned int vector, unsigned int dpl)
{
	idt[vector].attributes &= ~GATE_DPL_MASK;
	idt[vector].attributes |= dpl << GATE_DPL_SHIFT;
	asm volatile("" ::: "memory"); /* for the CPU to read */
}

void idt_set_present(unsigned int vector, bool present)
{
	idt[vector].attributes &= ~GATE_PRESENT;
	idt[vector].attributes |= present ? GATE_PRESENT : 0;
	asm volatile("" ::: "memory");
}
