// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET: how it is switched on
 *
 * CR4.CET is the one switch over both features. It may be set only while CR0.WP is set, since a
 * shadow stack is read-only memory, and CR0.WP may be cleared only while CR4.CET is clear: the
 * other way round is #GP(0), and nothing is written. Intel SDM volume 3, "Control Registers"
 * (CR0.WP, CR4.CET), volume 2, "MOV - Move to/from Control Registers"; AMD APM volume 2, "Shadow
 * Stacks"; KVM: arch/x86/kvm/regs.c, kvm_set_cr0() and kvm_set_cr4(). A hypervisor that lets the
 * guest own one of the two bits learns of its writes through the other one only, and must not judge
 * by an old value.
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet.h>
#include <x86/cpuid.h>
#include <x86/msw.h>
#include <x86/registers.h>
#include <x86/user.h>

static void write_wp(bool set)
{
	write_cr0(set ? read_cr0() | CR0_WP : read_cr0() & ~CR0_WP);
}

static void write_cet(bool set)
{
	write_cr4(set ? read_cr4() | CR4_CET : read_cr4() & ~CR4_CET);
}

/* By writes that are legal in each state. */
static void enter_state(bool wp, bool cet)
{
	write_cet(false);
	write_wp(true);
	if (cet)
		cet_enable();
	else if (!wp)
		write_wp(false);
	REQUIRE(!(read_cr0() & CR0_WP) == !wp && !(read_cr4() & CR4_CET) == !cet);
}

TEST("CR4.CET can be set where CPUID shows shadow stacks or indirect branch tracking")
{
	EXPECT_TRUE(has_shadow_stacks() || has_ibt());
	EXPECT_EQ(read_cr4() & CR4_CET, 0);
	EXPECT_NO_FAULT(cet_enable());
	EXPECT_EQ(read_cr4() & CR4_CET, CR4_CET);
}

TEST("CPUID shows the same features whether CR4.CET is set or not")
{
	struct cpuid before = cpuid(7, 0), after;

	cet_enable();
	after = cpuid(7, 0);
	EXPECT_EQ(after.ecx & CPUID_7_ECX_SHSTK, before.ecx & CPUID_7_ECX_SHSTK);
	EXPECT_EQ(after.edx & CPUID_7_EDX_IBT, before.edx & CPUID_7_EDX_IBT);
	EXPECT_TRUE(after.ecx & CPUID_7_ECX_SHSTK || after.edx & CPUID_7_EDX_IBT);
}

TEST("CR4.CET is refused while CR0.WP is clear")
{
	enter_state(false, false);
	EXPECT_FAULT(GP, 0, write_cet(true));
	EXPECT_EQ(read_cr4() & CR4_CET, 0);
	EXPECT_EQ(read_cr0() & CR0_WP, 0);
	write_wp(true);
	EXPECT_NO_FAULT(cet_enable());
}

TEST("CR0.WP cannot be cleared while CR4.CET is set")
{
	enter_state(true, true);
	EXPECT_FAULT(GP, 0, write_wp(false));
	EXPECT_EQ(read_cr0() & CR0_WP, CR0_WP);
	EXPECT_EQ(read_cr4() & CR4_CET, CR4_CET);
	write_cet(false);
	EXPECT_NO_FAULT(write_wp(false));
	write_wp(true);
}

static const struct {
	bool wp, cet; /* before */
	void (*write)(bool set);
	bool set;
} transitions[] = {
	{ false, false, write_wp, false },  { false, false, write_wp, true },
	{ false, false, write_cet, false }, { true, false, write_wp, false },
	{ true, false, write_wp, true },    { true, false, write_cet, false },
	{ true, false, write_cet, true },   { true, true, write_wp, true },
	{ true, true, write_cet, false },   { true, true, write_cet, true },
};

TEST("each other write of CR0.WP and CR4.CET, in either order, is taken and leaves the other bit")
{
	for (unsigned int i = 0; i < COUNT_OF(transitions); i++) {
		bool is_wp = transitions[i].write == write_wp;
		bool wp = is_wp ? transitions[i].set : transitions[i].wp;
		bool cet = is_wp ? transitions[i].cet : transitions[i].set;

		enter_state(transitions[i].wp, transitions[i].cet);
		EXPECT_NO_FAULT(transitions[i].write(transitions[i].set));
		EXPECT_EQ(!!(read_cr0() & CR0_WP), wp, "case %u", i);
		EXPECT_EQ(!!(read_cr4() & CR4_CET), cet, "case %u", i);
	}
	write_cet(false);
	write_wp(true);
}

TEST("a refused write of CR4 writes none of its bits")
{
	uintptr_t cr4;

	enter_state(false, false);
	cr4 = read_cr4();
	EXPECT_FAULT(GP, 0, write_cr4((cr4 ^ CR4_TSD) | CR4_CET));
	EXPECT_EQ(read_cr4(), cr4);
	EXPECT_NO_FAULT(write_cr4(cr4 ^ CR4_TSD));
	write_cr4(cr4);
	write_wp(true);
}

TEST("a refused write of CR0 writes none of its bits")
{
	uintptr_t cr0;

	enter_state(true, true);
	cr0 = read_cr0();
	EXPECT_FAULT(GP, 0, write_cr0((cr0 ^ CR0_TS ^ CR0_AM) & ~CR0_WP));
	EXPECT_EQ(read_cr0(), cr0);
	EXPECT_NO_FAULT(write_cr0(cr0 ^ CR0_TS ^ CR0_AM));
	write_cr0(cr0);
}

TEST("LMSW reaches neither bit, and is taken while CR4.CET is set")
{
	uintptr_t cr0;

	enter_state(true, true);
	cr0 = read_cr0();
	EXPECT_NO_FAULT(lmsw((cr0 ^ CR0_TS) & 0xf));
	EXPECT_EQ(read_cr0(), cr0 ^ CR0_TS);
	EXPECT_EQ(read_cr4() & CR4_CET, CR4_CET);
	write_cr0(cr0);
}

static uintptr_t user_write_cr4(uintptr_t value)
{
	write_cr4(value);
	return 0;
}

static uintptr_t user_write_cr0(uintptr_t value)
{
	write_cr0(value);
	return 0;
}

TEST("CPL 3 can write neither bit")
{
	uintptr_t cr0 = read_cr0(), cr4 = read_cr4();

	EXPECT_FAULT_EQ(user_call(user_write_cr4, cr4 | CR4_CET).fault, GP, 0);
	EXPECT_FAULT_EQ(user_call(user_write_cr0, cr0 & ~CR0_WP).fault, GP, 0);
	EXPECT_EQ(read_cr4(), cr4);
	EXPECT_EQ(read_cr0(), cr0);
	EXPECT_NO_FAULT(write_cr0(cr0 & ~CR0_WP));
	write_cr0(cr0);
}
