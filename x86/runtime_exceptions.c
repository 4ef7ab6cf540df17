// SPDX-License-Identifier: BSD-2-Clause
/*
 * The runtime: exceptions
 *
 * Every test relies on the runtime to see the exception that the CPU raised: its vector, its error
 * code, the address of the instruction, and CR2. Here each exception that a guest can raise by
 * itself is raised in the plainest way that the manuals give, and must arrive as just that.
 *
 *	fault	ip is that of the instruction		#DE #UD #NM #TS #NP #SS #GP #PF #MF #AC #XM
 *	trap	ip is that of the next instruction	#DB (single step) #BP #OF, INT n
 *	abort	ip is not reliable			#DF
 *
 * The error code of #TS, #NP, #SS and #GP is the selector of the descriptor at fault without its
 * RPL, or vector * 8 + 2 for a gate of the IDT, or 0 if no descriptor is to blame.
 *
 * Sources: Intel SDM volume 3, "Interrupt and Exception Handling", in particular
 * "Exception and Interrupt Reference"; AMD APM volume 2, chapter 8. #PF has a test of its own,
 * runtime_paging.c; what is raised at CPL 3 is in runtime_user.c.
 *
 * QEMU's TCG raises no #XM, and reads any MSR: these points are skipped where the CPU lets them
 * pass. For a gate of the 64-bit IDT it gives the error code vector * 16 + 2
 * (target/i386/tcg/seg_helper.c, do_interrupt64), which is listed in knownbugs.cfg.
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/cpuid.h>
#include <x86/descriptors.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/msr.h>
#include <x86/paging.h>
#include <x86/registers.h>
#include <x86/time.h>
#include <xen/page.h>

/* A selector past the end of the GDT. */
#define NO_SELECTOR (GDT_ENTRIES * 8)

#define SELECTOR_A  FREE_SELECTOR
#define SELECTOR_B  (FREE_SELECTOR + 16)

/* Intel SDM volume 1, sections 8.1.5 and 10.2.3: all exceptions masked, and the bit of one. */
#define X87_DEFAULT	  0x37f
#define X87_ZERO_DIVIDE	  0x004
#define MXCSR_DEFAULT	  0x1f80
#define MXCSR_ZERO_DIVIDE 0x0200

/*
 * IA32_PKRS; its upper half is reserved, and without supervisor protection keys it does not exist.
 */
#define MSR_IA32_PKRS 0x6e1
#define PKRS_RESERVED (1ull << 32)

static const uint8_t bytes_ud2[] = { 0x0f, 0x0b };

static void divide_by_zero(void)
{
	divl(0, 1, 0);
}

static void divide_overflow(void)
{
	divl(1, 0, 1);
}

static void breakpoint(void)
{
	int3();
}

static void overflow(void)
{
#ifdef __x86_64__
	int_n(OF); /* there is no INTO */
#else
	into();
#endif
}

static void undefined(void)
{
	ud2();
}

static void x87_with_task_switched(void)
{
	write_cr0(read_cr0() | CR0_TS);
	fnop();
}

static void x87_division(void)
{
	fninit();
	fldcw(X87_DEFAULT & ~X87_ZERO_DIVIDE);
	x87_divide_by_zero();
}

static void load_missing_selector(void)
{
	load_ds(NO_SELECTOR);
}

static void load_code_as_stack(void)
{
	load_ss(KERNEL_CS);
}

static void load_data_as_tss(void)
{
	load_tr(KERNEL_DS);
}

static void reserved_msr_bit(void)
{
	wrmsr(MSR_IA32_PKRS, PKRS_RESERVED);
}

static const struct {
	const char *name;
	void (*raise)(void);
	unsigned int vector;
	uint32_t error_code;
} cases[] = {
	{ "division by zero", divide_by_zero, DE, 0 },
	{ "a quotient of 33 bits", divide_overflow, DE, 0 },
	{ "INT3", breakpoint, BP, 0 },
	{ "overflow", overflow, OF, 0 },
	{ "UD2", undefined, UD, 0 },
	{ "an x87 instruction with CR0.TS", x87_with_task_switched, NM, 0 },
	{ "x87 division by zero", x87_division, MF, 0 },
	{ "a selector past the GDT's end", load_missing_selector, GP, NO_SELECTOR },
	{ "a code segment in SS", load_code_as_stack, GP, KERNEL_CS },
	{ "LTR of a data segment", load_data_as_tss, GP, KERNEL_DS },
	{ "a reserved bit of an MSR", reserved_msr_bit, GP, 0 },
};

TEST("each exception arrives with its vector and error code")
{
	for (unsigned int i = 0; i < COUNT_OF(cases); i++) {
		struct x86_fault fault = FAULT_OF(cases[i].raise());

		EXPECT_FAULT_EQ(fault, cases[i].vector, cases[i].error_code, "%s", cases[i].name);
		write_cr0(read_cr0() & ~CR0_TS);
	}
	fninit();
}

