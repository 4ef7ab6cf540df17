// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET: the shadow stack that CPL 0 runs on is taken away
 *
 * A CALL stores below SSP and a RET loads there, whatever has become of that page since; where it is no shadow
 * stack of the supervisor's any more they are #PF like all other shadow accesses. The frame of that #PF goes to
 * the same shadow stack, and so it ends in #DF, unless #PF has a shadow stack of its own. Who lets the walk of
 * CALL and RET take another way than that of WRSS and INCSSP (x86/cet/page_type.c) is seen here.
 *
 * 64-bit alone: the exceptions' own shadow stacks come with the IST. In a 32-bit guest they are a task's, and
 * KVM emulates no task switch with shadow stacks on (arch/x86/kvm/x86.c, kvm_task_switch).
 *
 * Sources: Intel SDM volume 3, "Determination of Access Rights", "Interrupt 8 - Double Fault Exception (#DF)",
 * "Interrupt Stack Table"; volume 2, CALL, RET.
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/descriptors.h>
#include <x86/shadow_access.h>

#define READ_WRITE_CLEAN (PTE_P | PTE_A | PTE_W)
#define READ_WRITE_DIRTY (READ_WRITE_CLEAN | PTE_D)
#define READ_ONLY_CLEAN	 (PTE_P | PTE_A)

/* What becomes of the leaf. */
static const uint64_t leaves[] = { 0, READ_ONLY_CLEAN, READ_WRITE_CLEAN, READ_WRITE_DIRTY,
				   PTE_SHADOW_USER };

static void begin(void)
{
	if (!has_shadow_stacks())
		SKIP("this CPU has no shadow stacks");
	cet_enable();
}

/* With noinline alone a call of a function that does nothing is left out. */
__attribute__((noipa)) static void called(void)
{
}

/* Takes its own shadow stack away, by this entry's new value, and returns. */
__attribute__((noinline)) static void called_without_way_back(volatile uint64_t *entry,
							      uint64_t value, uintptr_t va)
{
	*entry = value;
	invlpg(va);
}

/* The probe as a shadow stack that CPL 0 calls and returns on, until its leaf has other flags. */
struct lost_stack {
	struct shadow_stack stack;
	uint64_t *leaf;
	uint64_t value;
};

static struct lost_stack lost_stack(uint64_t flags)
{
	const struct shadow_probe *probe = shadow_probe(LEVEL_4K, PTE_SHADOW_SUPERVISOR);

	return (struct lost_stack){
		.stack = { .base = probe->start,
			   .end = probe->start + PAGE_SIZE,
			   .words = (uintptr_t)probe->page },
		.leaf = pte_at(probe->start, LEVEL_4K),
		.value = probe->pa | flags,
	};
}

/* SSP as it was before the CALL. */
static struct x86_fault call_on_lost(const struct lost_stack *lost, uintptr_t *ssp)
{
	struct x86_fault fault = { .vector = NO_FAULT };

	ON_SHADOW_STACK(&lost->stack, 0, fault = FAULT_OF({
						 *ssp = rdssp();
						 *(volatile uint64_t *)lost->leaf = lost->value;
						 invlpg(lost->stack.base);
						 called();
					 }));
	return fault;
}

static struct x86_fault return_on_lost(const struct lost_stack *lost, uintptr_t *ssp)
{
	struct x86_fault fault = { .vector = NO_FAULT };

	ON_SHADOW_STACK(&lost->stack, 0, fault = FAULT_OF({
						 *ssp = rdssp();
						 called_without_way_back(lost->leaf, lost->value,
									 lost->stack.base);
					 }));
	return fault;
}

/* The exception's frame goes to the same shadow stack. */
TEST("a CALL at CPL 0 on a shadow stack that has been taken away ends in #DF")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(leaves); i++) {
		struct lost_stack lost = lost_stack(leaves[i]);
		uintptr_t ssp;

		EXPECT_FAULT_EQ(call_on_lost(&lost, &ssp), DF, 0);
	}
}

TEST("a RET at CPL 0 on a shadow stack that has been taken away ends in #DF")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(leaves); i++) {
		struct lost_stack lost = lost_stack(leaves[i]);
		uintptr_t ssp;

		EXPECT_FAULT_EQ(return_on_lost(&lost, &ssp), DF, 0);
	}
}

TEST("a CALL at CPL 0 on no shadow stack raises PF for a store below SSP, where PF has another")
{
	begin();
	idt_set_ist(PF, IST_FREE);
	for (unsigned int i = 0; i < COUNT_OF(leaves); i++) {
		struct lost_stack lost = lost_stack(leaves[i]);
		uintptr_t ssp = 0;
		struct x86_fault fault = call_on_lost(&lost, &ssp);

		EXPECT_FAULT_EQ(fault, PF, PF_SHADOW_STACK | PF_WRITE | (leaves[i] & PTE_P));
		EXPECT_EQ(fault.cr2, ssp - sizeof(uintptr_t));
	}
	idt_set_ist(PF, IST_NONE);
}

TEST("a RET at CPL 0 on no shadow stack raises PF for a load at SSP, where PF has another")
{
	begin();
	idt_set_ist(PF, IST_FREE);
	for (unsigned int i = 0; i < COUNT_OF(leaves); i++) {
		struct lost_stack lost = lost_stack(leaves[i]);
		uintptr_t ssp = 0;
		struct x86_fault fault = return_on_lost(&lost, &ssp);

		EXPECT_FAULT_EQ(fault, PF, PF_SHADOW_STACK | (leaves[i] & PTE_P));
		EXPECT_EQ(fault.cr2, ssp - sizeof(uintptr_t));
	}
	idt_set_ist(PF, IST_NONE);
}
