// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmrun: all of a vCPU's state survives a move to another VM
 *
 * vmm_move() of <vmrun/vmm.h> takes the guest from its VM to a new one on the same memory, with the
 * state that KVM hands out by its ioctls: what a VMM does at the end of a live migration. A guest
 * cannot see it, but for the time that it takes. Here each part of the state is given a value that
 * no new vCPU has, and must be found again behind a move; where it can be, by what it does and not
 * only by what it reads as.
 *
 * So these points test KVM's ioctls (Linux, Documentation/virt/kvm/api.rst), each of which has to
 * hand out and take its part whole, and vmrun, which has to leave none out. Other tests (shadow
 * stacks) move their own state, and rely on this one.
 *
 * KVM on QEMU's TCG: VMRUN there does not load the interrupt shadow
 * (target/i386/tcg/sysemu/svm_helper.c, helper_vmrun), and XSETBV is not intercepted
 * (target/i386/tcg/translate.c), so that KVM does not learn of the guest's XCR0. Both are listed in
 * knownbugs.cfg.
 *
 * Sources: Intel SDM volume 3, "Masking Maskable Hardware Interrupts" (the shadow of STI),
 * "Handling Multiple NMIs", "APIC Timer"; Linux, Documentation/virt/kvm/x86/msr.rst (the clock).
 */
#include <hypercall/registers.h>
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/apic.h>
#include <x86/cpuid.h>
#include <x86/descriptors.h>
#include <x86/fpu.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/paging.h>
#include <x86/registers.h>
#include <x86/time.h>
#include <x86/user.h>

#define VECTOR		 0x40
#define VECTOR_BELOW	 0x30 /* of a lower priority class */
#define MSR_SYSENTER_CS	 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_MTRR_BASE_0	 0x200
#define MSR_TSC_AUX	 0xc0000103

static void move(void)
{
	ASSERT_EQ(vmm_move(), 0);
}

/* KVM counts the exits of each vCPU from its creation on. */
TEST("behind a move the guest runs on a new vCPU")
{
	uint64_t before, after;

	for (unsigned int i = 0; i < 1000; i++)
		cpuid(0, 0);
	ASSERT_EQ(vmm_statistic("exits", &before), 0);
	EXPECT_GE(before, 1000);
	move();
	ASSERT_EQ(vmm_statistic("exits", &after), 0);
	EXPECT_LT(after, 500);
}

TEST("a guest can be moved many times")
{
	for (unsigned int i = 0; i < 5; i++)
		move();
}

/*
 * --- registers ---------------------------------------------------------------------------------
 */

TEST("the general registers, the instruction pointer and the flags stay as they were")
{
	for (unsigned int seed = 1; seed <= 3; seed++) {
		struct vmrun_request *request = vmm_move_request();
		struct registers before, after;

		registers_fill(&before, seed);
		before.value[REG_AX] = (uintptr_t)request;
		before.value[REG_DX] = VMRUN_PORT_REQUEST;
		request->status = 1;
		call_with_registers(vmm_move_stub, &before, &after);
		EXPECT_EQ(request->status, 0);
		expect_registers_kept(&before, &after, 0, "the move");
	}
}

/* Bits that nothing here depends on. CR2 is kept in SREGS, CR8 is the TPR of the local APIC. */
TEST("control registers stay as they were")
{
	uintptr_t cr0 = read_cr0(), cr4 = read_cr4();

	write_cr0(cr0 ^ (CR0_AM | CR0_TS));
	write_cr4(cr4 ^ (CR4_DE | CR4_OSFXSR | CR4_TSD));
	write_cr2((uintptr_t)0x123456789abcdef0);
	apic_write(APIC_TPR, 0x30);
	move();
	EXPECT_EQ(read_cr2(), (uintptr_t)0x123456789abcdef0);
	EXPECT_EQ(read_cr0(), cr0 ^ (CR0_AM | CR0_TS));
	EXPECT_EQ(read_cr4(), cr4 ^ (CR4_DE | CR4_OSFXSR | CR4_TSD));
	EXPECT_EQ(apic_read(APIC_TPR), 0x30);
#ifdef __x86_64__
	EXPECT_EQ(read_cr8(), 3);
#endif
	apic_write(APIC_TPR, 0);
	write_cr0(cr0);
	write_cr4(cr4);
}

