/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The running test point and its reports: what the harness's own files, and the runtime below it,
 * share
 */
#ifndef TEST_REPORT_H
#define TEST_REPORT_H

#include <stdarg.h>
#include <test/test.h>

struct test_point {
	const struct test *test; /* NULL: none runs */
	unsigned int number;
	unsigned int reports;	 /* entries of the YAML block so far */
	unsigned int unreported; /* failures beyond TEST_MAX_REPORTS */
	bool failed;		 /* "not ok" is printed, and its YAML block is open */
	bool skipped;
	char reason[256];
};

extern struct test_point test_point;

/* The file and line to blame where there is no better place: those of the TEST that runs. */
struct test_site test_point_site(void);

/*
 * Notes a failure; "expected" and "actual" may be NULL, the format may be "". Honours site->fatal.
 */
__attribute__((format(printf, 4, 0))) void test_report(const struct test_site *site,
						       const char *expected, const char *actual,
						       const char *format, va_list arguments);

/* As test_error(), but goes on. */
__attribute__((format(printf, 2, 3))) void test_note_error(const struct test_site *site,
							   const char *format, ...);

/* Prints what is still to be said of the point that is over. */
void test_point_close(void);

#endif
