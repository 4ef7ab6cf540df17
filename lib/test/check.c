// SPDX-License-Identifier: BSD-2-Clause
/*
 * The comparisons behind EXPECT_ and ASSERT_
 */
#include <libc/format.h>
#include <test/platform.h>
#include <test/report.h>
#include <test/text.h>

#define DUMP_BYTES 16

static bool holds(enum test_op op, uint64_t actual, uint64_t expected)
{
	switch (op) {
	case TEST_EQ:
		return actual == expected;
	case TEST_NE:
		return actual != expected;
	case TEST_LT:
		return actual < expected;
	case TEST_LE:
		return actual <= expected;
	case TEST_GT:
		return actual > expected;
	case TEST_GE:
		return actual >= expected;
	}
	return false;
}

bool test_compare(const struct test_site *site, enum test_op op, uint64_t actual, uint64_t expected,
		  const char *format, ...)
{
	static const char *const relations[] = {
		[TEST_EQ] = "",		[TEST_NE] = "not ",	  [TEST_LT] = "less than ",
		[TEST_LE] = "at most ", [TEST_GT] = "more than ", [TEST_GE] = "at least ",
	};
	char expected_text[40], actual_text[40];
	va_list arguments;

	if (holds(op, actual, expected))
		return true;
	format_text(expected_text, sizeof(expected_text), "%s0x%llx", relations[op],
		    (unsigned long long)expected);
	format_text(actual_text, sizeof(actual_text), "0x%llx", (unsigned long long)actual);
	va_start(arguments, format);
	test_report(site, expected_text, actual_text, format, arguments);
	va_end(arguments);
	return false;
}

bool test_true(const struct test_site *site, bool is_true, const char *format, ...)
{
	va_list arguments;

	if (is_true)
		return true;
	va_start(arguments, format);
	test_report(site, "true", "false", format, arguments);
	va_end(arguments);
	return false;
}

/* "at 0x1c: 0f 01 d9 ..": the bytes from the first difference on. */
static void describe_bytes(char *buffer, size_t buffer_size, const void *bytes, size_t offset,
			   size_t size)
{
	struct text text = { .buffer = buffer, .size = buffer_size };
	const uint8_t *at = (const uint8_t *)bytes + offset;
	size_t count = size - offset < DUMP_BYTES ? size - offset : DUMP_BYTES;

	text_add(&text, "at 0x%zx:", offset);
	for (size_t i = 0; i < count; i++)
		text_add(&text, " %02x", at[i]);
	if (offset + count < size)
		text_add(&text, " ..");
}

bool test_memory(const struct test_site *site, const void *actual, const void *expected,
		 size_t size, const char *format, ...)
{
	const uint8_t *left = actual, *right = expected;
	char expected_text[96], actual_text[96];
	size_t offset = 0;
	va_list arguments;

	while (offset < size && left[offset] == right[offset])
		offset++;
	if (offset == size)
		return true;
	describe_bytes(expected_text, sizeof(expected_text), expected, offset, size);
	describe_bytes(actual_text, sizeof(actual_text), actual, offset, size);
	va_start(arguments, format);
	test_report(site, expected_text, actual_text, format, arguments);
	va_end(arguments);
	return false;
}

bool test_string(const struct test_site *site, const char *actual, const char *expected,
		 const char *format, ...)
{
	va_list arguments;

	if (actual == expected || (actual && expected && !strcmp(actual, expected)))
		return true;
	va_start(arguments, format);
	test_report(site, expected ? expected : "(null)", actual ? actual : "(null)", format,
		    arguments);
	va_end(arguments);
	return false;
}
