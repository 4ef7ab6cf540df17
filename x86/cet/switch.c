// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks: from one to another within a privilege level, RSTORSSP and SAVEPREVSSP
 *
 * A stack that is not in use has a restore token on top: 8 bytes, aligned, with the SSP that it had
 * and, as bit 0, whether that was in 64-bit mode.
 *
 *	RSTORSSP m64	makes SSP the address of such a token and, in the same locked access,
 *			replaces it by a previous-SSP token: the old SSP, bit 1, and bit 0 as above.
 *			CF says whether the SSP in the token was no multiple of 8, so that there are
 *			4 bytes of 0 between (the alignment hole); the other status flags are clear.
 *			#CP(RSTORSSP), 4, with nothing changed, if bit 0 does not fit the mode, bit
 *			1 is set, the SSP in it does not end right behind the token, or is above 4
 *			GiB and the mode not 64-bit
 *	SAVEPREVSSP	pops a previous-SSP token, with CF set the hole above it too, and leaves a
 *			restore token on the stack that it names. #GP(0) if SSP is no multiple of 8,
 *			bit 1 of the token is clear, the hole is not 0, CF is set in 64-bit mode, or
 *			the old SSP above 4 GiB and the mode not 64-bit
 *
 * Bochs takes the locked access for a read first (cpu/cet.cc, RSTORSSP), and pops the hole in place
 * of the lower half of the token (SAVEPREVSSP), which is listed in knownbugs.cfg.
 *
 * Sources: Intel SDM volume 2, "RSTORSSP", "SAVEPREVSSP"; volume 1, "Shadow Stacks", on switching;
 * AMD APM volume 3, the same instructions.
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet_calls.h>
#include <x86/registers.h>

/* The stack on which a sequence begins, and where; the other one, and where its token is. */
struct pair {
	struct shadow_stack from, to;
	uint64_t ssp, token;
};

static struct pair pair_new(const struct cet_mode *mode)
{
	struct pair pair = { .from = cet_stack(mode), .to = cet_stack_number(mode, 1) };

	pair.ssp = pair.from.end - 0x200;
	pair.token = pair.to.end - 0x100;
	*shadow_word(&pair.to, pair.token) = (pair.token + 8) | mode->wide;
	return pair;
}

static uint64_t to_word(const struct pair *pair)
{
	return *shadow_word(&pair->to, pair->token);
}

static uint64_t from_word(const struct pair *pair, uint64_t address)
{
	return *shadow_word(&pair->from, address);
}

static uint32_t pf_user(const struct cet_mode *mode)
{
	return mode->user ? PF_USER : 0;
}

static struct x86_fault restore(const struct cet_mode *mode, const struct pair *pair,
				struct cet_call *call)
{
	*call = (struct cet_call){ .ssp = pair->ssp, .address = pair->token };
	call->flags = FLAGS_STATUS;
	return cet_run(mode, 0, CET_SEQUENCE(rstorssp), call);
}

static void restore_good(const struct cet_mode *mode)
{
	struct pair pair = pair_new(mode);
	struct cet_call call;

	EXPECT_FAULT_EQ(restore(mode, &pair, &call), NO_FAULT, 0);
	EXPECT_EQ(call.ssp_after, pair.token);
	EXPECT_EQ(to_word(&pair), pair.ssp | SHADOW_TOKEN_PREVIOUS | mode->wide);
	EXPECT_EQ(call.flags, 0);
	cet_expect_pushed(&pair.to, pair.token, NULL, 0);
	cet_expect_pushed(&pair.from, pair.ssp, NULL, 0);
}
CET_TEST(
	"RSTORSSP goes to the token, leaves a previous-SSP token there, and clears the status flags",
	restore_good)

static void restore_from_odd(const struct cet_mode *mode)
{
	struct pair pair = pair_new(mode);
	struct cet_call call;

	pair.ssp -= 4;
	EXPECT_FAULT_EQ(restore(mode, &pair, &call), NO_FAULT, 0);
	EXPECT_EQ(to_word(&pair), pair.ssp | SHADOW_TOKEN_PREVIOUS | mode->wide);
}
CET_TEST("a previous-SSP token keeps an SSP that is no multiple of 8", restore_from_odd)

static void restore_hole(const struct cet_mode *mode)
{
	struct pair pair = pair_new(mode);
	struct cet_call call;

	*shadow_word(&pair.to, pair.token) += 4;
	EXPECT_FAULT_EQ(restore(mode, &pair, &call), NO_FAULT, 0);
	EXPECT_EQ(call.ssp_after, pair.token);
	EXPECT_EQ(to_word(&pair), pair.ssp | SHADOW_TOKEN_PREVIOUS | mode->wide);
	EXPECT_EQ(call.flags, FLAGS_CF);
}
CET_TEST("RSTORSSP sets CF if the SSP in the token is no multiple of 8", restore_hole)

