// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks: what the CPU refuses of an event from CPL 3, and of IRET to CPL 3
 *
 * An event from CPL 3 takes SSP from IA32_PL0_SSP if shadow stacks are on at CPL 0:
 *
 *	it is a multiple of 8						else #GP(0)
 *	a token and a frame below it would lie in 32 aligned bytes	else #GP(0), though none is pushed
 *	it has no bits 63:32, if the handler is not 64-bit code		else #GP(0)
 *	the token there holds its own address, and is not busy		else #GP(0)
 *
 * The #GP comes from CPL 3 as well, and finds the same: that is a #DF. In 64-bit mode one with an IST number
 * has a shadow stack of its own, and is seen as what it is.
 *
 * IRET to CPL 3 checks, before anything is changed:
 *
 *	SSP is a multiple of 8, if shadow stacks are on at CPL 0	else #CP(FAR-RET/IRET)
 *	IA32_PL3_SSP has no bits 63:32, if they are on at CPL 3 and	else #GP(0)
 *	the code there is not 64-bit
 *
 * Both are raised at CPL 0, at the IRET. The token at SSP is freed last of all: one that holds something
 * else than its address, and the busy bit, stays as it is, and is no fault. No way leads to an IA32_PL3_SSP
 * that is not canonical: WRMSR refuses it, and an event saves it canonical.
 *
 * Bochs does not check the 32 bytes (cpu/call_far.cc, shadow_stack_switch), and looks at bits 63:32 of
 * IA32_PL3_SSP when CPL is 3 already (cpu/iret.cc): its #GP comes from CPL 3.
 *
 * Sources: Intel SDM volume 2, "INT n/INTO/INT3/INT1", Operation, "INTER-PRIVILEGE-LEVEL-INTERRUPT", and
 * "IRET/IRETD/IRETQ", Operation, "RETURN-TO-OUTER-PRIVILEGE-LEVEL"; volume 3, "Interrupt 8".
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet_events.h>
#include <x86/cpuid.h>
#include <x86/descriptors.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/paging.h>

#define VECTOR	       0x40

#define KERNEL_VA      (SHADOW_VA_LOW + PAGE_SIZE)
#define KERNEL_VA_HIGH (SHADOW_VA + PAGE_SIZE)
#define USER_VA	       (SHADOW_VA_LOW + 3 * PAGE_SIZE)
#define IST_VA	       (SHADOW_VA + 5 * PAGE_SIZE)
#define UNMAPPED_VA    (SHADOW_VA + 8 * PAGE_SIZE)

static struct shadow_stack kernel, user;
static uintptr_t token; /* on the kernel's */

static volatile uint64_t pl0_ssp; /* what the handler of the first event writes there */
static volatile uint64_t word; /* and CPL 3 then puts there: its address is that, or the token's */
static volatile uint64_t token_at_cpl3;

static void set_pl0_ssp(struct x86_frame *frame)
{
	(void)frame;
	wrmsr(MSR_IA32_PL0_SSP, pl0_ssp);
}

static void begin(void)
{
	cet_enable();
	kernel = shadow_stack_new(KERNEL_VA, SHADOW_SUPERVISOR);
	user = shadow_stack_new(USER_VA, SHADOW_USER);
	token = shadow_stack_token(&kernel);
	map_page(UNMAPPED_VA, 0, LEVEL_4K, 0);
	irq_handler(VECTOR, set_pl0_ssp);
}

/*
 * --- events from CPL 3 -----------------------------------------------------------------------------------
 */

/* The address of the word that is written, in ordinary memory, is the argument. */
static uintptr_t raise_twice(uintptr_t argument)
{
	int_n(VECTOR);
	*(volatile uint64_t *)argument = word;
	int_n(VECTOR);
	return argument;
}

/* INT n at CPL 3 with this in IA32_PL0_SSP, and this at "at" on the kernel's shadow stack. */
static struct user_result event(uint64_t ssp, uintptr_t at, uint64_t value)
{
	struct user_entry entry =
		user_entry_of(raise_twice, (uintptr_t)shadow_word(&kernel, at), 0);
	struct user_result result;

	pl0_ssp = ssp;
	word = value;
	wrmsr(MSR_IA32_PL0_SSP, shadow_stack_token(&kernel));
	entry.s_cet = CET_SH_STK_EN;
	idt_set_dpl(VECTOR, 3);
	result = user_call_shadowed(&entry, &user);
	idt_set_dpl(VECTOR, 0);
	return result;
}

TEST("an event from CPL 3 with a good token arrives")
{
	begin();
	EXPECT_TRUE(event(token, token, token).returned);
	EXPECT_TRUE(event(token - 32, token - 32, token - 32).returned);
}

#ifdef __x86_64__
/* The same where #GP and #PF have a shadow stack of their own; the token there. */
static struct shadow_stack ist_stack;
static uintptr_t ist_token;

static struct x86_fault event_seen(uint64_t ssp, uintptr_t at, uint64_t value)
{
	struct x86_fault fault;

