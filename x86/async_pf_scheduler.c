// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous page faults with a real user: a small scheduler
 *
 * What they are for: while one task waits for its page, the CPU runs others. The scheduler here does what an
 * operating system does with them (Linux as a guest: arch/x86/kernel/kvm.c, __kvm_handle_async_pf,
 * kvm_async_pf_task_wait_schedule, kvm_async_pf_task_wake):
 *
 * - tasks run at CPL 3, each until the timer's next tick, one after the other;
 * - "page not present" makes the task that runs wait with its token, and the next one runs at once;
 * - "page ready" makes the task that waits with this token ready to run; it goes on at the very
 *   instruction, with all registers;
 * - when none can run the CPU is halted, until "page ready" or a tick wakes it.
 *
 * So the others progress while a page is out, none starves, each task comes to its end with the right result,
 * and no token is lost: a task would wait for ever. Without asynchronous page faults KVM halts the vCPU in the
 * task that touched the page, but lets the timer's interrupts in (mmu.c, kvm_faultin_pfn; x86.c,
 * kvm_arch_async_page_not_present): the others then have only what is left of the time, and that is
 * measured.
 *
 * All is on one CPU: the handler of the timer brings the pages back after some ticks.
 */
#include <kvm/async_pf_log.h>
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/registers.h>
#include <x86/task.h>
#include <x86/time.h>

#define TASKS	       4
#define TICK_MS	       2
#define TICKS_OUT      4 /* for each task that runs meanwhile */
#define TICKS_MEASURED 20
#define LIMIT_MS       8000
#define VECTOR_TICK    0x60
#define CONTENTS       0x5eed0000u

enum state { READY, WAITING, DONE };

struct thread {
	struct task task;
	enum state state;
	uint32_t token;	    /* that it waits with */
	unsigned int turns; /* how often it has run */
	unsigned int told;  /* how often it was made to wait */
	uintptr_t result;
};

static struct thread threads[TASKS];
static unsigned int thread_count;
static struct thread *running; /* NULL: none */

/* A page that is out, and comes back so many ticks after someone has begun to wait for it. */
struct out {
	uintptr_t page; /* 0: none is */
	unsigned int ticks_out;
	unsigned int tick;		   /* of its return; 0: nobody waits yet */
	uintptr_t work_before, work_after; /* what was done by work_until_stopped() until then */
};

static struct out outs[TASKS];
static volatile unsigned int ticks;
static unsigned int unknown_tokens, halts;
static unsigned int gathering; /* so many tasks must wait at a time before the ticks count */

/* What the tasks are given. */
struct order {
	volatile uint32_t *page;
	volatile uintptr_t work; /* how often the loop has gone round */
	volatile bool go, stop;
};

static struct order orders[TASKS];

static void leave(struct x86_frame *frame)
{
	if (running)
		task_leave(&running->task, frame);
}

static uintptr_t all_work(void)
{
	uintptr_t work = 0;

	for (unsigned int i = 0; i < COUNT_OF(orders); i++)
		work += orders[i].work;
	return work;
}

static unsigned int count_waiting(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < thread_count; i++)
		count += threads[i].state == WAITING;
	return count;
}

static void look_after(struct out *out)
{
	if (!out->page)
		return;
	if (!out->tick && count_waiting() >= gathering && vmm_page_waiting(out->page)) {
		out->tick = ticks + out->ticks_out;
		out->work_before = all_work();
	} else if (out->tick && ticks >= out->tick) {
		out->work_after = all_work();
		EXPECT_EQ(vmm_page_in(out->page), 0);
		out->page = 0;
	}
}

static void on_tick(struct x86_frame *frame)
{
	ticks++;
	apic_eoi();
	for (unsigned int i = 0; i < COUNT_OF(outs); i++)
		look_after(&outs[i]);
	leave(frame);
}

static bool on_page_fault(struct x86_frame *frame)
{
	if (!running || !frame_is_user(frame) || !async_pf_told())
		return false;
	running->state = WAITING;
	running->token = (uint32_t)read_cr2();
	running->told++;
	leave(frame);
	return true;
}

static struct thread *find_waiting(uint32_t token)
{
	for (unsigned int i = 0; i < thread_count; i++)
		if (threads[i].state == WAITING && threads[i].token == token)
			return &threads[i];
	return NULL;
}

static void on_page_ready(struct x86_frame *frame)
{
	struct thread *thread = find_waiting(async_pf_take());

	(void)frame;
	if (thread)
		thread->state = READY;
	else
		unknown_tokens++;
	apic_eoi();
}

/* The next one in turn that can run. */
static struct thread *next_ready(void)
{
	static unsigned int turn;