static void restore_bad(const struct cet_mode *mode, uint64_t value)
{
	struct pair pair = pair_new(mode);
	struct cet_call call;

	*shadow_word(&pair.to, pair.token) = value;
	EXPECT_FAULT_EQ(restore(mode, &pair, &call), CP, CP_RSTORSSP, "0x%llx",
			(unsigned long long)value);
	EXPECT_EQ(call.ssp_end, pair.ssp);
	EXPECT_EQ(to_word(&pair), value);
}

static uint64_t good_value(const struct cet_mode *mode)
{
	struct pair pair = pair_new(mode);

	return to_word(&pair);
}

static void restore_mode(const struct cet_mode *mode)
{
	restore_bad(mode, good_value(mode) ^ SHADOW_TOKEN_64);
}
CET_TEST("RSTORSSP of a token of the other mode raises CP(4)", restore_mode)

static void restore_previous(const struct cet_mode *mode)
{
	restore_bad(mode, good_value(mode) | SHADOW_TOKEN_PREVIOUS);
}
CET_TEST("RSTORSSP of a previous-SSP token raises CP(4)", restore_previous)

static void restore_wrong(const struct cet_mode *mode)
{
	uint64_t good = good_value(mode);
	const uint64_t values[] = { 0, mode->wide, good - 8, good - 4, good + 8, good + 12 };

	for (unsigned int i = 0; i < COUNT_OF(values); i++)
		restore_bad(mode, values[i]);
	for (unsigned int bit = 3; bit < 64; bit++)
		restore_bad(mode, good ^ 1ull << bit);
}
CET_TEST("RSTORSSP of a token with an SSP not right behind it, or above, raises CP(4)",
	 restore_wrong)

static void restore_supervisor(const struct cet_mode *mode)
{
	struct pair pair = pair_new(mode);

	restore_bad(mode, pair.token);
	restore_bad(mode, pair.token | SHADOW_TOKEN_BUSY);
}
CET_TEST("RSTORSSP of a supervisor token, free or busy, raises CP(4)", restore_supervisor)

static void restore_misaligned(const struct cet_mode *mode)
{
	for (unsigned int offset = 1; offset < 8; offset++) {
		struct pair pair = pair_new(mode);
		struct cet_call call;

		pair.token += offset;
		EXPECT_FAULT_EQ(restore(mode, &pair, &call), GP, 0);
		EXPECT_EQ(call.ssp_end, pair.ssp);
	}
}
CET_TEST("RSTORSSP at an address that is no multiple of 8 raises GP(0)", restore_misaligned)

/*
 * Pages that are no shadow stack of this privilege level; in "ignored" are bits of the error
 * code.
 */
static void restore_pages(const struct cet_mode *mode, uint32_t ignored)
{
	const uint64_t ours = mode->user ? PTE_U : 0;
	const uint64_t pages[] = { 0, PTE_P | PTE_A | ours, PTE_P | PTE_A | PTE_D | PTE_W | ours,
				   PTE_SHADOW_SUPERVISOR | (ours ^ PTE_U) };

	for (unsigned int i = 0; i < COUNT_OF(pages); i++) {
		struct pair pair = pair_new(mode);
		uint64_t before = to_word(&pair);
		uint32_t error_code = PF_SHADOW_STACK | PF_WRITE | pf_user(mode);
		struct cet_call call;
		struct x86_fault fault;

		map_page(pair.to.base, pair.to.words, LEVEL_4K, pages[i]);
		fault = restore(mode, &pair, &call);
		error_code |= pages[i] ? PF_PRESENT : 0;
		fault.error_code &= ~ignored;
		EXPECT_FAULT_EQ(fault, PF, error_code & ~ignored, "page %u", i);
		EXPECT_EQ(fault.cr2, pair.token, "page %u", i);
		EXPECT_EQ(call.ssp_end, pair.ssp, "page %u", i);
		EXPECT_EQ(to_word(&pair), before, "page %u", i);
	}
}

static void restore_pages_any(const struct cet_mode *mode)
{
	restore_pages(mode, PF_WRITE);
}
CET_TEST("RSTORSSP on no shadow stack page of its level raises PF of a shadow stack access",
	 restore_pages_any)

static void restore_pages_write(const struct cet_mode *mode)
{
	restore_pages(mode, 0);
}
CET_TEST("the PF of RSTORSSP is a write's", restore_pages_write)

