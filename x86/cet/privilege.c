// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks: events from CPL 3, and the way back
 *
 * Shadow stacks may be on at CPL 3 (IA32_U_CET), at CPL 0 (IA32_S_CET), at both or at neither, and each has
 * its part of an event:
 *
 *	IA32_U_CET.SH_STK_EN	SSP is saved in IA32_PL3_SSP, and IRET loads it from there
 *	IA32_S_CET.SH_STK_EN	SSP is that of IA32_PL0_SSP, or of the SSP table for a gate with an IST
 *				number; the token there becomes busy, and IRET frees it
 *
 * Nothing is pushed, since IRET to CPL 3 needs nothing from there: what happens inside the kernel goes
 * below the token. Without its bit, IA32_PL3_SSP is neither written nor read, nor is IA32_PL0_SSP.
 *
 * The user's function tells what it saw of the token itself, at CPL 3: its return is one more event, which
 * makes the token busy again.
 *
 * What the CPU refuses is in privilege_refused.c; SYSCALL and SYSENTER, which take no SSP, are elsewhere.
 *
 * Sources: Intel SDM volume 2, "INT n/INTO/INT3/INT1", Operation, "INTER-PRIVILEGE-LEVEL-INTERRUPT", and
 * "IRET/IRETD/IRETQ", Operation, "RETURN-TO-OUTER-PRIVILEGE-LEVEL"; volume 1, "Shadow Stacks".
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/cet_events.h>
#include <x86/descriptors.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/paging.h>
#include <x86/registers.h>
#include <x86/time.h>

#define VECTOR	    0x40
#define VECTOR_2    0x41
#define WAIT_MS	    5000
#define SPINS	    1000000

#define KERNEL_VA   (SHADOW_VA + PAGE_SIZE)
#define USER_VA	    (SHADOW_VA + 3 * PAGE_SIZE)
#define IST_VA	    (SHADOW_VA + 5 * PAGE_SIZE)
#define UNMAPPED_VA (SHADOW_VA + 8 * PAGE_SIZE)

#define NO_SSP	    0x1234 /* what RDSSP leaves alone */

static struct shadow_stack kernel, user;
static uintptr_t token; /* on the kernel's */

static volatile struct {
	struct x86_frame frame;
	uint64_t token, pl3_ssp;
	bool done;
} seen; /* by the handler */

static volatile struct {
	uintptr_t before, after;
	uint64_t token;
} at_cpl3; /* by the function */

static void record(struct x86_frame *frame)
{
	seen.frame = *frame;
	seen.token = *shadow_word(&kernel, token);
	seen.pl3_ssp = rdmsr(MSR_IA32_PL3_SSP);
	if (frame->vector == VECTOR)
		apic_eoi();
	seen.done = true;
}

static void begin(void)
{
	cet_enable();
	kernel = shadow_stack_new(KERNEL_VA, SHADOW_SUPERVISOR);
	user = shadow_stack_new(USER_VA, SHADOW_USER);
	token = shadow_stack_token(&kernel);
	map_page(UNMAPPED_VA, 0, LEVEL_4K, 0);
	wrmsr(MSR_IA32_PL0_SSP, token);
	irq_handler(VECTOR, record);
	seen.done = false;
}

static struct user_result call_with(uint64_t s_cet, bool u_cet, user_function *function,
				    uintptr_t argument, uintptr_t flags)
{
	struct user_entry entry = user_entry_of(function, argument, flags);
	struct user_result result;

	entry.s_cet = s_cet;
	idt_set_dpl(VECTOR, 3);
	result = user_call_shadowed(&entry, u_cet ? &user : NULL);
	idt_set_dpl(VECTOR, 0);
	return result;
}

/* With both on. */
static struct user_result call(user_function *function, uintptr_t argument)
{
	*shadow_word(&kernel, token) = token;
	return call_with(CET_SH_STK_EN, true, function, argument, 0);
}

static uintptr_t raise(uintptr_t argument)
{
	at_cpl3.before = rdssp_over(NO_SSP);
	int_n(VECTOR);
	at_cpl3.after = rdssp_over(NO_SSP);
	at_cpl3.token = *shadow_word(&kernel, token);
	return argument;
}

