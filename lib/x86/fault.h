/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions as values: what a statement raised, and expectations about it
 *
 *	struct x86_fault fault = FAULT_OF(wrmsr(MSR, 1));	caught, whatever it is
 *	EXPECT_FAULT(GP, 0, wrmsr(MSR, 1));			vector and error code compared
 *	EXPECT_NO_FAULT(wrmsr(MSR, 0));
 *	EXPECT_FAULT_EQ(fault, PF, PF_PRESENT, "case %u", i);	the same for one caught before
 *
 * A caught exception ends the statement: what it had done before stays done, and what comes after
 * it in the statement does not happen. The statement may use and change the variables around it,
 * and must not leave by break or goto. It may be nested, and used on every CPU, at CPL 0 only.
 *
 * Everything that arrives at this CPU without a handler of its own is caught: exceptions, NMI, and
 * interrupts at vectors for which there is no irq_handler().
 */
#ifndef X86_FAULT_H
#define X86_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include <test/test.h>
#include <x86/vectors.h>

struct x86_fault {
	unsigned int vector; /* enum x86_vector; NO_FAULT: nothing was raised */
	uint32_t error_code; /* 0 where the vector has none */
	uintptr_t cr2;	     /* the address of a #PF; else 0 */
	uintptr_t ip;	     /* as pushed: of the instruction (fault) or behind it (trap) */
	uintptr_t sp;	     /* the stack pointer there */
	uintptr_t ssp;	     /* as the event left it; 0 without a shadow stack at CPL 0 */
};

/* Error code of #PF: Intel SDM volume 3, "Page-Fault Exceptions"; AMD APM volume 2, 8.4.2. */
#define PF_PRESENT	(1u << 0) /* the translation was there, and forbade the access */
#define PF_WRITE	(1u << 1)
#define PF_USER		(1u << 2) /* the access was made at CPL 3 */
#define PF_RESERVED	(1u << 3) /* a reserved bit was set in an entry */
#define PF_FETCH	(1u << 4) /* instruction fetch; only reported with NX or SMEP on */
#define PF_KEY		(1u << 5) /* protection key */
#define PF_SHADOW_STACK (1u << 6) /* a shadow stack access */

/*
 * Error code of the faults that name a selector: the selector's index and table (bits 15:2), and
 * these two. Intel SDM volume 3, "Error Code".
 */
#define SELECTOR_EXTERNAL	   (1u << 0) /* raised while another event was being delivered */
#define SELECTOR_IDT		   (1u << 1) /* the index is a vector: use SELECTOR_IDT_ERROR() */

#define SELECTOR_IDT_ERROR(vector) (((uint32_t)(vector) << 3) | SELECTOR_IDT)

/* The function behind FAULT_OF(). */
struct x86_fault fault_of(void (*statement)(void));

/*
 * Notes a failure unless fault has this vector and error code. NO_FAULT as vector expects none.
 * The format may be "". Returns whether the expectation holds.
 */
__attribute__((format(printf, 5, 6))) bool fault_compare(const struct test_site *site,
							 struct x86_fault fault,
							 unsigned int vector, uint32_t error_code,
							 const char *format, ...);

/* The short name of an exception, such as "#GP"; "interrupt" for vectors from 32 on. */
const char *fault_name(unsigned int vector);

/*
 * The statement becomes a nested function, a GNU extension: so the compiler knows that it may end
 * anywhere, and keeps the variables that it shares with the function around it in memory.
 */
#define FAULT_OF(...)                       \
	({                                  \
		void fault_statement_(void) \
		{                           \
			__VA_ARGS__;        \
		}                           \
		fault_of(fault_statement_); \
	})

#define EXPECT_FAULT(vector, error_code, ...)                                                   \
	fault_compare(TEST_SITE(#__VA_ARGS__ " raises " #vector, false), FAULT_OF(__VA_ARGS__), \
		      vector, error_code, "")
#define ASSERT_FAULT(vector, error_code, ...)                                                  \
	fault_compare(TEST_SITE(#__VA_ARGS__ " raises " #vector, true), FAULT_OF(__VA_ARGS__), \
		      vector, error_code, "")
#define EXPECT_NO_FAULT(...)                                                                   \
	fault_compare(TEST_SITE(#__VA_ARGS__ " raises nothing", false), FAULT_OF(__VA_ARGS__), \
		      NO_FAULT, 0, "")
#define EXPECT_FAULT_EQ(fault, vector, error_code, ...)                                   \
	fault_compare(TEST_SITE(#fault " is " #vector, false), fault, vector, error_code, \
		      "" __VA_ARGS__)

#endif