/* SAVEPREVSSP on the stack "from", with these two words there, for the old SSP on "to". */
static struct x86_fault save(const struct cet_mode *mode, struct pair *pair, uint64_t token,
			     uint64_t above, uint32_t flags, struct cet_call *call)
{
	*call = (struct cet_call){
		.ssp = pair->ssp,
		.flags = flags,
		.address = (uintptr_t)shadow_word(&pair->from, pair->ssp),
		.words = { token, above },
	};
	return cet_run(mode, 0, CET_SEQUENCE(saveprevssp), call);
}

/* The old SSP, as a previous-SSP token has it. */
static uint64_t previous(const struct cet_mode *mode, uint64_t ssp)
{
	return ssp | SHADOW_TOKEN_PREVIOUS | mode->wide;
}

static void save_good(const struct cet_mode *mode)
{
	struct pair pair = pair_new(mode);
	uint64_t old = pair.to.end - 0x200, token = old | mode->wide;
	struct cet_call call;

	EXPECT_FAULT_EQ(save(mode, &pair, previous(mode, old), 0, 0, &call), NO_FAULT, 0);
	EXPECT_EQ(call.ssp_after, pair.ssp + 8);
	cet_expect_pushed(&pair.to, old, &token, sizeof(token));
}
CET_TEST("SAVEPREVSSP pops the token and leaves a restore token on the old stack", save_good)

static void save_odd(const struct cet_mode *mode)
{
	struct pair pair = pair_new(mode);
	uint64_t old = pair.to.end - 0x204;
	const uint32_t words[] = { old | mode->wide, old >> 31 >> 1, 0 };
	struct cet_call call;

	EXPECT_FAULT_EQ(save(mode, &pair, previous(mode, old), 0, 0, &call), NO_FAULT, 0);
	cet_expect_pushed(&pair.to, old, words, sizeof(words));
}
CET_TEST("SAVEPREVSSP writes 4 bytes of 0 before where the old SSP is no multiple of 8", save_odd)

static void save_flags(const struct cet_mode *mode)
{
	struct pair pair = pair_new(mode);
	uint64_t old = pair.to.end - 0x200;
	uint32_t flags = FLAGS_STATUS & ~FLAGS_CF;
	struct cet_call call;

	EXPECT_FAULT_EQ(save(mode, &pair, previous(mode, old), 0, flags, &call), NO_FAULT, 0);
	EXPECT_EQ(call.flags, flags);
}
CET_TEST("SAVEPREVSSP leaves the flags as they are", save_flags)

/* Neither stack has changed. */
static void save_bad(const struct cet_mode *mode, struct pair *pair, uint64_t token, uint64_t above,
		     uint32_t flags)
{
	struct cet_call call;

	EXPECT_FAULT_EQ(save(mode, pair, token, above, flags, &call), GP, 0, "token 0x%llx",
			(unsigned long long)token);
	EXPECT_EQ(call.ssp_end, pair->ssp);
	EXPECT_EQ(from_word(pair, pair->ssp), token);
	cet_expect_pushed(&pair->to, pair->to.end - 0x200, NULL, 0);
}

static void save_no_token(const struct cet_mode *mode)
{
	struct pair pair = pair_new(mode);
	uint64_t old = pair.to.end - 0x200;

	save_bad(mode, &pair, old | mode->wide, 0, 0);
	save_bad(mode, &pair, 0, 0, 0);
	save_bad(mode, &pair, SHADOW_TOKEN_BUSY, 0, 0);
}
CET_TEST("SAVEPREVSSP of a word without bit 1 raises GP(0)", save_no_token)

static void save_misaligned(const struct cet_mode *mode)
{
	struct pair pair = pair_new(mode);

	pair.ssp -= 4;
	save_bad(mode, &pair, previous(mode, pair.to.end - 0x200), 0, 0);
}
CET_TEST("SAVEPREVSSP from an SSP that is no multiple of 8 raises GP(0)", save_misaligned)

#ifdef __x86_64__
#define TEST_64(statement, check)       \
	CET_TEST_CPL0(statement, check) \
	CET_TEST_CPL3(statement, check)
#define TEST_32(statement, check)          \
	CET_TEST_COMPAT0(statement, check) \
	CET_TEST_COMPAT3(statement, check)

static void save_carry(const struct cet_mode *mode)
{
	struct pair pair = pair_new(mode);

	save_bad(mode, &pair, previous(mode, pair.to.end - 0x200), 0, FLAGS_CF);
}
TEST_64("SAVEPREVSSP with CF set raises GP(0): there is no hole in 64-bit mode", save_carry)
#else
#define TEST_32(statement, check) CET_TEST(statement, check)
#endif

static void save_high(const struct cet_mode *mode)
{
	for (unsigned int bit = 32; bit < 64; bit++) {
		struct pair pair = pair_new(mode);

		save_bad(mode, &pair, previous(mode, pair.to.end - 0x200) | 1ull << bit, 0, 0);
	}
}
TEST_32("SAVEPREVSSP of an SSP above 4 GiB raises GP(0)", save_high)

