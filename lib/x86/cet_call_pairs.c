// SPDX-License-Identifier: BSD-2-Clause
#include <x86/cet_call_pairs.h>

#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <x86/cpu.h>
#include <x86/cpuid.h>

/* Intel SDM volume 4, table 2-2. */
#define MSR_IA32_SYSENTER_CS  0x174
#define MSR_IA32_SYSENTER_ESP 0x175
#define MSR_IA32_SYSENTER_EIP 0x176

/* The stack of the entry. */
static uint8_t kernel_stack[8192] __attribute__((aligned(16)));

#ifdef __x86_64__
static void enable_syscall(const char *entry)
{
	wrmsr(MSR_STAR, (uint64_t)KERNEL_CS << 32 | (uint64_t)USER_CS32 << 48);
	wrmsr(MSR_LSTAR, (uintptr_t)entry);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
}

static void disable_syscall(void)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)EFER_SCE);
	wrmsr(MSR_LSTAR, 0);
	wrmsr(MSR_STAR, 0);
}

const struct call_pair syscall_pair = {
	.call = do_syscall,
	.entry = syscall_entry,
	.entry_bare = syscall_entry_bare,
	.leave = leave_sysret,
	.leave_compat = leave_sysret_compat,
	.enable = enable_syscall,
	.disable = disable_syscall,
};
#endif

/* SYSEXIT finds its segments behind those of SYSENTER: the runtime's, in another order, in the free entries. */
static void enable_sysenter(const char *entry)
{
	static const uint16_t order[] = {
		KERNEL_CS, KERNEL_DS, USER_CS32, USER_DS, USER_CS, USER_DS
	};
	const uint64_t *gdt = this_cpu()->gdt;

	for (unsigned int i = 0; i < COUNT_OF(order); i++)
		gdt_write(FREE_SELECTOR + 8 * i, gdt[order[i] / 8]);
	wrmsr(MSR_IA32_SYSENTER_CS, FREE_SELECTOR);
	wrmsr(MSR_IA32_SYSENTER_ESP, (uintptr_t)kernel_stack + sizeof(kernel_stack));
	wrmsr(MSR_IA32_SYSENTER_EIP, (uintptr_t)entry);
}

static void disable_sysenter(void)
{
	wrmsr(MSR_IA32_SYSENTER_CS, 0);
	wrmsr(MSR_IA32_SYSENTER_ESP, 0);
	wrmsr(MSR_IA32_SYSENTER_EIP, 0);
}

const struct call_pair sysenter_pair = {
	.call = do_sysenter,
	.entry = sysenter_entry,
	.entry_bare = sysenter_entry_bare,
	.leave = leave_sysexit,
#ifdef __x86_64__
	.leave_compat = leave_sysexit_compat,
#endif
	.enable = enable_sysenter,
	.disable = disable_sysenter,
};

void pair_set_up(const struct call_pair *pair)
{
#ifdef __x86_64__
	if (pair == &sysenter_pair && cpu_is_amd())
		SKIP("AMD's CPUs have no SYSENTER in long mode");
#endif
	gates_set_up();
	memset(&system_call, 0, sizeof(system_call));
	system_call.sp = (uintptr_t)kernel_stack + sizeof(kernel_stack);
	system_call.leave = pair->leave;
}

struct user_result run_call(const struct call_pair *pair, const char *entry, uint64_t s_cet,
			    const struct shadow_stack *user, enum user_faults faults)
{
	struct user_result result;

	gates_arm();
	if (entry)
		pair->enable(entry);
	result = transfer_call(pair->call, s_cet, user, faults);
	pair->disable();
	return result;
}

void make_call(const struct call_pair *pair, void (*hook)(void))
{
	system_call.setssbsy = true;
	system_call.hook = hook;
	EXPECT_RETURN(run_call(pair, pair->entry, CET_SH_STK_EN, &gate_user, FAULTS_OF_USER));
}