static void expect_return(struct user_result result, const char *name)
{
	EXPECT_TRUE(result.returned, "%s", name);
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0, "%s", name);
}

/*
 * --- who takes part ----------------------------------------------------------------------------------
 */

static const char *const user_names[] = { "U_CET off", "U_CET on" };

TEST("an event from CPL 3 begins with SSP at the token of IA32_PL0_SSP, and pushes nothing")
{
	for (unsigned int u_cet = 0; u_cet < 2; u_cet++) {
		begin();
		expect_return(call_with(CET_SH_STK_EN, u_cet, raise, 0, 0), user_names[u_cet]);
		EXPECT_EQ(seen.frame.ssp, token, "%s", user_names[u_cet]);
		EXPECT_EQ(seen.frame.cs, USER_CS, "%s", user_names[u_cet]);
	}
}

TEST("the token is busy while the handler runs, and free at CPL 3")
{
	for (unsigned int u_cet = 0; u_cet < 2; u_cet++) {
		begin();
		expect_return(call_with(CET_SH_STK_EN, u_cet, raise, 0, 0), user_names[u_cet]);
		EXPECT_EQ(seen.token, token | SHADOW_TOKEN_BUSY, "%s", user_names[u_cet]);
		EXPECT_EQ(at_cpl3.token, token, "%s", user_names[u_cet]);
	}
}

/* In 64-bit mode that is an address above 4 GiB. */
TEST("the user's SSP is in IA32_PL3_SSP during the event, and comes back")
{
	for (unsigned int s_cet = 0; s_cet < 2; s_cet++) {
		begin();
		expect_return(call_with(s_cet, true, raise, 0, 0), "U_CET on");
		EXPECT_EQ(at_cpl3.before, user.end - sizeof(uintptr_t), "S_CET %u", s_cet);
		EXPECT_EQ(seen.pl3_ssp, at_cpl3.before, "S_CET %u", s_cet);
		EXPECT_EQ(at_cpl3.after, at_cpl3.before, "S_CET %u", s_cet);
	}
}

TEST("without IA32_U_CET.SH_STK_EN the event leaves IA32_PL3_SSP alone, and there is no SSP")
{
	for (unsigned int s_cet = 0; s_cet < 2; s_cet++) {
		begin();
		wrmsr(MSR_IA32_PL3_SSP, UNMAPPED_VA);
		expect_return(call_with(s_cet, false, raise, 0, 0), "U_CET off");
		EXPECT_EQ(seen.pl3_ssp, UNMAPPED_VA, "S_CET %u", s_cet);
		EXPECT_EQ(rdmsr(MSR_IA32_PL3_SSP), UNMAPPED_VA, "S_CET %u", s_cet);
		EXPECT_EQ(at_cpl3.before, NO_SSP, "S_CET %u", s_cet);
		EXPECT_EQ(at_cpl3.after, NO_SSP, "S_CET %u", s_cet);
	}
}

TEST("without IA32_S_CET.SH_STK_EN the event does not read IA32_PL0_SSP, and the handler has no SSP")
{
	for (unsigned int u_cet = 0; u_cet < 2; u_cet++) {
		begin();
		wrmsr(MSR_IA32_PL0_SSP, UNMAPPED_VA);
		expect_return(call_with(0, u_cet, raise, 0, 0), user_names[u_cet]);
		EXPECT_EQ(seen.frame.ssp, 0, "%s", user_names[u_cet]);
		EXPECT_EQ(seen.token, token, "%s", user_names[u_cet]);
	}
}

static void move_user_ssp(struct x86_frame *frame)
{
	uintptr_t other = user.base + PAGE_SIZE / 2;

	record(frame);
	*shadow_word(&user, other) = *shadow_word(&user, at_cpl3.before);
	wrmsr(MSR_IA32_PL3_SSP, other);
}

TEST("IRET to CPL 3 takes SSP from IA32_PL3_SSP, whatever the handler wrote there")
{
	for (unsigned int s_cet = 0; s_cet < 2; s_cet++) {
		begin();
		irq_handler(VECTOR, move_user_ssp);
		expect_return(call_with(s_cet, true, raise, 0, 0), "moved");
		EXPECT_EQ(at_cpl3.after, user.base + PAGE_SIZE / 2, "S_CET %u", s_cet);
	}
}

