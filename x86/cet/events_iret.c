// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks: what IRET to the same CPL checks, and events that cannot be delivered
 *
 * IRET to the same CPL takes CS and the return address from the data stack, and compares them with what
 * it pops from the shadow stack, in this order:
 *
 *	SSP is a multiple of 8						else #CP(FAR-RET/IRET)
 *	CS is the same, in all 64 bits, and so is LIP			else #CP(FAR-RET/IRET)
 *	the old SSP is a multiple of 4					else #CP(FAR-RET/IRET)
 *	it has no bits 63:32 outside of 64-bit mode, is canonical in it	else #GP(0)
 *
 * It is a fault: raised in the context of the IRET, with SSP as it was before it. In IA-32e mode an IRET
 * that finds another SSP than that right behind the frame has left a stack of the IST, and frees its token.
 * One that finds that SSP has switched no stack: a busy token there stays busy, and nothing above the
 * frame is touched. This is checked with an SSP at its token, and at the end of its page.
 *
 * What faults while an event is delivered is raised in its place. That fault has the same shadow stack to
 * use: if it was a page of that, the second #PF is a #DF. Only a #PF with a shadow stack of its own, by IST,
 * is seen as what it is: a supervisor's write of a shadow stack, bit 6 of the error code set. There the
 * shadow stack pointer is as before the event.
 *
 * Sources: Intel SDM volume 2, "IRET/IRETD/IRETQ", Operation, "RETURN-TO-SAME-PRIVILEGE-LEVEL", and
 * "INT n/INTO/INT3/INT1", Operation; volume 3, "Interrupt 8", "Interrupt 14" and "Interrupt 21".
 *
 * Bochs has one path for all of IRETQ (cpu/iret.cc, long_iret): it frees whatever token is at the SSP behind
 * the frame, also to the same stack; and it does not look whether the old SSP is canonical.
 */
#include <libc/array.h>
#include <libc/format.h>
#include <test/test.h>
#include <x86/cet_events.h>
#include <x86/descriptors.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/paging.h>

#define VECTOR	 0x40
#define OTHER_CS FREE_SELECTOR

/* The page that shadow stacks of these tests have; tests choose what is below it. */
#define STACK_VA (SHADOW_VA + PAGE_SIZE)
#define BELOW_VA SHADOW_VA

static struct shadow_stack stack;

static void begin(void)
{
	cet_enable();
	stack = shadow_stack_new(STACK_VA, SHADOW_SUPERVISOR);
	map_page(STACK_VA + PAGE_SIZE, 0, LEVEL_4K, 0);
}

/*
 * --- IRET with a frame that does not match ----------------------------------------------------------
 */

enum { OLD_SSP = 0, LIP = 8, CS = 16 }; /* offsets in struct shadow_frame */

static struct {
	unsigned int offset;
	uint64_t flip;
	uintptr_t ssp; /* of the frame */
} change;

static void change_shadow_frame(struct x86_frame *frame)
{
	change.ssp = frame->ssp;
	*shadow_word(&stack, frame->ssp + change.offset) ^= change.flip;
}

static struct x86_fault iret_of(irq_function *handler)
{
	struct x86_fault fault;

	irq_handler(VECTOR, handler);
	ON_SHADOW_STACK(&stack, 0, fault = FAULT_OF(int_n(VECTOR); nop()));
	return fault;
}

/* IRET has raised this, with SSP at its frame. */
static void expect_fault_of_iret(struct x86_fault fault, unsigned int vector, uint32_t error_code,
				 const char *name)
{
	const uint8_t *code = (const uint8_t *)fault.ip;
	struct shadow_frame shadow;

	if (!EXPECT_FAULT_EQ(fault, vector, error_code, "%s", name))
		return;
#ifdef __x86_64__
	EXPECT_EQ(*code++, 0x48, "the REX.W of IRETQ (%s)", name);
#endif
	EXPECT_EQ(*code, 0xcf, "IRET (%s)", name);
	shadow = shadow_frame_at(fault.ssp);
	EXPECT_EQ(shadow.lip, fault.ip, "%s", name);
	EXPECT_EQ(shadow.ssp, change.ssp, "%s", name);
}

