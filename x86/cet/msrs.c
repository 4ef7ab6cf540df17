// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET: its MSRs, and what each of them takes
 *
 * The seven MSRs hold addresses and switches, and WRMSR refuses by #GP(0) what they could not mean:
 * Intel SDM volume 4, table 2-2 (0x6a0 to 0x6a8), volume 1, "Control-Flow Enforcement Technology
 * (CET)", "CET MSRs"; AMD APM volume 2, "Shadow Stacks". They exist by CPUID and do not depend on
 * CR4.CET: an operating system fills them in before it sets it. KVM passes them through or checks
 * them itself: arch/x86/kvm/x86.c, __kvm_set_msr() and kvm_is_valid_u_s_cet(); what it writes to a
 * field of the VMCS without a check would fail the VM entry.
 *
 * - IA32_U_CET, IA32_S_CET: bits 9:6 are reserved, and so are the bits of a feature that the CPU
 *   lacks. SUPPRESS and TRACKER exclude each other. Bits 63:12, the legacy code page bitmap, are
 *   canonical.
 * - IA32_PL0_SSP to IA32_PL3_SSP: canonical and aligned to 4 bytes, in 32-bit mode with their high
 *   halves too.
 * - IA32_INTERRUPT_SSP_TABLE_ADDR: canonical; only where there is Intel 64.
 *
 * Canonical means so many bits as the CPU supports, not as CR4.LA57 has it use: Intel, "5-Level
 * Paging and 5-Level EPT", for MSRs; KVM: is_noncanonical_msr_address().
 *
 * A refused value is written twice: the first time to see that the old one stays, past every
 * handler, since an exception that is caught has the runtime write IA32_S_CET.
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet.h>
#include <x86/cpuid.h>
#include <x86/registers.h>
#include <x86/user.h>

#define CPUID_7_ECX_LA57 (1u << 16)

/* Neighbours that no CPU has. */
#define MSR_BEHIND_U_CET 0x6a1
#define MSR_BEHIND_S_CET 0x6a3

enum kind { CONTROL, POINTER, TABLE };

static const struct cet_msr {
	const char *name;
	uint32_t id;
	enum kind kind;
	uint64_t good; /* taken by every CPU that has the MSR, and harmless at CPL 0 */
} msrs[] = {
	{ "IA32_U_CET", MSR_IA32_U_CET, CONTROL, 0 },
	{ "IA32_S_CET", MSR_IA32_S_CET, CONTROL, 0 },
	{ "IA32_PL0_SSP", MSR_IA32_PL0_SSP, POINTER, 0x11110008 },
	{ "IA32_PL1_SSP", MSR_IA32_PL1_SSP, POINTER, 0x22220014 },
	{ "IA32_PL2_SSP", MSR_IA32_PL2_SSP, POINTER, 0x33330020 },
	{ "IA32_PL3_SSP", MSR_IA32_PL3_SSP, POINTER, 0x4444002c },
	{ "IA32_INTERRUPT_SSP_TABLE_ADDR", MSR_IA32_INTERRUPT_SSP_TABLE_ADDR, TABLE, 0x55550037 },
};

static bool has_intel_64(void)
{
	return cpuid_checked(0x80000001, 0).edx & CPUID_80000001_EDX_LONG;
}

static bool exists(const struct cet_msr *msr)
{
	switch (msr->kind) {
	case CONTROL:
		return has_shadow_stacks() || has_ibt();
	case POINTER:
		return has_shadow_stacks();
	default:
		return has_shadow_stacks() && has_intel_64();
	}
}

/* WR_SHSTK_EN or NO_TRACK_EN: each does nothing without another bit. */
static uint64_t good_value(const struct cet_msr *msr)
{
	if (msr->kind == CONTROL)
		return has_shadow_stacks() ? CET_WR_SHSTK_EN : CET_NO_TRACK_EN;
	return msr->good;
}

/*
 * Read at once: a CPU that clears the tracker without ENDBR_EN does so in every function that is
 * called.
 */
static void expect_taken(const struct cet_msr *msr, uint64_t value)
{
	uint64_t read = ~value;
	bool taken = wrmsr_safe(msr->id, value);

	rdmsr_safe(msr->id, &read);
	EXPECT_TRUE(taken, "%s = 0x%llx", msr->name, (unsigned long long)value);
	EXPECT_EQ(read, value, "%s", msr->name);
	wrmsr_safe(msr->id, good_value(msr));
}

