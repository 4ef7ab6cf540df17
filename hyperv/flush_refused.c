// SPDX-License-Identifier: BSD-2-Clause
/*
 * What makes a TLB flush by hypercall a wrong one
 *
 * A list is a "rep call": it demands a number of repetitions, and can be taken up in the middle, by
 * a start index (TLFS, "Hypercall Classes"); KVM always does all of it at once, and refuses to start
 * elsewhere. A flush of a space is a simple call, which has no repetitions; the plain forms have no
 * variable header. All of this is refused with HV_STATUS_INVALID_HYPERCALL_INPUT (arch/x86/kvm/
 * hyperv.c, kvm_hv_hypercall() and kvm_hv_flush_tlb(), the same in Linux 6.12 and 7.2), as is input
 * that is not in memory. The right calls: hyperv/flush.c.
 */
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <hyperv/targets.h>
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <x86/memory.h>

#define SPACE	      HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE
#define LIST	      HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST
#define SPACE_EX      HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX
#define LIST_EX	      HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX
#define INVALID_INPUT HV_STATUS_INVALID_HYPERCALL_INPUT
#define REPS(n)	      ((uint64_t)(n) << HV_HYPERCALL_REP_COUNT)
#define START(n)      ((uint64_t)(n) << HV_HYPERCALL_REP_START)
#define HEADER(n)     ((uint64_t)(n) << HV_HYPERCALL_VARHEAD_SHIFT)
#define REPS_DONE(n)  ((uint64_t)(n) << HV_RESULT_REPS_SHIFT)

/* Flags, and a mask or a set of this CPU alone. */
static uint64_t *input_of(uint16_t code)
{
	uint64_t *input = page_alloc();

	hv_skip_if_absent();
	hv_enable_hypercalls();
	input[1] = HV_FLUSH_ALL_VIRTUAL_ADDRESS_SPACES;
	if (code == SPACE || code == LIST) {
		input[2] = 1;
	} else {
		input[2] = HV_GENERIC_SET_SPARSE_4K;
		input[3] = 1;
		input[4] = 1;
	}
	return input;
}

/* The header that the input above demands. */
static uint64_t header_of(uint16_t code)
{
	return code == SPACE_EX || code == LIST_EX ? HEADER(1) : 0;
}

static void expect_call(uint16_t code, uint64_t more, uint64_t expected)
{
	const uint64_t control = code | header_of(code) | more;

	EXPECT_EQ(hv_hypercall(control, (uintptr_t)input_of(code), 0), expected, "control 0x%llx",
		  (unsigned long long)control);
}

static void expect_no_repetitions(uint16_t code)
{
	expect_call(code, 0, HV_STATUS_SUCCESS);
	for (unsigned int bit = 0; bit < 12; bit++) {
		expect_call(code, REPS(1 << bit), INVALID_INPUT);
		expect_call(code, START(1 << bit), INVALID_INPUT);
	}
	expect_call(code, REPS(2) | START(1), INVALID_INPUT);
}

TEST("a flush of a space has no repetitions, in any bit of their number or of the first")
{
	expect_no_repetitions(SPACE);
}

TEST("an extended flush of a space has no repetitions either")
{
	expect_no_repetitions(SPACE_EX);
}

static void expect_repetitions(uint16_t code)
{
	expect_call(code, 0, INVALID_INPUT);
	for (unsigned int bit = 0; bit < 8; bit++)
		expect_call(code, REPS(1 << bit), REPS_DONE(1 << bit));
}

TEST("a flush of a list has at least one repetition, and tells how many it did")
{
	expect_repetitions(LIST);
}

TEST("an extended flush of a list has at least one repetition, too")
{
	expect_repetitions(LIST_EX);
}

static void expect_from_the_first(uint16_t code)
{
	for (unsigned int bit = 0; bit < 12; bit++) {
		expect_call(code, REPS(8) | START(1 << bit), INVALID_INPUT);
		expect_call(code, START(1 << bit), INVALID_INPUT);
	}
}

