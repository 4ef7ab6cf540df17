// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET: A and D of the page of a token, and of an event's frame
 *
 * What accesses a shadow stack sets A in every entry on its way, as any access does. D it cannot set: a page
 * without it is no shadow stack, and in an entry above the leaf D means nothing. page_ordinary.c has that for
 * calls, returns, WRSS, WRUSS, INCSSP and RSTORSSP; here is what it has not:
 *
 *	SETSSBSY, CLRSSBSY	load the token and store it, locked
 *	SAVEPREVSSP		stores a restore token on the shadow stack that was left
 *	an event, and IRET	store and load a frame (among the calls of the handler)
 *
 * Sources: Intel SDM volume 3, "Accessed and Dirty Flags"; volume 2, the instructions.
 */
#include <test/test.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/shadow_access.h>
#include <x86/shadow_stack.h>

#define VECTOR 0x40

/* With entries of its own at each level that has A. */
#ifdef __x86_64__
#define STACK_VA	   (VA_FREE + (12ul << 40))
#define RESTORE_TOKEN_MODE SHADOW_TOKEN_64
#else
#define STACK_VA	   (VA_FREE + 0x20000000)
#define RESTORE_TOKEN_MODE 0
#endif

static struct shadow_stack stack;
static uintptr_t token;

static void begin(void)
{
	cet_enable();
	stack = shadow_stack_new(STACK_VA, SHADOW_SUPERVISOR);
	token = shadow_stack_token(&stack);
}

__attribute__((noinline)) static void clear_accessed(void)
{
	for (unsigned int level = LEVEL_4K; level <= LEVEL_LAST; level++)
		pte_write(STACK_VA, level, *pte_at(STACK_VA, level) & ~PTE_A);
}

static void expect_accessed(void)
{
	for (unsigned int level = LEVEL_4K; level <= LEVEL_LAST; level++)
		EXPECT_EQ(*pte_at(STACK_VA, level) & (PTE_A | PTE_D),
			  level == LEVEL_4K ? PTE_A | PTE_D : PTE_A, "entry of level %u", level);
}

static void expect_unaccessed(void)
{
	for (unsigned int level = LEVEL_4K; level <= LEVEL_LAST; level++)
		EXPECT_EQ(*pte_at(STACK_VA, level) & (PTE_A | PTE_D), level == LEVEL_4K ? PTE_D : 0,
			  "entry of level %u", level);
}

/* No call may come between the two writes of IA32_S_CET: it would use the stack. */
TEST("SETSSBSY sets A in every entry on its way, and D in none")
{
	begin();
	wrmsr(MSR_IA32_PL0_SSP, token);
	clear_accessed();
	expect_unaccessed();
	wrmsr(MSR_IA32_S_CET, CET_SH_STK_EN);
	setssbsy();
	wrmsr(MSR_IA32_S_CET, 0);
	expect_accessed();
	EXPECT_EQ(*shadow_word(&stack, token), token | SHADOW_TOKEN_BUSY);
}

TEST("CLRSSBSY sets A in every entry on its way, and D in none")
{
	begin();
	*shadow_word(&stack, token) = token | SHADOW_TOKEN_BUSY;
	clear_accessed();
	expect_unaccessed();
	wrmsr(MSR_IA32_S_CET, CET_SH_STK_EN);
	clrssbsy(token);
	wrmsr(MSR_IA32_S_CET, 0);
	expect_accessed();
	EXPECT_EQ(*shadow_word(&stack, token), token);
}

TEST("SAVEPREVSSP sets A in every entry on its way, and D in none")
{
	struct shadow_stack next = shadow_stack_new(SHADOW_VA, SHADOW_SUPERVISOR);
	uintptr_t restore = next.end - sizeof(uint64_t);
	uintptr_t left = 0;

	begin();
	*shadow_word(&next, restore) = next.end | RESTORE_TOKEN_MODE;
	/* Off again before any RET: what was called on the first stack does not return on the next. */
	ON_SHADOW_STACK(&stack, 0, left = rdssp(); rstorssp(restore); clear_accessed();
			saveprevssp(); wrmsr(MSR_IA32_S_CET, 0));
	expect_accessed();
	EXPECT_EQ(*shadow_word(&stack, (left & ~7ul) - sizeof(uint64_t)),
		  left | RESTORE_TOKEN_MODE);
}

static unsigned int events;

static void count_event(struct x86_frame *frame)
{
	(void)frame;
	events++;
}

TEST("an event and its IRET set A in every entry on the way to their frame, and D in none")
{
	begin();
	events = 0;
	irq_handler(VECTOR, count_event);
	ON_SHADOW_STACK(&stack, 0, clear_accessed(); int_n(VECTOR));
	EXPECT_EQ(events, 1);
	expect_accessed();
}