	for (unsigned int i = 0; i < thread_count; i++) {
		turn = (turn + 1) % thread_count;
		if (threads[turn].state == READY)
			return &threads[turn];
	}
	return NULL;
}

static void run(struct thread *thread)
{
	struct user_result result;

	thread->turns++;
	running = thread;
	result = task_run(&thread->task);
	running = NULL;
	if (result.returned) {
		thread->state = DONE;
		thread->result = result.value;
	}
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	if (result.fault.vector != NO_FAULT)
		thread->state = DONE;
}

static bool all_done(void)
{
	for (unsigned int i = 0; i < thread_count; i++)
		if (threads[i].state != DONE)
			return false;
	return true;
}

/* Halts the CPU when none can run. Returns whether all have come to their end. */
static bool schedule_once(void)
{
	struct thread *thread = next_ready();

	/* One tick for each turn: where ticks take long there is still something between them. */
	apic_timer_start(LVT_TIMER_ONE_SHOT, VECTOR_TICK, apic_timer_khz() * TICK_MS);
	if (thread) {
		run(thread);
	} else if (!all_done()) {
		halts++;
		irq_enable_and_halt();
		irq_disable();
	}
	return all_done();
}

static void begin(void)
{
	running = NULL;
	thread_count = 0;
	unknown_tokens = 0;
	halts = 0;
	gathering = 0;
	ticks = 0;
	memset(outs, 0, sizeof(outs));
	memset(orders, 0, sizeof(orders));
	irq_handler(VECTOR_TICK, on_tick);
}

static void begin_asynchronous(void)
{
	async_pf_need();
	async_pf_log_on(0);
	irq_handler(ASYNC_PF_VECTOR, on_page_ready);
	exception_handler(PF, on_page_fault);
	begin();
}

static uintptr_t work_until_stopped(uintptr_t argument)
{
	struct order *order = (struct order *)argument;

	while (!order->stop)
		order->work++;
	return order->work;
}

static uintptr_t read_the_page(uintptr_t argument)
{
	const struct order *order = (const struct order *)argument;

	return *order->page;
}

static struct thread *add(user_function *function, uintptr_t argument)
{
	struct thread *thread = &threads[thread_count++];

	*thread = (struct thread){ .state = READY };
	task_init(&thread->task, function, argument);
	return thread;
}

static void finish(void)
{
	EXPECT_TRUE(WAIT_FOR(schedule_once(), LIMIT_MS), "%u of %u tasks wait", count_waiting(),
		    thread_count);
	apic_timer_stop();
	irq_window();
	EXPECT_EQ(unknown_tokens, 0);
	/* Switching them off waits for what is still out, when a point has failed. */
	for (unsigned int i = 0; i < COUNT_OF(outs); i++)
		if (outs[i].page)
			vmm_page_in(outs[i].page);
	async_pf_reset();
}

static void take_out(unsigned int slot, uintptr_t page, unsigned int ticks_out)
{
	REQUIRE(vmm_page_out(page, PAGE_SIZE) == 0);
	outs[slot] = (struct out){ .page = page, .ticks_out = ticks_out };
}

/* A task with a page that is out. */
static struct thread *add_reader(user_function *function, unsigned int ticks_out)
{
	unsigned int slot = thread_count;
	struct order *order = &orders[slot];

	order->page = page_alloc();
	*order->page = CONTENTS + slot;
	take_out(slot, (uintptr_t)order->page, ticks_out);
	return add(function, (uintptr_t)order);
}

/* A task without one. */
static struct thread *add_worker(void)
{
	return add(work_until_stopped, (uintptr_t)&orders[thread_count]);
}

/* A sum that comes out wrong if a register is lost when the task is left. */
#define SUM_ROUNDS 300000u
#define SUM_FACTOR 1664525u
#define SUM_TERM   1013904223u

static uintptr_t sum_from(uintptr_t argument)
{
	uint32_t sum = (uint32_t)argument;

	for (uint32_t i = 0; i < SUM_ROUNDS; i++)
		sum = sum * SUM_FACTOR + SUM_TERM;
	return sum;
}

TEST("tasks that the timer takes turns with come to their end with the right results")
{
	begin_asynchronous();
	for (unsigned int i = 0; i < TASKS; i++)
		add(sum_from, i);
	finish();
	for (unsigned int i = 0; i < TASKS; i++) {
		EXPECT_EQ(threads[i].result, sum_from(i), "task %u", i);
		EXPECT_GE(threads[i].turns, 1, "task %u", i);
	}
}

static bool is(const struct thread *thread, enum state state)
{
	schedule_once();
	return thread->state == state;
}