static void expect_refused(const struct cet_msr *msr, uint64_t value)
{
	uint64_t old = good_value(msr), read = ~old;

	wrmsr(msr->id, old);
	EXPECT_FALSE(wrmsr_safe(msr->id, value), "%s = 0x%llx", msr->name,
		     (unsigned long long)value);
	rdmsr_safe(msr->id, &read);
	EXPECT_EQ(read, old, "%s after 0x%llx", msr->name, (unsigned long long)value);
	EXPECT_FAULT_EQ(FAULT_OF(wrmsr(msr->id, value)), GP, 0, "%s = 0x%llx", msr->name,
			(unsigned long long)value);
}

/* At the end of the point the runtime writes 0 to all MSRs, and clears CR4.CET. */
static void begin(bool cr4_cet)
{
	cet_enable();
	if (!cr4_cet)
		write_cr4(read_cr4() & ~CR4_CET);
}

/* Must be the first point of the file: afterwards the runtime has written them. */
TEST("all of the MSRs are zero at first")
{
	for (const struct cet_msr *msr = msrs; msr < msrs + COUNT_OF(msrs); msr++) {
		uint64_t value = 0;

		if (rdmsr_safe(msr->id, &value))
			EXPECT_EQ(value, 0, "%s", msr->name);
		else
			EXPECT_FALSE(exists(msr), "%s", msr->name);
	}
}

TEST("each MSR exists where CPUID shows its feature, and raises GP elsewhere")
{
	begin(false);
	for (const struct cet_msr *msr = msrs; msr < msrs + COUNT_OF(msrs); msr++) {
		unsigned int vector = exists(msr) ? NO_FAULT : GP;

		EXPECT_FAULT_EQ(FAULT_OF(rdmsr(msr->id)), vector, 0, "%s", msr->name);
		EXPECT_FAULT_EQ(FAULT_OF(wrmsr(msr->id, 0)), vector, 0, "%s", msr->name);
	}
}

TEST("there is no MSR behind IA32_U_CET and IA32_S_CET")
{
	static const uint32_t neighbours[] = { MSR_BEHIND_U_CET, MSR_BEHIND_S_CET };

	begin(false);
	for (unsigned int i = 0; i < COUNT_OF(neighbours); i++) {
		EXPECT_FAULT(GP, 0, rdmsr(neighbours[i]));
		EXPECT_FAULT(GP, 0, wrmsr(neighbours[i], 0));
	}
}

/* What runs for each MSR of that kind; false in the first place if there is none. */
#define FOR_EACH_MSR(msr, of_kind)                                                 \
	for (const struct cet_msr *msr = msrs; msr < msrs + COUNT_OF(msrs); msr++) \
		if (msr->kind == (of_kind) && exists(msr))

static void require_shadow_stacks(void)
{
	if (!has_shadow_stacks())
		SKIP("CPUID leaf 7 shows no shadow stacks");
}

static void require_ibt(void)
{
	if (!has_ibt())
		SKIP("CPUID leaf 7 shows no indirect branch tracking");
}

TEST("each MSR holds a value of its own")
{
	begin(false);
	for (const struct cet_msr *msr = msrs; msr < msrs + COUNT_OF(msrs); msr++)
		wrmsr_safe(msr->id, good_value(msr));
	/* The two controls have the same value until here. */
	wrmsr(MSR_IA32_U_CET, 0);
	EXPECT_EQ(rdmsr(MSR_IA32_S_CET), good_value(&msrs[1]));
	for (const struct cet_msr *msr = msrs + 1; msr < msrs + COUNT_OF(msrs); msr++) {
		uint64_t value = good_value(msr);

		rdmsr_safe(msr->id, &value);
		EXPECT_EQ(value, good_value(msr), "%s", msr->name);
	}
	EXPECT_EQ(rdmsr(MSR_IA32_U_CET), 0);
}

/*
 * --- IA32_U_CET and IA32_S_CET ------------------------------------------------------------------
 */

static const struct {
	uint64_t bit;
	bool (*feature)(void);
} control_bits[] = {
	{ CET_SH_STK_EN, has_shadow_stacks },
	{ CET_WR_SHSTK_EN, has_shadow_stacks },
	{ CET_ENDBR_EN, has_ibt },
	{ CET_LEG_IW_EN, has_ibt },
	{ CET_NO_TRACK_EN, has_ibt },
	{ CET_SUPPRESS_DIS, has_ibt },
	{ CET_SUPPRESS, has_ibt },
	{ CET_TRACKER, has_ibt },
	{ 1ull << 12, has_ibt }, /* of the bitmap's base */
};

TEST("each switch can be set alone where the CPU has its feature, and is reserved elsewhere")
{
	begin(false);
	for (unsigned int i = 0; i < COUNT_OF(control_bits); i++) {
		FOR_EACH_MSR(msr, CONTROL)
		{
			if (control_bits[i].feature())
				expect_taken(msr, control_bits[i].bit);
			else
				expect_refused(msr, control_bits[i].bit);
		}
	}
}

