// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks: events that do not change CPL, and IRET from them
 *
 * An event at CPL 0 with IA32_S_CET.SH_STK_EN pushes CS, LIP (CS base plus the return address) and SSP on
 * the shadow stack, in this order, 8 bytes each in all modes, at the next lower multiple of 8. If SSP
 * was 4 mod 8, the 4 bytes in between become 0. What kind of event it is makes no difference, and
 * there is no error code. IRET pops the three and goes on where the event came in, with SSP as it was.
 *
 * What IRET checks, and events that cannot be delivered, are in events_iret.c; those with a shadow
 * stack of their own in events_ist.c and events_task.c; those from CPL 3 in privilege.c.
 *
 * Sources: Intel SDM volume 2, "INT n/INTO/INT3/INT1", Operation, "INTRA-PRIVILEGE-LEVEL-INTERRUPT", and
 * "IRET/IRETD/IRETQ", Operation, "RETURN-TO-SAME-PRIVILEGE-LEVEL"; volume 1, "Shadow Stacks".
 */
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/cet_events.h>
#include <x86/descriptors.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/registers.h>
#include <x86/time.h>

#define VECTOR	 0x40
#define VECTOR_2 0x41
#define VECTOR_3 0x42
#define WAIT_MS	 5000

#define PATTERN	 0x5a5a5a5a5a5a5a5aull
#define OTHER_CS FREE_SELECTOR

/* The page that shadow stacks of these tests have; that below it stays unmapped. */
#define STACK_VA (SHADOW_VA + PAGE_SIZE)

static struct shadow_stack begin(void)
{
	cet_enable();
	return shadow_stack_new(STACK_VA, SHADOW_SUPERVISOR);
}

static struct shadow_event seen[3]; /* what the last handlers saw, by their vector */

static void record(struct x86_frame *frame)
{
	seen[0] = shadow_event_of(frame);
	if (frame->vector == VECTOR)
		apic_eoi();
}

/* The SSP before and behind something. */
struct passage {
	uintptr_t before, after;
};

/* INT n where SSP is this modulo 8. */
static struct passage int_at(const struct shadow_stack *stack, unsigned int remainder)
{
	struct passage ssp = { 0 };

	irq_handler(VECTOR, record);
	ON_SHADOW_STACK(stack, 0, if ((rdssp() & 7) != remainder) incssp32(1); ssp.before = rdssp();
			int_n(VECTOR); ssp.after = rdssp(); wrmsr(MSR_IA32_S_CET, 0));
	return ssp;
}

static void expect_frame(const struct shadow_event *what, uintptr_t ssp, const char *name)
{
	EXPECT_EQ(what->frame.ssp, shadow_frame_below(ssp), "%s", name);
	EXPECT_EQ(what->shadow.cs, KERNEL_CS, "%s", name);
	EXPECT_EQ(what->shadow.lip, what->frame.ip, "%s", name);
	EXPECT_EQ(what->shadow.ssp, ssp, "%s", name);
}

/*
 * --- the frame ---------------------------------------------------------------------------------
 */

TEST("INT n pushes CS, LIP and SSP on the shadow stack, 8 bytes each")
{
	struct shadow_stack stack = begin();
	uintptr_t ssp = int_at(&stack, 0).before;

	EXPECT_EQ(ssp & 7, 0);
	expect_frame(&seen[0], ssp, "SSP aligned");
	EXPECT_EQ(*shadow_word(&stack, ssp - 8), KERNEL_CS);
	EXPECT_EQ(*shadow_word(&stack, ssp - 16), seen[0].frame.ip);
	EXPECT_EQ(*shadow_word(&stack, ssp - 24), ssp);
}

TEST("with SSP at 4 mod 8 there are 4 bytes of 0 above the frame")
{
	struct shadow_stack stack = begin();
	volatile uint32_t *hole;
	uintptr_t ssp;

	memset((void *)stack.words, 0x5a, PAGE_SIZE);
	ssp = int_at(&stack, 4).before;
	hole = (volatile uint32_t *)(stack.words + (ssp - 4 - stack.base));
	EXPECT_EQ(ssp & 7, 4);
	EXPECT_EQ(*hole, 0);
	expect_frame(&seen[0], ssp, "SSP at 4 mod 8");
}

TEST("IRET pops the frame, and the hole above it")
{
	struct shadow_stack stack = begin();

	for (unsigned int remainder = 0; remainder < 8; remainder += 4) {
		struct passage ssp = int_at(&stack, remainder);

		EXPECT_EQ(ssp.after, ssp.before, "SSP %u mod 8", remainder);
	}
}