	ist_stack = shadow_stack_new(IST_VA, SHADOW_SUPERVISOR);
	ist_token = shadow_stack_token(&ist_stack);
	ssp_table_new()[IST_FREE] = ist_token;
	idt_set_ist(GP, IST_FREE);
	idt_set_ist(PF, IST_FREE);
	fault = event(ssp, at, value).fault;
	idt_set_ist(GP, IST_NONE);
	idt_set_ist(PF, IST_NONE);
	return fault;
}
#endif

/* Such an event: #GP(0) at INT n, and nothing written where the token should have been; or else #DF. */
static void expect_refused(uint64_t ssp, uintptr_t at, uint64_t value, const char *name)
{
#ifdef __x86_64__
	struct x86_fault fault = event_seen(ssp, at, value);

	EXPECT_FAULT_EQ(fault, GP, 0, "%s", name);
	if (fault.vector == GP)
		EXPECT_EQ(*(const uint8_t *)fault.ip, 0xcd, "INT n (%s)", name);
	EXPECT_EQ(*shadow_word(&kernel, at), value, "%s", name);
#endif
	EXPECT_FAULT_EQ(event(ssp, at, value).fault, DF, 0, "%s", name);
	EXPECT_EQ(*shadow_word(&kernel, at), value, "%s", name);
}

TEST("an event from CPL 3 whose token is busy is refused")
{
	skip_without_task_switch();
	begin();
	expect_refused(token, token, token | SHADOW_TOKEN_BUSY, "busy");
}

TEST("an event from CPL 3 with the token of another address is refused")
{
	skip_without_task_switch();
	begin();
	const uint64_t wrong[] = { 0, token - 8, token ^ 2, token ^ 1ull << 32,
				   token ^ 1ull << 63 };

	for (unsigned int i = 0; i < COUNT_OF(wrong); i++)
		expect_refused(token, token, wrong[i], "another address");
}

/* WRMSR takes multiples of 4. */
TEST("an event from CPL 3 with IA32_PL0_SSP at 4 mod 8 is refused")
{
	skip_without_task_switch();
	begin();
	expect_refused(token - 4, token, token, "4 mod 8");
}

TEST("an event from CPL 3 with a token whose frame would leave its 32 bytes is refused")
{
	skip_without_task_switch();
	if (cpu_is_amd())
		SKIP("only Intel's CPUs want a token and its frame in 32 aligned bytes");
	begin();
	for (unsigned int offset = 8; offset < 32; offset += 8)
		expect_refused(token - offset, token - offset, token - offset, "not 24 mod 32");
}

#ifndef __x86_64__
TEST("an event from CPL 3 with IA32_PL0_SSP above 4 GiB is refused in 32-bit mode")
{
	skip_without_task_switch();
	begin();
	expect_refused(token | 1ull << 32, token, token, "above 4 GiB");
}
#endif

TEST("an event from CPL 3 that finds no shadow stack page is a DF")
{
	skip_without_task_switch();
	begin();
	EXPECT_FAULT_EQ(event(UNMAPPED_VA, token, token).fault, DF, 0);
}

#ifdef __x86_64__
TEST("that GP comes from CPL 3: it pushes nothing on its own shadow stack")
{
	begin();
	EXPECT_FAULT_EQ(event_seen(token, token, token | SHADOW_TOKEN_BUSY), GP, 0);
	EXPECT_EQ(*shadow_word(&ist_stack, ist_token - 8), 0);
	EXPECT_EQ(*shadow_word(&ist_stack, ist_token - 16), 0);
}

TEST("that PF, on a shadow stack of its own, tells of a supervisor's access to a shadow stack")
{
	struct x86_fault fault;

	begin();
	fault = event_seen(UNMAPPED_VA, token, token);
	EXPECT_FAULT_EQ(fault, PF, PF_SHADOW_STACK | (fault.error_code & PF_WRITE));
	EXPECT_EQ(fault.cr2, UNMAPPED_VA);
	EXPECT_EQ(*(const uint8_t *)fault.ip, 0xcd, "INT n");
}
#endif

/*
 * --- IRET to CPL 3 ------------------------------------------------------------------------------------
 */

static uintptr_t token_now(uintptr_t argument)
{
	token_at_cpl3 = *(volatile uint64_t *)argument;
	return argument;
}

/* IRET to token_now(), which tells of this word of the kernel's shadow stack. */
static struct user_entry entry_to_token_now(uintptr_t at)
{
	struct user_entry entry = user_entry_of(token_now, (uintptr_t)shadow_word(&kernel, at), 0);

	entry.s_cet = CET_SH_STK_EN;
	wrmsr(MSR_IA32_PL0_SSP, token);
	return entry;
}

static void break_token(struct x86_frame *frame)
{
	(void)frame;
	*shadow_word(&kernel, token) = word;
}

static uintptr_t raise_and_look(uintptr_t argument)
{
	int_n(VECTOR);
	return token_now(argument);
}

