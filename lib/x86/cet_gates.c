// SPDX-License-Identifier: BSD-2-Clause
#include <x86/cet_gates.h>

#include <libc/string.h>
#include <test/test.h>

const uint16_t code_of_level[4] = { KERNEL_CS, CODE1, CODE2, USER_CS };
struct shadow_stack gate_user, gate_kernel[3];
uintptr_t gate_tokens[3];
struct far_trip outer_trip, inner_trip;
struct gate_remains gate_remains[3];

void gates_arm(void)
{
	for (unsigned int level = 0; level < 3; level++) {
		memset((void *)gate_kernel[level].words, 0, PAGE_SIZE);
		gate_tokens[level] = shadow_stack_token(&gate_kernel[level]);
		wrmsr(MSR_IA32_PL0_SSP + level, gate_tokens[level]);
	}
}

void gates_set_up(void)
{
	if (!has_shadow_stacks())
		SKIP("this CPU has no shadow stacks");
#ifdef __x86_64__
	/* Of a point that was aborted. */
	idt_set_ist(GP, IST_NONE);
	idt_set_ist(PF, IST_NONE);
#endif
	memset(gate_visits, 0, sizeof(gate_visits));
	memset(&gate_remains, 0, sizeof(gate_remains));
	level_write(CODE1, 1);
	level_write(CODE2, 2);
	gate_user = shadow_stack_new(SHADOW_VA, SHADOW_USER);
	for (unsigned int level = 0; level < 3; level++)
		gate_kernel[level] =
			shadow_stack_new(SHADOW_VA + (level + 1) * PAGE_SIZE, SHADOW_SUPERVISOR);
	cet_enable();
	gates_arm();
}

void gate_to(uint16_t gate, unsigned int level, struct far_trip *trip)
{
	gate_write(gate, code_of_level[level], gate_target, 3);
	*trip = (struct far_trip){ .target.selector = gate };
}

/* The words of shadow stacks are ordinary memory, too, which CPL 3 may read. */
uintptr_t call_gate(uintptr_t unused)
{
	far_call(&outer_trip);
	for (unsigned int level = 0; level < 3; level++) {
		gate_remains[level].token = *token_word(level);
		for (unsigned int word = 0; word < 3; word++)
			gate_remains[level].below[word] = token_word(level)[-1 - (int)word];
	}
	return unused;
}

struct user_result through_gate(unsigned int level, uint64_t s_cet, void (*hook)(void),
				enum user_faults faults)
{
	gate_to(GATE_A, level, &outer_trip);
	gate_visits[level].hook = hook;
	return transfer_call(call_gate, s_cet, &gate_user, faults);
}

static void call_inner_gate(void)
{
	far_call(&inner_trip);
}

struct user_result through_gates(unsigned int outer, unsigned int inner, void (*hook)(void),
				 enum user_faults faults)
{
	gate_to(GATE_B, inner, &inner_trip);
	gate_visits[inner].hook = hook;
	return through_gate(outer, CET_SH_STK_EN, call_inner_gate, faults);
}