TEST("a fault's ip is that of the instruction")
{
	struct x86_fault fault = FAULT_OF(ud2());

	ASSERT_EQ(fault.vector, UD);
	EXPECT_MEM_EQ((const void *)fault.ip, bytes_ud2, sizeof(bytes_ud2));
}

TEST("a trap's ip is behind the instruction")
{
	struct x86_fault fault = FAULT_OF(int3());

	ASSERT_EQ(fault.vector, BP);
	EXPECT_EQ(((const uint8_t *)fault.ip)[-1], 0xcc);
}

#ifndef __x86_64__
TEST("BOUND outside of its bounds raises BR")
{
	static const int32_t bounds[2] = { 3, 5 };

	EXPECT_NO_FAULT(bound(5, bounds));
	EXPECT_FAULT(BR, 0, bound(6, bounds));
}
#endif

TEST("a single step raises DB behind the next instruction, with DR6.BS")
{
	struct x86_fault fault;

	write_dr6(DR6_DEFAULT);
	fault = FAULT_OF(write_flags(read_flags() | FLAGS_TF); nop());
	EXPECT_FAULT_EQ(fault, DB, 0);
	EXPECT_EQ(read_dr6() & DR6_BS, DR6_BS);
	EXPECT_EQ(read_flags() & FLAGS_TF, 0);
	write_dr6(DR6_DEFAULT);
}

TEST("a segment that is not present raises NP for data and SS for the stack")
{
	gdt_write(SELECTOR_A, SEGMENT_FLAT | SEGMENT_DATA | SEGMENT_32);
	EXPECT_FAULT(NP, SELECTOR_A, load_ds(SELECTOR_A));
	EXPECT_FAULT(NP, SELECTOR_A, load_es(SELECTOR_A));
	EXPECT_FAULT(SS, SELECTOR_A, load_ss(SELECTOR_A));
	gdt_write(SELECTOR_A, 0);
}

TEST("a TSS that is not present raises NP, a busy one GP")
{
	gdt_write(SELECTOR_A, descriptor(0, 0xff, SEGMENT_TSS));
	gdt_write(SELECTOR_A + 8, 0);
	EXPECT_FAULT(NP, SELECTOR_A, load_tr(SELECTOR_A));
	EXPECT_FAULT(GP, TSS_SELECTOR, load_tr(TSS_SELECTOR));
	gdt_write(SELECTOR_A, 0);
}

/*
 * 64-bit: a gate with an IST stack reads it from the TSS, and this one ends before. 32-bit: a task
 * switch wants a TSS of at least 104 bytes.
 */
TEST("a TSS that is too short raises TS")
{
	const uint16_t selector = SELECTOR_B;
	uintptr_t tss = (uintptr_t)cpu_tss();

	gdt_write(selector, descriptor(tss, 0x20, SEGMENT_PRESENT | SEGMENT_TSS));
#ifdef __x86_64__
	gdt_write(selector + 8, tss >> 32);
	load_tr(selector);
	idt_set_ist(UD, IST_FREE);
	EXPECT_FAULT(TS, selector, int_n(UD));
	idt_set_ist(UD, IST_NONE);
	load_cpu_tss();
#else
	EXPECT_FAULT(TS, selector, jump_to_task(SELECTOR_B));
#endif
	gdt_write(selector, 0);
	gdt_write(selector + 8, 0);
}

TEST("a gate that is not present raises NP with the gate's number")
{
	idt_set_present(0x40, false);
	EXPECT_FAULT(NP, SELECTOR_IDT_ERROR(0x40), int_n(0x40));
	idt_set_present(0x40, true);
	EXPECT_FAULT(0x40, 0, int_n(0x40));
}

/*
 * INT n pushes no error code, whatever n is: the vectors whose stubs expect one cannot be tried so.
 * VECTOR_WAKE and VECTOR_SPURIOUS may have handlers of the runtime's.
 */
TEST("all other vectors arrive as themselves")
{
	static const uint8_t with_error_code[] = { DF, TS, NP, SS, GP, PF, AC, CP, 29, 30 };
	uint8_t *code = page_alloc();

	for (unsigned int vector = 0; vector < VECTOR_COUNT; vector++) {
		bool skipped = vector == VECTOR_WAKE || vector == VECTOR_SPURIOUS;
		struct x86_fault fault;

		for (unsigned int i = 0; i < sizeof(with_error_code); i++)
			skipped |= vector == with_error_code[i];
		if (skipped)
			continue;
		code[0] = 0xcd; /* INT vector; RET */
		code[1] = vector;
		code[2] = 0xc3;
		fault = FAULT_OF(((void (*)(void))code)());
		EXPECT_FAULT_EQ(fault, vector, 0, "INT 0x%x", vector);
		EXPECT_EQ(fault.ip, (uintptr_t)code + 2, "INT 0x%x", vector);
	}
	page_free(code);
}