static void expect_faults(unsigned int offset, const uint64_t *bits, unsigned int count,
			  unsigned int vector, uint32_t error_code)
{
	begin();
	change.offset = offset;
	for (unsigned int i = 0; i < count; i++) {
		char name[32];

		change.flip = bits[i];
		format_text(name, sizeof(name), "^ 0x%llx", (unsigned long long)bits[i]);
		expect_fault_of_iret(iret_of(change_shadow_frame), vector, error_code, name);
	}
}

TEST("IRET with another CS on the shadow stack raises CP, whichever of 64 bits it is")
{
	static const uint64_t bits[] = { 1, 1 << 3, 1 << 15, 1 << 16, 1ull << 32, 1ull << 63 };

	expect_faults(CS, bits, COUNT_OF(bits), CP, CP_FAR_RET_IRET);
}

TEST("IRET with another LIP on the shadow stack raises CP, whichever of 64 bits it is")
{
	static const uint64_t bits[] = { 1, 1 << 3, 1ull << 31, 1ull << 32, 1ull << 63 };

	expect_faults(LIP, bits, COUNT_OF(bits), CP, CP_FAR_RET_IRET);
}

TEST("IRET to an SSP that is no multiple of 4 raises CP")
{
	static const uint64_t bits[] = { 1, 2, 3 };

	expect_faults(OLD_SSP, bits, COUNT_OF(bits), CP, CP_FAR_RET_IRET);
}

#ifdef __x86_64__
static void change_shadow_frame_and_free_token(struct x86_frame *frame)
{
	change_shadow_frame(frame);
	shadow_stack_token(&stack);
}

/*
 * On a CPU that takes it, SETSSBSY gets rid of it at once: VMX could not enter a guest with such an SSP.
 */
TEST("IRET to an SSP that is not canonical raises GP")
{
	struct x86_fault fault;

	begin();
	change.offset = OLD_SSP;
	change.flip = 1ull << 63;
	irq_handler(VECTOR, change_shadow_frame_and_free_token);
	ON_SHADOW_STACK(&stack, 0, fault = FAULT_OF(int_n(VECTOR); setssbsy()));
	expect_fault_of_iret(fault, GP, 0, "not canonical");
}
#else
TEST("IRET to an SSP above 4 GiB raises GP in 32-bit mode")
{
	static const uint64_t bits[] = { 1ull << 32, 1ull << 63 };

	expect_faults(OLD_SSP, bits, COUNT_OF(bits), GP, 0);
}
#endif

static void return_elsewhere(struct x86_frame *frame)
{
	change.ssp = frame->ssp;
	frame->ip++; /* behind the NOP */
}

TEST("IRET to another address than the event came from raises CP")
{
	begin();
	expect_fault_of_iret(iret_of(return_elsewhere), CP, CP_FAR_RET_IRET, "one byte further");
}

static void return_to_other_cs(struct x86_frame *frame)
{
	change.ssp = frame->ssp;
	frame->cs = OTHER_CS;
}

TEST("IRET to another selector of an equal segment raises CP")
{
#ifdef __x86_64__
	const uint64_t mode = SEGMENT_64;
#else
	const uint64_t mode = SEGMENT_32;
#endif

	begin();
	gdt_write(OTHER_CS, SEGMENT_FLAT | SEGMENT_PRESENT | SEGMENT_CODE | mode);
	expect_fault_of_iret(iret_of(return_to_other_cs), CP, CP_FAR_RET_IRET, "another CS");
	gdt_write(OTHER_CS, 0);
}

TEST("IRET with SSP at 4 mod 8 raises CP")
{
	struct x86_fault fault;

	begin();
	ON_SHADOW_STACK(&stack, 0, fault = FAULT_OF(iret_at(stack.end - 12)));
	EXPECT_FAULT_EQ(fault, CP, CP_FAR_RET_IRET);
	EXPECT_EQ(fault.ip, (uintptr_t)iret_at_instruction);
	EXPECT_EQ(shadow_frame_at(fault.ssp).ssp, stack.end - 12);
}

/* Which of the three words is read first is the CPU's. */
TEST("IRET without a shadow stack page under SSP raises PF with the shadow stack bit")
{
	struct x86_fault fault;

	begin();
	ON_SHADOW_STACK(&stack, 0, fault = FAULT_OF(iret_at(stack.end)));
	EXPECT_FAULT_EQ(fault, PF, PF_SHADOW_STACK);
	EXPECT_EQ(fault.ip, (uintptr_t)iret_at_instruction);
	EXPECT_GE(fault.cr2, stack.end);
	EXPECT_LT(fault.cr2, stack.end + sizeof(struct shadow_frame));
	EXPECT_EQ(shadow_frame_at(fault.ssp).ssp, stack.end);
}

