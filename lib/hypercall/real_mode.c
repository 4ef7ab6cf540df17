// SPDX-License-Identifier: BSD-2-Clause
#include <hypercall/real_mode.h>

#include <hypercall/instruction.h>
#include <libc/string.h>
#include <stddef.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/boot.h>
#include <x86/memory.h>
#include <x86/smp.h>
#include <x86/time.h>

#define SECOND_SIPI_MS 100
#define WAIT_MS	       5000
#define VECTORS	       32
#define VECTOR_UD      6

/* Behind struct real_mode_call. */
#define IDT 0x800

_Static_assert(offsetof(struct real_mode_call, eax) == REAL_MODE_EAX, "as in assembly");
_Static_assert(offsetof(struct real_mode_call, result) == REAL_MODE_RESULT, "as in assembly");
_Static_assert(offsetof(struct real_mode_call, end) == REAL_MODE_END, "as in assembly");
_Static_assert(offsetof(struct real_mode_call, ip) == REAL_MODE_IP, "as in assembly");

extern const uint8_t real_mode_code[], real_mode_instruction[], real_mode_ud[], real_mode_fault[];
extern const uint8_t real_mode_idt[], real_mode_code_end[];

struct far_pointer {
	uint16_t offset, segment;
};

/* Where this is in the page. */
static size_t at(const uint8_t *label)
{
	return (uintptr_t)label - (uintptr_t)real_mode_code;
}

static void fill(uint8_t *page, uint32_t eax)
{
	struct real_mode_call call = { .eax = eax };
	uint32_t address = (uintptr_t)page, base = address + IDT;
	uint16_t limit = VECTORS * sizeof(struct far_pointer) - 1;

	memset(page, 0, PAGE_SIZE);
	memcpy(page, real_mode_code, at(real_mode_code_end));
	memcpy(page + at(real_mode_instruction), hypercall_instruction(),
	       HYPERCALL_INSTRUCTION_SIZE);
	memcpy(page + at(real_mode_idt), &limit, sizeof(limit));
	memcpy(page + at(real_mode_idt) + sizeof(limit), &base, sizeof(base));
	memcpy(page + REAL_MODE_CALL, &call, sizeof(call));
	for (unsigned int vector = 0; vector < VECTORS; vector++) {
		const uint8_t *to = vector == VECTOR_UD ? real_mode_ud : real_mode_fault;
		struct far_pointer entry = { at(to), address >> 4 };

		memcpy(page + IDT + vector * sizeof(entry), &entry, sizeof(entry));
	}
}

static void send_sipi(unsigned int id)
{
	apic_icr_write(ICR_STARTUP | ICR_ASSERT | AP_TRAMPOLINE >> PAGE_SHIFT, id);
}

struct real_mode_call call_in_real_mode(unsigned int cpu, uint32_t eax)
{
	static uint8_t trampoline[PAGE_SIZE];
	uint8_t *page = (uint8_t *)AP_TRAMPOLINE;
	struct real_mode_call call;
	unsigned int id = cpu_apic_id(cpu);
	volatile struct real_mode_call *its = (void *)(page + REAL_MODE_CALL);

	memcpy(trampoline, page, PAGE_SIZE);
	fill(page, eax);
	apic_icr_write(ICR_INIT | ICR_ASSERT | ICR_LEVEL, id);
	send_sipi(id);
	if (!WAIT_FOR(its->end, SECOND_SIPI_MS)) {
		send_sipi(id);
		EXPECT_TRUE(WAIT_FOR(its->end, WAIT_MS), "the call in real mode comes to an end");
	}
	call = *its;
	memcpy(page, trampoline, PAGE_SIZE);
	cpu_restart(cpu);
	return call;
}
