// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks: WRSS, WRUSS, and ordinary accesses to their pages
 *
 *	WRSS	writes 4 or 8 bytes to a shadow stack page of the current privilege level. #UD
 *		unless CR4.CET and, in IA32_S_CET at CPL 0 and IA32_U_CET at CPL 3, SH_STK_EN and
 *		WR_SHSTK_EN are set
 *	WRUSS	the same to a user shadow stack page, at CPL 0 only (else #GP(0)). #UD unless
 *		CR4.CET is set; the enables of neither level matter. The access is a user one, as
 *		its #PF says
 *
 * Both are #GP(0) where the address is no multiple of the size, and where the page is no shadow
 * stack of that level #PF of a write, with bit 6. Ordinary instructions may read a shadow stack
 * page, as any page of that level that is read-only. If they write, #PF has bit 6 clear: also if an
 * atomic access would change nothing.
 *
 * Sources: Intel SDM volume 2, "WRSSD/WRSSQ", "WRUSSD/WRUSSQ"; volume 3, "Access Rights" and
 * "Page-Fault Exceptions"; AMD APM volume 3, "WRSS", "WRUSS".
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet_calls.h>

/* The page that is written to, not the one that the sequence runs on; and where. */
struct target {
	struct shadow_stack stack;
	uint64_t address;
};

static struct target target_new(const struct cet_mode *mode)
{
	struct target target = { .stack = cet_stack_number(mode, 1) };

	target.address = target.stack.end - 0x100;
	return target;
}

/* To whose pages WRUSS writes. */
static const struct cet_mode *user_of(const struct cet_mode *mode)
{
#ifdef __x86_64__
	if (mode->compat)
		return &cet_compat3;
#endif
	(void)mode;
	return &cet_cpl3;
}

#ifdef __x86_64__
#define VALUE 0x123456789abcdef0ull
#else
#define VALUE 0x9abcdef0ull
#endif

/* One of the instructions, on a page of the mode "to"; with the enable of WRSS. */
struct write {
	struct cet_sequence sequence;
	unsigned int size;
	const struct cet_mode *to;
};

static struct x86_fault execute(const struct cet_mode *mode, const struct write *write,
				uint64_t address, uint64_t cet, struct cet_call *call)
{
	*call = (struct cet_call){ .ssp = cet_stack(mode).end - 0x200,
				   .address = address,
				   .value = VALUE };
	return cet_run(mode, cet, write->sequence, call);
}

static void expect_written(const struct target *target, unsigned int size)
{
	const uint64_t value = VALUE;

	cet_expect_pushed(&target->stack, target->address + size, &value, size);
	/* What is above. */
	cet_expect_pushed(&target->stack, target->address + size + 64, NULL, 0);
}

static void check_good(const struct cet_mode *mode, const struct write *write)
{
	for (unsigned int offset = 0; offset <= 8; offset += write->size) {
		struct target target = target_new(write->to);
		struct cet_call call;

		target.address += offset;
		EXPECT_FAULT_EQ(execute(mode, write, target.address, CET_WR_SHSTK_EN, &call),
				NO_FAULT, 0);
		expect_written(&target, write->size);
		EXPECT_EQ(call.ssp_after, call.ssp);
	}
}

static void check_alignment(const struct cet_mode *mode, const struct write *write)
{
	for (unsigned int offset = 1; offset < write->size; offset++) {
		struct target target = target_new(write->to);
		struct cet_call call;

		EXPECT_FAULT_EQ(
			execute(mode, write, target.address + offset, CET_WR_SHSTK_EN, &call), GP,
			0, "offset %u", offset);
		cet_expect_pushed(&target.stack, target.address + 64, NULL, 0);
	}
}

/* Pages that are no shadow stack of that level. */
static void check_pages(const struct cet_mode *mode, const struct write *write)
{
	const uint64_t level = write->to->user ? PTE_U : 0;
	const uint64_t pages[] = {
		0,
		PTE_P | PTE_A | level,
		PTE_P | PTE_W | level,
		PTE_P | PTE_A | PTE_D | PTE_W | level,
		PTE_SHADOW_SUPERVISOR | (level ^ PTE_U),
	};

	for (unsigned int i = 0; i < COUNT_OF(pages); i++) {
		struct target target = target_new(write->to);
		uint32_t error_code = PF_WRITE | PF_SHADOW_STACK | (level ? PF_USER : 0);
		struct cet_call call;
		struct x86_fault fault;

		map_page(target.stack.base, target.stack.words, LEVEL_4K, pages[i]);
		fault = execute(mode, write, target.address, CET_WR_SHSTK_EN, &call);
		EXPECT_FAULT_EQ(fault, PF, error_code | (pages[i] ? PF_PRESENT : 0),
				"leaf with flags 0x%x", (unsigned int)pages[i]);
		EXPECT_EQ(fault.cr2, target.address);
		EXPECT_EQ(call.ssp_end, call.ssp);
		cet_expect_pushed(&target.stack, target.address + 64, NULL, 0);
	}
}

/* With these MSRs, and CR4.CET as it is. */
static void check_off(const struct cet_mode *mode, const struct write *write, uint64_t cet,
		      unsigned int vector)
{
	struct target target = target_new(write->to);
	struct cet_call call = { .address = target.address, .value = VALUE };
	struct x86_fault fault;

	wrmsr(MSR_IA32_U_CET, cet);
	wrmsr(MSR_IA32_S_CET, cet);
	fault = cet_run_off(mode, write->sequence, &call);
	wrmsr(MSR_IA32_S_CET, 0);
	wrmsr(MSR_IA32_U_CET, 0);
	EXPECT_FAULT_EQ(fault, vector, 0, "%u bytes", write->size);
	if (vector == NO_FAULT)
		expect_written(&target, write->size);
	else
		cet_expect_pushed(&target.stack, target.address + 64, NULL, 0);
}

#define WRSS_D(mode)  (&(const struct write){ CET_SEQUENCE(wrss_d), 4, mode })
#define WRUSS_D(mode) (&(const struct write){ CET_SEQUENCE(wruss_d), 4, user_of(mode) })
#ifdef __x86_64__
#define WRSS_Q(mode)  (&(const struct write){ CET_SEQUENCE64(wrss_q), 8, mode })
#define WRUSS_Q(mode) (&(const struct write){ CET_SEQUENCE64(wruss_q), 8, user_of(mode) })
#endif

/* --- WRSS --------------------------------------------------------------------------------------- */

static void wrss_d_good(const struct cet_mode *mode)
{
	check_good(mode, WRSS_D(mode));
}
CET_TEST("WRSSD writes 4 bytes to a shadow stack page of its level", wrss_d_good)

static void wrss_d_alignment(const struct cet_mode *mode)
{
	check_alignment(mode, WRSS_D(mode));
}
CET_TEST("WRSSD to an address that is no multiple of 4 raises GP(0)", wrss_d_alignment)

static void wrss_d_pages(const struct cet_mode *mode)
{
	check_pages(mode, WRSS_D(mode));
}
CET_TEST("WRSSD to any other page raises PF of a shadow stack write", wrss_d_pages)

/* The other level's enables are set. */
static void wrss_not_enabled(const struct cet_mode *mode)
{
	struct target target = target_new(mode);
	struct cet_call call;

	wrmsr(MSR_IA32_S_CET, CET_WR_SHSTK_EN);
	wrmsr(MSR_IA32_U_CET, CET_WR_SHSTK_EN | CET_SH_STK_EN);
	EXPECT_FAULT_EQ(execute(mode, WRSS_D(mode), target.address, 0, &call), UD, 0);
	EXPECT_EQ(call.ssp_end, call.ssp);
	cet_expect_pushed(&target.stack, target.address + 64, NULL, 0);
}
CET_TEST("WRSS without WR_SHSTK_EN of its level raises UD", wrss_not_enabled)

static void wrss_no_shadow_stack(const struct cet_mode *mode)
{
	cet_enable();
	check_off(mode, WRSS_D(mode), CET_WR_SHSTK_EN, UD);
}
CET_TEST("WRSS with WR_SHSTK_EN and without SH_STK_EN raises UD", wrss_no_shadow_stack)

static void wrss_no_cr4(const struct cet_mode *mode)
{
	check_off(mode, WRSS_D(mode), CET_WR_SHSTK_EN | CET_SH_STK_EN, UD);
}
CET_TEST("WRSS without CR4.CET raises UD", wrss_no_cr4)

#ifdef __x86_64__
#define TEST_64(statement, check)       \
	CET_TEST_CPL0(statement, check) \
	CET_TEST_CPL3(statement, check)

static void wrss_q_good(const struct cet_mode *mode)
{
	check_good(mode, WRSS_Q(mode));
}
TEST_64("WRSSQ writes 8 bytes to a shadow stack page of its level", wrss_q_good)

static void wrss_q_alignment(const struct cet_mode *mode)
{
	check_alignment(mode, WRSS_Q(mode));
}
TEST_64("WRSSQ to an address that is no multiple of 8 raises GP(0)", wrss_q_alignment)

static void wrss_q_pages(const struct cet_mode *mode)
{
	check_pages(mode, WRSS_Q(mode));
}
TEST_64("WRSSQ to any other page raises PF of a shadow stack write", wrss_q_pages)
#endif

/* --- WRUSS -------------------------------------------------------------------------------------- */

static void wruss_d_good(const struct cet_mode *mode)
{
	check_good(mode, WRUSS_D(mode));
}
CET_TEST_SUPERVISOR("WRUSSD writes 4 bytes to a user shadow stack page", wruss_d_good)

static void wruss_no_enable(const struct cet_mode *mode)
{
	cet_enable();
	check_off(mode, WRUSS_D(mode), 0, NO_FAULT);
}
CET_TEST_SUPERVISOR("WRUSS needs no enable but CR4.CET", wruss_no_enable)

static void wruss_d_alignment(const struct cet_mode *mode)
{
	check_alignment(mode, WRUSS_D(mode));
}
CET_TEST_SUPERVISOR("WRUSSD to an address that is no multiple of 4 raises GP(0)", wruss_d_alignment)

static void wruss_d_pages(const struct cet_mode *mode)
{
	check_pages(mode, WRUSS_D(mode));
}
CET_TEST_SUPERVISOR("WRUSSD to any other page raises PF of a user shadow stack write",
		    wruss_d_pages)

#ifdef __x86_64__
static void wruss_q_good(const struct cet_mode *mode)
{
	check_good(mode, WRUSS_Q(mode));
}
CET_TEST_CPL0("WRUSSQ writes 8 bytes to a user shadow stack page", wruss_q_good)

static void wruss_q_alignment(const struct cet_mode *mode)
{
	check_alignment(mode, WRUSS_Q(mode));
}
CET_TEST_CPL0("WRUSSQ to an address that is no multiple of 8 raises GP(0)", wruss_q_alignment)

static void wruss_q_pages(const struct cet_mode *mode)
{
	check_pages(mode, WRUSS_Q(mode));
}
CET_TEST_CPL0("WRUSSQ to any other page raises PF of a user shadow stack write", wruss_q_pages)
#endif

static void wruss_user(const struct cet_mode *mode)
{
	struct target target = target_new(mode);
	struct cet_call call;

	EXPECT_FAULT_EQ(execute(mode, WRUSS_D(mode), target.address, CET_WR_SHSTK_EN, &call), GP,
			0);
	EXPECT_EQ(call.ssp_end, call.ssp);
	cet_expect_pushed(&target.stack, target.address + 64, NULL, 0);
	check_off(mode, WRUSS_D(mode), 0, GP);
}
CET_TEST_USER("WRUSS raises GP(0)", wruss_user)

static void wruss_no_cr4(const struct cet_mode *mode)
{
	check_off(mode, WRUSS_D(mode), CET_WR_SHSTK_EN | CET_SH_STK_EN, UD);
}
CET_TEST("WRUSS without CR4.CET raises UD", wruss_no_cr4)

/* --- Others ------------------------------------------------------------------------------------- */

#define FILL32 (SHADOW_FILL * 0x01010101u)

static uintptr_t read(uintptr_t address)
{
	return *(volatile uint32_t *)address;
}

static uintptr_t move(uintptr_t address)
{
	*(volatile uint32_t *)address = 0;
	return 0;
}

static uintptr_t move_byte(uintptr_t address)
{
	*(volatile uint8_t *)address = 0;
	return 0;
}

static uintptr_t exchange(uintptr_t address)
{
	return __atomic_exchange_n((volatile uint32_t *)address, FILL32, __ATOMIC_SEQ_CST);
}

static uintptr_t add(uintptr_t address)
{
	return __atomic_fetch_add((volatile uint32_t *)address, 0, __ATOMIC_SEQ_CST);
}

/* The comparison fails. */
static uintptr_t compare_exchange(uintptr_t address)
{
	uint32_t expected = ~FILL32;

	return __atomic_compare_exchange_n((volatile uint32_t *)address, &expected, FILL32, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static struct x86_fault access_fault(const struct cet_mode *mode, user_function *access,
				     uintptr_t address)
{
	return mode->user ? user_call(access, address).fault : FAULT_OF(access(address));
}

static void ordinary_read(const struct cet_mode *mode)
{
	struct target target = target_new(mode);

	cet_enable();
	EXPECT_FAULT_EQ(access_fault(mode, read, target.address), NO_FAULT, 0);
	EXPECT_EQ(read(target.address), FILL32);
}
CET_TEST_CPL0("ordinary instructions can read a shadow stack page of their level", ordinary_read)
CET_TEST_CPL3("ordinary instructions can read a shadow stack page of their level", ordinary_read)

static void ordinary_write(const struct cet_mode *mode)
{
	user_function *const accesses[] = { move, move_byte, exchange, add, compare_exchange };

	cet_enable();
	for (unsigned int i = 0; i < COUNT_OF(accesses); i++) {
		struct target target = target_new(mode);
		struct x86_fault fault = access_fault(mode, accesses[i], target.address);

		EXPECT_FAULT_EQ(fault, PF, PF_PRESENT | PF_WRITE | (mode->user ? PF_USER : 0),
				"access %u", i);
		EXPECT_EQ(fault.cr2, target.address, "access %u", i);
		cet_expect_pushed(&target.stack, target.address + 64, NULL, 0);
	}
}
CET_TEST_CPL0("if they write, also atomically, PF has bit 6 clear", ordinary_write)
CET_TEST_CPL3("if they write, also atomically, PF has bit 6 clear", ordinary_write)

static void other_level(const struct cet_mode *mode)
{
	struct target target = target_new(mode->user ? &cet_cpl0 : &cet_cpl3);
	uint32_t error_code = PF_PRESENT | (mode->user ? PF_USER : 0);

	cet_enable();
	EXPECT_FAULT_EQ(access_fault(mode, read, target.address), mode->user ? PF : NO_FAULT,
			error_code);
	EXPECT_FAULT_EQ(access_fault(mode, move, target.address), PF, error_code | PF_WRITE);
	cet_expect_pushed(&target.stack, target.address + 64, NULL, 0);
}
CET_TEST_CPL0("a user shadow stack page can be read at CPL 0, and not written", other_level)
CET_TEST_CPL3("a supervisor shadow stack page can be neither read nor written", other_level)

/* A CALL pushes on the data stack first. */
static void data_stack(const struct cet_mode *mode)
{
	struct target target = target_new(mode);
	struct cet_call call = { .ssp = cet_stack(mode).end - 0x200, .stack = target.address };
	/* Without a gate that has a stack of its own, there is no place for the frame of #PF either. */
	bool has_place = mode->word == 8 || mode->compat || mode->user;
	struct x86_fault fault;

	if (!has_place)
		skip_without_task_switch();
	fault = cet_run(mode, 0, CET_SEQUENCE(call_relative), &call);
	if (!has_place)
		EXPECT_FAULT_EQ(fault, DF, 0);
	else
		EXPECT_FAULT_EQ(fault, PF, PF_PRESENT | PF_WRITE | (mode->user ? PF_USER : 0));
	cet_expect_pushed(&target.stack, target.address + 64, NULL, 0);
}
CET_TEST("a CALL cannot use a shadow stack page for its data stack", data_stack)