static void save_hole(const struct cet_mode *mode)
{
	struct pair pair = pair_new(mode);
	uint64_t old = pair.to.end - 0x200;
	struct cet_call call;

	EXPECT_FAULT_EQ(save(mode, &pair, previous(mode, old), 0, FLAGS_CF, &call), NO_FAULT, 0);
	EXPECT_EQ(call.ssp_after, pair.ssp + 12);
	cet_expect_pushed(&pair.to, old, &old, sizeof(old));
}
TEST_32("SAVEPREVSSP with CF set pops 4 bytes of 0 too", save_hole)

static void save_full_hole(const struct cet_mode *mode)
{
	for (unsigned int bit = 0; bit < 32; bit++) {
		struct pair pair = pair_new(mode);

		save_bad(mode, &pair, previous(mode, pair.to.end - 0x200), 1u << bit, FLAGS_CF);
	}
}
TEST_32("SAVEPREVSSP with CF set raises GP(0) if the 4 bytes are not 0", save_full_hole)

/* Below the old stack's page, or there is no word in this one. */
static void save_pages(const struct cet_mode *mode)
{
	struct pair pair = pair_new(mode);
	struct cet_call call;
	struct x86_fault fault;

	fault = save(mode, &pair, previous(mode, pair.to.base), 0, 0, &call);
	EXPECT_FAULT_EQ(fault, PF, PF_SHADOW_STACK | PF_WRITE | pf_user(mode));
	EXPECT_GE(fault.cr2, pair.to.base - 8);
	EXPECT_LT(fault.cr2, pair.to.base);
	EXPECT_EQ(call.ssp_end, pair.ssp);

	call = (struct cet_call){ .ssp = pair.from.end, .address = pair.from.words };
	fault = cet_run(mode, 0, CET_SEQUENCE(saveprevssp), &call);
	EXPECT_FAULT_EQ(fault, PF, PF_SHADOW_STACK | pf_user(mode));
	EXPECT_EQ(fault.cr2, pair.from.end);
	EXPECT_EQ(call.ssp_end, pair.from.end);
}
CET_TEST("SAVEPREVSSP reads and writes by shadow stack accesses", save_pages)

/* There, a CALL and RET, and back, by the token that is left here. */
static void there_and_back(const struct cet_mode *mode, unsigned int hole)
{
	struct pair pair = pair_new(mode);
	struct cet_call call = { .ssp = pair.ssp - hole, .address = pair.token };

	call.value = pair.ssp - 8 - 2 * hole;
	EXPECT_FAULT_EQ(cet_run(mode, 0, CET_SEQUENCE(switch_stacks), &call), NO_FAULT, 0);
	EXPECT_EQ(call.ssp_inside, pair.token + 8 - mode->word);
	EXPECT_EQ(call.ssp_after, call.ssp);
	EXPECT_EQ(to_word(&pair), (pair.token + 8) | mode->wide);
}

static void switch_stacks(const struct cet_mode *mode)
{
	there_and_back(mode, 0);
}
CET_TEST("RSTORSSP and SAVEPREVSSP lead to another stack and back", switch_stacks)

static void switch_odd(const struct cet_mode *mode)
{
	there_and_back(mode, 4);
}
TEST_32("they do so from an SSP that is no multiple of 8", switch_odd)

/* With CR4.CET as it is. */
static void expect_off(const struct cet_mode *mode, uint64_t cet)
{
	const struct cet_sequence sequences[] = { CET_SEQUENCE(rstorssp),
						  CET_SEQUENCE(saveprevssp) };

	for (unsigned int i = 0; i < COUNT_OF(sequences); i++) {
		struct pair pair = pair_new(mode);
		struct cet_call call = { .address = i ? pair.from.words : pair.token };

		wrmsr(MSR_IA32_U_CET, cet);
		wrmsr(MSR_IA32_S_CET, cet);
		EXPECT_FAULT_EQ(cet_run_off(mode, sequences[i], &call), UD, 0, "case %u", i);
		wrmsr(MSR_IA32_U_CET, 0);
		wrmsr(MSR_IA32_S_CET, 0);
	}
}

static void without_cr4(const struct cet_mode *mode)
{
	expect_off(mode, CET_SH_STK_EN);
}
CET_TEST("without CR4.CET RSTORSSP and SAVEPREVSSP raise UD", without_cr4)

static void without_enable(const struct cet_mode *mode)
{
	cet_enable();
	expect_off(mode, CET_WR_SHSTK_EN);
}
CET_TEST("without SH_STK_EN RSTORSSP and SAVEPREVSSP raise UD", without_enable)
