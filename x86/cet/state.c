// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET: its state, saved by XSAVES and loaded by XRSTORS
 *
 * Component 11, CET_U, is IA32_U_CET and IA32_PL3_SSP; component 12, CET_S, is IA32_PL0_SSP to
 * IA32_PL2_SSP. IA32_S_CET and IA32_INTERRUPT_SSP_TABLE_ADDR are in neither. Only XSAVES and
 * XRSTORS reach them, where IA32_XSS and the mask have their bits: Intel SDM volume 1, "Managing
 * State Using the XSAVE Feature Set", in it "CET State", "Operation of XSAVES", "Operation of
 * XRSTORS". KVM keeps the guest's values in just these components while its own are loaded
 * (arch/x86/kvm/x86.c, kvm_access_xstate_msr()).
 *
 * Both instructions have the compacted format alone, in which a component's place depends on those
 * before it that XCOMP_BV names. A component in its initial state need not be saved (its bit in
 * XSTATE_BV is clear then) and may be: both are legal, so that what is expected follows XSTATE_BV.
 * An area that was loaded is never the one that is saved to: XSAVES may leave out what has not
 * changed since.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <x86/cet_state.h>
#include <x86/cpuid.h>

#define POISON	    0xa5
#define XSTATE_USER (XSTATE_X87 | XSTATE_SSE | XSTATE_AVX)

/*
 * IA32_U_CET.WR_SHSTK_EN and SH_STK_EN are in each CPU with shadow stacks; at CPL 0 they do nothing
 * there.
 */
static const uint64_t values[CET_STATE_WORDS] = { CET_WR_SHSTK_EN, 0x30000038, 0x10000010,
						  0x11000018, 0x12000024 };
static const uint64_t others[CET_STATE_WORDS] = { CET_SH_STK_EN, 0x40000040, 0x50000050, 0x60000064,
						  0x70000078 };
static const uint64_t zeros[CET_STATE_WORDS];
static const uint64_t subsets[] = { 0, XSTATE_CET_U, XSTATE_CET_S, XSTATE_CET };

static struct xsave_area saved, image;

/* Those of these components have the values of "yes", the others of "no". */
static void expect_msrs(uint64_t components, const uint64_t *yes, const uint64_t *no)
{
	for (unsigned int i = 0; i < CET_STATE_WORDS; i++)
		EXPECT_EQ(rdmsr(cet_state_msrs[i]),
			  components & cet_state_component(i) ? yes[i] : no[i],
			  "MSR 0x%x, components 0x%llx", cet_state_msrs[i],
			  (unsigned long long)components);
}

/* With both components in IA32_XSS. The runtime clears CET's MSRs at the end of the point. */
static void begin(void)
{
	if (!has_shadow_stacks())
		SKIP("CPUID leaf 7 shows no shadow stacks");
	xsave_enable(XSTATE_CET);
	cet_enable();
}

/*
 * The bytes of the saved area that are as they were, from this offset on and as far as that is so.
 */
static unsigned int poison_from(unsigned int offset)
{
	unsigned int end = offset;

	while (end < sizeof(saved.bytes) && saved.bytes[end] == POISON)
		end++;
	return end - offset;
}

/*
 * The state that is saved: of each component, what is asked of XSAVES. AVX lies before them if it
 * is in.
 */
static const struct {
	uint64_t xcr0, xss, mask;
} requests[] = {
	{ XSTATE_X87, XSTATE_CET, XSTATE_CET },
	{ XSTATE_X87, XSTATE_CET, XSTATE_CET_U },
	{ XSTATE_X87, XSTATE_CET, XSTATE_CET_S },
	{ XSTATE_X87, XSTATE_CET, 0 },
	{ XSTATE_X87, XSTATE_CET, ~0ull },
	{ XSTATE_X87, XSTATE_CET_U, ~0ull },
	{ XSTATE_X87, XSTATE_CET_S, ~0ull },
	{ XSTATE_X87, 0, ~0ull },
	{ XSTATE_X87, XSTATE_CET_U, XSTATE_CET_S },
	{ XSTATE_USER, XSTATE_CET, XSTATE_CET },
	{ XSTATE_USER, XSTATE_CET, XSTATE_AVX | XSTATE_CET },
	{ XSTATE_USER, XSTATE_CET, XSTATE_AVX | XSTATE_CET_S },
	{ XSTATE_USER, XSTATE_CET_S, ~0ull },
};

/*
 * Sets up one request and returns what it asks for: the requested-feature bitmap; false if AVX is
 * missing.
 */