/* Pushing the frame of the #PF on such a stack raises another #PF. */
TEST("a stack without memory raises DF, on a stack that works, and more than once")
{
	/*
	 * TCG does not know the intercept of task switches. Under shadow paging, which a 32-bit guest of Xen's has
	 * there (host/xen/domain/guest.c), the CPU would take the TSS's CR3 for that of the shadow.
	 */
	if (sizeof(void *) == 4 && xen_itself())
		SKIP("the task switch of #DF ends a guest of Xen inside QEMU TCG");
	for (unsigned int i = 0; i < 3; i++)
		EXPECT_FAULT(DF, 0, push_on(VA_FREE + PAGE_SIZE));
}

TEST("an NMI sent to oneself arrives, and NMIs are unblocked afterwards")
{
	for (unsigned int i = 0; i < 3; i++) {
		struct x86_fault fault = FAULT_OF(apic_icr_write(ICR_NMI | ICR_ASSERT, apic_id());
						  EXPECT_FALSE(WAIT_FOR(false, 1000), "NMI %u", i));

		EXPECT_FAULT_EQ(fault, NMI, 0, "NMI %u", i);
	}
}

TEST("SSE division by zero raises XM where it is unmasked")
{
	struct x86_fault fault;

	if (!(cpuid(1, 0).edx & CPUID_1_EDX_SSE))
		SKIP("this CPU has no SSE");
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	ldmxcsr(MXCSR_DEFAULT & ~MXCSR_ZERO_DIVIDE);
	fault = FAULT_OF(sse_divide_by_zero());
	ldmxcsr(MXCSR_DEFAULT);
	write_cr4(read_cr4() & ~(CR4_OSFXSR | CR4_OSXMMEXCPT));
	if (fault.vector == NO_FAULT)
		SKIP("this CPU raises no SSE exceptions (QEMU TCG)");
	EXPECT_FAULT_EQ(fault, XM, 0);
}

/*
 * --- the runtime's own promises ----------------------------------------------------------------
 */

TEST("catches nest, and the outer one is in force again behind the inner one")
{
	struct x86_fault inner = { 0 };
	struct x86_fault outer = FAULT_OF(inner = FAULT_OF(ud2()); int3());

	EXPECT_FAULT_EQ(inner, UD, 0);
	EXPECT_FAULT_EQ(outer, BP, 0);
}

TEST("a caught fault leaves the interrupt flag and the caller's variables as they were")
{
	uint64_t a = 0x1111, b = 0x2222, c = 0x3333;

	for (unsigned int i = 0; i < 3; i++) {
		a += i;
		b ^= a;
		EXPECT_FAULT(UD, 0, ud2());
		c += b;
	}
	EXPECT_EQ(a, 0x1111 + 3);
	EXPECT_EQ(b, 0x2222 ^ 0x1111 ^ 0x1112 ^ 0x1114);
	EXPECT_EQ(c, 0x3333 + (0x2222 ^ 0x1111) + (0x2222 ^ 0x1111 ^ 0x1112) +
			     (0x2222 ^ 0x1111 ^ 0x1112 ^ 0x1114));

	EXPECT_EQ(read_flags() & FLAGS_IF, 0);
	irq_enable();
	EXPECT_FAULT(UD, 0, ud2());
	EXPECT_EQ(read_flags() & FLAGS_IF, FLAGS_IF);
	irq_disable();
}

TEST("a statement that raises nothing runs to its end")
{
	volatile int steps = 0;

	EXPECT_NO_FAULT(steps++; steps++);
	EXPECT_EQ(steps, 2);
}

TEST("a faulting WRMSR is reported by wrmsr_safe and raised by wrmsr")
{
	EXPECT_FALSE(wrmsr_safe(MSR_IA32_PKRS, PKRS_RESERVED));
	EXPECT_FAULT(GP, 0, wrmsr(MSR_IA32_PKRS, PKRS_RESERVED));
	EXPECT_TRUE(wrmsr_safe(MSR_IA32_PAT, rdmsr(MSR_IA32_PAT)));
}

TEST("a faulting RDMSR is reported by rdmsr_safe, with the value 0")
{
	const uint32_t no_msr = 0xdeadbeef;
	uint64_t value = 1;
	struct x86_fault fault;

	EXPECT_TRUE(rdmsr_safe(MSR_IA32_APIC_BASE, &value));
	EXPECT_EQ(value, rdmsr(MSR_IA32_APIC_BASE));

	fault = FAULT_OF(rdmsr(no_msr));
	if (fault.vector == NO_FAULT)
		SKIP("this CPU reads MSRs that do not exist (QEMU TCG, KVM's ignore_msrs)");
	EXPECT_FAULT_EQ(fault, GP, 0);
	EXPECT_FALSE(rdmsr_safe(no_msr, &value));
	EXPECT_EQ(value, 0);
}