TEST("all switches can be set at once, with SUPPRESS or with TRACKER")
{
	uint64_t all = 0;

	begin(false);
	for (unsigned int i = 0; i < COUNT_OF(control_bits); i++)
		all |= control_bits[i].feature() ? control_bits[i].bit : 0;
	FOR_EACH_MSR(msr, CONTROL)
	{
		expect_taken(msr, all & ~CET_SUPPRESS);
		expect_taken(msr, all & ~CET_TRACKER);
	}
}

TEST("bits 6 to 9 of the controls are reserved, each of them")
{
	begin(false);
	for (uint64_t bit = 1ull << 6; bit <= 1ull << 9; bit <<= 1) {
		FOR_EACH_MSR(msr, CONTROL)
		{
			expect_refused(msr, bit);
			expect_refused(msr, good_value(msr) | bit);
		}
	}
	FOR_EACH_MSR(msr, CONTROL)
	expect_refused(msr, CET_RESERVED);
}

TEST("SUPPRESS and TRACKER exclude each other")
{
	require_ibt();
	begin(false);
	FOR_EACH_MSR(msr, CONTROL)
	{
		expect_refused(msr, CET_SUPPRESS | CET_TRACKER);
		expect_refused(msr, CET_ENDBR_EN | CET_SUPPRESS | CET_TRACKER);
		expect_taken(msr, CET_ENDBR_EN | CET_SUPPRESS);
		expect_taken(msr, CET_ENDBR_EN | CET_TRACKER);
	}
}

/*
 * --- Addresses ----------------------------------------------------------------------------------
 */

/* What is an address on every CPU: the ends of both halves. Aligned to 4 KiB, as the bitmap is. */
static const uint64_t canonical[] = {
	0x0000000000000000, 0x0000000100000000, 0x00007ffffffff000,
	0xffff800000000000, 0xffffffff00000000, 0xfffffffffffff000,
};

/* Of 57 bits too few are the same. */
static const uint64_t never_canonical[] = {
	0x0100000000000000, 0x01fffffffffff000, 0x7ffffffffffff000, 0x8000000000000000,
	0xfe00000000000000, 0xfefffffffffff000, 0x8000000100000000,
};

/* On their way through 57 bits, but not through 48. */
static const uint64_t canonical_in_57[] = {
	0x0000800000000000, 0x0000fffffffff000, 0x00fffffffffff000,
	0xffff7ffffffff000, 0xff00000000000000, 0x0080000000001000,
};

static void expect_all_taken(enum kind kind, const uint64_t *values, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		FOR_EACH_MSR(msr, kind)
	expect_taken(msr, values[i]);
}

static void expect_all_refused(enum kind kind, const uint64_t *values, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		FOR_EACH_MSR(msr, kind)
	expect_refused(msr, values[i]);
}

/* In a 32-bit guest: WRMSR has 64 bits there too. */
static void require_high_halves(void)
{
	if (!has_intel_64())
		SKIP("without Intel 64 the MSRs have 32 bits");
}

/*
 * VMX refuses to enter a guest outside of IA-32e mode that has more than 32 bits of IA32_S_CET (Intel SDM volume
 * 3, "Checks on Guest Control Registers, Debug Registers, and MSRs"), and WRMSR there is not intercepted.
 */
static void require_high_controls(void)
{
#ifndef __x86_64__
	if (cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR)
		SKIP("a hypervisor may be unable to enter a 32-bit guest with a 64-bit IA32_S_CET");
#endif
	require_high_halves();
}

TEST("the controls take the base of a bitmap at each canonical address, in all 64 bits")
{
	require_ibt();
	require_high_controls();
	begin(false);
	expect_all_taken(CONTROL, canonical, COUNT_OF(canonical));
}

TEST("IA32_PLx_SSP take each canonical address, in all 64 bits")
{
	require_shadow_stacks();
	require_high_halves();
	begin(false);
	expect_all_taken(POINTER, canonical, COUNT_OF(canonical));
}

TEST("IA32_INTERRUPT_SSP_TABLE_ADDR takes each canonical address, in all 64 bits")
{
	require_shadow_stacks();
	require_high_halves();
	begin(false);
	expect_all_taken(TABLE, canonical, COUNT_OF(canonical));
}

TEST("the controls refuse the base of a bitmap that is canonical on no CPU")
{
	require_high_halves();
	begin(false);
	expect_all_refused(CONTROL, never_canonical, COUNT_OF(never_canonical));
}

