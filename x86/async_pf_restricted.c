// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults restricted to user space, under load
 *
 * A guest that does not ask for SEND_ALWAYS has code at CPL 0 that cannot be left in the middle; and no
 * guest can be told of a page where it has disabled interrupts. Linux as a guest panics at either ("x86/kvm:
 * Restrict ASYNC_PF to user space"; arch/x86/kernel/kvm.c, __kvm_handle_async_pf). So there must not be one
 * such #PF, ever: KVM looks at CPL, flags and what is pending when the fault is met (mmu.c,
 * __kvm_mmu_faultin_pfn; x86.c, kvm_can_do_async_pf, kvm_can_deliver_async_pf), and what it looked at must be
 * the state that the #PF comes in.
 *
 * Three CPUs touch absent pages at CPL 3 and CPL 0, with and without interrupts enabled, while their timers
 * interrupt them, and the handlers do the same, at CPL 0 in the middle of whatever it was; CPU 0 brings back
 * what is waited for. A handler of #PF sees each one that is asynchronous, and notes where it came. It may
 * come at CPL 3 with interrupts enabled, and must do so, or the load was none. Any other is a failure that
 * names its place.
 *
 * With SEND_ALWAYS the same load must bring some at CPL 0, which shows that they are seen; with interrupts
 * disabled there is still none.
 */
#include <kvm/async_pf_log.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/apic.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/registers.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <x86/user.h>

#define CPUS	    4 /* CPU 0 is the one that brings pages back */
#define ROUNDS	    16
#define TIMER_US    300
#define TIMER_STEPS 12
#define VECTOR_TICK 0x60
#define NOTES	    8

/* Where a page is touched. Each CPU has a page for each. */
enum place {
	USER,
	USER_MASKED, /* with interrupts disabled */
	KERNEL,
	KERNEL_MASKED,
	HANDLER,	/* of the timer, with interrupts enabled again */
	HANDLER_MASKED, /* the same as they come in */
	PLACES
};

struct place_page {
	uintptr_t page;
	unsigned int touched; /* while it was absent */
	volatile bool out;
};

static struct place_page places[CPUS][PLACES];

/* An asynchronous #PF that came where none may. */
struct note {
	unsigned int cpu, cpl;
	bool interrupts;
	uintptr_t ip;
};

static struct note notes[NOTES];
static unsigned int noted;	       /* may be more than there is room for */
static unsigned int told[CPUS];	       /* where it may come, at CPL 3 */
static unsigned int told_kernel[CPUS]; /* and at CPL 0, with SEND_ALWAYS */
static bool send_always;
static volatile bool active[CPUS];
static volatile unsigned int busy; /* how many of them are active */

static void note(const struct x86_frame *frame)
{
	unsigned int i = __atomic_fetch_add(&noted, 1, __ATOMIC_RELAXED);

	if (i < NOTES)
		notes[i] = (struct note){
			.cpu = cpu_id(),
			.cpl = frame->cs & 3,
			.interrupts = frame->flags & FLAGS_IF,
			.ip = frame->ip,
		};
}

/* The access is made again, and waits; but where it is allowed at CPL 3 async_pf_touch() takes it. */
static bool on_page_fault(struct x86_frame *frame)
{
	bool interrupts = frame->flags & FLAGS_IF;

	if (async_pf_area()->flags != KVM_PV_REASON_PAGE_NOT_PRESENT)
		return false;
	if (interrupts && frame_is_user(frame))
		return false;
	if (interrupts && send_always)
		told_kernel[cpu_id()]++;
	else
		note(frame);
	async_pf_area()->flags = 0;
	return true;
}

static uintptr_t read_at(uintptr_t address)
{
	return *(volatile uint32_t *)address;
}

static void read_interruptible(uintptr_t address)
{
	irq_enable();
	nop(); /* the shadow of STI, which QEMU's TCG does not end with PAUSE */
	read_at(address);
	irq_disable();
}

/* Makes this CPU's page for the place absent. It is so already where it was not waited for, last time. */
static uintptr_t take_out(enum place place)
{
	struct place_page *own = &places[cpu_id()][place];

	if (!own->out) {
		REQUIRE(vmm_page_out(own->page, PAGE_SIZE) == 0);
		own->touched++;
		own->out = true;
	}
	return own->page;
}

/* Once a round, each time later in it: a handler that began the next one could leave no time between. */
static void arm_timer(unsigned int round)
{
	apic_timer_start(LVT_TIMER_ONE_SHOT, VECTOR_TICK,
			 apic_timer_khz() * (1 + round % TIMER_STEPS) * TIMER_US / 1000);
}

/* Page ready is let in, too, where interrupts are. */
static void on_tick(struct x86_frame *frame)
{
	uintptr_t page;

	(void)frame;
	apic_eoi();
	if (!active[cpu_id()])
		return;
	read_at(take_out(HANDLER_MASKED));
	page = take_out(HANDLER);
	read_interruptible(page);
}