static uintptr_t user_cs(uintptr_t argument)
{
	(void)argument;
	return read_cs();
}

/*
 * The way to CPL 3 and back goes by GDT, IDT and TSS; the way to the page by CR3. The type of the
 * task register is "busy" in what KVM hands out, as the architecture demands; QEMU 7.2's TCG, which
 * loads it as "available", ends with "invalid tss type" when a 32-bit CPU at CPL 3 then takes an
 * exception. So here TR is loaded again.
 */
TEST("descriptor tables, task register and page tables are in force behind a move")
{
	uint8_t *page = page_alloc();
	struct user_result result;

	map_page(VA_FREE, (uintptr_t)page, LEVEL_4K, PTE_P | PTE_U);
	page[0] = 0x77;
	move();
#ifndef __x86_64__
	load_cpu_tss();
#endif
	result = user_call(user_cs, 0);
	EXPECT_TRUE(result.returned);
	EXPECT_EQ(result.value & 3, 3);
	EXPECT_FAULT(UD, 0, ud2());
	EXPECT_EQ(*(volatile uint8_t *)VA_FREE, 0x77);
	EXPECT_FAULT(PF, PF_PRESENT | PF_WRITE, *(volatile uint8_t *)VA_FREE = 0);
	map_page(VA_FREE, 0, LEVEL_4K, 0);
	page_free(page);
}

/* A breakpoint on the write of 4 bytes: it is a trap, and DR6 tells which one. */
TEST("debug registers stay as they were, and a breakpoint is one behind a move")
{
	static volatile uint32_t word;

	write_dr0((uintptr_t)&word);
	write_dr7(DR7_DEFAULT | 1ul << 0 | 0xdul << 16);
	write_dr6(DR6_DEFAULT | 1ul << 3);
	move();
	EXPECT_EQ(read_dr0(), (uintptr_t)&word);
	EXPECT_EQ(read_dr7(), DR7_DEFAULT | 1ul << 0 | 0xdul << 16);
	EXPECT_EQ(read_dr6(), DR6_DEFAULT | 1ul << 3);
	write_dr6(DR6_DEFAULT);
	EXPECT_FAULT(DB, 0, word = 1);
	EXPECT_EQ(read_dr6(), DR6_DEFAULT | 1ul << 0);
	write_dr7(DR7_DEFAULT);
	write_dr6(DR6_DEFAULT);
}

/*
 * An area of FXSAVE with all that it holds set to something: the x87 control word masks all
 * exceptions.
 */
static void fill_fxsave(uint8_t *area)
{
	static const uint8_t control[] = { 0x7f, 0x02, 0, 0x18, 0x55 }; /* FCW, FSW, FTW */

	for (unsigned int i = 32; i < FXSAVE_WRITTEN; i++)
		area[i] = 3 * i + 1;
	for (unsigned int i = 32; i < 160; i++)
		if (i % 16 >= 10)
			area[i] = 0; /* reserved, behind the 80 bits of a register */
	memcpy(area, control, sizeof(control));
	area[24] = 0x80; /* MXCSR: all exceptions masked, rounding down */
	area[25] = 0x3f;
}

TEST("the registers of x87 and SSE stay as they were")
{
	uint8_t *loaded = page_alloc(), *before = page_alloc(), *after = page_alloc();
	uintptr_t cr4 = read_cr4();

	if (!(cpuid(1, 0).edx & CPUID_1_EDX_SSE))
		SKIP("this CPU has no SSE");
	write_cr4(cr4 | CR4_OSFXSR);
	fill_fxsave(loaded);
	fxrstor(loaded);
	fxsave(before);
	move();
	fxsave(after);
	EXPECT_MEM_EQ(before + 32, loaded + 32, FXSAVE_WRITTEN - 32, "loaded");
	EXPECT_MEM_EQ(after, before, FXSAVE_WRITTEN, "moved");
	write_cr4(cr4);
	page_free(loaded);
	page_free(before);
	page_free(after);
}

/*
 * The standard layout puts the upper halves of YMM where CPUID says: SDM volume 1, "XSAVE Managed
 * State".
 */
