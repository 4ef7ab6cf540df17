/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The test harness: TEST points with expectations, reported in TAP 13
 *
 * One source file is one test program. It holds TEST("a statement") bodies, which run in the order
 * in which they stand in the file; each is one TAP point. The plan is printed before the first
 * point, so that a guest that dies or returns early can never look complete.
 *
 *	EXPECT_x	notes a failure and goes on
 *	ASSERT_x	notes a failure and ends the test point
 *	REQUIRE(c)	what the test itself needs to set up: if it does not hold, that is an error of
 *			the test or its environment, and never counts as a pass, a skip, or a failure
 *			of the hypervisor. Ends the test point.
 *	SKIP(fmt, ...)	the platform lacks what the point tests. Ends the test point.
 *	FAIL(fmt, ...)	notes a failure that no comparison describes, and goes on
 *
 * Every EXPECT_ and ASSERT_ may end in a printf format and its arguments, which name the case at
 * hand: EXPECT_EQ(page[i], 0xcc, "stub %u, byte %u", stub, i).
 *
 * A failed point carries a YAML block, written while the test runs (so that what was found survives
 * a triple fault a moment later):
 *
 *	not ok 3 - the Xen page holds 128 stubs
 *	  ---
 *	  failures:
 *	    - message: 'page[i] == 0xcc (stub 4, byte 9)'
 *	      file: xen/page.c
 *	      line: 71
 *	      expected: 0xcc
 *	      actual: 0x0
 *	  ...
 *
 * An error (REQUIRE) has "severity: error" in its entry; one from another CPU than the first has
 * "cpu: N"; a message of several lines, such as the dump of an exception, is a block. After
 * TEST_MAX_REPORTS failures of one point the rest are only counted, under "unreported". test_diag()
 * in a point that has failed already is an entry with nothing but a "note".
 *
 * The harness is also built for programs on the host (VMABI_HOSTED): then main() is the harness's
 * own, TAP goes to stdout, and the exit status is 0 only if no point failed.
 */
#ifndef TEST_TEST_H
#define TEST_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An expectation that names no case passes an empty format. */
#pragma GCC diagnostic ignored "-Wformat-zero-length"

#define TEST_MAX_REPORTS 8

struct test {
	const char *name;
	const char *file;
	unsigned int line;
	void (*run)(void);
};

#define TEST_CAT_(a, b) a##b
#define TEST_CAT(a, b)	TEST_CAT_(a, b)
#define TEST_(statement, function)                                                             \
	static void function(void);                                                            \
	static const struct test TEST_CAT(function, _entry)                                    \
		__attribute__((used, section("vmabi_tests"), aligned(sizeof(void *)))) = {     \
			.name = statement, .file = __FILE__, .line = __LINE__, .run = function \
		};                                                                             \
	static void function(void)
#define TEST(statement) TEST_(statement, TEST_CAT(test_at_line_, __LINE__))

/* Where an expectation stands and what it says. */
struct test_site {
	const char *file;
	unsigned int line;
	const char *text;
	bool fatal; /* ASSERT_: a failure ends the test point */
};

#define TEST_SITE(source_text, is_fatal) \
	(&(const struct test_site){      \
		.file = __FILE__, .line = __LINE__, .text = source_text, .fatal = is_fatal })

/*
 * Runs every TEST and prints the TAP of all. Returns the exit status: 0 if no point failed, else 1.
 */
int test_main(void);

/*
 * The comparisons behind the macros. Values are compared as 64-bit unsigned numbers; a narrower
 * signed value must be cast by the caller to the width it means. The format may be "".
 * Return whether the expectation holds.
 */
enum test_op { TEST_EQ, TEST_NE, TEST_LT, TEST_LE, TEST_GT, TEST_GE };

__attribute__((format(printf, 5, 6))) bool test_compare(const struct test_site *site,
							enum test_op op, uint64_t actual,
							uint64_t expected, const char *format, ...);
__attribute__((format(printf, 3, 4))) bool test_true(const struct test_site *site, bool holds,
						     const char *format, ...);
__attribute__((format(printf, 5, 6))) bool test_memory(const struct test_site *site,
						       const void *actual, const void *expected,
						       size_t size, const char *format, ...);
__attribute__((format(printf, 4, 5))) bool test_string(const struct test_site *site,
						       const char *actual, const char *expected,
						       const char *format, ...);
__attribute__((format(printf, 2, 3))) void test_fail(const struct test_site *site,
						     const char *format, ...);
