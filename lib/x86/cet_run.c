// SPDX-License-Identifier: BSD-2-Clause
#include <x86/cet_calls.h>

#include <libc/string.h>
#include <x86/descriptors.h>
#include <x86/registers.h>

/* cet_calls.S */
uintptr_t cet_sequence(uintptr_t call);

#define STACKS	       4 /* of a mode */
#define STACK_DISTANCE (4 * PAGE_SIZE)
#define MODE_DISTANCE  (STACKS * STACK_DISTANCE)

#ifdef __x86_64__
#define NATIVE .wide = true, .word = 8
#else
#define NATIVE .wide = false, .word = 4
#endif

const struct cet_mode cet_cpl0 = { NATIVE, .cs = KERNEL_CS, .va = SHADOW_VA + PAGE_SIZE };

const struct cet_mode cet_cpl3 = {
	.user = true,
	NATIVE,
	.cs = USER_CS,
	.va = SHADOW_VA + PAGE_SIZE + MODE_DISTANCE,
};

#ifdef __x86_64__
const struct cet_mode cet_compat0 = {
	.compat = true,
	.word = 4,
	.cs = KERNEL_CS32,
	.va = SHADOW_VA_LOW + PAGE_SIZE,
};

const struct cet_mode cet_compat3 = {
	.user = true,
	.compat = true,
	.word = 4,
	.cs = USER_CS32,
	.va = SHADOW_VA_LOW + PAGE_SIZE + MODE_DISTANCE,
};
#endif

struct shadow_stack cet_stack_number(const struct cet_mode *mode, unsigned int number)
{
	static struct shadow_stack stacks[2][2][STACKS];
	struct shadow_stack *stack = &stacks[mode->user][mode->compat][number];
	uintptr_t va = mode->va + number * STACK_DISTANCE;

	REQUIRE(number < STACKS);
	if (!stack->base)
		*stack = shadow_stack_new(va, mode->user ? SHADOW_USER : SHADOW_SUPERVISOR);
	map_page(va, stack->words, LEVEL_4K, mode->user ? PTE_SHADOW_USER : PTE_SHADOW_SUPERVISOR);
	map_page(va - PAGE_SIZE, 0, LEVEL_4K, 0);
	map_page(va + PAGE_SIZE, 0, LEVEL_4K, 0);
	memset((void *)stack->words, SHADOW_FILL, PAGE_SIZE);
	return *stack;
}

struct shadow_stack cet_stack(const struct cet_mode *mode)
{
	return cet_stack_number(mode, 0);
}

struct cet_far cet_target(const struct cet_mode *mode, struct cet_sequence sequence)
{
	const char *code = mode->compat ? sequence.compat : sequence.native;

	return (struct cet_far){ .offset = (uintptr_t)code - mode->cs_base, .selector = mode->cs };
}

static void page_faults_apart(bool apart)
{
#ifdef __x86_64__
	idt_set_ist(PF, apart ? IST_FREE : IST_NONE);
#else
	(void)apart;
#endif
}

/* The event's frame on the shadow stack begins with the interrupted SSP. */
static struct x86_fault run_at_cpl0(const struct shadow_stack *stack, uint64_t cet,
				    struct cet_call *call)
{
	struct x86_fault fault = { .vector = NO_FAULT };

	page_faults_apart(true);
	ON_SHADOW_STACK(stack, cet, if (call->pl0_ssp) wrmsr(MSR_IA32_PL0_SSP, call->pl0_ssp);
			fault = FAULT_OF(cet_sequence((uintptr_t)call)));
	page_faults_apart(false);
	call->ssp_end = call->ssp_after;
	if (fault.vector != NO_FAULT)
		call->ssp_end = fault.ssp ? *(volatile uint64_t *)fault.ssp : 0;
	return fault;
}

static struct x86_fault run_at_cpl3(const struct shadow_stack *stack, uint64_t cet,
				    struct cet_call *call)
{
	struct x86_fault fault;

	fault = shadow_user_call(stack, cet, cet_sequence, (uintptr_t)call).fault;
	call->ssp_end = rdmsr(MSR_IA32_PL3_SSP);
	return fault;
}

struct x86_fault cet_run(const struct cet_mode *mode, uint64_t cet, struct cet_sequence sequence,
			 struct cet_call *call)
{
	struct shadow_stack stack = { .base = mode->va, .end = mode->va + PAGE_SIZE };

	stack.words = *pte_at(mode->va, LEVEL_4K) & PTE_ADDRESS;
	if (!(read_cr4() & CR4_CET))
		cet_enable();
	call->entry = cet_target(mode, sequence);
	return mode->user ? run_at_cpl3(&stack, cet, call) : run_at_cpl0(&stack, cet, call);
}

struct x86_fault cet_run_off(const struct cet_mode *mode, struct cet_sequence sequence,
			     struct cet_call *call)
{
	call->entry = cet_target(mode, sequence);
	if (mode->user)
		return user_call(cet_sequence, (uintptr_t)call).fault;
	return FAULT_OF(cet_sequence((uintptr_t)call));
}

void cet_expect_pushed(const struct shadow_stack *stack, uintptr_t ssp, const void *bytes,
		       size_t size)
{
	const uint8_t *top = (const uint8_t *)shadow_word(stack, ssp);
	uint8_t untouched[64];

	memset(untouched, SHADOW_FILL, sizeof(untouched));
	if (size)
		EXPECT_MEM_EQ(top - size, bytes, size, "the shadow stack");
	EXPECT_MEM_EQ(top - size - sizeof(untouched), untouched, sizeof(untouched),
		      "the shadow stack below");
}

void cet_tamper(struct cet_call *call, const struct shadow_stack *stack, uintptr_t address,
		unsigned int bit)
{
	call->tamper_at = (uintptr_t)shadow_word(stack, address) + bit / 32 * 4;
	call->tamper = 1u << bit % 32;
}