TEST("IRET to CPL 3 leaves a token alone that is none any more")
{
	skip_without_task_switch();
	begin();
	const uint64_t wrong[] = { 0, 0x1234, token, (token - 8) | SHADOW_TOKEN_BUSY };

	irq_handler(VECTOR, break_token);
	for (unsigned int i = 0; i < COUNT_OF(wrong); i++) {
		struct user_entry entry = entry_to_token_now(token);
		struct user_result result;

		*shadow_word(&kernel, token) = token;
		word = wrong[i];
		entry.ip = (uintptr_t)raise_and_look;
		idt_set_dpl(VECTOR, 3);
		/* The way back from the function finds no good token: it ends by #DF. */
		result = user_call_shadowed(&entry, &user);
		idt_set_dpl(VECTOR, 0);
		EXPECT_EQ(result.returned, wrong[i] == token, "case %u", i);
		EXPECT_EQ(token_at_cpl3, wrong[i], "case %u", i);
	}
}

TEST("IRET to CPL 3 frees the token at SSP, and no other")
{
	skip_without_task_switch();
	begin();
	token -= 32;
	for (unsigned int pop = 0; pop <= 2; pop += 2) {
		struct user_entry entry = entry_to_token_now(token);

		*shadow_word(&kernel, token) = token;
		entry.pop = pop;
		user_call_shadowed(&entry, &user);
		EXPECT_EQ(token_at_cpl3, token | (pop ? SHADOW_TOKEN_BUSY : 0), "pop %u", pop);
	}
}

/* Where events that come from CPL 3 all the same may push. */
static struct x86_fault fault_of_entry(const struct user_entry *entry)
{
	uintptr_t stack = (uintptr_t)page_alloc() + PAGE_SIZE;
	struct x86_tss saved = *cpu_tss();
	struct x86_fault fault;

#ifdef __x86_64__
	cpu_tss()->sp[0] = stack;
#else
	cpu_tss()->stack[0].sp = stack;
#endif
	fault = FAULT_OF(user_enter_shadowed(entry));
	*cpu_tss() = saved;
	load_ds(KERNEL_DS);
	load_es(KERNEL_DS);
	return fault;
}

TEST("IRET to CPL 3 with SSP at 4 mod 8 raises CP at CPL 0")
{
	struct user_entry entry;
	struct x86_fault fault;

	begin();
	entry = entry_to_token_now(token);
	entry.pop = 1;
	fault = fault_of_entry(&entry);
	EXPECT_FAULT_EQ(fault, CP, CP_FAR_RET_IRET);
	EXPECT_EQ(fault.ip, (uintptr_t)user_enter_iret);
	EXPECT_EQ(shadow_frame_at(fault.ssp).cs, KERNEL_CS);
	EXPECT_EQ(shadow_frame_at(fault.ssp).ssp, token + 4);
}

/* To 32-bit code, with a user's SSP above 4 GiB. */
static struct user_entry entry_above_4g(void)
{
	struct user_entry entry = entry_to_token_now(token);

	wrmsr(MSR_IA32_PL3_SSP, (user.end - 4) | 1ull << 32);
#ifdef __x86_64__
	entry.ip = (uintptr_t)compat_user_ssp;
	entry.cs = USER_CS32;
#endif
	return entry;
}

TEST("IRET to 32-bit code with IA32_PL3_SSP above 4 GiB raises GP at CPL 0")
{
	struct user_entry entry;
	struct x86_fault fault;

	/* A CPU that raises it at CPL 3 finds no place for its frame, and ends up in #DF. */
	skip_without_task_switch();
	begin();
	wrmsr(MSR_IA32_U_CET, CET_SH_STK_EN);
	entry = entry_above_4g();
	fault = fault_of_entry(&entry);
	if (!EXPECT_FAULT_EQ(fault, GP, 0))
		return;
	EXPECT_EQ(fault.ip, (uintptr_t)user_enter_iret);
	EXPECT_EQ(shadow_frame_at(fault.ssp).cs, KERNEL_CS);
	EXPECT_EQ(shadow_frame_at(fault.ssp).ssp, token);
	EXPECT_EQ(*shadow_word(&kernel, token), token | SHADOW_TOKEN_BUSY);
}

TEST("IRET to 32-bit code without IA32_U_CET.SH_STK_EN does not look at IA32_PL3_SSP")
{
	struct user_entry entry;

	begin();
	entry = entry_above_4g();
	EXPECT_TRUE(user_call_shadowed(&entry, NULL).returned);
}

#ifdef __x86_64__
TEST("IRET to compatibility mode loads an SSP below 4 GiB")
{
	struct user_entry entry;
	struct user_result result;

	begin();
	entry = entry_above_4g();
	result = user_call_shadowed(&entry, &user);
	EXPECT_TRUE(result.returned);
	EXPECT_EQ(result.value, user.end - sizeof(uintptr_t));
}

/* What counts is the user's SSP. */
TEST("IRET to compatibility mode may leave a shadow stack above 4 GiB")
{
	struct user_entry entry;
	struct user_result result;

	begin();
	kernel = shadow_stack_new(KERNEL_VA_HIGH, SHADOW_SUPERVISOR);
	token = shadow_stack_token(&kernel);
	entry = entry_above_4g();
	result = user_call_shadowed(&entry, &user);
	EXPECT_TRUE(result.returned);
	EXPECT_EQ(result.value, user.end - sizeof(uintptr_t));
}
#endif
