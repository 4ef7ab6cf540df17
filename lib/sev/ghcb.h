/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of the hypervisor: by the GHCB MSR alone, and by the GHCB of this CPU
 *
 *	struct ghcb_hold hold;
 *	struct ghcb *ghcb = ghcb_take(&hold);
 *	GHCB_SET(ghcb, rcx, msr);
 *	result = ghcb_exit(ghcb, SVM_EXIT_MSR, 0, 0);
 *	.. ghcb->rax ..
 *	ghcb_release(&hold);
 *
 * Between the two, interrupts are off, and nothing may raise #VC: no port, no MSR, no console, no
 * EXPECT_. An NMI may come, and leaves the GHCB and the GHCB MSR as it found them.
 */
#ifndef SEV_GHCB_H
#define SEV_GHCB_H

#include <stdbool.h>
#include <stdint.h>

#include <sev/abi.h>
#include <x86/cpu.h>

struct ghcb_hold {
	uintptr_t flags;
	bool nested;  /* another use of this GHCB was interrupted by NMI */
	uint64_t msr; /* then: what it had in the GHCB MSR */
};

/*
 * A request of the MSR protocol, as it is; returns what the MSR holds afterwards. Also between
 * ghcb_take() and ghcb_release().
 */
uint64_t ghcb_msr(uint64_t request);

/* The same before this CPU has its descriptor tables, for the start. */
uint64_t ghcb_msr_early(uint64_t request);

/* The GHCB of this CPU, with no field valid. Nests only by NMI. */
struct ghcb *ghcb_take(struct ghcb_hold *hold);
void ghcb_release(struct ghcb_hold *hold);

/* The guest-physical address of the GHCB of this CPU, which is registered. */
uint64_t ghcb_gpa(void);

/* That of its shared buffer. */
static inline uint64_t ghcb_buffer_gpa(void)
{
	return ghcb_gpa() + __builtin_offsetof(struct ghcb, shared_buffer);
}

/* Fills in a field of the GHCB, and says that it is valid. */
#define GHCB_SET(ghcb, field, value)                         \
	do {                                                 \
		(ghcb)->field = (value);                     \
		ghcb_set_valid(ghcb, GHCB_BIT(field), true); \
	} while (0)

static inline void ghcb_set_valid(struct ghcb *ghcb, unsigned int bit, bool valid)
{
	if (valid)
		ghcb->valid_bitmap[bit / 8] |= 1u << bit % 8;
	else
		ghcb->valid_bitmap[bit / 8] &= ~(1u << bit % 8);
}

/*
 * VMGEXIT with this event, and the version and usage that the runtime keeps to. Returns bits 31:0
 * of SW_EXITINFO1, enum ghcb_result.
 */
uint32_t ghcb_exit(struct ghcb *ghcb, uint64_t event, uint64_t info_1, uint64_t info_2);

/* VMGEXIT with this GHCB as it is, at whatever address the hypervisor is to look for it. */
void ghcb_exit_raw(uint64_t gpa);

/* An event that takes and gives nothing but the two. Returns SW_EXITINFO2; result may be NULL. */
uint64_t ghcb_event(uint64_t event, uint64_t info_1, uint64_t info_2, uint32_t *result);

/*
 * For the start of a CPU, on another one: makes the GHCB and the bounce page in its block shared. The first CPU
 * does so for itself, before it has its descriptor tables.
 */
void ghcb_prepare(struct cpu *cpu);
void ghcb_prepare_early(struct cpu *cpu);

/* For the start, on the CPU itself: registers the GHCB in this block. */
void ghcb_register(struct cpu *cpu);

#endif