/*
 * --- IRET that switches no stack --------------------------------------------------------------------
 */

static void nothing(struct x86_frame *frame)
{
	(void)frame;
}

TEST("IRET to the SSP of a busy token on the same shadow stack leaves it busy")
{
	uintptr_t before = 0, after = 0;

	begin();
	irq_handler(VECTOR, nothing);
	ON_SHADOW_STACK(&stack, 0, incssp(1); before = rdssp(); int_n(VECTOR); after = rdssp();
			wrmsr(MSR_IA32_S_CET, 0));
	EXPECT_EQ(before, stack.end - 8);
	EXPECT_EQ(after, before);
	EXPECT_EQ(*shadow_word(&stack, before), before | SHADOW_TOKEN_BUSY);
}

TEST("an event on an empty shadow stack, and IRET from it, touch nothing above")
{
	struct x86_fault fault;

	begin();
	irq_handler(VECTOR, nothing);
	fault = FAULT_OF(ON_SHADOW_STACK(&stack, 0, incssp(1); incssp32(2); int_n(VECTOR);
					 wrmsr(MSR_IA32_S_CET, 0)));
	EXPECT_FAULT_EQ(fault, NO_FAULT, 0);
}

/*
 * --- events that cannot be delivered ----------------------------------------------------------------
 */

/*
 * INT n where CS and LIP of the frame have their place at the lower end of the page, and SSP has not.
 */
static struct x86_fault event_over_the_edge(void)
{
	struct shadow_stack low = stack;

	low.end = low.base + 32;
	return FAULT_OF(ON_SHADOW_STACK(&low, 0, int_n(VECTOR)));
}

static const struct {
	const char *name;
	uint64_t flags;
	uint32_t error_code;
} below[] = {
	{ "not present", 0, 0 },
	{ "writable", PTE_P | PTE_W | PTE_D | PTE_A, PF_PRESENT },
	{ "read-only and clean", PTE_P | PTE_A, PF_PRESENT },
	{ "of the user's", PTE_SHADOW_USER, PF_PRESENT },
};

TEST("an event that finds no shadow stack page is a DF, as the PF finds none either")
{
	skip_without_task_switch();
	begin();
	irq_handler(VECTOR, nothing);
	for (unsigned int i = 0; i < COUNT_OF(below); i++) {
		map_page(BELOW_VA, (uintptr_t)page_alloc(), LEVEL_4K, below[i].flags);
		EXPECT_FAULT_EQ(event_over_the_edge(), DF, 0, "a page %s", below[i].name);
	}
}

TEST("the same with a page below it arrives")
{
	begin();
	irq_handler(VECTOR, nothing);
	map_page(BELOW_VA, (uintptr_t)page_alloc(), LEVEL_4K, PTE_SHADOW_SUPERVISOR);
	EXPECT_FAULT_EQ(event_over_the_edge(), NO_FAULT, 0);
}

#ifdef __x86_64__
TEST("that PF, on a shadow stack of its own, tells of a supervisor's write of a shadow stack")
{
	begin();
	irq_handler(VECTOR, nothing);
	for (unsigned int i = 0; i < COUNT_OF(below); i++) {
		struct x86_fault fault;

		map_page(BELOW_VA, (uintptr_t)page_alloc(), LEVEL_4K, below[i].flags);
		idt_set_ist(PF, IST_FREE);
		fault = event_over_the_edge();
		idt_set_ist(PF, IST_NONE);
		EXPECT_FAULT_EQ(fault, PF, below[i].error_code | PF_WRITE | PF_SHADOW_STACK,
				"a page %s", below[i].name);
		EXPECT_EQ(fault.cr2, stack.base - 8, "a page %s", below[i].name);
		EXPECT_EQ(((const uint8_t *)fault.ip)[0], 0xcd, "INT n (%s)", below[i].name);
		EXPECT_EQ(shadow_frame_at(fault.ssp).ssp, stack.base + 16, "a page %s",
			  below[i].name);
	}
}
#endif
