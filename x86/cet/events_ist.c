// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shadow stacks: events with a shadow stack of the interrupt SSP table
 *
 * A gate of the 64-bit IDT with an IST number n other than 0 switches to the data stack n of the TSS and,
 * if shadow stacks are on at the CPL of the handler, to the SSP that is the 8-byte entry n of the table
 * at IA32_INTERRUPT_SSP_TABLE_ADDR. Entry 0 is not used. The token at that SSP becomes busy; CS, LIP and
 * the old SSP go below it, if the event did not come from CPL 3. IRET finds another SSP in its frame than
 * that of the token behind it, and frees the token: if it holds something else, that stays as it is, and is
 * no fault. The old SSP may be 0, as it is after SYSCALL.
 *
 * What the CPU refuses is in events_ist_refused.c; events from CPL 3 are in privilege.c.
 *
 * Sources: Intel SDM volume 2, "INT n/INTO/INT3/INT1", Operation, "INTRA-PRIVILEGE-LEVEL-INTERRUPT", and
 * "IRET/IRETD/IRETQ", Operation, "RETURN-TO-SAME-PRIVILEGE-LEVEL"; volume 4 for the MSR.
 */
#include <test/test.h>
#include <x86/apic.h>
#include <x86/cet_events.h>
#include <x86/descriptors.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/time.h>

#define VECTOR	    0x40
#define VECTOR_2    0x41
#define WAIT_MS	    5000

#define ENTRIES	    8

#define STACK_VA    (SHADOW_VA + PAGE_SIZE)
#define IST_VA(ist) (SHADOW_VA + (0x10 + 2 * (ist)) * PAGE_SIZE)

static struct shadow_stack stack, ist_stack;
static uintptr_t token; /* on ist_stack */
static uint64_t *table; /* with this token for IST_FREE, else as the runtime's */
static uintptr_t ssp_before, ssp_after;
static struct shadow_event seen[2]; /* by their vector */
static uint64_t token_in_handler;

static void record(struct x86_frame *frame)
{
	seen[frame->vector == VECTOR_2] = shadow_event_of(frame);
	token_in_handler = *shadow_word(&ist_stack, token);
}

static void begin(void)
{
	cet_enable();
	stack = shadow_stack_new(STACK_VA, SHADOW_SUPERVISOR);
	ist_stack = shadow_stack_new(IST_VA(IST_FREE), SHADOW_SUPERVISOR);
	table = ssp_table_new();
	token = shadow_stack_token(&ist_stack);
	table[IST_FREE] = token;
	irq_handler(VECTOR, record);
	irq_handler(VECTOR_2, record);
}

static void raise(void)
{
	ssp_before = rdssp();
	int_n(VECTOR);
	ssp_after = rdssp();
}

/* INT n by a gate with that IST number. */
static struct x86_fault event_by(unsigned int ist)
{
	struct x86_fault fault;

	idt_set_ist(VECTOR, ist);
	fault = FAULT_OF(ON_SHADOW_STACK(&stack, 0, raise()));
	idt_set_ist(VECTOR, IST_NONE);
	return fault;
}

static struct x86_fault event(void)
{
	ssp_table_use(table);
	return event_by(IST_FREE);
}

/*
 * --- the way there and back ------------------------------------------------------------------------
 */

TEST("an IST event takes SSP from the table, and pushes its frame below the token")
{
	begin();
	EXPECT_FAULT_EQ(event(), NO_FAULT, 0);
	EXPECT_EQ(seen[0].frame.ssp, token - sizeof(struct shadow_frame));
	EXPECT_EQ(seen[0].shadow.cs, KERNEL_CS);
	EXPECT_EQ(seen[0].shadow.lip, seen[0].frame.ip);
	EXPECT_EQ(seen[0].shadow.ssp, ssp_before);
}

TEST("the token is busy in the handler of an IST event, and free after its IRET")
{
	begin();
	EXPECT_FAULT_EQ(event(), NO_FAULT, 0);
	EXPECT_EQ(token_in_handler, token | SHADOW_TOKEN_BUSY);
	EXPECT_EQ(*shadow_word(&ist_stack, token), token);
}

TEST("IRET from an IST event brings the old SSP back")
{
	begin();
	EXPECT_FAULT_EQ(event(), NO_FAULT, 0);
	EXPECT_NE(ssp_before, 0);
	EXPECT_EQ(ssp_after, ssp_before);
}

TEST("the IST number chooses the entry of the table")
{
	struct x86_tss saved = *cpu_tss();

	begin();
	for (unsigned int ist = 1; ist < ENTRIES; ist++) {
		struct shadow_stack own = shadow_stack_new(IST_VA(ist), SHADOW_SUPERVISOR);

		table[ist] = shadow_stack_token(&own);
		cpu_tss()->ist[ist - 1] = saved.ist[IST_FREE - 1];
	}
	for (unsigned int ist = 1; ist < ENTRIES; ist++) {
		EXPECT_FAULT_EQ(event_by(ist), NO_FAULT, 0, "IST %u", ist);
		EXPECT_EQ(seen[0].frame.ssp, table[ist] - sizeof(struct shadow_frame), "IST %u",
			  ist);
	}
	*cpu_tss() = saved;
}