/*
 * --- each kind of event --------------------------------------------------------------------------------
 */

static uintptr_t token_now(uintptr_t argument)
{
	at_cpl3.token = *shadow_word(&kernel, token);
	return argument;
}

/* It comes in before the function's first instruction. */
TEST("an interrupt of the APIC at CPL 3 does the same as INT n")
{
	begin();
	apic_ipi(cpu_id(), VECTOR);
	REQUIRE(WAIT_FOR(apic_requested(VECTOR), WAIT_MS));
	expect_return(call_with(CET_SH_STK_EN, true, token_now, 0, FLAGS_IF), "interrupt");
	EXPECT_TRUE(seen.done);
	EXPECT_EQ(seen.frame.ssp, token);
	EXPECT_EQ(seen.token, token | SHADOW_TOKEN_BUSY);
	EXPECT_EQ(seen.pl3_ssp, user.end - sizeof(uintptr_t));
	EXPECT_EQ(at_cpl3.token, token);
}

/* CPL 3 has the APIC's page, too. The destination is written before. */
static uintptr_t send_nmi(uintptr_t argument)
{
	at_cpl3.before = rdssp();
	*(volatile uint32_t *)(APIC_BASE_DEFAULT + APIC_ICR) = ICR_NMI | ICR_ASSERT;
	for (unsigned int i = 0; i < SPINS && !seen.done; i++)
		cpu_relax();
	at_cpl3.after = rdssp();
	at_cpl3.token = *shadow_word(&kernel, token);
	return argument;
}

static void skip_without_xapic(void)
{
	if (apic_is_x2())
		SKIP("CPL 3 can send an NMI by an xAPIC only");
}

static void call_nmi(void)
{
	irq_handler(NMI, record);
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
	expect_return(call(send_nmi, 0), "NMI");
	EXPECT_TRUE(seen.done);
	EXPECT_EQ(seen.frame.vector, NMI);
	EXPECT_TRUE(frame_is_user((const struct x86_frame *)&seen.frame));
	EXPECT_EQ(seen.frame.ssp, token);
	EXPECT_EQ(seen.token, token | SHADOW_TOKEN_BUSY);
	EXPECT_EQ(at_cpl3.token, token);
	EXPECT_EQ(at_cpl3.after, at_cpl3.before);
}

TEST("an NMI at CPL 3 does the same as INT n")
{
	skip_without_xapic();
	begin();
#ifdef __x86_64__
	idt_set_ist(NMI, IST_NONE);
#endif
	call_nmi();
#ifdef __x86_64__
	idt_set_ist(NMI, IST_NMI);
#endif
}

static uintptr_t divide_by_zero(uintptr_t argument)
{
	at_cpl3.before = rdssp();
	return divl(0, argument, 0);
}

static uintptr_t undefined(uintptr_t argument)
{
	at_cpl3.before = rdssp();
	ud2();
	return argument;
}

static uintptr_t breakpoint(uintptr_t argument)
{
	at_cpl3.before = rdssp();
	int3();
	return argument;
}

static uintptr_t halt(uintptr_t argument)
{
	at_cpl3.before = rdssp();
	hlt();
	return argument;
}

static uintptr_t read_memory(uintptr_t argument)
{
	at_cpl3.before = rdssp();
	return *(volatile uint8_t *)argument;
}

static uintptr_t write_shadow_stack(uintptr_t argument)
{
	at_cpl3.before = rdssp();
	*(volatile uint8_t *)argument = 0;
	return 0;
}

static uintptr_t other_return(uintptr_t argument)
{
	at_cpl3.before = rdssp();
	((volatile uintptr_t *)__builtin_frame_address(0))[1] += 1;
	return argument;
}

