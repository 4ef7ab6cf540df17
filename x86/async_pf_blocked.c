// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults: none where an interrupt could not come, or where an event is on its way
 *
 * "Page not present" is an event that the instruction did not ask for, as an interrupt is, and comes
 * only where one could (x86.c, kvm_can_do_async_pf). Enabled interrupts are not enough:
 *
 * - The instruction behind STI and behind a load of SS is in the interrupt shadow
 *   (kvm_arch_interrupt_allowed; svm.c, svm_interrupt_blocked).
 * - An exception or interrupt whose delivery itself touches the absent page (the IDT, the stack) is
 *   not done yet. Another exception would be lost, take its place, or make #DF of both
 *   (kvm_event_needs_reinjection; Intel SDM volume 3, "Interrupt 8 - Double Fault Exception").
 *
 * In both cases the vCPU waits in the host: no #PF, no interrupt, no "page ready"; and the event is
 * delivered when the page is back.
 */
#include <kvm/async_pf_pages.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/apic.h>
#include <x86/descriptors.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/paging.h>
#include <x86/registers.h>
#include <x86/smp.h>
#include <x86/user_entry.h>

#define VECTOR_OTHER	    0x42 /* which, in service, keeps no other interrupt of ours out */
#define STACK_ORDER	    2
#define RESERVED_OF_ASYNCPF 0x10

static struct x86_fault touch_behind_sti(uintptr_t page, uintptr_t *value)
{
	return FAULT_OF(*value = read_behind_sti(page));
}

static struct x86_fault touch_behind_mov_ss(uintptr_t page, uintptr_t *value)
{
	return FAULT_OF(*value = read_behind_mov_ss(page));
}

/* Once with a page that is there: so the shadow does not end at a vmexit for code or tables. */
static void check_shadow(touch_function *touch)
{
	uintptr_t present = (uintptr_t)page_alloc(), value = 1;

	async_pf_begin(KVM_ASYNC_PF_SEND_ALWAYS);
	EXPECT_FAULT_EQ(touch(present, &value), NO_FAULT, 0);
	EXPECT_EQ(value, 0);
	expect_silent_read(touch, TAKES_NONE);
}

TEST("behind STI nothing is delivered at CPL 0 with SEND_ALWAYS, and no interrupt")
{
	check_shadow(touch_behind_sti);
}

TEST("behind MOV SS nothing is delivered at CPL 0 with SEND_ALWAYS, and no interrupt")
{
	check_shadow(touch_behind_mov_ss);
}

/* What raises an event, with interrupts enabled. */
static void raise_ud(void)
{
	ud2();
}

static void raise_de(void)
{
	divl(1, 0, 0);
}

static void raise_gp_by_kvm(void)
{
	wrmsr(MSR_KVM_ASYNC_PF_EN, RESERVED_OF_ASYNCPF);
}

static void raise_pf(void)
{
	read_word(VA_FREE);
}

static void raise_nmi(void)
{
	vmm_inject_nmi();
}

static void raise_bp(void)
{
	int3();
}

static void raise_interrupt(void)
{
	apic_ipi(0, VECTOR_OTHER);
}

static void (*raise)(void);

/* The page is this CPU's IDT: it is touched when the event is delivered. */
static struct x86_fault raise_event(uintptr_t page, uintptr_t *value)
{
	(void)page;
	*value = 0;
	return FAULT_OF({
		irq_enable();
		cpu_relax();
		raise();
		cpu_relax();
	});
}

static void check_event(void (*function)(void), unsigned int vector)
{
	uintptr_t table = (uintptr_t)page_alloc(), value;
	struct x86_fault fault;

	async_pf_begin(KVM_ASYNC_PF_SEND_ALWAYS);
	idt_use_copy((void *)table);
	raise = function;
	EXPECT_FAULT_EQ(raise_event(table, &value), vector, 0);
	apic_eoi();
	absent_make(table);
	fault = expect_silence(raise_event, table, TAKES_NONE, &value);
	EXPECT_FAULT_EQ(fault, vector, 0);
	EXPECT_EQ(fault.cr2, vector == PF ? VA_FREE : 0);
	apic_eoi();
	idt_use_copy(NULL);
}

TEST("an exception whose gate is absent is delivered when that is back, and nothing else")
{
	check_event(raise_ud, UD);
	check_event(raise_de, DE);
}

TEST("so is GP that KVM raises")
{
	check_event(raise_gp_by_kvm, GP);
}

TEST("so is PF, with its CR2")
{
	check_event(raise_pf, PF);
}

TEST("so is an NMI")
{
	check_event(raise_nmi, NMI);
}

TEST("so is INT3")
{
	check_event(raise_bp, BP);
}

TEST("so is an interrupt")
{
	check_event(raise_interrupt, VECTOR_OTHER);
}

static uintptr_t user_ud(uintptr_t argument)
{
	ud2();
	return argument;
}

/* The CPU comes back to CPL 0 on the stack that ends behind this page. */
static void enter_user(void *context)
{
	uintptr_t end = *(uintptr_t *)context + PAGE_SIZE;
	static uint8_t user_stack[PAGE_SIZE] __attribute__((aligned(16)));

#ifdef __x86_64__
	cpu_tss()->sp[0] = end;
#else
	cpu_tss()->stack[0].sp = end;
#endif
	user_enter(user_ud, 0, (uintptr_t)user_stack + sizeof(user_stack), FLAGS_ONE | FLAGS_IF);
}

static struct x86_fault raise_at_user(uintptr_t page, uintptr_t *value)
{
	*value = 0;
	return user_run(FAULTS_OF_USER, enter_user, &page).fault;
}

TEST("an exception of CPL 3 whose stack is absent is delivered when the stack is back")
{
	uintptr_t stack, last, value;
	struct x86_fault fault;

	async_pf_begin(KVM_ASYNC_PF_SEND_ALWAYS);
	stack = (uintptr_t)pages_alloc(STACK_ORDER);
	last = stack + (PAGE_SIZE << STACK_ORDER) - PAGE_SIZE;
	EXPECT_FAULT_EQ(raise_at_user(last, &value), UD, 0);
	absent_make(last);
	fault = expect_silence(raise_at_user, last, TAKES_NONE, &value);
	EXPECT_FAULT_EQ(fault, UD, 0);
	EXPECT_GE(fault.ip, (uintptr_t)user_ud);
	EXPECT_LT(fault.ip, (uintptr_t)user_ud + 64);
}

TEST("after such a wait page not present is delivered as before")
{
	uintptr_t page;

	async_pf_begin(KVM_ASYNC_PF_SEND_ALWAYS);
	page = absent_page(1);
	bring_back(page, expect_not_present(touch_kernel, page), 1);
	expect_contents(page, 1);
}