__attribute__((noreturn, format(printf, 2, 3))) void test_error(const struct test_site *site,
								const char *format, ...);
__attribute__((noreturn, format(printf, 1, 2))) void test_skip(const char *format, ...);

/*
 * A reported entry with "expected" and "actual" in words; for checks that the harness does not
 * know, such as EXPECT_FAULT. Honours site->fatal.
 */
void test_mismatch(const struct test_site *site, const char *expected, const char *actual);

/* One "# ..." line of TAP; the format needs no newline. */
__attribute__((format(printf, 1, 2))) void test_diag(const char *format, ...);

/* Whether the point that runs now has failed so far. */
bool test_failed(void);

/*
 * Ends the test point that runs on this CPU, as ASSERT_ does. For code below the harness, such as
 * the handler of an unexpected exception, after it has reported with test_fail().
 */
__attribute__((noreturn)) void test_abort(void);

/* The text comes from the outermost macro: here the arguments are expanded already. */
#define TEST_COMPARE(op, text, actual, expected, fatal, ...)                               \
	test_compare(TEST_SITE(text, fatal), op, (uint64_t)(actual), (uint64_t)(expected), \
		     "" __VA_ARGS__)

#define EXPECT_EQ(actual, expected, ...) \
	TEST_COMPARE(TEST_EQ, #actual " == " #expected, actual, expected, false, __VA_ARGS__)
#define EXPECT_NE(actual, expected, ...) \
	TEST_COMPARE(TEST_NE, #actual " != " #expected, actual, expected, false, __VA_ARGS__)
#define EXPECT_LT(actual, expected, ...) \
	TEST_COMPARE(TEST_LT, #actual " < " #expected, actual, expected, false, __VA_ARGS__)
#define EXPECT_LE(actual, expected, ...) \
	TEST_COMPARE(TEST_LE, #actual " <= " #expected, actual, expected, false, __VA_ARGS__)
#define EXPECT_GT(actual, expected, ...) \
	TEST_COMPARE(TEST_GT, #actual " > " #expected, actual, expected, false, __VA_ARGS__)
#define EXPECT_GE(actual, expected, ...) \
	TEST_COMPARE(TEST_GE, #actual " >= " #expected, actual, expected, false, __VA_ARGS__)
#define EXPECT_TRUE(condition, ...) \
	test_true(TEST_SITE(#condition, false), condition, "" __VA_ARGS__)
#define EXPECT_FALSE(condition, ...) \
	test_true(TEST_SITE("!(" #condition ")", false), !(condition), "" __VA_ARGS__)
#define EXPECT_MEM_EQ(actual, expected, size, ...)                                      \
	test_memory(TEST_SITE(#actual " == " #expected, false), actual, expected, size, \
		    "" __VA_ARGS__)
#define EXPECT_STR_EQ(actual, expected, ...) \
	test_string(TEST_SITE(#actual " == " #expected, false), actual, expected, "" __VA_ARGS__)

#define ASSERT_EQ(actual, expected, ...) \
	TEST_COMPARE(TEST_EQ, #actual " == " #expected, actual, expected, true, __VA_ARGS__)
#define ASSERT_NE(actual, expected, ...) \
	TEST_COMPARE(TEST_NE, #actual " != " #expected, actual, expected, true, __VA_ARGS__)
#define ASSERT_TRUE(condition, ...) \
	test_true(TEST_SITE(#condition, true), condition, "" __VA_ARGS__)
#define ASSERT_FALSE(condition, ...) \
	test_true(TEST_SITE("!(" #condition ")", true), !(condition), "" __VA_ARGS__)
#define ASSERT_MEM_EQ(actual, expected, size, ...)                                     \
	test_memory(TEST_SITE(#actual " == " #expected, true), actual, expected, size, \
		    "" __VA_ARGS__)
#define ASSERT_STR_EQ(actual, expected, ...) \
	test_string(TEST_SITE(#actual " == " #expected, true), actual, expected, "" __VA_ARGS__)

#define FAIL(...) test_fail(TEST_SITE("", false), __VA_ARGS__)
#define SKIP(...) test_skip(__VA_ARGS__)
#define REQUIRE(condition)                                                             \
	do {                                                                           \
		if (!(condition))                                                      \
			test_error(TEST_SITE(#condition, true), "this test needs: %s", \
				   #condition);                                        \
	} while (0)

#ifndef VMABI_HOSTED
#include <x86/fault.h>
#endif

#endif