static bool request(unsigned int i, uint64_t *asked)
{
	if (requests[i].xcr0 & ~xcr0_supported())
		return false;
	xsetbv(0, requests[i].xcr0);
	wrmsr(MSR_IA32_XSS, requests[i].xss);
	*asked = requests[i].mask & (requests[i].xcr0 | requests[i].xss);
	return true;
}

static void save(uint64_t mask)
{
	memset(&saved, POISON, sizeof(saved));
	memset(saved.bytes + XSAVE_HEADER, 0, XSAVE_EXTENDED - XSAVE_HEADER);
	xsaves(&saved, mask);
}

TEST("XCOMP_BV names what is enabled and asked for, XSTATE_BV what of it is in use")
{
	begin();
	cet_state_write(values);
	for (unsigned int i = 0; i < COUNT_OF(requests); i++) {
		uint64_t asked;

		if (!request(i, &asked))
			continue;
		save(requests[i].mask);
		EXPECT_EQ(xsave_word(&saved, XSAVE_XCOMP_BV), XCOMP_BV_COMPACT | asked, "case %u",
			  i);
		EXPECT_EQ(xsave_word(&saved, XSAVE_HEADER) & XSTATE_CET, asked & XSTATE_CET,
			  "case %u", i);
	}
}

TEST("XSAVES stores the five MSRs at the places that CPUID gives")
{
	begin();
	cet_state_write(values);
	for (unsigned int i = 0; i < COUNT_OF(requests); i++) {
		uint64_t asked;

		if (!request(i, &asked))
			continue;
		save(requests[i].mask);
		for (unsigned int word = 0; word < CET_STATE_WORDS; word++)
			if (asked & cet_state_component(word))
				EXPECT_EQ(xsave_word(&saved, cet_state_offset(asked, word)),
					  values[word], "case %u, MSR 0x%x", i,
					  cet_state_msrs[word]);
	}
}

TEST("XSAVES writes nothing behind the components that are asked for")
{
	begin();
	cet_state_write(values);
	for (unsigned int i = 0; i < COUNT_OF(requests); i++) {
		uint64_t asked;
		unsigned int end;

		if (!request(i, &asked))
			continue;
		save(requests[i].mask);
		end = xsave_compact_size(asked);
		EXPECT_EQ(poison_from(end), sizeof(saved.bytes) - end, "case %u", i);
	}
}

TEST("XSAVES leaves the MSRs as they are")
{
	begin();
	cet_state_write(values);
	save(XSTATE_CET);
	expect_msrs(XSTATE_CET, values, values);
}

TEST("a component is in use as soon as one of its MSRs is not zero")
{
	begin();
	for (unsigned int word = 0; word < CET_STATE_WORDS; word++) {
		cet_state_write(zeros);
		wrmsr(cet_state_msrs[word], values[word]);
		save(XSTATE_CET);
		EXPECT_EQ(xsave_word(&saved, XSAVE_HEADER) & cet_state_component(word),
			  cet_state_component(word), "MSR 0x%x", cet_state_msrs[word]);
		EXPECT_EQ(xsave_word(&saved, cet_state_offset(XSTATE_CET, word)), values[word],
			  "MSR 0x%x", cet_state_msrs[word]);
	}
}

TEST("a component in its initial state is saved as zeros, or not and its bit is clear")
{
	uint64_t poison;

	begin();
	memset(&poison, POISON, sizeof(poison));
	cet_state_write(zeros);
	save(XSTATE_CET);
	EXPECT_EQ(xsave_word(&saved, XSAVE_XCOMP_BV), XCOMP_BV_COMPACT | XSTATE_CET);
	for (unsigned int word = 0; word < CET_STATE_WORDS; word++) {
		bool in_use = xsave_word(&saved, XSAVE_HEADER) & cet_state_component(word);

		EXPECT_EQ(xsave_word(&saved, cet_state_offset(XSTATE_CET, word)),
			  in_use ? 0 : poison, "MSR 0x%x", cet_state_msrs[word]);
	}
}

TEST("XSAVE saves neither component, with their bits in the mask")
{
	begin();
	cet_state_write(values);
	memset(&saved, POISON, sizeof(saved));
	memset(saved.bytes + XSAVE_HEADER, 0, XSAVE_EXTENDED - XSAVE_HEADER);
	xsave(&saved, ~0ull);
	EXPECT_EQ(xsave_word(&saved, XSAVE_HEADER) & XSTATE_CET, 0);
	EXPECT_EQ(poison_from(XSAVE_EXTENDED), sizeof(saved.bytes) - XSAVE_EXTENDED);
}