static void check_avx(uint8_t *loaded, uint8_t *after)
{
	const uint64_t all = XSTATE_X87 | XSTATE_SSE | XSTATE_AVX;
	struct cpuid avx = cpuid(0xd, 2);

	xsetbv(0, all);
	EXPECT_EQ(xgetbv(0), all);
	fill_fxsave(loaded);
	loaded[XSAVE_HEADER] = all;
	for (unsigned int i = 0; i < avx.eax; i++)
		loaded[avx.ebx + i] = 5 * i + 3;
	xrstor(loaded, all);
	move();
	EXPECT_EQ(xgetbv(0), all);
	xsave(after, all);
	EXPECT_EQ(after[XSAVE_HEADER] & all, all);
	EXPECT_MEM_EQ(after + 160, loaded + 160, FXSAVE_WRITTEN - 160, "XMM");
	EXPECT_MEM_EQ(after + avx.ebx, loaded + avx.ebx, FXSAVE_WRITTEN - 160,
		      "high halves of YMM");
}

TEST("XCR0 and the registers of AVX stay as they were")
{
	uint8_t *loaded = page_alloc(), *after = page_alloc();
	uintptr_t cr4 = read_cr4();
	uint64_t xcr0;

	if (!(cpuid_checked(0xd, 0).eax & XSTATE_AVX))
		SKIP("this CPU has no AVX");
	write_cr4(cr4 | CR4_OSFXSR | CR4_OSXSAVE);
	xcr0 = xgetbv(0);
	check_avx(loaded, after);
	xsetbv(0, xcr0);
	write_cr4(cr4);
	page_free(loaded);
	page_free(after);
}

/* The clock of KVM and the hypercall pages have points of their own. */
TEST("model-specific registers stay as they were")
{
	static const struct {
		uint32_t msr;
		uint64_t value;
	} msrs[] = {
		{ MSR_IA32_PAT, 0x0001040506070406ull },
		{ MSR_SYSENTER_CS, 0x1230 },
		{ MSR_SYSENTER_ESP, 0x23456780 },
		{ MSR_SYSENTER_EIP, 0x3456789a },
		{ MSR_STAR, 0x0023001812345678ull },
		{ MSR_LSTAR, 0x00007f1234567890ull },
		{ MSR_CSTAR, 0x00007f0987654321ull },
		{ MSR_SYSCALL_MASK, 0x47700 },
		{ MSR_KERNEL_GS_BASE, 0x00007edcba987654ull },
		{ MSR_GS_BASE, 0x00007edcba987000ull },
		{ MSR_MTRR_BASE_0, 0x7f000006 }, /* of a range that is off */
		{ MSR_TSC_AUX, 0x5678 },
	};
	bool has_tsc_aux = cpuid_checked(0x80000001, 0).edx & CPUID_80000001_EDX_RDTSCP;
	unsigned int count = COUNT_OF(msrs) - !has_tsc_aux;
	uint64_t old[COUNT_OF(msrs)];

	for (unsigned int i = 0; i < count; i++) {
		old[i] = rdmsr(msrs[i].msr);
		wrmsr(msrs[i].msr, msrs[i].value);
	}
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) ^ EFER_SCE);
	uint64_t efer = rdmsr(MSR_EFER);

	move();
	EXPECT_EQ(rdmsr(MSR_EFER), efer);
	wrmsr(MSR_EFER, efer ^ EFER_SCE);
	for (unsigned int i = 0; i < count; i++) {
		EXPECT_EQ(rdmsr(msrs[i].msr), msrs[i].value, "MSR 0x%x", msrs[i].msr);
		wrmsr(msrs[i].msr, old[i]);
	}
}

/*
 * --- events ------------------------------------------------------------------------------------
 */

TEST("an interrupt that waits in the IRR arrives behind a move")
{
	unsigned int modes = has_x2apic() ? 2 : 1;

	for (unsigned int x2 = 0; x2 < modes; x2++) {
		uint32_t id = apic_id();

		apic_set_x2(x2);
		apic_icr_write(ICR_FIXED | ICR_ASSERT | VECTOR, apic_id());
		move();
		EXPECT_EQ((unsigned int)apic_is_x2(), x2);
		EXPECT_EQ(apic_id(), id);
		EXPECT_TRUE(apic_requested(VECTOR), "x2APIC %u", x2);
		EXPECT_FAULT(VECTOR, 0, irq_window());
		EXPECT_FALSE(apic_requested(VECTOR), "x2APIC %u", x2);
		apic_eoi();
	}
	apic_set_x2(false);
}

