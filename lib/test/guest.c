// SPDX-License-Identifier: BSD-2-Clause
/*
 * The harness in a guest
 */
#ifndef VMABI_HOSTED
#include <test/platform.h>

#include <test/report.h>
#include <x86/cet.h>
#include <x86/cpu.h>
#include <x86/interrupt.h>
#include <x86/platform.h>
#include <x86/registers.h>
#include <x86/time.h>

#define NO_OWNER   0
#define LOCK_SPINS 100000000 /* a CPU that died with the lock must not silence the others */

static unsigned int lock_owner; /* the CPU's number + 1 */
static unsigned int lock_depth;
static uintptr_t lock_flags;

void test_platform_write(const char *text, size_t size)
{
	console_write(text, size);
}

unsigned int test_platform_cpu(void)
{
	return cpu_id();
}

static bool try_lock(unsigned int self)
{
	unsigned int expected = NO_OWNER;

	return __atomic_compare_exchange_n(&lock_owner, &expected, self, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

void test_platform_lock(void)
{
	unsigned int self = cpu_id() + 1;
	uintptr_t flags = read_flags();

	irq_disable();
	if (__atomic_load_n(&lock_owner, __ATOMIC_RELAXED) == self) {
		lock_depth++;
		return;
	}
	for (unsigned int spins = 0; spins < LOCK_SPINS && !try_lock(self); spins++)
		cpu_relax();
	__atomic_store_n(&lock_owner, self, __ATOMIC_RELAXED);
	lock_depth = 1;
	lock_flags = flags;
}

void test_platform_unlock(void)
{
	uintptr_t flags = lock_flags;

	if (--lock_depth)
		return;
	__atomic_store_n(&lock_owner, NO_OWNER, __ATOMIC_RELEASE);
	write_flags(flags);
}

/* An exception in the middle of a report ends the point with the lock held. */
static void force_unlock(void)
{
	if (__atomic_load_n(&lock_owner, __ATOMIC_RELAXED) == cpu_id() + 1)
		__atomic_store_n(&lock_owner, NO_OWNER, __ATOMIC_RELEASE);
}

void test_platform_point_begin(test_jump end)
{
	this_cpu()->abort = end;
}

void test_platform_point_end(bool aborted)
{
	struct cpu *cpu = this_cpu();

	irq_disable();
	cet_end();
	cpu->abort = NULL;
	cpu->catch = NULL;
	cpu->in_dump = false;
	if (aborted) {
		force_unlock();
		cpu_restore();
	}
	smp_settle(aborted);
	irq_handlers_reset();
}

void test_platform_abort(void)
{
	const struct jump *end = this_cpu()->abort;

	force_unlock();
	cet_unwind();
	if (!end)
		platform_panic("a check that ends its test point has failed outside of one");
	jump_restore(end);
}
#endif