TEST("XSAVEC saves neither component, with their bits in the mask")
{
	begin();
	if (!(cpuid(0xd, 1).eax & CPUID_D_1_EAX_XSAVEC))
		SKIP("CPUID leaf 0xd, subleaf 1, shows no XSAVEC");
	cet_state_write(values);
	memset(&saved, POISON, sizeof(saved));
	xsavec(&saved, ~0ull);
	EXPECT_EQ(xsave_word(&saved, XSAVE_HEADER) & XSTATE_CET, 0);
	EXPECT_EQ(xsave_word(&saved, XSAVE_XCOMP_BV), XCOMP_BV_COMPACT | XSTATE_X87);
	EXPECT_EQ(poison_from(XSAVE_EXTENDED), sizeof(saved.bytes) - XSAVE_EXTENDED);
}

TEST("XGETBV of XINUSE shows neither component")
{
	begin();
	if (!(cpuid(0xd, 1).eax & CPUID_D_1_EAX_XGETBV_1))
		SKIP("CPUID leaf 0xd, subleaf 1, shows no XGETBV with ECX = 1");
	cet_state_write(values);
	EXPECT_EQ(xgetbv(1) & ~XSTATE_X87, 0);
}

TEST("XRSTORS loads what the image has at the places that CPUID gives")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(requests); i++) {
		uint64_t asked;

		if (!request(i, &asked))
			continue;
		cet_state_write(others);
		cet_state_image(&image, asked, asked & XSTATE_CET, values);
		EXPECT_FAULT_EQ(FAULT_OF(xrstors(&image, requests[i].mask)), NO_FAULT, 0, "case %u",
				i);
		expect_msrs(asked, values, others);
	}
}

TEST("XRSTORS loads what XSAVES has saved")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(requests); i++) {
		uint64_t asked;

		if (!request(i, &asked))
			continue;
		cet_state_write(values);
		save(requests[i].mask);
		cet_state_write(others);
		memcpy(&image, &saved, sizeof(image));
		xrstors(&image, requests[i].mask);
		expect_msrs(asked, values, others);
	}
}

TEST("XRSTORS gives a component its initial state where XSTATE_BV is clear")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(subsets); i++) {
		cet_state_write(others);
		cet_state_image(&image, XSTATE_CET, subsets[i], values);
		xrstors(&image, XSTATE_CET);
		expect_msrs(subsets[i], values, zeros);
	}
}

TEST("XRSTORS gives a component its initial state where the image has no place for it")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(subsets); i++) {
		cet_state_write(others);
		cet_state_image(&image, subsets[i], subsets[i], values);
		xrstors(&image, XSTATE_CET);
		expect_msrs(subsets[i], values, zeros);
	}
}

TEST("XRSTORS leaves a component that is not asked for")
{
	begin();
	cet_state_write(others);
	cet_state_image(&image, XSTATE_CET, XSTATE_CET, values);
	xrstors(&image, XSTATE_CET_U);
	expect_msrs(XSTATE_CET_U, values, others);
	cet_state_write(others);
	cet_state_image(&image, XSTATE_CET, 0, values);
	xrstors(&image, XSTATE_CET_S);
	expect_msrs(XSTATE_CET_S, zeros, others);
}

TEST("where the mask leaves out a component, the next one's place follows XCOMP_BV")
{
	begin();
	cet_state_write(others);
	cet_state_image(&image, XSTATE_CET, XSTATE_CET, values);
	xrstors(&image, XSTATE_CET_S);
	expect_msrs(XSTATE_CET_S, values, others);
}

TEST("IA32_S_CET and the address of the SSP table are in neither component")
{
	uint64_t table, s_cet = CET_WR_SHSTK_EN;

	begin();
	table = cpuid_checked(0x80000001, 0).edx & CPUID_80000001_EDX_LONG ? 0x12345678 : 0;
	for (unsigned int i = 0; i < 2; i++) {
		wrmsr(MSR_IA32_S_CET, s_cet);
		wrmsr_safe(MSR_IA32_INTERRUPT_SSP_TABLE_ADDR, table);
		cet_state_write(i ? values : zeros);
		save(XSTATE_CET);
		cet_state_image(&image, XSTATE_CET, i ? 0 : XSTATE_CET, values);
		xrstors(&image, XSTATE_CET);
		EXPECT_EQ(rdmsr(MSR_IA32_S_CET), s_cet);
		rdmsr_safe(MSR_IA32_INTERRUPT_SSP_TABLE_ADDR, &table);
		EXPECT_EQ(table, table ? 0x12345678 : 0);
	}
}
