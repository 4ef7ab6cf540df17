// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks and the system call instructions: SYSRET and SYSEXIT
 *
 * With U_CET.SH_STK_EN they load SSP from IA32_PL3_SSP as it is: neither compared with anything nor, on the way to
 * compatibility mode, with 4 GiB. The way in is in syscall.c.
 *
 * Expectations: Intel SDM volume 2, "SYSRET" and "SYSEXIT", Operation; AMD APM volume 2, "Shadow Stack Operation for
 * SYSCALL and SYSRET".
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet_call_pairs.h>
#include <x86/cpuid.h>

#define WORD   sizeof(uintptr_t)

#define MARKER (SHADOW_VA + 0x1230)

static void restores_ssp(const struct call_pair *pair)
{
	pair_set_up(pair);
	make_call(pair, NULL);
	EXPECT_EQ(system_call.ssp_after, gate_user.end - WORD);
}
TEST_SYSCALL("SYSRET gives the caller its SSP back", restores_ssp)
TEST_SYSENTER("SYSEXIT gives the caller its SSP back", restores_ssp)

static uintptr_t moved_by;

/* With a copy of the address that the user function returns to. */
static void move_pl3_ssp(void)
{
	uintptr_t ssp = rdmsr(MSR_IA32_PL3_SSP);
	volatile uintptr_t *word = (volatile uintptr_t *)shadow_word(&gate_user, ssp);
	volatile uintptr_t *copy = (volatile uintptr_t *)shadow_word(&gate_user, ssp - moved_by);

	*copy = *word;
	wrmsr(MSR_IA32_PL3_SSP, ssp - moved_by);
}

static void takes_pl3_ssp(const struct call_pair *pair)
{
	static const uintptr_t distances[] = { 2 * WORD, 4, 12, 0x100 };

	for (unsigned int i = 0; i < COUNT_OF(distances); i++) {
		pair_set_up(pair);
		moved_by = distances[i];
		make_call(pair, move_pl3_ssp);
		EXPECT_EQ(system_call.ssp_after, gate_user.end - WORD - moved_by, "case %u", i);
	}
}
TEST_SYSCALL("SYSRET takes whatever SSP PL3_SSP holds, at any multiple of 4", takes_pl3_ssp)
TEST_SYSENTER("SYSEXIT takes whatever SSP PL3_SSP holds, at any multiple of 4", takes_pl3_ssp)

/* --- to compatibility mode ------------------------------------------------------------------------ */

#ifdef __x86_64__
static uint64_t compat_pl3_ssp;

static void return_to_compat(void)
{
	system_call.ip = (uintptr_t)compat_user_ssp;
	wrmsr(MSR_IA32_PL3_SSP, compat_pl3_ssp);
}

static struct user_result return_with(const struct call_pair *pair, const struct shadow_stack *user,
				      uint64_t pl3_ssp)
{
	system_call.setssbsy = true;
	system_call.hook = return_to_compat;
	system_call.leave = pair->leave_compat;
	compat_pl3_ssp = pl3_ssp;
	return run_call(pair, pair->entry, CET_SH_STK_EN, user, FAULTS_OF_USER);
}

static void returns_to_compat(const struct call_pair *pair)
{
	struct shadow_stack low = shadow_stack_new(SHADOW_VA_LOW, SHADOW_USER);
	struct user_result result;

	pair_set_up(pair);
	result = return_with(pair, &gate_user, low.end - 64);
	EXPECT_RETURN(result);
	EXPECT_EQ(result.value, low.end - 64);
}
TEST_SYSCALL("SYSRET to compatibility mode takes SSP from PL3_SSP", returns_to_compat)
TEST_SYSENTER("SYSEXIT to compatibility mode takes SSP from PL3_SSP", returns_to_compat)

static void returns_to_compat_without(const struct call_pair *pair)
{
	struct user_result result;

	pair_set_up(pair);
	result = return_with(pair, NULL, MARKER);
	EXPECT_RETURN(result);
	EXPECT_EQ(result.value, 0);
	EXPECT_EQ(rdmsr(MSR_IA32_PL3_SSP), MARKER);
}
TEST_SYSCALL("SYSRET to compatibility mode without U_CET.SH_STK_EN leaves PL3_SSP alone",
	     returns_to_compat_without)
TEST_SYSENTER("SYSEXIT to compatibility mode without U_CET.SH_STK_EN leaves PL3_SSP alone",
	      returns_to_compat_without)

/* The SDM has no check there, as RET and IRET have; the APM says nothing of it. */
static void checks_nothing_of_compat(const struct call_pair *pair)
{
	struct user_result result;

	pair_set_up(pair);
	if (cpu_is_amd())
		SKIP("AMD's manual does not say what this does");
	result = return_with(pair, &gate_user, gate_user.end - 64);
	EXPECT_RETURN(result);
	EXPECT_EQ(result.value, (uint32_t)(gate_user.end - 64));
}
TEST_SYSCALL("SYSRET to compatibility mode does not compare PL3_SSP with 4 GiB",
	     checks_nothing_of_compat)
TEST_SYSENTER("SYSEXIT to compatibility mode does not compare PL3_SSP with 4 GiB",
	      checks_nothing_of_compat)

TEST("without EFER.SCE, SYSRET raises UD at CPL 0")
{
	struct x86_fault fault;

	pair_set_up(&syscall_pair);
	system_call.hook = syscall_pair.disable;
	fault = run_call(&syscall_pair, syscall_entry, 0, &gate_user, FAULTS_OF_SUPERVISOR).fault;
	EXPECT_FAULT_EQ(fault, UD, 0);
}
#endif
