/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC of this CPU, as xAPIC (memory-mapped) and x2APIC (MSRs)
 *
 * Every function enables the APIC of its CPU on its first use there (in the mode in which it is;
 * spurious vector 0xff, all of the LVT masked but LINT0/1). Registers are named by their xAPIC
 * offset in both modes.
 *
 * Intel SDM volume 3, "Advanced Programmable Interrupt Controller (APIC)"; AMD APM volume 2,
 * chapter 16.
 */
#ifndef X86_APIC_H
#define X86_APIC_H

#include <stdbool.h>
#include <stdint.h>

#define APIC_BASE_DEFAULT 0xfee00000ul
#define APIC_BASE_BSP	  (1u << 8)
#define APIC_BASE_X2APIC  (1u << 10)
#define APIC_BASE_ENABLE  (1u << 11)
#define MSR_X2APIC_FIRST  0x800

enum apic_register {
	APIC_ID = 0x20,
	APIC_VERSION = 0x30,
	APIC_TPR = 0x80,
	APIC_PPR = 0xa0,
	APIC_EOI = 0xb0,
	APIC_LDR = 0xd0,
	APIC_SVR = 0xf0,
	APIC_ISR = 0x100, /* eight words, 0x10 apart; so are TMR and IRR */
	APIC_TMR = 0x180,
	APIC_IRR = 0x200,
	APIC_ESR = 0x280,
	APIC_ICR = 0x300, /* in x2APIC mode of 64 bits: use apic_icr_write() */
	APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_LVT_ERROR = 0x370,
	APIC_TIMER_INITIAL = 0x380,
	APIC_TIMER_CURRENT = 0x390,
	APIC_TIMER_DIVIDE = 0x3e0,
};

#define APIC_SVR_ENABLE (1u << 8)

/* Low half of the ICR: vector, and one of each of these. */
#define ICR_FIXED	   (0u << 8)
#define ICR_LOWEST	   (1u << 8)
#define ICR_SMI		   (2u << 8)
#define ICR_NMI		   (4u << 8)
#define ICR_INIT	   (5u << 8)
#define ICR_STARTUP	   (6u << 8)
#define ICR_LOGICAL	   (1u << 11)
#define ICR_PENDING	   (1u << 12) /* xAPIC only */
#define ICR_ASSERT	   (1u << 14)
#define ICR_LEVEL	   (1u << 15)
#define ICR_SELF	   (1u << 18)
#define ICR_ALL		   (2u << 18)
#define ICR_ALL_BUT_SELF   (3u << 18)

#define LVT_MASKED	   (1u << 16)
#define LVT_TIMER_ONE_SHOT (0u << 17)
#define LVT_TIMER_PERIODIC (1u << 17)
#define LVT_TIMER_DEADLINE (2u << 17)

uint32_t apic_read(enum apic_register reg);
void apic_write(enum apic_register reg, uint32_t value);

/* The id of this CPU's APIC: 8 bits in xAPIC mode, 32 in x2APIC mode. */
uint32_t apic_id(void);

/* Ends the interrupt in service with the highest priority. */
void apic_eoi(void);

/*
 * Sends what "low" says (vector, delivery mode, shorthand) to the APIC with this id, and waits
 * until it has left. apic_ipi() is the same for a fixed interrupt to a CPU by its number.
 */
void apic_icr_write(uint32_t low, uint32_t destination);
void apic_ipi(unsigned int cpu, uint8_t vector);

/* Whether this vector waits in the IRR, or is in service by the ISR, of this CPU. */
bool apic_requested(uint8_t vector);
bool apic_in_service(uint8_t vector);

/* Whether CPUID offers x2APIC, and whether this CPU is in that mode. */
bool has_x2apic(void);
bool apic_is_x2(void);

/*
 * Changes the mode of this CPU's APIC. Back to xAPIC goes by way of "disabled", which resets it;
 * the runtime's settings are made again.
 */
void apic_set_x2(bool x2);

/*
 * The timer of this CPU, divided by 1. mode is one of LVT_TIMER_*, with LVT_MASKED if it is to
 * stay silent; count is the initial count, or the TSC value for LVT_TIMER_DEADLINE.
 */
void apic_timer_start(uint32_t mode, uint8_t vector, uint64_t count);
void apic_timer_stop(void);

/* Timer ticks in a millisecond, measured against the TSC when first asked. */
uint64_t apic_timer_khz(void);

bool has_tsc_deadline(void);

#endif
