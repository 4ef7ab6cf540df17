/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mutual exclusion of CPUs, for short stretches of the runtime with no exception in them.
 * Interrupts are off meanwhile, since a handler may need the same lock.
 */
#ifndef X86_LOCK_H
#define X86_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/registers.h>

struct lock {
	bool taken;
	uintptr_t flags; /* of who took it */
};

static inline void lock_take(struct lock *lock)
{
	uintptr_t flags = read_flags();

	asm volatile("cli" ::: "memory");
	while (__atomic_test_and_set(&lock->taken, __ATOMIC_ACQUIRE))
		asm volatile("pause");
	lock->flags = flags;
}

static inline void lock_release(struct lock *lock)
{
	uintptr_t flags = lock->flags;

	__atomic_clear(&lock->taken, __ATOMIC_RELEASE);
	write_flags(flags);
}

#endif