static void touch_all(struct async_pf_touch *touch)
{
	uintptr_t page = take_out(USER);

	*touch = async_pf_touch(page);
	EXPECT_TRUE(user_call(read_at, take_out(USER_MASKED)).returned);
	page = take_out(KERNEL);
	read_interruptible(page);
	read_at(take_out(KERNEL_MASKED));
}

static void load(void *unused)
{
	struct async_pf_touch touch;

	(void)unused;
	active[cpu_id()] = true;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		arm_timer(i);
		touch_all(&touch);
		told[cpu_id()] += touch.told;
	}
	active[cpu_id()] = false;
	__atomic_fetch_sub(&busy, 1, __ATOMIC_RELEASE);
}

/* Brings back what somebody waits for. */
static void look_after(struct place_page *place)
{
	if (!place->out || !vmm_page_waiting(place->page))
		return;
	EXPECT_EQ(vmm_page_in(place->page), 0);
	place->out = false;
}

static bool all_done(void)
{
	for (unsigned int cpu = 1; cpu < CPUS; cpu++)
		for (unsigned int place = 0; place < PLACES; place++)
			look_after(&places[cpu][place]);
	return !busy;
}

static void switch_on(void *flags)
{
	async_pf_log_on((uintptr_t)flags);
}

static void switch_off(void *unused)
{
	(void)unused;
	apic_timer_stop();
	async_pf_log_off();
}

static void prepare(uint32_t flags)
{
	send_always = flags & KVM_ASYNC_PF_SEND_ALWAYS;
	noted = 0;
	busy = CPUS - 1;
	apic_timer_khz();
	irq_handler(VECTOR_TICK, on_tick);
	exception_handler(PF, on_page_fault);
	for (unsigned int cpu = 1; cpu < CPUS; cpu++) {
		told[cpu] = 0;
		told_kernel[cpu] = 0;
		for (unsigned int place = 0; place < PLACES; place++)
			places[cpu][place] = (struct place_page){ .page = (uintptr_t)page_alloc() };
		on_cpu(cpu, switch_on, (void *)(uintptr_t)flags);
	}
}

/* What was touched last at CPL 3 may still be out. */
static void finish(unsigned int cpu)
{
	unsigned int count;

	for (unsigned int place = 0; place < PLACES; place++)
		if (places[cpu][place].out)
			EXPECT_EQ(vmm_page_in(places[cpu][place].page), 0);
	count = told[cpu] + told_kernel[cpu];
	EXPECT_TRUE(async_pf_log_wait(cpu, count), "CPU %u: %u of %u are ready", cpu,
		    async_pf_log_count(cpu), count);
	on_cpu(cpu, switch_off, NULL);
}

static void run_load(uint32_t flags)
{
	async_pf_need();
	REQUIRE(cpu_count() == CPUS);
	prepare(flags);
	for (unsigned int cpu = 1; cpu < CPUS; cpu++)
		on_cpu_start(cpu, load, NULL);
	EXPECT_TRUE(WAIT_FOR(all_done(), CPU_WAIT_MS));
	for (unsigned int cpu = 1; cpu < CPUS; cpu++) {
		on_cpu_wait(cpu);
		finish(cpu);
	}
}

static void expect_no_note(void)
{
	for (unsigned int i = 0; i < noted && i < NOTES; i++)
		FAIL("asynchronous #PF on CPU %u at CPL %u with interrupts %s, ip 0x%lx",
		     notes[i].cpu, notes[i].cpl, notes[i].interrupts ? "enabled" : "disabled",
		     (unsigned long)notes[i].ip);
	EXPECT_EQ(noted, 0);
}

/* Each place was met often enough for the result to mean something. */
static void expect_load(void)
{
	static const char *const names[PLACES] = { "CPL 3",   "CPL 3, masked",
						   "CPL 0",   "CPL 0, masked",
						   "handler", "handler, masked" };

	for (unsigned int cpu = 1; cpu < CPUS; cpu++)
		for (unsigned int place = 0; place < PLACES; place++)
			EXPECT_GE(places[cpu][place].touched, ROUNDS / 8, "CPU %u, %s", cpu,
				  names[place]);
}

TEST("without SEND_ALWAYS none comes at CPL 0 or with interrupts disabled, whatever the load")
{
	run_load(0);
	expect_no_note();
	expect_load();
	for (unsigned int cpu = 1; cpu < CPUS; cpu++)
		EXPECT_GE(told[cpu], ROUNDS / 8, "CPU %u at CPL 3", cpu);
	test_diag("told %u, %u, %u times at CPL 3", told[1], told[2], told[3]);
}

TEST("with SEND_ALWAYS some come at CPL 0, and none with interrupts disabled")
{
	run_load(KVM_ASYNC_PF_SEND_ALWAYS);
	expect_no_note();
	expect_load();
	for (unsigned int cpu = 1; cpu < CPUS; cpu++)
		EXPECT_GE(told_kernel[cpu], ROUNDS / 8, "CPU %u at CPL 0", cpu);
	test_diag("told %u, %u, %u times at CPL 0", told_kernel[1], told_kernel[2], told_kernel[3]);
}
