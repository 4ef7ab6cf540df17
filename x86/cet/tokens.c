// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks: the tokens of supervisor stacks, SETSSBSY and CLRSSBSY
 *
 * A supervisor shadow stack has a token at its upper end: 8 bytes, aligned, with their own address;
 * bit 0 is set while a CPU uses the stack.
 *
 *	SETSSBSY	takes the stack whose token IA32_PL0_SSP names: sets the busy bit and makes
 *			SSP that address. #CP(SETSSBSY), 5, and SSP as it was, if the token is
 *			anything else than that address with bit 0 clear. No flag changes
 *	CLRSSBSY m64	gives a stack free: clears the busy bit of the token there, if it is that
 *			address with bit 0 set; else it leaves the memory as it was, and CF is set.
 *			The other status flags are clear, and SSP is 0, in either case
 *
 * Both check and change the token in one locked access, a shadow stack write; so that #PF has bits
 * 1 and 6 in its error code. Both are #GP(0) where the address is no multiple of 8, #UD where
 * supervisor shadow stacks are off, and where they are on #GP(0) at any CPL but 0.
 *
 * Bochs takes the locked access for a read first, and has the CF of CLRSSBSY inverted
 * (cpu/access2.cc, shadow_stack_lock_cmpxchg8b; cpu/cet.cc, CLRSSBSY), which is listed in
 * knownbugs.cfg.
 *
 * Sources: Intel SDM volume 2, "SETSSBSY", "CLRSSBSY"; volume 1, "Supervisor Shadow Stack Token";
 * AMD APM volume 3, the same instructions.
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet_calls.h>
#include <x86/registers.h>

/* A stack with a token, beside the one on which the sequence begins. */
struct token {
	struct shadow_stack stack;
	uint64_t address;
};

#define BEGIN(mode) (cet_stack(mode).end - 0x200)

static struct token token_new(const struct cet_mode *mode, uint64_t flags)
{
	struct token token = { .stack = cet_stack_number(mode, 1) };

	token.address = token.stack.end - 0x100;
	*shadow_word(&token.stack, token.address) = token.address | flags;
	return token;
}

static uint64_t token_value(const struct token *token)
{
	return *shadow_word(&token->stack, token->address);
}

static struct x86_fault set_busy(const struct cet_mode *mode, uint64_t address,
				 struct cet_call *call)
{
	*call = (struct cet_call){ .ssp = BEGIN(mode), .pl0_ssp = address };
	return cet_run(mode, 0, CET_SEQUENCE(setssbsy), call);
}

static struct x86_fault clear_busy(const struct cet_mode *mode, uint64_t address,
				   struct cet_call *call)
{
	*call = (struct cet_call){ .ssp = BEGIN(mode), .address = address, .flags = FLAGS_STATUS };
	return cet_run(mode, 0, CET_SEQUENCE(clrssbsy), call);
}

static void set_good(const struct cet_mode *mode)
{
	struct token token = token_new(mode, 0);
	struct cet_call call;

	EXPECT_FAULT_EQ(set_busy(mode, token.address, &call), NO_FAULT, 0);
	EXPECT_EQ(call.ssp_after, token.address);
	EXPECT_EQ(token_value(&token), token.address | SHADOW_TOKEN_BUSY);
	cet_expect_pushed(&token.stack, token.address, NULL, 0);
	EXPECT_EQ(rdmsr(MSR_IA32_PL0_SSP), token.address);
}
CET_TEST_SUPERVISOR("SETSSBSY makes a free token busy, and SSP its address", set_good)

static void set_flags(const struct cet_mode *mode)
{
	const uint32_t flags[] = { 0, FLAGS_STATUS };

	for (unsigned int i = 0; i < COUNT_OF(flags); i++) {
		struct token token = token_new(mode, 0);
		struct cet_call call = { .ssp = BEGIN(mode), .pl0_ssp = token.address };

		call.flags = flags[i];
		EXPECT_FAULT_EQ(cet_run(mode, 0, CET_SEQUENCE(setssbsy), &call), NO_FAULT, 0);
		EXPECT_EQ(call.flags, flags[i]);
	}
}
CET_TEST_SUPERVISOR("SETSSBSY leaves the flags as they are", set_flags)

/* A token that differs in these bits. */
static void set_bad(const struct cet_mode *mode, uint64_t flip)
{
	struct token token = token_new(mode, 0);
	struct cet_call call;

	*shadow_word(&token.stack, token.address) ^= flip;
	EXPECT_FAULT_EQ(set_busy(mode, token.address, &call), CP, CP_SETSSBSY, "flipped: 0x%llx",
			(unsigned long long)flip);
	EXPECT_EQ(call.ssp_end, call.ssp);
	EXPECT_EQ(token_value(&token), token.address ^ flip);
}

static void set_busy_one(const struct cet_mode *mode)
{
	set_bad(mode, SHADOW_TOKEN_BUSY);
}
CET_TEST_SUPERVISOR("SETSSBSY on a busy token raises CP(5), and changes nothing", set_busy_one)