TEST("an interrupt of the APIC pushes the same frame, and IRET pops it")
{
	struct shadow_stack stack = begin();
	struct passage ssp = { 0 };

	irq_handler(VECTOR, record);
	apic_ipi(cpu_id(), VECTOR);
	REQUIRE(WAIT_FOR(apic_requested(VECTOR), WAIT_MS));
	ON_SHADOW_STACK(&stack, 0, ssp.before = rdssp(); irq_window(); ssp.after = rdssp());
	EXPECT_EQ(seen[0].frame.vector, VECTOR);
	expect_frame(&seen[0], ssp.before, "interrupt");
	EXPECT_EQ(ssp.after, ssp.before);
}

/* It may come in anywhere up to the end of the delay, so that SSP there is told by the frame alone. */
TEST("an NMI pushes the same frame, and IRET pops it")
{
	struct shadow_stack stack = begin();
	struct passage ssp = { 0 };

	irq_handler(NMI, record);
#ifdef __x86_64__
	idt_set_ist(NMI, IST_NONE);
#endif
	seen[0].frame.vector = NO_FAULT;
	ON_SHADOW_STACK(
		&stack, 0, ssp.before = rdssp(); apic_icr_write(ICR_NMI | ICR_ASSERT, apic_id());
		REQUIRE(WAIT_FOR(seen[0].frame.vector == NMI, WAIT_MS)); ssp.after = rdssp());
#ifdef __x86_64__
	idt_set_ist(NMI, IST_NMI);
#endif
	EXPECT_LE(seen[0].shadow.ssp, ssp.before);
	EXPECT_GT(seen[0].shadow.ssp, stack.base);
	expect_frame(&seen[0], seen[0].shadow.ssp, "NMI");
	EXPECT_EQ(ssp.after, ssp.before);
}

static uintptr_t raised_at; /* the SSP of a function that raises something */

__attribute__((noinline)) static void divide_by_zero(void)
{
	raised_at = rdssp();
	divl(0, 1, 0);
}

__attribute__((noinline)) static void undefined(void)
{
	raised_at = rdssp();
	ud2();
}

__attribute__((noinline)) static void breakpoint(void)
{
	raised_at = rdssp();
	int3();
}

__attribute__((noinline)) static void reserved_msr_bit(void)
{
	raised_at = rdssp();
	wrmsr(MSR_IA32_S_CET, CET_RESERVED);
}

__attribute__((noinline)) static void missing_selector(void)
{
	raised_at = rdssp();
	load_ds(GDT_ENTRIES * 8);
}

__attribute__((noinline)) static void no_memory(void)
{
	raised_at = rdssp();
	*(volatile uint8_t *)VA_FREE = 0;
}

__attribute__((noinline)) static void other_return(void)
{
	raised_at = rdssp();
	((volatile uintptr_t *)__builtin_frame_address(0))[1] += 1;
}

static const struct {
	const char *name;
	void (*raise)(void);
	unsigned int vector;
	uint32_t error_code;
} exceptions[] = {
	{ "DE, a fault", divide_by_zero, DE, 0 },
	{ "UD, a fault", undefined, UD, 0 },
	{ "BP, a trap", breakpoint, BP, 0 },
	{ "GP with error code 0", reserved_msr_bit, GP, 0 },
	{ "GP with a selector", missing_selector, GP, GDT_ENTRIES * 8 },
	{ "PF", no_memory, PF, PF_WRITE },
	{ "CP", other_return, CP, CP_NEAR_RET },
};

/* The data stack's error code has no counterpart on the shadow stack. */
TEST("each exception pushes that frame, and no error code")
{
	struct shadow_stack stack = begin();

	map_page(VA_FREE, 0, LEVEL_4K, 0);
	for (unsigned int i = 0; i < COUNT_OF(exceptions); i++) {
		const char *name = exceptions[i].name;
		struct shadow_frame shadow;
		struct x86_fault fault;

		ON_SHADOW_STACK(&stack, 0, fault = FAULT_OF(exceptions[i].raise()));
		EXPECT_FAULT_EQ(fault, exceptions[i].vector, exceptions[i].error_code, "%s", name);
		shadow = shadow_frame_at(fault.ssp);
		EXPECT_EQ(fault.ssp, shadow_frame_below(raised_at), "%s", name);
		EXPECT_EQ(shadow.cs, KERNEL_CS, "%s", name);
		EXPECT_EQ(shadow.lip, fault.ip, "%s", name);
		EXPECT_EQ(shadow.ssp, raised_at, "%s", name);
	}
}

