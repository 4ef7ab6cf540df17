/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SYSCALL with SYSRET, and SYSENTER with SYSEXIT, for tests that hold for both
 *
 *	pair_set_up(&syscall_pair);
 *	make_call(&syscall_pair, hook);
 *	EXPECT_EQ(system_call.ssp, 0);
 */
#ifndef X86_CET_CALL_PAIRS_H
#define X86_CET_CALL_PAIRS_H

#include <x86/cet_gates.h>

struct call_pair {
	user_function *call;
	const char *entry, *entry_bare;
	const char *leave, *leave_compat;
	/* Writes the MSRs; and zeros into them. */
	void (*enable)(const char *entry);
	void (*disable)(void);
};

#ifdef __x86_64__
extern const struct call_pair syscall_pair;
#endif
extern const struct call_pair sysenter_pair;

/*
 * The set-up of <x86/cet_gates.h>, and nothing but a stack in system_call. SKIP where the CPU has no such pair, or no
 * shadow stacks.
 */
void pair_set_up(const struct call_pair *pair);

/* transfer_call() of pair->call, with free tokens and the pair enabled meanwhile for that entry; NULL: not. */
struct user_result run_call(const struct call_pair *pair, const char *entry, uint64_t s_cet,
			    const struct shadow_stack *user, enum user_faults faults);

/* A call and its return, on a shadow stack at both levels; the hook runs after SETSSBSY. */
void make_call(const struct call_pair *pair, void (*hook)(void));

/* A TEST point: check() of a pair that there is. */
#define TEST_SYSENTER(statement, check)                 \
	TEST_(statement, TEST_CAT(check, _of_sysenter)) \
	{                                               \
		check(&sysenter_pair);                  \
	}
#ifdef __x86_64__
#define TEST_SYSCALL(statement, check)                 \
	TEST_(statement, TEST_CAT(check, _of_syscall)) \
	{                                              \
		check(&syscall_pair);                  \
	}
#else
#define TEST_SYSCALL(statement, check)
#endif

#endif
