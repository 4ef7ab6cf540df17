// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks: what the CPU refuses of an event by IST
 *
 * The entry of the SSP table is read as data of the supervisor's, if shadow stacks are on. Then
 *
 *	the SSP there is a multiple of 8				else #GP(0)
 *	its token and the frame below lie in 32 bytes aligned to 32	else #GP(0)
 *	the token holds its own address, and is not busy		else #GP(0)
 *
 * A fault in between is raised with the shadow stack of before. For INT n that is what it is; for an
 * exception it is what two exceptions make: a #GP for one that is benign, and #DF for one that is
 * contributory (#CP, too) or a #PF. The pseudocode says #GP(0) where for other checks it says #GP(EXT), so
 * that bit 0 of the error code is only compared for INT n, where both are 0.
 *
 * The token is compared and changed by one locked access, which is a write (volume 3, "Page-Fault
 * Exceptions"). Bochs reads first (cpu/access2.cc, shadow_stack_lock_cmpxchg8b), so that the #PF there lacks
 * bit 1; and it does not check the 32 bytes (cpu/call_far.cc, shadow_stack_switch).
 *
 * Sources: Intel SDM volume 2, "INT n/INTO/INT3/INT1", Operation, "INTRA-PRIVILEGE-LEVEL-INTERRUPT"; volume 3,
 * "Interrupt 8", with the classes of exceptions.
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet_events.h>
#include <x86/cpuid.h>
#include <x86/descriptors.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>

#define VECTOR	    0x40

#define STACK_VA    (SHADOW_VA + PAGE_SIZE)
#define IST_VA	    (SHADOW_VA + 3 * PAGE_SIZE)
#define UNMAPPED_VA (SHADOW_VA + 8 * PAGE_SIZE)

static struct shadow_stack stack, ist_stack;
static uintptr_t token; /* on ist_stack */
static uint64_t *table; /* with this token for IST_FREE, else as the runtime's */
static uintptr_t ssp_before, ssp_in_handler;

static void record(struct x86_frame *frame)
{
	ssp_in_handler = frame->ssp;
}

static void begin(void)
{
	cet_enable();
	stack = shadow_stack_new(STACK_VA, SHADOW_SUPERVISOR);
	ist_stack = shadow_stack_new(IST_VA, SHADOW_SUPERVISOR);
	map_page(UNMAPPED_VA, 0, LEVEL_4K, 0);
	table = ssp_table_new();
	token = shadow_stack_token(&ist_stack);
	table[IST_FREE] = token;
	irq_handler(VECTOR, record);
}

static void raise(void)
{
	ssp_before = rdssp();
	int_n(VECTOR);
}

/* INT n by IST, with that table. */
static struct x86_fault event_with(const uint64_t *ssp_table)
{
	struct x86_fault fault;

	ssp_table_use(ssp_table);
	idt_set_ist(VECTOR, IST_FREE);
	fault = FAULT_OF(ON_SHADOW_STACK(&stack, 0, raise()));
	idt_set_ist(VECTOR, IST_NONE);
	return fault;
}

static struct x86_fault event(void)
{
	return event_with(table);
}

/* INT n has raised this, and nothing is changed. */
static void expect_refused(struct x86_fault fault, unsigned int vector, uint32_t error_code,
			   const char *name)
{
	if (!EXPECT_FAULT_EQ(fault, vector, error_code, "%s", name))
		return;
	EXPECT_EQ(*(const uint8_t *)fault.ip, 0xcd, "INT n (%s)", name);
	EXPECT_EQ(shadow_frame_at(fault.ssp).ssp, ssp_before, "%s", name);
	EXPECT_EQ(fault.ssp, shadow_frame_below(ssp_before), "%s", name);
}

/*
 * --- what the CPU refuses ----------------------------------------------------------------------------
 */

TEST("without IA32_S_CET.SH_STK_EN an IST event does not read the table")
{
	begin();
	ssp_table_use((const uint64_t *)UNMAPPED_VA);
	idt_set_ist(VECTOR, IST_FREE);
	EXPECT_NO_FAULT(raise());
	idt_set_ist(VECTOR, IST_NONE);
	EXPECT_EQ(ssp_in_handler, 0);
	EXPECT_EQ(*shadow_word(&ist_stack, token), token);
}

TEST("a table that is not mapped raises PF as a supervisor's read of data")
{
	struct x86_fault fault;

	begin();
	fault = event_with((const uint64_t *)UNMAPPED_VA);
	expect_refused(fault, PF, 0, "no table");
	EXPECT_EQ(fault.cr2, UNMAPPED_VA + IST_FREE * sizeof(*table));
}

TEST("an entry that is no multiple of 8 raises GP")
{
	static const unsigned int offsets[] = { 1, 2, 4, 7 };

	begin();
	for (unsigned int i = 0; i < COUNT_OF(offsets); i++) {
		table[IST_FREE] = token + offsets[i];
		expect_refused(event(), GP, 0, "misaligned");
		EXPECT_EQ(*shadow_word(&ist_stack, token), token, "token + %u", offsets[i]);
	}
}

TEST("a busy token raises GP, and stays busy")
{
	begin();
	*shadow_word(&ist_stack, token) = token | SHADOW_TOKEN_BUSY;
	expect_refused(event(), GP, 0, "busy");
	EXPECT_EQ(*shadow_word(&ist_stack, token), token | SHADOW_TOKEN_BUSY);
}

TEST("a token of another address raises GP, and stays as it is")
{
	begin();
	const uint64_t wrong[] = { 0,	      token + 8,	  token - 8,
				   token ^ 2, token ^ 1ull << 32, token ^ 1ull << 63 };

	for (unsigned int i = 0; i < COUNT_OF(wrong); i++) {
		*shadow_word(&ist_stack, token) = wrong[i];
		expect_refused(event(), GP, 0, "another address");
		EXPECT_EQ(*shadow_word(&ist_stack, token), wrong[i], "case %u", i);
	}
}

static const struct {
	const char *name;
	uint64_t flags;
	uint32_t error_code;
} pages[] = {
	{ "not present", 0, 0 },
	{ "writable", PTE_P | PTE_W | PTE_D | PTE_A, PF_PRESENT },
	{ "of the user's", PTE_SHADOW_USER, PF_PRESENT },
};

static struct x86_fault event_without_shadow_stack(unsigned int i)
{
	map_page(ist_stack.base, ist_stack.words, LEVEL_4K, pages[i].flags);
	return event();
}

TEST("an entry that leads to no shadow stack raises PF with the shadow stack bit")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(pages); i++) {
		struct x86_fault fault = event_without_shadow_stack(i);

		expect_refused(fault, PF,
			       pages[i].error_code | PF_SHADOW_STACK |
				       (fault.error_code & PF_WRITE),
			       pages[i].name);
		EXPECT_EQ(fault.cr2, token, "a page %s", pages[i].name);
	}
}

