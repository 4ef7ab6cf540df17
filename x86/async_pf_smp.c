// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults with several CPUs
 *
 * All of it belongs to one vCPU: the MSRs, the area, and what is outstanding (struct kvm_vcpu_arch, apf;
 * struct kvm_vcpu, async_pf). So
 *
 * - several CPUs may wait for one page: each that asked for it is told with a token of its own, and gets
 *   its own "page ready"; one that did not ask for it waits, and is told nothing. What is asked for, as
 *   SEND_ALWAYS, is asked for by each CPU (x86.c, kvm_can_deliver_async_pf).
 * - "page ready" comes to the CPU that was told that the page is not present, whoever brings it back, and
 *   to no other (kvm_arch_async_page_present). That CPU may be in HLT.
 * - Tokens of different CPUs differ: a guest finds the task that waits by the token alone (Linux as a
 *   guest, arch/x86/kernel/kvm.c, kvm_async_pf_task_wake). KVM puts the number of the vCPU into it
 *   (mmu.c, alloc_apf_token).
 * - Switching them off or on is the CPU's own affair: the token that wakes all comes there only.
 * - INIT switches them off and forgets what is outstanding (kvm_vcpu_reset): "page ready" does not follow.
 *   KVM waits in there for the page itself (virt/kvm/async_pf.c, kvm_clear_async_pf_completion_queue), so
 *   another CPU has to bring it back.
 */
#include <kvm/async_pf_log.h>
#include <libc/array.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/smp.h>
#include <x86/time.h>

#define CPUS	  4
#define CONTENTS  0x5eed0000u
#define FAULT_MS  5000
#define QUIET_MS  10
#define RESCUE_MS 20

static void log_on(void *flags)
{
	async_pf_log_on((uintptr_t)flags);
}

static void log_off(void *unused)
{
	(void)unused;
	async_pf_log_off();
}

/* On all CPUs, one after the other. */
static void on_everywhere(void)
{
	async_pf_need();
	REQUIRE(cpu_count() == CPUS);
	for (unsigned int cpu = 0; cpu < CPUS; cpu++)
		on_cpu(cpu, log_on, (void *)0);
}

static void off_everywhere(void)
{
	for (unsigned int cpu = 0; cpu < CPUS; cpu++)
		on_cpu(cpu, log_off, NULL);
}

static uintptr_t absent(unsigned int n)
{
	uint32_t *page = page_alloc();

	*page = CONTENTS + n;
	REQUIRE(vmm_page_out((uintptr_t)page, PAGE_SIZE) == 0);
	return (uintptr_t)page;
}

/* A touch that another CPU is given to do. */
struct job {
	uintptr_t page;
	struct async_pf_touch touch;
	volatile bool done;
};

static void touch_at_user(void *argument)
{
	struct job *job = argument;

	job->touch = async_pf_touch(job->page);
	job->done = true;
}

/* Expects that the CPU is told, and returns the token. */
static uint32_t told(unsigned int cpu, uintptr_t page)
{
	struct job job = { .page = page };

	on_cpu(cpu, touch_at_user, &job);
	EXPECT_TRUE(job.touch.told, "CPU %u", cpu);
	EXPECT_NE(job.touch.token, 0, "CPU %u", cpu);
	return job.touch.token;
}

static void expect_contents(unsigned int cpu, uintptr_t page, unsigned int n)
{
	struct job job = { .page = page };

	on_cpu(cpu, touch_at_user, &job);
	EXPECT_FALSE(job.touch.told, "CPU %u", cpu);
	EXPECT_EQ(job.touch.value, CONTENTS + n, "CPU %u", cpu);
}

/* The next token of this CPU, which is its number "count". */
static void expect_ready(unsigned int cpu, unsigned int count, uint32_t token)
{
	ASSERT_TRUE(async_pf_log_wait(cpu, count), "CPU %u has %u, not %u", cpu,
		    async_pf_log_count(cpu), count);
	EXPECT_EQ(async_pf_log_token(cpu, count - 1), token, "CPU %u", cpu);
}

static bool never(void)
{
	irq_window();
	return false;
}

/* Time in which more could come: to this CPU too; the others idle with interrupts enabled. */
static void be_quiet(void)
{
	(void)WAIT_FOR(never(), QUIET_MS);
}

static void expect_counts(const unsigned int counts[CPUS])
{
	be_quiet();
	for (unsigned int cpu = 0; cpu < CPUS; cpu++)
		EXPECT_EQ(async_pf_log_count(cpu), counts[cpu], "CPU %u", cpu);
}

TEST("CPUs that touch one page are told with tokens of their own, and each gets its page ready")
{
	static const unsigned int once[CPUS] = { 1, 1, 1, 1 };
	uint32_t tokens[CPUS];
	uintptr_t page;

	on_everywhere();
	page = absent(1);
	for (unsigned int cpu = 0; cpu < CPUS; cpu++)
		tokens[cpu] = told(cpu, page);
	EXPECT_EQ(vmm_page_in(page), 0);
	for (unsigned int cpu = 0; cpu < CPUS; cpu++)
		expect_ready(cpu, 1, tokens[cpu]);
	expect_counts(once);
	for (unsigned int cpu = 0; cpu < CPUS; cpu++)
		expect_contents(cpu, page, 1);
	off_everywhere();
}

TEST("page ready comes to the CPU that was told, and to no other")
{
	static const unsigned int order[CPUS] = { 2, 0, 3, 1 };
	unsigned int counts[CPUS] = { 0 };
	uintptr_t pages[CPUS];
	uint32_t tokens[CPUS];

	on_everywhere();
	for (unsigned int cpu = 0; cpu < CPUS; cpu++) {
		pages[cpu] = absent(cpu);
		tokens[cpu] = told(cpu, pages[cpu]);
	}
	expect_counts(counts);
	for (unsigned int i = 0; i < CPUS; i++) {
		unsigned int cpu = order[i];

		EXPECT_EQ(vmm_page_in(pages[cpu]), 0);
		expect_ready(cpu, 1, tokens[cpu]);
		counts[cpu] = 1;
		expect_counts(counts);
		expect_contents(cpu, pages[cpu], cpu);
	}
	off_everywhere();
}

