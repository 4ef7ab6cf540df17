// SPDX-License-Identifier: BSD-2-Clause
#include <x86/cet_branches.h>

#include <libc/string.h>
#include <x86/descriptors.h>
#include <x86/memory.h>

/* MOV $TARGET_REACHED, %EAX; RET */
static const uint8_t bytes_reached[] = { 0xb8, 0x0d, 0x60, 0x0d, 0x60, 0xc3 };

uintptr_t target_write(uintptr_t address, struct target_bytes first)
{
	memcpy((void *)address, first.bytes, first.length);
	memcpy((void *)(address + first.length), bytes_reached, sizeof(bytes_reached));
	return address;
}

uintptr_t target_new(struct target_bytes first)
{
	return target_write((uintptr_t)page_alloc(), first);
}

void ibt_enable(void)
{
	if (!has_ibt())
		SKIP("this CPU has no indirect branch tracking");
	cet_enable();
}

static struct branch_result run_supervisor(uint64_t cet, user_function *branch, uintptr_t argument)
{
	struct branch_result result = { 0 };

	wrmsr(MSR_IA32_S_CET, cet);
	result.fault =
		FAULT_OF(result.value = branch(argument); result.cet = rdmsr(MSR_IA32_S_CET));
	wrmsr(MSR_IA32_S_CET, 0);
	return result;
}

static struct branch_result run_user(user_function *branch, uintptr_t argument)
{
	struct user_result user = user_call(branch, argument);

	return (struct branch_result){
		.value = user.value,
		.fault = user.fault,
		.cet = rdmsr(MSR_IA32_U_CET),
	};
}

struct branch_result branch_run(enum cpl cpl, uint64_t cet, user_function *branch,
				uintptr_t argument)
{
	struct branch_result result;

	if (cpl == CPL0)
		return run_supervisor(cet, branch, argument);
	wrmsr(MSR_IA32_U_CET, cet);
	result = run_user(branch, argument);
	wrmsr(MSR_IA32_U_CET, 0);
	return result;
}

struct branch_result branch_resume(uintptr_t ip)
{
	return run_user((user_function *)ip, 0);
}

uintptr_t gate_set(unsigned int vector, uintptr_t entry)
{
	struct descriptor_pointer idt;
	volatile uint16_t *gate;
	uintptr_t before;

	/* The words of a gate: SDM volume 3, "IDT Descriptors" and "64-Bit Mode IDT". */
	asm volatile("sidt %0" : "=m"(idt));
	gate = (volatile uint16_t *)(idt.base + vector * 2 * sizeof(uintptr_t));
	before = gate[0] | (uint32_t)gate[3] << 16;
	gate[0] = entry;
	gate[3] = entry >> 16;
	return before;
}
