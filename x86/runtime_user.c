// SPDX-License-Identifier: BSD-2-Clause
/*
 * The runtime: code at CPL 3
 *
 * Both hypercall ABIs treat a guest's user mode apart from its kernel, and so do the tests.
 * user_call() runs a function at CPL 3 and comes back with what it returned, or with the exception
 * that ended it. Here that way there and back is taken in each manner there is: by return, by every
 * kind of fault, with an interrupt in between, and a thousand times.
 *
 * What CPL 3 must not do raises #GP(0): Intel SDM volume 3, "Privileged Instructions", and volume
 * 1, "Protected-Mode I/O" (where IOPL is 0 and the TSS has no I/O map); AMD APM volume 3, chapter
 * 5. A gate whose DPL is below 3 gives #GP with the gate's number: SDM volume 3, "Protection of
 * Exception- and Interrupt-Handler Procedures". Alignment is checked at CPL 3 only, with CR0.AM and
 * EFLAGS.AC: "Interrupt 17".
 *
 * QEMU's TCG checks no alignment: that point is skipped where the CPU lets the access pass. For a
 * gate of the 64-bit IDT it gives vector * 16 + 2, which is listed in knownbugs.cfg.
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/io.h>
#include <x86/msr.h>
#include <x86/paging.h>
#include <x86/registers.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <x86/user.h>

#define CALLS	   1000
#define IRQ_VECTOR 0x50
#define WAIT_MS	   5000

static uintptr_t twice(uintptr_t argument)
{
	return 2 * argument;
}

static uintptr_t code_segment(uintptr_t argument)
{
	(void)argument;
	return read_cs();
}

static uintptr_t stack_segment(uintptr_t argument)
{
	(void)argument;
	return read_ss();
}

static uintptr_t flags(uintptr_t argument)
{
	(void)argument;
	return read_flags();
}

static uintptr_t cpu_number(uintptr_t argument)
{
	(void)argument;
	return cpu_id();
}

TEST("a function at CPL 3 gets its argument and returns its value")
{
	static const uintptr_t arguments[] = { 0, 21, INTPTR_MAX };

	for (unsigned int i = 0; i < COUNT_OF(arguments); i++) {
		struct user_result result = user_call(twice, arguments[i]);

		EXPECT_TRUE(result.returned);
		EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
		EXPECT_EQ(result.value, 2 * arguments[i]);
	}
}

TEST("it runs at CPL 3, with IOPL 0 and interrupts as in the caller")
{
	uintptr_t user_flags = user_call(flags, 0).value;

	EXPECT_EQ(user_call(code_segment, 0).value & 3, 3);
	EXPECT_EQ(user_call(stack_segment, 0).value & 3, 3);
	EXPECT_EQ(user_flags & (FLAGS_IOPL | FLAGS_IF), 0);
	irq_enable();
	user_flags = user_call(flags, 0).value;
	EXPECT_EQ(read_flags() & FLAGS_IF, FLAGS_IF);
	irq_disable();
	EXPECT_EQ(user_flags & (FLAGS_IOPL | FLAGS_IF), FLAGS_IF);
}

TEST("it knows on which CPU it is")
{
	EXPECT_EQ(user_call(cpu_number, 0).value, cpu_id());
}

static uintptr_t halt(uintptr_t argument)
{
	hlt();
	return argument;
}

static uintptr_t disable_interrupts(uintptr_t argument)
{
	irq_disable();
	return argument;
}

static uintptr_t read_control_register(uintptr_t argument)
{
	(void)argument;
	return read_cr0();
}

static uintptr_t write_control_register(uintptr_t argument)
{
	write_cr3(argument);
	return 0;
}

static uintptr_t read_msr(uintptr_t argument)
{
	return rdmsr(argument);
}

static uintptr_t write_msr(uintptr_t argument)
{
	wrmsr(argument, 0);
	return 0;
}

static uintptr_t read_port(uintptr_t argument)
{
	return inb(argument);
}

static uintptr_t write_port(uintptr_t argument)
{
	outb(argument, 0);
	return 0;
}

static uintptr_t invalidate(uintptr_t argument)
{
	invlpg(argument);
	return 0;
}

static uintptr_t divide_by_zero(uintptr_t argument)
{
	return divl(0, argument, 0);
}

static uintptr_t breakpoint(uintptr_t argument)
{
	int3();
	return argument;
}

static uintptr_t undefined(uintptr_t argument)
{
	ud2();
	return argument;
}

static uintptr_t read_byte(uintptr_t argument)
{
	return *(volatile uint8_t *)argument;
}

static uintptr_t write_byte(uintptr_t argument)
{
	*(volatile uint8_t *)argument = 0;
	return 0;
}

static const struct {
	const char *name;
	user_function *function;
	uintptr_t argument;
	unsigned int vector;
	uint32_t error_code;
} faults[] = {
	{ "HLT", halt, 0, GP, 0 },
	{ "CLI", disable_interrupts, 0, GP, 0 },
	{ "a read of CR0", read_control_register, 0, GP, 0 },
	{ "a write of CR3", write_control_register, 0, GP, 0 },
	{ "RDMSR", read_msr, MSR_EFER, GP, 0 },
	{ "WRMSR", write_msr, MSR_STAR, GP, 0 },
	{ "IN", read_port, 0xe9, GP, 0 },
	{ "OUT", write_port, 0x80, GP, 0 },
	{ "INVLPG", invalidate, 0, GP, 0 },
	{ "division by zero", divide_by_zero, 1, DE, 0 },
	{ "INT3", breakpoint, 0, BP, 0 },
	{ "UD2", undefined, 0, UD, 0 },
	{ "a read of no memory", read_byte, VA_FREE, PF, PF_USER },
	{ "a write of no memory", write_byte, VA_FREE, PF, PF_USER | PF_WRITE },
};

TEST("what CPL 3 must not do, and faults of all kinds, end the function")
{
	for (unsigned int i = 0; i < COUNT_OF(faults); i++) {
		struct user_result result = user_call(faults[i].function, faults[i].argument);

		EXPECT_FALSE(result.returned, "%s", faults[i].name);
		EXPECT_FAULT_EQ(result.fault, faults[i].vector, faults[i].error_code, "%s",
				faults[i].name);
		EXPECT_EQ(result.fault.cr2, faults[i].vector == PF ? faults[i].argument : 0, "%s",
			  faults[i].name);
	}
}

TEST("a page without U is out of reach")
{
	uint8_t *page = page_alloc();

	map_page(VA_FREE, (uintptr_t)page, LEVEL_4K, PTE_P | PTE_W);
	EXPECT_FAULT_EQ(user_call(read_byte, VA_FREE).fault, PF, PF_USER | PF_PRESENT);
	EXPECT_FAULT_EQ(user_call(write_byte, VA_FREE).fault, PF, PF_USER | PF_PRESENT | PF_WRITE);
	EXPECT_NO_FAULT(read_byte(VA_FREE));
	map_page(VA_FREE, 0, LEVEL_4K, 0);
	page_free(page);
}

static uintptr_t raise_irq_vector(uintptr_t argument)
{
	int_n(IRQ_VECTOR);
	return argument;
}

TEST("INT n through a gate for CPL 0 raises GP with the gate's number")
{
	EXPECT_FAULT_EQ(user_call(raise_irq_vector, 0).fault, GP, SELECTOR_IDT_ERROR(IRQ_VECTOR));
}

static uintptr_t misaligned_read(uintptr_t argument)
{
	uint32_t value;

	write_flags(read_flags() | FLAGS_AC);
	value = *(volatile uint32_t *)(argument + 1);
	write_flags(read_flags() & ~FLAGS_AC);
	return value;
}

TEST("a misaligned access with EFLAGS.AC raises AC")
{
	uint32_t words[2] = { 0 };
	struct user_result result = user_call(misaligned_read, (uintptr_t)words);

	if (result.returned)
		SKIP("this CPU checks no alignment (QEMU TCG)");
	EXPECT_FAULT_EQ(result.fault, AC, 0);
	EXPECT_EQ(read_flags() & FLAGS_AC, 0);
}

static volatile unsigned int interrupts, interrupts_at_cpl3;

static void count_interrupt(struct x86_frame *frame)
{
	interrupts++;
	interrupts_at_cpl3 += frame_is_user(frame);
	apic_eoi();
}

static uintptr_t interrupts_so_far(uintptr_t argument)
{
	(void)argument;
	return interrupts;
}

/* With one interrupt pending; a timer would fire at CPL 0 if this CPU is slow or not running. */
static struct user_result call_with_interrupt_pending(irq_function *handler)
{
	interrupts = interrupts_at_cpl3 = 0;
	irq_handler(IRQ_VECTOR, handler);
	apic_ipi(cpu_id(), IRQ_VECTOR);
	REQUIRE(WAIT_FOR(apic_requested(IRQ_VECTOR), WAIT_MS));
	return user_call_interruptible(interrupts_so_far, 0);
}

TEST("an interrupt comes in at CPL 3, and the function goes on")
{
	struct user_result result = call_with_interrupt_pending(count_interrupt);

	EXPECT_TRUE(result.returned);
	EXPECT_EQ(read_flags() & FLAGS_IF, 0);
	EXPECT_EQ(result.value, 1);
	EXPECT_EQ(interrupts, 1);
	EXPECT_EQ(interrupts_at_cpl3, 1);
}

static void fault_in_handler(struct x86_frame *frame)
{
	(void)frame;
	interrupts++;
	EXPECT_FAULT(UD, 0, ud2());
	apic_eoi();
}

TEST("a fault caught in the handler of such an interrupt is not the function's")
{
	struct user_result result = call_with_interrupt_pending(fault_in_handler);

	EXPECT_TRUE(result.returned);
	EXPECT_EQ(result.value, 1);
}

TEST("a thousand calls, with and without a fault, use up no stack")
{
	for (unsigned int i = 0; i < CALLS; i++) {
		ASSERT_EQ(user_call(twice, i).value, 2 * i);
		ASSERT_EQ(user_call(undefined, i).fault.vector, UD);
	}
}