TEST("an SSP at 4 mod 8 is kept in the frame of an IST event")
{
	begin();
	idt_set_ist(VECTOR, IST_FREE);
	ON_SHADOW_STACK(&stack, 0, incssp32(1); ssp_before = rdssp(); int_n(VECTOR);
			ssp_after = rdssp(); wrmsr(MSR_IA32_S_CET, 0));
	idt_set_ist(VECTOR, IST_NONE);
	EXPECT_EQ(ssp_before & 7, 4);
	EXPECT_EQ(seen[0].frame.ssp, token - sizeof(struct shadow_frame));
	EXPECT_EQ(seen[0].shadow.ssp, ssp_before);
	EXPECT_EQ(ssp_after, ssp_before);
}

/* As it is between SYSCALL and SETSSBSY. */
TEST("an IST event with SSP 0 arrives, and returns to SSP 0")
{
	begin();
	idt_set_ist(VECTOR, IST_FREE);
	ON_SHADOW_STACK(&stack, 0, clrssbsy(stack.end - 8); ssp_before = rdssp_over(1);
			int_n(VECTOR); ssp_after = rdssp_over(1); wrmsr(MSR_IA32_S_CET, 0));
	idt_set_ist(VECTOR, IST_NONE);
	EXPECT_EQ(ssp_before, 0);
	EXPECT_EQ(seen[0].frame.ssp, token - sizeof(struct shadow_frame));
	EXPECT_EQ(seen[0].shadow.ssp, 0);
	EXPECT_EQ(ssp_after, 0);
	EXPECT_EQ(*shadow_word(&ist_stack, token), token);
}

TEST("an NMI by IST has its token busy in the handler, and free after IRET")
{
	begin();
	table[IST_NMI] = token;
	irq_handler(NMI, record);
	seen[0].frame.vector = NO_FAULT;
	ON_SHADOW_STACK(&stack, 0, apic_icr_write(ICR_NMI | ICR_ASSERT, apic_id());
			REQUIRE(WAIT_FOR(seen[0].frame.vector == NMI, WAIT_MS)));
	EXPECT_EQ(seen[0].frame.ssp, token - sizeof(struct shadow_frame));
	EXPECT_EQ(token_in_handler, token | SHADOW_TOKEN_BUSY);
	EXPECT_EQ(*shadow_word(&ist_stack, token), token);
}

static void break_token(struct x86_frame *frame)
{
	record(frame);
	*shadow_word(&ist_stack, token) = 0x1234;
}

TEST("IRET from an IST event leaves a token alone that is none any more")
{
	begin();
	irq_handler(VECTOR, break_token);
	EXPECT_FAULT_EQ(event(), NO_FAULT, 0);
	EXPECT_EQ(*shadow_word(&ist_stack, token), 0x1234);
	EXPECT_EQ(ssp_after, ssp_before);
}

/*
 * --- nesting ---------------------------------------------------------------------------------------
 */

static void raise_second(struct x86_frame *frame)
{
	seen[0] = shadow_event_of(frame);
	int_n(VECTOR_2);
}

TEST("IST events of different numbers nest, each with its token")
{
	const unsigned int other = IST_MC;
	struct shadow_stack own;

	begin();
	own = shadow_stack_new(IST_VA(other), SHADOW_SUPERVISOR);
	table[other] = shadow_stack_token(&own);
	irq_handler(VECTOR, raise_second);
	idt_set_ist(VECTOR_2, other);
	EXPECT_FAULT_EQ(event(), NO_FAULT, 0);
	idt_set_ist(VECTOR_2, IST_NONE);
	EXPECT_EQ(seen[1].frame.ssp, table[other] - sizeof(struct shadow_frame));
	EXPECT_EQ(seen[1].shadow.ssp, seen[0].ssp);
	EXPECT_EQ(token_in_handler, token | SHADOW_TOKEN_BUSY);
	EXPECT_EQ(*shadow_word(&own, table[other]), table[other]);
	EXPECT_EQ(*shadow_word(&ist_stack, token), token);
	EXPECT_EQ(ssp_after, ssp_before);
}

static struct x86_fault inner;

#define STACK_SHIFT 0x1000

/*
 * The data stack is written before the shadow stack is looked at, so that the second event must not
 * begin at the upper end of this stack.
 */
static void raise_again(struct x86_frame *frame)
{
	(void)frame;
	cpu_tss()->ist[IST_FREE - 1] -= STACK_SHIFT;
	idt_set_ist(VECTOR_2, IST_FREE);
	inner = FAULT_OF(ssp_before = rdssp(); int_n(VECTOR_2));
	idt_set_ist(VECTOR_2, IST_NONE);
	cpu_tss()->ist[IST_FREE - 1] += STACK_SHIFT;
}

TEST("an IST event in the handler of one with the same number raises GP")
{
	begin();
	irq_handler(VECTOR, raise_again);
	EXPECT_FAULT_EQ(event(), NO_FAULT, 0);
	EXPECT_FAULT_EQ(inner, GP, 0);
	EXPECT_EQ(shadow_frame_at(inner.ssp).ssp, ssp_before);
	EXPECT_LT(inner.ssp, token);
	EXPECT_GT(inner.ssp, ist_stack.base);
}