TEST("a flush of a list begins with its first entry: each bit of the start index is refused")
{
	expect_from_the_first(LIST);
}

TEST("an extended flush of a list begins with its first entry, too")
{
	expect_from_the_first(LIST_EX);
}

TEST("a plain flush has no variable header, in any bit of its size")
{
	for (unsigned int bit = 0; bit < 10; bit++) {
		expect_call(SPACE, HEADER(1 << bit), INVALID_INPUT);
		expect_call(LIST, REPS(1) | HEADER(1 << bit), INVALID_INPUT);
	}
}

static const uint16_t codes[] = { SPACE, LIST, SPACE_EX, LIST_EX };

static uint64_t needed(uint16_t code)
{
	return code | header_of(code) | (code == LIST || code == LIST_EX ? REPS(1) : 0);
}

TEST("each reserved bit of the control value is refused")
{
	for (size_t i = 0; i < COUNT_OF(codes); i++) {
		const uint64_t more = codes[i] == LIST || codes[i] == LIST_EX ? REPS(1) : 0;

		for (unsigned int bit = HV_HYPERCALL_RSVD0_SHIFT; bit < 64; bit++)
			if (bit < 32 || (bit >= 44 && bit < 48) || bit >= 60)
				expect_call(codes[i], more | 1ull << bit, INVALID_INPUT);
	}
}

TEST("an input without memory behind it is refused")
{
	for (size_t i = 0; i < COUNT_OF(codes); i++) {
		input_of(codes[i]);
		EXPECT_EQ(hv_hypercall(needed(codes[i]), memory_hole(), 0), INVALID_INPUT,
			  "code 0x%x", codes[i]);
	}
}

/* The input's beginning is where RAM ends: so many words of it, and no more. */
static void expect_cut(uint16_t code, unsigned int words, uint64_t expected)
{
	uint64_t *last = hv_last_words(words), *input = input_of(code);
	uint64_t kept[8];

	memcpy(kept, last, words * sizeof(*last));
	memcpy(last, input, words * sizeof(*last));
	EXPECT_EQ(hv_hypercall(needed(code), (uintptr_t)last, 0), expected, "code 0x%x, %u words",
		  code, words);
	memcpy(last, kept, words * sizeof(*last));
}

TEST("an input that ends with memory is refused when it lacks a word, and else read")
{
	expect_cut(SPACE, 2, INVALID_INPUT);
	expect_cut(SPACE, 3, HV_STATUS_SUCCESS);
	expect_cut(SPACE_EX, 3, INVALID_INPUT);
	expect_cut(SPACE_EX, 4, INVALID_INPUT);
	expect_cut(SPACE_EX, 5, HV_STATUS_SUCCESS);
	expect_cut(LIST, 3, INVALID_INPUT);
	expect_cut(LIST, 4, REPS_DONE(1));
	expect_cut(LIST_EX, 5, INVALID_INPUT);
	expect_cut(LIST_EX, 6, REPS_DONE(1));
}

TEST("an input may lie across two pages")
{
	uint8_t *pages = pages_alloc(1);

	for (size_t i = 0; i < COUNT_OF(codes); i++) {
		uint8_t *at = pages + PAGE_SIZE - 20;

		memcpy(at, input_of(codes[i]), 48);
		EXPECT_EQ(hv_hypercall(needed(codes[i]), (uintptr_t)at, 0) & 0xffff,
			  HV_STATUS_SUCCESS, "code 0x%x", codes[i]);
	}
}

TEST("an address space or flags that mean nothing to KVM do not matter")
{
	for (size_t i = 0; i < COUNT_OF(codes); i++) {
		uint64_t *input = input_of(codes[i]);

		input[0] = 0x123456789abcdef0;
		input[1] = 0;
		EXPECT_EQ(hv_hypercall(needed(codes[i]), (uintptr_t)input, 0) & 0xffff,
			  HV_STATUS_SUCCESS, "code 0x%x", codes[i]);
	}
}