#define PAGES_EACH 8

TEST("no two tokens agree, of one CPU or of several")
{
	uintptr_t pages[CPUS * PAGES_EACH];
	uint32_t tokens[COUNT_OF(pages)];

	on_everywhere();
	for (unsigned int i = 0; i < COUNT_OF(pages); i++) {
		pages[i] = absent(i);
		tokens[i] = told(i % CPUS, pages[i]);
		for (unsigned int other = 0; other < i; other++)
			EXPECT_NE(tokens[i], tokens[other], "CPU %u and %u", i % CPUS,
				  other % CPUS);
	}
	for (unsigned int i = 0; i < COUNT_OF(pages); i++) {
		EXPECT_EQ(vmm_page_in(pages[i]), 0);
		expect_ready(i % CPUS, i / CPUS + 1, tokens[i]);
		page_free((void *)pages[i]);
	}
	off_everywhere();
}

/* CPU 1, which is told nothing, touches the page and waits, until CPU 0 brings it back. */
static void check_waiting(cpu_function *touch, struct job *job)
{
	uint64_t before = vmm_page_waiting(job->page);

	on_cpu_start(1, touch, job);
	EXPECT_TRUE(WAIT_FOR(vmm_page_waiting(job->page) > before, FAULT_MS));
	be_quiet();
	EXPECT_FALSE(job->done);
	EXPECT_EQ(vmm_page_in(job->page), 0);
	on_cpu_wait(1);
	EXPECT_FALSE(job->touch.told);
	EXPECT_EQ(job->touch.value, CONTENTS);
}

TEST("a CPU that switched them off waits for the page of which another one is told")
{
	static const unsigned int counts[CPUS] = { 0, 0, 1, 0 };
	struct job job = { 0 };
	uint32_t token;

	on_everywhere();
	on_cpu(1, log_off, NULL);
	job.page = absent(0);
	token = told(2, job.page);
	check_waiting(touch_at_user, &job);
	expect_ready(2, 1, token);
	expect_counts(counts);
	expect_contents(2, job.page, 0);
	off_everywhere();
}

/* At CPL 0, with interrupts enabled. */
static void touch_at_kernel(void *argument)
{
	struct job *job = argument;
	struct x86_fault fault = FAULT_OF({
		irq_enable();
		nop(); /* the shadow of STI, which QEMU's TCG does not end with PAUSE */
		job->touch.value = *(volatile uint32_t *)job->page;
	});

	irq_disable();
	if (fault.vector != NO_FAULT) {
		EXPECT_FAULT_EQ(fault, PF, 0);
		job->touch.told = async_pf_told();
		job->touch.token = (uint32_t)fault.cr2;
	}
	job->done = true;
}

TEST("SEND_ALWAYS of one CPU is no other's: that waits at CPL 0")
{
	static const unsigned int counts[CPUS] = { 0, 0, 1, 0 };
	struct job always = { 0 }, job = { 0 };

	on_everywhere();
	on_cpu(2, log_on, (void *)KVM_ASYNC_PF_SEND_ALWAYS);
	always.page = job.page = absent(0);
	on_cpu(2, touch_at_kernel, &always);
	EXPECT_TRUE(always.touch.told);
	check_waiting(touch_at_kernel, &job);
	expect_ready(2, 1, always.touch.token);
	expect_counts(counts);
	off_everywhere();
}

TEST("a CPU that switches them off and on wakes no other, and takes nothing from it")
{
	unsigned int counts[CPUS] = { 0 };
	uintptr_t page;
	uint32_t token;

	on_everywhere();
	page = absent(7);
	token = told(1, page);
	on_cpu(2, log_off, NULL);
	on_cpu(2, log_on, (void *)0);
	expect_counts(counts);
	EXPECT_EQ(vmm_page_in(page), 0);
	expect_ready(1, 1, token);
	counts[1] = 1;
	expect_counts(counts);
	expect_contents(1, page, 7);
	off_everywhere();
}

static void bring_back_later(void *argument)
{
	delay_us(RESCUE_MS * 1000);
	EXPECT_EQ(vmm_page_in((uintptr_t)argument), 0);
}

/* What a CPU that has just been reset finds. */
static void look_after_init(void *argument)
{
	(void)argument;
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_EN), 0);
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_INT), 0);
	EXPECT_EQ(rdmsr(MSR_KVM_ASYNC_PF_ACK), 0);
	EXPECT_EQ(async_pf_area()->token, 0);
	be_quiet();
}

TEST("INIT switches them off, and no page ready follows for what was out; on again all is as before")
{
	unsigned int before;
	uintptr_t page;
	uint32_t token;

	on_everywhere();
	page = absent(3);
	told(1, page);
	on_cpu_start(2, bring_back_later, (void *)page);
	cpu_restart(1);
	before = async_pf_log_count(1);
	on_cpu_wait(2);
	on_cpu(1, look_after_init, NULL);
	EXPECT_EQ(async_pf_log_count(1), before);
	expect_contents(1, page, 3);

	on_cpu(1, log_on, (void *)0);
	REQUIRE(vmm_page_out(page, PAGE_SIZE) == 0);
	token = told(1, page);
	EXPECT_EQ(vmm_page_in(page), 0);
	expect_ready(1, 1, token);
	expect_contents(1, page, 3);
	off_everywhere();
}
