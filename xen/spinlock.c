// SPDX-License-Identifier: BSD-2-Clause
/*
 * Locks of PV guests: who waits polls a port of its own, and who unlocks sends to it
 *
 * This is what Linux does in a domain (arch/x86/xen/spinlock.c): each vCPU has an IPI port that stays masked. A vCPU
 * that finds a lock taken for too long clears its port, says for which lock it waits, looks once more, and polls; the
 * one that unlocks kicks who waits for that lock by an event (EVTCHNOP_send) to its port. A kick that comes between looking and
 * polling must not be lost: it leaves the port pending, at which a poll returns at once (public/sched.h, SCHEDOP_poll).
 * That nobody polls without an end is what is tested: each wait has a limit, and a limit that was reached is a lost kick.
 */
#include <test/test.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <xen/events.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/shared.h>

#define WAIT_MS 5000
#define LIMIT	2000000000ull
#define SPINS	20

struct lock {
	bool taken;
	bool waiting[2];
	uint32_t port[2];
};

struct work {
	struct lock lock;
	unsigned int rounds;
	unsigned int hold_us;
	unsigned long shared; /* changed by two accesses that the lock makes one */
	unsigned long slept[2], lost[2];
	bool ready;
};

static bool try_lock(struct lock *lock)
{
	return !__atomic_exchange_n(&lock->taken, true, __ATOMIC_SEQ_CST);
}

static void sleep_for(struct work *work, unsigned int self)
{
	struct lock *lock = &work->lock;
	uint64_t start = xen_now();
	const struct xen_sched_poll poll = { &lock->port[self], 1, start + LIMIT };

	xen_port_take(lock->port[self]);
	__atomic_store_n(&lock->waiting[self], true, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&lock->taken, __ATOMIC_SEQ_CST)) {
		work->slept[self]++;
		EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_POLL, (uintptr_t)&poll),
			  0);
		work->lost[self] += xen_now() - start > LIMIT / 2;
	}
	__atomic_store_n(&lock->waiting[self], false, __ATOMIC_SEQ_CST);
}

static void acquire(struct work *work, unsigned int self)
{
	for (;;) {
		for (unsigned int i = 0; i < SPINS; i++) {
			if (try_lock(&work->lock))
				return;
			cpu_relax();
		}
		sleep_for(work, self);
	}
}

static void release(struct work *work, unsigned int self)
{
	__atomic_store_n(&work->lock.taken, false, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&work->lock.waiting[!self], __ATOMIC_SEQ_CST))
		EXPECT_EQ(xen_send(work->lock.port[!self]), 0);
}

static void contend(struct work *work)
{
	unsigned int self = cpu_id();

	for (unsigned int i = 0; i < work->rounds && !work->lost[self]; i++) {
		unsigned long value;

		acquire(work, self);
		value = *(volatile unsigned long *)&work->shared;
		delay_us(work->hold_us);
		*(volatile unsigned long *)&work->shared = value + 1;
		release(work, self);
	}
}

static void contend_here(void *argument)
{
	struct work *work = argument;

	xen_vcpu_info();
	__atomic_store_n(&work->ready, true, __ATOMIC_RELEASE);
	contend(work);
}

static void make_ports(struct work *work)
{
	xen_events_begin();
	REQUIRE(cpu_count() >= 2);
	for (unsigned int cpu = 0; cpu < 2; cpu++) {
		work->lock.port[cpu] = xen_port(XEN_PORT_ANY, cpu);
		xen_port_mask(work->lock.port[cpu]);
	}
}

static void expect_locked(unsigned int rounds, unsigned int hold_us)
{
	struct work work = { .rounds = rounds, .hold_us = hold_us };

	make_ports(&work);
	on_cpu_start(1, contend_here, &work);
	REQUIRE(WAIT_FOR(__atomic_load_n(&work.ready, __ATOMIC_ACQUIRE), WAIT_MS));
	contend(&work);
	on_cpu_wait(1);
	EXPECT_EQ(work.lost[0] + work.lost[1], 0, "kicks");
	EXPECT_EQ(work.shared, 2 * rounds);
}

TEST("two vCPUs that hold a lock for long wait by polling, and none is forgotten")
{
	expect_locked(10, 1000);
}

TEST("two vCPUs that hold a lock for a moment do not lose a kick")
{
	expect_locked(200, 10);
}

static void hold_and_release(void *argument)
{
	struct work *work = argument;

	REQUIRE(WAIT_FOR(try_lock(&work->lock), WAIT_MS));
	__atomic_store_n(&work->ready, true, __ATOMIC_RELEASE);
	/* Until the other one sleeps, and a little more: between saying so and polling it looks once more. */
	REQUIRE(WAIT_FOR(__atomic_load_n(&work->lock.waiting[0], __ATOMIC_ACQUIRE), WAIT_MS));
	delay_us(10000);
	release(work, 1);
}

TEST("who sleeps on a lock is woken by its release, once")
{
	struct work work = { 0 };

	make_ports(&work);
	on_cpu_start(1, hold_and_release, &work);
	REQUIRE(WAIT_FOR(__atomic_load_n(&work.ready, __ATOMIC_ACQUIRE), WAIT_MS));
	acquire(&work, 0);
	on_cpu_wait(1);
	EXPECT_EQ(work.lost[0], 0);
	EXPECT_EQ(work.slept[0] >= 1, true, "%lu times", work.slept[0]);
	EXPECT_TRUE(xen_port_pending(work.lock.port[0]), "the kick");
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 0, "the port is masked");
}

TEST("a kick that comes before the poll is not lost")
{
	struct work work = { .lock.taken = true };
	uint64_t start;

	make_ports(&work);
	for (unsigned int i = 0; i < 5; i++) {
		const struct xen_sched_poll poll = { &work.lock.port[0], 1, xen_now() + LIMIT };

		xen_port_take(work.lock.port[0]);
		EXPECT_EQ(xen_send(work.lock.port[0]), 0);
		start = xen_now();
		EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_POLL, (uintptr_t)&poll),
			  0);
		EXPECT_LT(xen_now() - start, LIMIT / 2);
	}
}