TEST("IA32_PLx_SSP refuse addresses that are canonical on no CPU")
{
	require_shadow_stacks();
	require_high_halves();
	begin(false);
	expect_all_refused(POINTER, never_canonical, COUNT_OF(never_canonical));
}

TEST("IA32_INTERRUPT_SSP_TABLE_ADDR refuses addresses that are canonical on no CPU")
{
	require_shadow_stacks();
	require_high_halves();
	begin(false);
	expect_all_refused(TABLE, never_canonical, COUNT_OF(never_canonical));
}

/*
 * KVM lets the host's CPU decide, so that CPUID says nothing of it if a hypervisor hides the bit.
 */
TEST("the CPU's support for 5-level paging decides on 48 or 57 bits, not CR4.LA57")
{
	bool la57 = cpuid_checked(7, 0).ecx & CPUID_7_ECX_LA57;
	bool hypervisor = cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR;

	require_high_halves();
	if (hypervisor && !la57)
		SKIP("a hypervisor may hide the 5-level paging of the CPU that checks");
	begin(false);
	for (enum kind kind = has_ibt() ? CONTROL : POINTER; kind <= TABLE; kind++)
		(la57 ? expect_all_taken : expect_all_refused)(kind, canonical_in_57,
							       COUNT_OF(canonical_in_57));
}

TEST("IA32_PLx_SSP are aligned to 4 bytes: bits 0 and 1 are refused, bit 2 is taken")
{
	require_shadow_stacks();
	begin(false);
	FOR_EACH_MSR(msr, POINTER)
	{
		expect_refused(msr, 1);
		expect_refused(msr, 2);
		expect_refused(msr, msr->good | 1);
		expect_refused(msr, msr->good | 2);
		expect_refused(msr, msr->good | 3);
		expect_taken(msr, 4);
	}
}

TEST("IA32_INTERRUPT_SSP_TABLE_ADDR takes each alignment")
{
	require_shadow_stacks();
	if (!has_intel_64())
		SKIP("there is no such MSR without Intel 64");
	begin(false);
	FOR_EACH_MSR(msr, TABLE)
	for (uint64_t low = 0; low < 16; low++)
		expect_taken(msr, low);
}

/*
 * --- Who may, and when --------------------------------------------------------------------------
 */

static uintptr_t user_read(uintptr_t msr)
{
	return rdmsr(msr);
}

static uintptr_t user_write(uintptr_t msr)
{
	wrmsr(msr, 0);
	return 0;
}

TEST("CPL 3 can neither read nor write them")
{
	begin(false);
	for (const struct cet_msr *msr = msrs; msr < msrs + COUNT_OF(msrs); msr++) {
		uint64_t value = good_value(msr);

		wrmsr_safe(msr->id, value);
		EXPECT_FAULT_EQ(user_call(user_write, msr->id).fault, GP, 0, "%s", msr->name);
		/* The runtime has written these two when it caught the exception. */
		if (msr->id != MSR_IA32_S_CET && msr->kind != TABLE && exists(msr))
			EXPECT_EQ(rdmsr(msr->id), value, "%s", msr->name);
		EXPECT_FAULT_EQ(user_call(user_read, msr->id).fault, GP, 0, "%s", msr->name);
	}
}

TEST("they are read, written and checked in the same way while CR4.CET is set")
{
	begin(true);
	FOR_EACH_MSR(msr, CONTROL)
	{
		expect_taken(msr, good_value(msr));
		expect_taken(msr, 0);
		expect_refused(msr, 1ull << 6);
		expect_refused(msr, CET_SUPPRESS | CET_TRACKER);
	}
	FOR_EACH_MSR(msr, POINTER)
	{
		expect_taken(msr, msr->good);
		expect_refused(msr, msr->good | 1);
	}
	FOR_EACH_MSR(msr, TABLE)
	expect_taken(msr, msr->good);
}

TEST("their values survive that CR4.CET is set and cleared")
{
	begin(false);
	for (const struct cet_msr *msr = msrs; msr < msrs + COUNT_OF(msrs); msr++)
		wrmsr_safe(msr->id, good_value(msr));
	for (unsigned int writes = 0; writes < 4; writes++) {
		write_cr4(read_cr4() ^ CR4_CET);
		for (const struct cet_msr *msr = msrs; msr < msrs + COUNT_OF(msrs); msr++) {
			uint64_t value = good_value(msr);

			rdmsr_safe(msr->id, &value);
			EXPECT_EQ(value, exists(msr) ? good_value(msr) : 0, "%s, write %u",
				  msr->name, writes);
		}
	}
}
