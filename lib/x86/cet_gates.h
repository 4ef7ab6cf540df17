/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of call gates stand on: a shadow stack and a token for each privilege level, gates in the
 * GDT, and the way through them from CPL 3
 *
 *	gates_set_up();
 *	result = through_gate(0, CET_SH_STK_EN, hook, FAULTS_OF_USER);
 *	EXPECT_EQ(gate_visits[0].ssp, gate_tokens[0]);
 */
#ifndef X86_CET_GATES_H
#define X86_CET_GATES_H

#include <x86/cet_transfers.h>
#include <x86/descriptors.h>

/* This CPU's GDT, in each point: code at CPL 1 and 2, and two gates. */
#define CODE1  FREE_SELECTOR
#define CODE2  (CODE1 + 8 * LEVEL_ENTRIES)
#define GATE_A (CODE2 + 8 * LEVEL_ENTRIES)
#define GATE_B (GATE_A + 8 * GATE_ENTRIES)

/* A code segment of each privilege level, without RPL at 1 and 2. */
extern const uint16_t code_of_level[4];

/* The shadow stacks: of CPL 3, and by privilege level; and the tokens of these. */
extern struct shadow_stack gate_user, gate_kernel[3];
extern uintptr_t gate_tokens[3];

/* The CALL from CPL 3, and one from where it leads to. */
extern struct far_trip outer_trip, inner_trip;

/*
 * All of the above, with CR4.CET set, and nothing in gate_visits. SKIP where there are no shadow stacks.
 */
void gates_set_up(void);

/*
 * Free tokens, which the MSRs name. To be done between two calls: the interrupt at the end of CPL 3 leaves a
 * busy one.
 */
void gates_arm(void);

static inline volatile uint64_t *token_word(unsigned int level)
{
	return shadow_word(&gate_kernel[level], gate_tokens[level]);
}

/* Lets the gate lead to gate_target at this level, and the trip to the gate. */
void gate_to(uint16_t gate, unsigned int level, struct far_trip *trip);

/* What is seen at CPL 3 after the return: the tokens, and the three words below each. */
struct gate_remains {
	uint64_t token;
	uint64_t below[3];
};

extern struct gate_remains gate_remains[3];

/* A user function that makes outer_trip, and fills gate_remains. */
uintptr_t call_gate(uintptr_t unused);

/* From CPL 3 through GATE_A to this level, where the hook is called. */
struct user_result through_gate(unsigned int level, uint64_t s_cet, void (*hook)(void),
				enum user_faults faults);

/* From CPL 3 to an outer level, and from there through GATE_B to an inner one, where the hook is called. */
struct user_result through_gates(unsigned int outer, unsigned int inner, void (*hook)(void),
				 enum user_faults faults);

/* The function came to its end. */
#define EXPECT_RETURN(result)                                \
	({                                                   \
		struct user_result result_ = (result);       \
                                                             \
		EXPECT_FAULT_EQ(result_.fault, NO_FAULT, 0); \
		EXPECT_TRUE(result_.returned);               \
	})

#endif