TEST("a single step over CALL finds the return address on the shadow stack")
{
	struct shadow_stack stack = begin();
	struct x86_fault fault;
	uintptr_t ssp;

	ON_SHADOW_STACK(&stack, 0, fault = FAULT_OF(step_call()));
	EXPECT_FAULT_EQ(fault, DB, 0);
	EXPECT_EQ(fault.ip, (uintptr_t)stepped_function);
	ssp = shadow_frame_at(fault.ssp).ssp;
	EXPECT_EQ(fault.ssp, shadow_frame_below(ssp));
	EXPECT_EQ(shadow_frame_at(fault.ssp).lip, (uintptr_t)stepped_function);
	EXPECT_EQ(*(volatile uintptr_t *)ssp, (uintptr_t)stepped_call);
	write_dr6(DR6_DEFAULT);
}

TEST("a single step over RET finds it popped")
{
	struct shadow_stack stack = begin();
	struct x86_fault call, ret;
	uintptr_t ssp_in_function;

	ON_SHADOW_STACK(&stack, 0, call = FAULT_OF(step_call()));
	ssp_in_function = shadow_frame_at(call.ssp).ssp;
	ON_SHADOW_STACK(&stack, 0, ret = FAULT_OF(step_ret()));
	EXPECT_FAULT_EQ(ret, DB, 0);
	EXPECT_EQ(ret.ip, (uintptr_t)stepped_return);
	EXPECT_EQ(shadow_frame_at(ret.ssp).lip, (uintptr_t)stepped_return);
	EXPECT_EQ(shadow_frame_at(ret.ssp).ssp, ssp_in_function + sizeof(uintptr_t));
	write_dr6(DR6_DEFAULT);
}

static void nest(struct x86_frame *frame)
{
	struct shadow_event *what = &seen[frame->vector - VECTOR];

	*what = shadow_event_of(frame);
	if (frame->vector == VECTOR)
		int_n(VECTOR_2);
	else if (frame->vector == VECTOR_2)
		int_n(VECTOR_3);
	EXPECT_EQ(rdssp(), what->ssp, "back in the handler of 0x%x", (unsigned int)frame->vector);
}

TEST("events nest three deep, each with its frame, and return one by one")
{
	struct shadow_stack stack = begin();
	struct passage ssp = { 0 };

	for (unsigned int i = 0; i < COUNT_OF(seen); i++)
		irq_handler(VECTOR + i, nest);
	ON_SHADOW_STACK(&stack, 0, ssp.before = rdssp(); int_n(VECTOR); ssp.after = rdssp());
	expect_frame(&seen[0], ssp.before, "the first");
	expect_frame(&seen[1], seen[0].ssp, "the second");
	expect_frame(&seen[2], seen[1].ssp, "the third");
	EXPECT_LT(seen[2].frame.ssp, seen[1].frame.ssp);
	EXPECT_LT(seen[1].frame.ssp, seen[0].frame.ssp);
	EXPECT_EQ(ssp.after, ssp.before);
}

static struct x86_fault inner;

static void raise_in_handler(struct x86_frame *frame)
{
	seen[0] = shadow_event_of(frame);
	inner = FAULT_OF(undefined());
}

TEST("an exception in a handler pushes its frame below the handler's")
{
	struct shadow_stack stack = begin();
	uintptr_t ssp = 0;

	irq_handler(VECTOR, raise_in_handler);
	ON_SHADOW_STACK(&stack, 0, ssp = rdssp(); int_n(VECTOR));
	expect_frame(&seen[0], ssp, "the handler's");
	EXPECT_FAULT_EQ(inner, UD, 0);
	EXPECT_EQ(inner.ssp, shadow_frame_below(raised_at));
	EXPECT_EQ(shadow_frame_at(inner.ssp).ssp, raised_at);
	EXPECT_LT(raised_at, seen[0].ssp);
}

TEST("without IA32_S_CET.SH_STK_EN an event pushes nothing on the shadow stack")
{
	struct shadow_stack stack = begin();
	uintptr_t ssp = 0;

	irq_handler(VECTOR, record);
	*shadow_word(&stack, stack.end - 64) = PATTERN;
	ON_SHADOW_STACK(&stack, 0, ssp = rdssp(); wrmsr(MSR_IA32_S_CET, 0); int_n(VECTOR));
	EXPECT_EQ(seen[0].frame.ssp, 0);
	for (uintptr_t word = stack.end - 64 + 8; word < (ssp & ~7ul); word += 8)
		EXPECT_EQ(*shadow_word(&stack, word), 0, "at SSP - %lu", (long)(ssp - word));
	EXPECT_EQ(*shadow_word(&stack, stack.end - 64), PATTERN);
}