TEST("that PF is one of a write")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(pages); i++)
		EXPECT_EQ(event_without_shadow_stack(i).error_code & PF_WRITE, PF_WRITE,
			  "a page %s", pages[i].name);
}

TEST("a token whose frame leaves its 32 bytes raises GP")
{
	if (cpu_is_amd())
		SKIP("only Intel's CPUs want a token and its frame in 32 aligned bytes");
	begin();
	for (unsigned int offset = 0; offset < 32; offset += 8) {
		uintptr_t at = ist_stack.base + 0x800 + offset;

		table[IST_FREE] = at;
		*shadow_word(&ist_stack, at) = at;
		EXPECT_FAULT_EQ(event(), offset == 24 ? NO_FAULT : GP, 0, "at %u mod 32", offset);
	}
}

/*
 * --- exceptions that cannot be delivered --------------------------------------------------------------
 */

static void divide_by_zero(void)
{
	divl(0, 1, 0);
}

static void undefined(void)
{
	ud2();
}

static void breakpoint(void)
{
	int3();
}

static void reserved_msr_bit(void)
{
	wrmsr(MSR_IA32_S_CET, CET_RESERVED);
}

static void missing_selector(void)
{
	load_ds(GDT_ENTRIES * 8);
}

static void no_memory(void)
{
	*(volatile uint8_t *)UNMAPPED_VA = 0;
}

__attribute__((noinline)) static void other_return(void)
{
	((volatile uintptr_t *)__builtin_frame_address(0))[1] += 1;
}

static const struct {
	const char *name;
	void (*raise)(void);
	unsigned int vector, then;
} exceptions[] = {
	{ "UD", undefined, UD, GP },
	{ "BP", breakpoint, BP, GP },
	{ "DE", divide_by_zero, DE, DF },
	{ "GP(0)", reserved_msr_bit, GP, DF },
	{ "GP(selector)", missing_selector, GP, DF },
	{ "PF", no_memory, PF, DF },
	{ "CP", other_return, CP, DF },
};

static void expect_second(unsigned int i)
{
	struct x86_fault fault;

	*shadow_word(&ist_stack, token) = token | SHADOW_TOKEN_BUSY;
	ssp_table_use(table);
	idt_set_ist(exceptions[i].vector, IST_FREE);
	fault = FAULT_OF(ON_SHADOW_STACK(&stack, 0, exceptions[i].raise()));
	idt_set_ist(exceptions[i].vector, IST_NONE);
	EXPECT_FAULT_EQ(fault, exceptions[i].then, fault.error_code & SELECTOR_EXTERNAL, "%s",
			exceptions[i].name);
	EXPECT_EQ(*shadow_word(&ist_stack, token), token | SHADOW_TOKEN_BUSY, "%s",
		  exceptions[i].name);
}

TEST("a benign exception whose token is busy becomes GP")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(exceptions); i++)
		if (exceptions[i].then == GP)
			expect_second(i);
}

TEST("a contributory exception or PF whose token is busy becomes DF")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(exceptions); i++)
		if (exceptions[i].then == DF && exceptions[i].vector != CP)
			expect_second(i);
}

TEST("CP is a contributory exception")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(exceptions); i++)
		if (exceptions[i].vector == CP)
			expect_second(i);
}

TEST("a DF by IST has its frame, of the first event, below a token of its own")
{
	struct shadow_stack low;
	struct x86_fault fault;

	begin();
	map_page(STACK_VA - PAGE_SIZE, 0, LEVEL_4K, 0);
	low = stack;
	low.end = low.base + 32;
	table[IST_DF] = token;
	fault = FAULT_OF(ON_SHADOW_STACK(&low, 0, int_n(VECTOR)));
	EXPECT_FAULT_EQ(fault, DF, 0);
	EXPECT_EQ(fault.ssp, token - sizeof(struct shadow_frame));
	EXPECT_EQ(shadow_frame_at(fault.ssp).ssp, low.base + 16);
	EXPECT_EQ(shadow_frame_at(fault.ssp).lip, fault.ip);
	EXPECT_EQ(*shadow_word(&ist_stack, token), token | SHADOW_TOKEN_BUSY);
}
