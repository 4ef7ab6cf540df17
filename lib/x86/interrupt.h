/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts: handlers, and the interrupt flag
 *
 * Test points begin with interrupts disabled on all CPUs, and the PICs masked.
 */
#ifndef X86_INTERRUPT_H
#define X86_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/exception.h>
#include <x86/vectors.h>

/*
 * Runs on the CPU that was interrupted, with interrupts disabled. Whether and when it ends the
 * interrupt, by apic_eoi(), is its own choice.
 */
typedef void irq_function(struct x86_frame *frame);

/*
 * The handler of a vector on all CPUs: NMI, or 32 to 0xef. NULL takes it away: one more interrupt
 * there is then an unexpected exception, or what FAULT_OF() catches. Gone at the end of the point.
 */
void irq_handler(unsigned int vector, irq_function *function);

/*
 * Asked about an exception before anything else is done with it: true if it is dealt with, and what the
 * frame then says goes on.
 */
typedef bool exception_function(struct x86_frame *frame);

/* For a vector below 32 other than NMI, on all CPUs and at every CPL. NULL, and the end of the point take it away. */
void exception_handler(unsigned int vector, exception_function *function);

static inline void irq_enable(void)
{
	asm volatile("sti" ::: "memory");
}

static inline void irq_disable(void)
{
	asm volatile("cli" ::: "memory");
}

/* STI shadows the next instruction: nothing can come between it and the HLT. */
static inline void irq_enable_and_halt(void)
{
	asm volatile("sti\n"
		     "hlt" ::
			     : "memory");
}

/* Lets in what is pending: one instruction with interrupts enabled, behind STI's shadow. */
static inline void irq_window(void)
{
	asm volatile("sti\n"
		     "nop\n"
		     "cli" ::
			     : "memory");
}

#endif