static const struct {
	const char *name;
	user_function *function;
	uintptr_t argument;
	unsigned int vector;
	uint32_t error_code;
} exceptions[] = {
	{ "DE", divide_by_zero, 1, DE, 0 },
	{ "UD", undefined, 0, UD, 0 },
	{ "BP", breakpoint, 0, BP, 0 },
	{ "GP", halt, 0, GP, 0 },
	{ "PF of a read", read_memory, UNMAPPED_VA, PF, PF_USER },
	{ "PF of an ordinary write to a shadow stack", write_shadow_stack, USER_VA, PF,
	  PF_PRESENT | PF_USER | PF_WRITE },
};

static void expect_exception(struct user_result result, unsigned int vector, uint32_t error_code,
			     const char *name)
{
	EXPECT_FAULT_EQ(result.fault, vector, error_code, "%s", name);
	EXPECT_EQ(result.fault.ssp, token, "%s", name);
	EXPECT_EQ(rdmsr(MSR_IA32_PL3_SSP), at_cpl3.before, "%s", name);
	EXPECT_EQ(*shadow_word(&kernel, token), token | SHADOW_TOKEN_BUSY, "%s", name);
}

TEST("an exception at CPL 3, with an error code or without, does the same as INT n")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(exceptions); i++)
		expect_exception(call(exceptions[i].function, exceptions[i].argument),
				 exceptions[i].vector, exceptions[i].error_code,
				 exceptions[i].name);
}

TEST("CP at CPL 3 arrives with NEAR-RET alone in its error code")
{
	begin();
	expect_exception(call(other_return, 0), CP, CP_NEAR_RET, "CP");
}

TEST("CP at CPL 3 arrives in a kernel that has no shadow stack")
{
	struct user_result result;

	begin();
	result = call_with(0, true, other_return, 0, 0);
	EXPECT_FAULT_EQ(result.fault, CP, CP_NEAR_RET);
	EXPECT_EQ(result.fault.ssp, 0);
	EXPECT_EQ(rdmsr(MSR_IA32_PL3_SSP), at_cpl3.before);
}

/*
 * --- in the handler, and by IST -------------------------------------------------------------------------
 */

static struct shadow_event nested;
static uintptr_t ssp_in_handler, ssp_behind;

static void record_nested(struct x86_frame *frame)
{
	nested = shadow_event_of(frame);
}

static void raise_nested(struct x86_frame *frame)
{
	seen.frame = *frame;
	ssp_in_handler = rdssp();
	int_n(VECTOR_2);
	ssp_behind = rdssp();
}

TEST("an event in the handler of one from CPL 3 pushes its frame below the token")
{
	begin();
	irq_handler(VECTOR, raise_nested);
	irq_handler(VECTOR_2, record_nested);
	expect_return(call(raise, 0), "nested");
	EXPECT_LT(ssp_in_handler, token);
	EXPECT_EQ(nested.frame.ssp, shadow_frame_below(ssp_in_handler));
	EXPECT_EQ(nested.shadow.cs, KERNEL_CS);
	EXPECT_EQ(nested.shadow.lip, nested.frame.ip);
	EXPECT_EQ(nested.shadow.ssp, ssp_in_handler);
	EXPECT_EQ(ssp_behind, ssp_in_handler);
	EXPECT_EQ(at_cpl3.token, token);
}

#ifdef __x86_64__
/* The token that the handler looks at is that of the IST then. */
static void begin_ist(unsigned int ist)
{
	begin();
	kernel = shadow_stack_new(IST_VA, SHADOW_SUPERVISOR);
	token = shadow_stack_token(&kernel);
	ssp_table_new()[ist] = token;
}

TEST("an IST event from CPL 3 begins at its entry of the SSP table, and frees that token")
{
	begin_ist(IST_FREE);
	idt_set_ist(VECTOR, IST_FREE);
	expect_return(call(raise, 0), "IST");
	idt_set_ist(VECTOR, IST_NONE);
	EXPECT_EQ(seen.frame.ssp, token);
	EXPECT_EQ(seen.token, token | SHADOW_TOKEN_BUSY);
	EXPECT_EQ(at_cpl3.token, token);
	EXPECT_EQ(seen.pl3_ssp, at_cpl3.before);
	EXPECT_EQ(at_cpl3.after, at_cpl3.before);
}

TEST("an NMI by IST at CPL 3 does the same")
{
	skip_without_xapic();
	begin_ist(IST_NMI);
	call_nmi();
}
#endif