static void move_and_end(struct x86_frame *frame)
{
	(void)frame;
	apic_icr_write(ICR_FIXED | ICR_ASSERT | VECTOR_BELOW, apic_id());
	move();
	EXPECT_TRUE(apic_in_service(VECTOR));
	EXPECT_NO_FAULT(irq_window());
	apic_eoi();
	EXPECT_FALSE(apic_in_service(VECTOR));
	EXPECT_FAULT(VECTOR_BELOW, 0, irq_window());
	apic_eoi();
}

/*
 * Of lower priority, the other one waits for the end of the first: SDM volume 3, "Task and
 * Processor Priorities".
 */
TEST("an interrupt in service is in service behind a move, and holds up one of lower priority")
{
	irq_handler(VECTOR, move_and_end);
	apic_icr_write(ICR_FIXED | ICR_ASSERT | VECTOR, apic_id());
	irq_window();
	EXPECT_FALSE(apic_requested(VECTOR));
	EXPECT_FALSE(apic_in_service(VECTOR));
}

/* apic_timer_start() counts without a divisor, from the moment of the write. */
TEST("the timer of the local APIC goes on behind a move, and is not early")
{
	uint64_t ticks = apic_timer_khz() * 200, start = rdtsc();
	uint32_t before;

	apic_timer_start(LVT_TIMER_ONE_SHOT, VECTOR, ticks);
	before = apic_read(APIC_TIMER_CURRENT);
	move();
	EXPECT_LT(apic_read(APIC_TIMER_CURRENT), before);
	EXPECT_EQ(apic_read(APIC_TIMER_INITIAL), (uint32_t)ticks);
	EXPECT_TRUE(WAIT_FOR(apic_requested(VECTOR), 1000));
	EXPECT_GE(rdtsc() - start, tsc_khz() * 100);
	EXPECT_FAULT(VECTOR, 0, irq_window());
	apic_eoi();
	apic_timer_stop();
}

TEST("a TSC deadline stays, and is not early")
{
	uint64_t deadline = rdtsc() + tsc_khz() * 200;

	if (!has_tsc_deadline())
		SKIP("this CPU has no TSC deadline");
	apic_timer_start(LVT_TIMER_DEADLINE, VECTOR, deadline);
	move();
	EXPECT_EQ(rdmsr(MSR_IA32_TSC_DEADLINE), deadline);
	EXPECT_TRUE(WAIT_FOR(apic_requested(VECTOR), 1000));
	EXPECT_GE(rdtsc(), deadline);
	EXPECT_FAULT(VECTOR, 0, irq_window());
	apic_eoi();
	apic_timer_stop();
}

/* Where the interrupt that waits comes in: the instruction that it returns to. */
static struct x86_fault move_with_interrupt(bool shadow)
{
	struct x86_fault fault;

	apic_icr_write(ICR_FIXED | ICR_ASSERT | VECTOR, apic_id());
	fault = FAULT_OF(vmm_move_interruptible(shadow));
	apic_eoi();
	return fault;
}

TEST("without an interrupt shadow, an interrupt comes in right behind a move")
{
	struct x86_fault fault = move_with_interrupt(false);

	EXPECT_FAULT_EQ(fault, VECTOR, 0);
	EXPECT_EQ(fault.ip, (uintptr_t)move_first);
}

TEST("an interrupt shadow keeps interrupts out for one instruction behind a move")
{
	struct x86_fault fault = move_with_interrupt(true);

	EXPECT_FAULT_EQ(fault, VECTOR, 0);
	EXPECT_EQ(fault.ip, (uintptr_t)move_second);
}

static unsigned int nmis, depth, deepest;

static void move_with_nmi(struct x86_frame *frame)
{
	(void)frame;
	depth++;
	if (depth > deepest)
		deepest = depth;
	if (++nmis == 1) {
		apic_icr_write(ICR_NMI | ICR_ASSERT, apic_id());
		move();
		EXPECT_EQ(nmis, 1);
	}
	depth--;
}

TEST("NMIs stay masked behind a move, and one that waits arrives once they are not")
{
	nmis = depth = deepest = 0;
	irq_handler(NMI, move_with_nmi);
	apic_icr_write(ICR_NMI | ICR_ASSERT, apic_id());
	EXPECT_TRUE(WAIT_FOR(nmis == 2, 1000));
	EXPECT_EQ(deepest, 1);
}
