// SPDX-License-Identifier: BSD-2-Clause
#include <x86/cet_transfers.h>

#include <x86/cpu.h>
#include <x86/user_entry.h>

#define FIELD_IS(type, member, word) \
	_Static_assert(offsetof(type, member) == (word) * sizeof(uintptr_t), "as in the header")
FIELD_IS(struct far_trip, ssp_before, FAR_SSP_BEFORE);
FIELD_IS(struct far_trip, ssp_after, FAR_SSP_AFTER);
FIELD_IS(struct far_trip, elsewhere, FAR_ELSEWHERE);
FIELD_IS(struct far_trip, target, FAR_TARGET);
FIELD_IS(struct gate_visit, hook, VISIT_HOOK);
FIELD_IS(struct gate_visit, pop, VISIT_POP);
FIELD_IS(struct gate_visit, cs, VISIT_CS);
FIELD_IS(struct gate_visit, sp, VISIT_SP);
FIELD_IS(struct gate_visit, ssp, VISIT_SSP);
FIELD_IS(struct system_call, hook, SYSTEM_HOOK);
FIELD_IS(struct system_call, setssbsy, SYSTEM_SETSSBSY);
FIELD_IS(struct system_call, call, SYSTEM_CALL);
FIELD_IS(struct system_call, leave, SYSTEM_LEAVE);
FIELD_IS(struct system_call, sp, SYSTEM_SP);
FIELD_IS(struct system_call, ip, SYSTEM_IP);
FIELD_IS(struct system_call, user_sp, SYSTEM_USER_SP);
FIELD_IS(struct system_call, flags, SYSTEM_FLAGS);
FIELD_IS(struct system_call, ssp, SYSTEM_SSP);
FIELD_IS(struct system_call, ssp_ready, SYSTEM_SSP_READY);
FIELD_IS(struct system_call, ssp_before, SYSTEM_BEFORE);
FIELD_IS(struct system_call, ssp_after, SYSTEM_AFTER);
_Static_assert(sizeof(struct gate_visit) == VISIT_SIZE * sizeof(uintptr_t), "as in the header");

struct gate_visit gate_visits[4];
struct system_call system_call;

#define GATE_CALL (0xcull << 40) /* 32- or 64-bit, as the CPU is */

void gate_write(uint16_t selector, uint16_t target_cs, const void *target, unsigned int dpl)
{
	uint64_t offset = (uintptr_t)target;

	gdt_write(selector, (offset & 0xffff) | (uint64_t)target_cs << 16 |
				    (offset >> 16 & 0xffff) << 48 | GATE_CALL | SEGMENT_DPL(dpl) |
				    SEGMENT_PRESENT);
#ifdef __x86_64__
	gdt_write(selector + 8, offset >> 32);
#endif
}

#define LEVEL_STACK 4096

static uint8_t level_stacks[2][LEVEL_STACK] __attribute__((aligned(16)));

void level_write(uint16_t selector, unsigned int level)
{
	uintptr_t sp = (uintptr_t)level_stacks[level - 1] + LEVEL_STACK;
	uint64_t bits = SEGMENT_FLAT | SEGMENT_PRESENT | SEGMENT_DPL(level);

#ifdef __x86_64__
	gdt_write(selector, bits | SEGMENT_CODE | SEGMENT_64);
	cpu_tss()->sp[level] = sp;
#else
	gdt_write(selector, bits | SEGMENT_CODE | SEGMENT_32);
	gdt_write(selector + 8, bits | SEGMENT_DATA | SEGMENT_32);
	cpu_tss()->stack[level].sp = sp;
	cpu_tss()->stack[level].ss = (selector + 8) | level;
#endif
}

static void set_user_shadow_stack(const struct shadow_stack *user)
{
	uintptr_t ssp;

	wrmsr(MSR_IA32_U_CET, user ? CET_SH_STK_EN : 0);
	if (!user)
		return;
	ssp = user->end - sizeof(uintptr_t);
	*(volatile uintptr_t *)shadow_word(user, ssp) = (uintptr_t)user_return;
	wrmsr(MSR_IA32_PL3_SSP, ssp);
}

struct user_result transfer_call(user_function *function, uint64_t s_cet,
				 const struct shadow_stack *user, enum user_faults faults)
{
	struct user_entry entry = user_entry_of(function, 0, 0);

	entry.s_cet = s_cet;
	set_user_shadow_stack(user);
	return user_run(faults, user_enter_entry, &entry);
}

#ifdef __x86_64__
uint32_t compat_ssp, compat_cs;

_Static_assert(offsetof(struct compat_trip, ssp_after) == 0x30, "as in cet_transfers.S");
#endif
