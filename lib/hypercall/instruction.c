// SPDX-License-Identifier: BSD-2-Clause
#include <hypercall/instruction.h>
#include <stddef.h>
#include <x86/cpuid.h>

void hypercall_vmcall(void);
void hypercall_vmmcall(void);

struct instruction {
	uint8_t bytes[HYPERCALL_INSTRUCTION_SIZE];
	void (*stub)(void);
};

static const struct instruction intel = { { 0x0f, 0x01, 0xc1 }, hypercall_vmcall };
static const struct instruction amd = { { 0x0f, 0x01, 0xd9 }, hypercall_vmmcall };

static const struct instruction *instruction(void)
{
	/* Kept, as CPUID is an exit. CPUs that race here find the same. */
	static const struct instruction *found;

	if (!found)
		found = cpu_is_amd() ? &amd : &intel;
	return found;
}

const uint8_t *hypercall_instruction(void)
{
	return instruction()->bytes;
}

const void *hypercall_stub(void)
{
	return (const void *)(uintptr_t)instruction()->stub;
}
