// SPDX-License-Identifier: BSD-2-Clause
/*
 * CET: what XRSTORS and XRSTOR refuse to load
 *
 * XRSTORS wants the compacted format with components that are enabled, reserved bytes of zero, and
 * an area aligned to 64 bytes, else #GP(0) before it loads anything: Intel SDM volume 1, "Operation
 * of XRSTORS". XRSTOR knows the components of XCR0 alone: "Operation of XRSTOR". What WRMSR refuses
 * of CET's MSRs (msrs.c, reserved bits in volume 4) gets into them by XRSTORS as little: that is
 * #GP(0) too. An XRSTORS that ends so may have loaded or initialized other elements of the state
 * ("Operation of XRSTORS"), never the bad one.
 */
#include <libc/array.h>
#include <test/test.h>
#include <x86/cet_state.h>

/*
 * IA32_U_CET.WR_SHSTK_EN and SH_STK_EN are in each CPU with shadow stacks; at CPL 0 they do nothing
 * there.
 */
static const uint64_t values[CET_STATE_WORDS] = { CET_WR_SHSTK_EN, 0x30000038, 0x10000010,
						  0x11000018, 0x12000024 };
static const uint64_t others[CET_STATE_WORDS] = { CET_SH_STK_EN, 0x40000040, 0x50000050, 0x60000064,
						  0x70000078 };

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

/*
 * With both components in IA32_XSS, and loaded: so what is refused afterwards is so for what is
 * wrong with it.
 */
static void begin(void)
{
	if (!has_shadow_stacks())
		SKIP("CPUID leaf 7 shows no shadow stacks");
	xsave_enable(XSTATE_CET);
	cet_enable();
	cet_state_image(&image, XSTATE_CET, XSTATE_CET, others);
	EXPECT_NO_FAULT(xrstors(&image, XSTATE_CET));
	expect_msrs(XSTATE_CET, others, others);
}

static const struct {
	const char *name;
	uint64_t xss;
	unsigned int offset; /* of a word of the image of both components */
	uint64_t word;
} bad_headers[] = {
	{ "XCOMP_BV has a component that IA32_XSS has not", XSTATE_CET_U, XSAVE_XCOMP_BV,
	  XCOMP_BV_COMPACT | XSTATE_CET },
	{ "XSTATE_BV has a component that XCOMP_BV has not", XSTATE_CET, XSAVE_XCOMP_BV,
	  XCOMP_BV_COMPACT | XSTATE_CET_U },
	{ "the standard format", XSTATE_CET, XSAVE_XCOMP_BV, 0 },
	{ "XCOMP_BV without bit 63", XSTATE_CET, XSAVE_XCOMP_BV, XSTATE_CET },
	{ "bytes 16 to 23 of the header", XSTATE_CET, XSAVE_HEADER + 16, 1 },
	{ "bytes 56 to 63 of the header", XSTATE_CET, XSAVE_HEADER + 56, 1 },
};

TEST("XRSTORS refuses a header that is not of its format, and loads nothing")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(bad_headers); i++) {
		wrmsr(MSR_IA32_XSS, bad_headers[i].xss);
		cet_state_write(others);
		cet_state_image(&image, XSTATE_CET, XSTATE_CET, values);
		xsave_put_word(&image, bad_headers[i].offset, bad_headers[i].word);
		EXPECT_FAULT_EQ(FAULT_OF(xrstors(&image, XSTATE_CET)), GP, 0, "%s",
				bad_headers[i].name);
		expect_msrs(XSTATE_CET, others, others);
	}
}

TEST("XSAVES and XRSTORS refuse an area that is not aligned to 64 bytes")
{
	begin();
	cet_state_write(others);
	for (unsigned int offset = 1; offset < 64; offset <<= 1) {
		EXPECT_FAULT_EQ(FAULT_OF(xsaves(saved.bytes + offset, XSTATE_CET)), GP, 0, "+%u",
				offset);
		EXPECT_FAULT_EQ(FAULT_OF(xrstors(image.bytes + offset, XSTATE_CET)), GP, 0, "+%u",
				offset);
	}
	expect_msrs(XSTATE_CET, others, others);
}

TEST("XRSTOR refuses an image with the components, and loads nothing")
{
	static const uint64_t subsets[] = { XSTATE_CET_U, XSTATE_CET_S, XSTATE_CET };

	begin();
	cet_state_write(others);
	for (unsigned int i = 0; i < COUNT_OF(subsets); i++) {
		cet_state_image(&image, subsets[i], subsets[i], values);
		EXPECT_FAULT_EQ(FAULT_OF(xrstor(&image, ~0ull)), GP, 0, "case %u", i);
	}
	expect_msrs(XSTATE_CET, others, others);
}

/* What WRMSR refuses, too: msrs.c. */
static const struct {
	unsigned int word;
	uint64_t value;
} bad_values[] = {
	{ 0, 1ull << 6 },  { 0, 1ull << 9 },  { 0, CET_SUPPRESS | CET_TRACKER },
	{ 0, 1ull << 63 }, { 1, 1 },	      { 1, 2 },
	{ 1, 1ull << 63 }, { 2, 1 },	      { 2, 2 },
	{ 2, 1ull << 63 }, { 3, 1 },	      { 3, 1ull << 63 },
	{ 4, 2 },	   { 4, 1ull << 63 },
};

static void load_bad_value(unsigned int i)
{
	cet_state_write(others);
	cet_state_image(&image, XSTATE_CET, XSTATE_CET, values);
	xsave_put_word(&image, cet_state_offset(XSTATE_CET, bad_values[i].word),
		       bad_values[i].value);
	xrstors(&image, XSTATE_CET);
}

TEST("XRSTORS raises GP for a value that WRMSR refuses")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(bad_values); i++)
		EXPECT_FAULT_EQ(FAULT_OF(load_bad_value(i)), GP, 0, "MSR 0x%x = 0x%llx",
				cet_state_msrs[bad_values[i].word],
				(unsigned long long)bad_values[i].value);
}

/* After an exception each may have the old value, that of the image, or the initial one. */
TEST("XRSTORS never loads a value that WRMSR refuses")
{
	begin();
	for (unsigned int i = 0; i < COUNT_OF(bad_values); i++) {
		FAULT_OF(load_bad_value(i));
		for (unsigned int word = 0; word < CET_STATE_WORDS; word++) {
			uint64_t value = rdmsr(cet_state_msrs[word]);

			EXPECT_TRUE(value == others[word] || value == 0 ||
					    (value == values[word] && word != bad_values[i].word),
				    "MSR 0x%x = 0x%llx", cet_state_msrs[word],
				    (unsigned long long)value);
		}
	}
}