static void set_wrong(const struct cet_mode *mode)
{
	for (unsigned int bit = 1; bit < 64; bit++)
		set_bad(mode, 1ull << bit);
	set_bad(mode, token_new(mode, 0).address);
	set_bad(mode, 0x1000 | SHADOW_TOKEN_BUSY);
}
CET_TEST_SUPERVISOR("SETSSBSY on a token with another address or any other bit raises CP(5)",
		    set_wrong)

static void set_misaligned(const struct cet_mode *mode)
{
	struct token token = token_new(mode, 0);
	struct cet_call call;

	*shadow_word(&token.stack, token.address + 4) = token.address + 4;
	EXPECT_FAULT_EQ(set_busy(mode, token.address + 4, &call), GP, 0);
	EXPECT_EQ(call.ssp_end, call.ssp);
}
CET_TEST_SUPERVISOR("SETSSBSY with a PL0_SSP that is no multiple of 8 raises GP(0)", set_misaligned)

/* What a token's page may be in place of a supervisor shadow stack. */
static const struct {
	const char *name;
	uint64_t flags;
} pages[] = {
	{ "not present", 0 },
	{ "read-only, not dirty", PTE_P | PTE_A },
	{ "writable", PTE_P | PTE_A | PTE_D | PTE_W },
	{ "a user shadow stack", PTE_SHADOW_USER },
};

typedef struct x86_fault instruction(const struct cet_mode *mode, uint64_t address,
				     struct cet_call *call);

/* The error code but for the bits in "ignored". */
static void on_pages(const struct cet_mode *mode, instruction *execute, uint64_t busy,
		     uint32_t ignored)
{
	for (unsigned int i = 0; i < COUNT_OF(pages); i++) {
		struct token token = token_new(mode, busy);
		uint32_t error_code = PF_SHADOW_STACK | PF_WRITE;
		struct cet_call call;
		struct x86_fault fault;

		map_page(token.stack.base, token.stack.words, LEVEL_4K, pages[i].flags);
		fault = execute(mode, token.address, &call);
		error_code |= pages[i].flags ? PF_PRESENT : 0;
		fault.error_code &= ~ignored;
		EXPECT_FAULT_EQ(fault, PF, error_code & ~ignored, "%s", pages[i].name);
		EXPECT_EQ(fault.cr2, token.address, "%s", pages[i].name);
		EXPECT_EQ(call.ssp_end, call.ssp, "%s", pages[i].name);
		EXPECT_EQ(token_value(&token), token.address | busy, "%s", pages[i].name);
	}
}

static void set_pages(const struct cet_mode *mode)
{
	on_pages(mode, set_busy, 0, PF_WRITE);
}
CET_TEST_SUPERVISOR(
	"SETSSBSY on no supervisor shadow stack page raises PF of a shadow stack access", set_pages)

static void set_pages_write(const struct cet_mode *mode)
{
	on_pages(mode, set_busy, 0, 0);
}
CET_TEST_SUPERVISOR("the PF of SETSSBSY is a write's", set_pages_write)

static void clear_good(const struct cet_mode *mode)
{
	struct token token = token_new(mode, SHADOW_TOKEN_BUSY);
	struct cet_call call;

	EXPECT_FAULT_EQ(clear_busy(mode, token.address, &call), NO_FAULT, 0);
	EXPECT_EQ(token_value(&token), token.address);
	cet_expect_pushed(&token.stack, token.address, NULL, 0);
	EXPECT_EQ(call.ssp_after, 0);
	EXPECT_EQ(call.flags & ~FLAGS_CF, 0);
}
CET_TEST_SUPERVISOR("CLRSSBSY makes a busy token free, SSP 0, and the status flags but CF clear",
		    clear_good)

static void clear_good_cf(const struct cet_mode *mode)
{
	struct token token = token_new(mode, SHADOW_TOKEN_BUSY);
	struct cet_call call;

	EXPECT_FAULT_EQ(clear_busy(mode, token.address, &call), NO_FAULT, 0);
	EXPECT_EQ(call.flags & FLAGS_CF, 0);
}
CET_TEST_SUPERVISOR("CLRSSBSY clears CF if the token was busy", clear_good_cf)

static void clear_bad(const struct cet_mode *mode, uint64_t flip, bool carry)
{
	struct token token = token_new(mode, SHADOW_TOKEN_BUSY);
	struct cet_call call;

	*shadow_word(&token.stack, token.address) ^= flip;
	EXPECT_FAULT_EQ(clear_busy(mode, token.address, &call), NO_FAULT, 0);
	if (carry) {
		EXPECT_EQ(call.flags & FLAGS_CF, FLAGS_CF, "flipped: 0x%llx",
			  (unsigned long long)flip);
		return;
	}
	EXPECT_EQ(token_value(&token), (token.address | SHADOW_TOKEN_BUSY) ^ flip);
	EXPECT_EQ(call.ssp_after, 0);
	EXPECT_EQ(call.flags & ~FLAGS_CF, 0);
}