TEST("while a task waits for its page the others progress, in turn, and then it goes on")
{
	uintptr_t work[TASKS];
	unsigned int turns[TASKS];
	struct thread *waiter;

	begin_asynchronous();
	waiter = add_reader(read_the_page, TICKS_OUT * (TASKS - 1));
	for (unsigned int i = 1; i < TASKS; i++)
		add_worker();
	EXPECT_TRUE(WAIT_FOR(is(waiter, WAITING), LIMIT_MS));
	for (unsigned int i = 1; i < TASKS; i++) {
		work[i] = orders[i].work;
		turns[i] = threads[i].turns;
	}
	EXPECT_TRUE(WAIT_FOR(is(waiter, DONE), LIMIT_MS));
	EXPECT_EQ(waiter->result, CONTENTS);
	EXPECT_EQ(waiter->told, 1);
	for (unsigned int i = 1; i < TASKS; i++) {
		EXPECT_GT(orders[i].work, work[i], "task %u", i);
		turns[i] = threads[i].turns - turns[i];
		EXPECT_GE(turns[i], TICKS_OUT - 1, "task %u", i);
		EXPECT_LE(turns[i], turns[1] + 1, "task %u", i);
		EXPECT_LE(turns[1], turns[i] + 1, "task %u", i);
		orders[i].stop = true;
	}
	finish();
}

TEST("when all wait the CPU is halted, and each page that is ready wakes its task")
{
	begin_asynchronous();
	gathering = TASKS;
	for (unsigned int i = 0; i < TASKS; i++)
		add_reader(read_the_page, TASKS - i);
	finish();
	EXPECT_GT(halts, 0);
	for (unsigned int i = 0; i < TASKS; i++) {
		EXPECT_EQ(threads[i].result, CONTENTS + i, "task %u", i);
		EXPECT_EQ(threads[i].told, 1, "task %u", i);
	}
}

#define READS 12

/* Reads the page again and again, each time when it is let go on. */
static uintptr_t read_many(uintptr_t argument)
{
	struct order *order = (struct order *)argument;
	uint32_t sum = *order->page;

	for (order->work = 1; order->work < READS; order->work++) {
		while (!order->go)
			;
		order->go = false;
		sum += *order->page;
	}
	return sum;
}

/* Takes the page of each task that has read it away again, and lets the task go on. */
static bool read_again(void)
{
	bool done = schedule_once();

	for (unsigned int i = 0; i < thread_count; i++) {
		struct order *order = &orders[i];
		unsigned int reads = (unsigned int)order->work;

		if (threads[i].state != READY || order->go || outs[i].page ||
		    threads[i].told != reads || reads == READS)
			continue;
		take_out(i, (uintptr_t)order->page, 1 + (i + reads) % TASKS);
		order->go = true;
	}
	return done;
}

TEST("tasks that wait again and again, for pages that come back in another order, all finish")
{
	begin_asynchronous();
	for (unsigned int i = 0; i < TASKS; i++)
		add_reader(read_many, 1 + i);
	EXPECT_TRUE(WAIT_FOR(read_again(), LIMIT_MS));
	finish();
	for (unsigned int i = 0; i < TASKS; i++) {
		EXPECT_EQ(threads[i].result, (uint32_t)(READS * (CONTENTS + i)), "task %u", i);
		EXPECT_EQ(threads[i].told, READS, "task %u", i);
	}
}

/* The work of the one task that has any while the other's page is out. */
static uintptr_t work_beside_reader(unsigned int ticks_out)
{
	struct thread *reader = add_reader(read_the_page, ticks_out);

	add_worker();
	EXPECT_TRUE(WAIT_FOR(is(reader, DONE), LIMIT_MS));
	EXPECT_EQ(reader->result, CONTENTS);
	orders[1].stop = true;
	finish();
	return outs[0].work_after - outs[0].work_before;
}

TEST("without them, too, another task has its turns, but the one that waits takes its own")
{
	uintptr_t with, without;

	begin_asynchronous();
	with = work_beside_reader(TICKS_MEASURED);
	EXPECT_EQ(threads[0].told, 1);
	async_pf_log_off();
	begin();
	without = work_beside_reader(TICKS_MEASURED);
	EXPECT_EQ(threads[0].told, 0);
	EXPECT_GE(threads[0].turns, TICKS_MEASURED / 4);
	EXPECT_GT(with, 0);
	EXPECT_GT(without, 0);
	/* Read by scripts/bench.sh. */
	test_diag(
		"work while a page is out for %u ms: %lu with asynchronous page faults, %lu without",
		TICKS_MEASURED * TICK_MS, (unsigned long)with, (unsigned long)without);
}
