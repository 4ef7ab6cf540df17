// SPDX-License-Identifier: BSD-2-Clause
/*
 * The plan, the points in their order, and how one ends
 */
#include <test/test.h>

#include <libc/format.h>
#include <test/platform.h>
#include <test/report.h>

/* The linker makes these at the ends of the section. To cppcheck they are two arrays. */
extern const struct test __start_vmabi_tests[], __stop_vmabi_tests[];

/* By file, for programs of several, line, and name, for macros that make several points. */
static bool comes_before(const struct test *a, const struct test *b)
{
	int order = strcmp(a->file, b->file);

	if (!order && a->line != b->line)
		return a->line < b->line;
	return order < 0 || (!order && strcmp(a->name, b->name) < 0);
}

/* The linker's order is not the source's: gcc emits a file's static data backwards. */
static const struct test *next_test(const struct test *last)
{
	const struct test *next = NULL;

	/* cppcheck-suppress comparePointers */
	for (const struct test *test = __start_vmabi_tests; test < __stop_vmabi_tests; test++)
		if ((!last || comes_before(last, test)) && (!next || comes_before(test, next)))
			next = test;
	return next;
}

/* Returns whether the point came to its end by itself. */
static bool run_to_the_end(const struct test *test)
{
	test_jump end;

	if (test_jump_save(end))
		return false;
	test_platform_point_begin(end);
	test->run();
	return true;
}

/* Returns whether the point failed. */
static bool run_point(const struct test *test, unsigned int number)
{
	bool ended;

	test_point = (struct test_point){ .test = test, .number = number };
	ended = run_to_the_end(test);
	test_platform_point_end(!ended);
	test_point_close();
	test_point.test = NULL;
	return test_point.failed;
}

static void print_plan(unsigned int count)
{
	char plan[64];
	size_t size = format_text(plan, sizeof(plan), "TAP version 13\n1..%u\n", count);

	test_platform_write(plan, size);
}

int test_main(void)
{
	const struct test *test = NULL;
	bool failed = false;
	unsigned int number = 0;

	/* cppcheck-suppress comparePointers */
	print_plan(__stop_vmabi_tests - __start_vmabi_tests);
	while ((test = next_test(test)))
		failed |= run_point(test, ++number);
	return failed;
}

void test_abort(void)
{
	test_platform_abort();
}