static void clear_wrong(const struct cet_mode *mode)
{
	for (unsigned int bit = 0; bit < 64; bit++)
		clear_bad(mode, 1ull << bit, false);
}
CET_TEST_SUPERVISOR("CLRSSBSY leaves any other word as it was, and makes SSP 0", clear_wrong)

static void clear_wrong_cf(const struct cet_mode *mode)
{
	for (unsigned int bit = 0; bit < 64; bit++)
		clear_bad(mode, 1ull << bit, true);
}
CET_TEST_SUPERVISOR("CLRSSBSY sets CF if the word was no busy token", clear_wrong_cf)

static void clear_misaligned(const struct cet_mode *mode)
{
	for (unsigned int offset = 1; offset < 8; offset++) {
		struct token token = token_new(mode, 0);
		struct cet_call call;

		EXPECT_FAULT_EQ(clear_busy(mode, token.address + offset, &call), GP, 0);
		EXPECT_EQ(call.ssp_end, call.ssp);
	}
}
CET_TEST_SUPERVISOR("CLRSSBSY at an address that is no multiple of 8 raises GP(0)",
		    clear_misaligned)

static void clear_pages(const struct cet_mode *mode)
{
	on_pages(mode, clear_busy, SHADOW_TOKEN_BUSY, PF_WRITE);
}
CET_TEST_SUPERVISOR(
	"CLRSSBSY on no supervisor shadow stack page raises PF of a shadow stack access",
	clear_pages)

static void clear_pages_write(const struct cet_mode *mode)
{
	on_pages(mode, clear_busy, SHADOW_TOKEN_BUSY, 0);
}
CET_TEST_SUPERVISOR("the PF of CLRSSBSY is a write's", clear_pages_write)

static void round_trip(const struct cet_mode *mode)
{
	struct token token = token_new(mode, 0);
	struct cet_call call;

	for (unsigned int i = 0; i < 3; i++) {
		EXPECT_FAULT_EQ(set_busy(mode, token.address, &call), NO_FAULT, 0);
		EXPECT_FAULT_EQ(set_busy(mode, token.address, &call), CP, CP_SETSSBSY);
		EXPECT_FAULT_EQ(clear_busy(mode, token.address, &call), NO_FAULT, 0);
	}
}
CET_TEST_SUPERVISOR("a stack can be taken once, until it is given free", round_trip)

/* Both instructions, with IA32_S_CET and CR4.CET as they are. */
static void expect_refused(const struct cet_mode *mode, uint64_t s_cet, unsigned int vector)
{
	const struct cet_sequence sequences[] = { CET_SEQUENCE(setssbsy), CET_SEQUENCE(clrssbsy) };

	for (unsigned int i = 0; i < COUNT_OF(sequences); i++) {
		struct token token = token_new(mode->compat ? mode : &cet_cpl0, i);
		struct cet_call call = { .address = token.address };

		wrmsr(MSR_IA32_PL0_SSP, token.address);
		wrmsr(MSR_IA32_S_CET, s_cet);
		EXPECT_FAULT_EQ(cet_run_off(mode, sequences[i], &call), vector, 0, "case %u", i);
		wrmsr(MSR_IA32_S_CET, 0);
		EXPECT_EQ(token_value(&token), token.address | i);
	}
}

static void without_cr4(const struct cet_mode *mode)
{
	wrmsr(MSR_IA32_U_CET, CET_SH_STK_EN);
	expect_refused(mode, CET_SH_STK_EN, UD);
	wrmsr(MSR_IA32_U_CET, 0);
}
CET_TEST("without CR4.CET SETSSBSY and CLRSSBSY raise UD", without_cr4)

static void without_enable(const struct cet_mode *mode)
{
	cet_enable();
	wrmsr(MSR_IA32_U_CET, CET_SH_STK_EN);
	expect_refused(mode, 0, UD);
}
CET_TEST("without SH_STK_EN in S_CET SETSSBSY and CLRSSBSY raise UD", without_enable)

/* The way to CPL 3 and back is on shadow stacks here: the event finds a free token. */
static void at_cpl3(const struct cet_mode *mode, struct cet_sequence sequence)
{
	struct shadow_stack stack = cet_stack(&cet_cpl0);
	struct token token = token_new(&cet_cpl0, 0);
	struct cet_call call = { .address = token.address };
	struct x86_fault fault = { .vector = NO_FAULT };

	cet_enable();
	ON_SHADOW_STACK(&stack, 0, wrmsr(MSR_IA32_PL0_SSP, token.address);
			fault = cet_run_off(mode, sequence, &call));
	EXPECT_FAULT_EQ(fault, GP, 0);
	EXPECT_EQ(fault.ssp, token.address);
}

static void set_at_cpl3(const struct cet_mode *mode)
{
	at_cpl3(mode, CET_SEQUENCE(setssbsy));
}
CET_TEST_USER("with SH_STK_EN in S_CET SETSSBSY raises GP(0)", set_at_cpl3)

static void clear_at_cpl3(const struct cet_mode *mode)
{
	at_cpl3(mode, CET_SEQUENCE(clrssbsy));
}
CET_TEST_USER("with SH_STK_EN in S_CET CLRSSBSY raises GP(0)", clear_at_cpl3)
