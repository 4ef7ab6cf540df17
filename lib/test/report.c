// SPDX-License-Identifier: BSD-2-Clause
/*
 * The TAP lines of one point, and the YAML block of a failed one
 */
#include <test/report.h>

#include <libc/format.h>
#include <test/platform.h>
#include <test/text.h>

#define ENTRY_INDENT 8 /* of a block scalar in an entry */

struct test_point test_point;

/* One report at a time is put together here: see test_platform_lock(). */
static char buffer[8192];
static char message[4096];

static struct text begin(void)
{
	test_platform_lock();
	return (struct text){ .buffer = buffer, .size = sizeof(buffer) };
}

static void end(const struct text *text)
{
	test_platform_write(text->buffer, text->length);
	test_platform_unlock();
}

static void add_result(struct text *text, const char *result)
{
	text_add(text, "%s %u - ", result, test_point.number);
	text_add_description(text, test_point.test->name, test_point.skipped);
}

static void add_failures_header(struct text *text)
{
	if (test_point.failed)
		return;
	add_result(text, "not ok");
	text_add(text, "\n  ---\n  failures:\n");
}

static void add_entry(struct text *text, const struct test_site *site, const char *expected,
		      const char *actual, bool is_error)
{
	unsigned int cpu = test_platform_cpu();

	text_add(text, "    - message: ");
	text_add_scalar(text, message, ENTRY_INDENT);
	text_add(text, "      file: %s\n      line: %u\n", site->file, site->line);
	if (expected) {
		text_add(text, "      expected: ");
		text_add_scalar(text, expected, ENTRY_INDENT);
	}
	if (actual) {
		text_add(text, "      actual: ");
		text_add_scalar(text, actual, ENTRY_INDENT);
	}
	if (cpu)
		text_add(text, "      cpu: %u\n", cpu);
	if (is_error)
		text_add(text, "      severity: error\n");
}

/* The source text of the check and the case at hand, which the format names. */
__attribute__((format(printf, 2, 0))) static void set_message(const struct test_site *site,
							      const char *format, va_list arguments)
{
	struct text text = { .buffer = message, .size = sizeof(message) };
	bool both = *site->text && *format;

	message[0] = '\0';
	text_add(&text, "%s%s", site->text, both ? " (" : "");
	text_add_v(&text, format, arguments);
	text_add(&text, "%s", both ? ")" : "");
}

__attribute__((format(printf, 5, 0))) static void report(const struct test_site *site,
							 bool is_error, const char *expected,
							 const char *actual, const char *format,
							 va_list arguments)
{
	struct text text = begin();

	if (!test_point.test) {
		set_message(site, format, arguments);
		text_add(&text, "# %s:%u: %s\n", site->file, site->line, message);
	} else if (test_point.reports < TEST_MAX_REPORTS || is_error) {
		set_message(site, format, arguments);
		add_failures_header(&text);
		add_entry(&text, site, expected, actual, is_error);
		test_point.reports++;
		test_point.failed = true;
	} else {
		test_point.unreported++;
	}
	end(&text);
}

void test_report(const struct test_site *site, const char *expected, const char *actual,
		 const char *format, va_list arguments)
{
	report(site, false, expected, actual, format, arguments);
	if (site->fatal)
		test_abort();
}

__attribute__((format(printf, 4, 5))) static void report_words(const struct test_site *site,
							       const char *expected,
							       const char *actual,
							       const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	test_report(site, expected, actual, format, arguments);
	va_end(arguments);
}

void test_mismatch(const struct test_site *site, const char *expected, const char *actual)
{
	report_words(site, expected, actual, "");
}

void test_fail(const struct test_site *site, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	test_report(site, NULL, NULL, format, arguments);
	va_end(arguments);
}

void test_note_error(const struct test_site *site, const char *format, ...)
{
	const struct test_site place = { .file = site->file, .line = site->line, .text = "" };
	va_list arguments;

	va_start(arguments, format);
	report(&place, true, NULL, NULL, format, arguments);
	va_end(arguments);
}

void test_error(const struct test_site *site, const char *format, ...)
{
	const struct test_site place = { .file = site->file, .line = site->line, .text = "" };
	va_list arguments;

	va_start(arguments, format);
	report(&place, true, NULL, NULL, format, arguments);
	va_end(arguments);
	test_abort();
}

void test_skip(const char *format, ...)
{
	va_list arguments;

	test_platform_lock();
	va_start(arguments, format);
	format_text_v(test_point.reason, sizeof(test_point.reason), format, arguments);
	va_end(arguments);
	test_point.skipped = true;
	test_platform_unlock();
	test_abort();
}

/*
 * A comment has no place in an open YAML block; there it is one more entry, which counts as none.
 */
void test_diag(const char *format, ...)
{
	struct text text = begin();
	const struct test_site nowhere = { .text = "" };
	va_list arguments;

	va_start(arguments, format);
	set_message(&nowhere, format, arguments);
	va_end(arguments);
	if (test_point.failed) {
		text_add(&text, "    - note: ");
		text_add_scalar(&text, message, ENTRY_INDENT);
	} else {
		text_add(&text, "# %s\n", message);
	}
	end(&text);
}

bool test_failed(void)
{
	return __atomic_load_n(&test_point.failed, __ATOMIC_RELAXED);
}

struct test_site test_point_site(void)
{
	const struct test *test = test_point.test;

	return (struct test_site){ .file = test ? test->file : "(no test point)",
				   .line = test ? test->line : 0,
				   .text = "" };
}

void test_point_close(void)
{
	struct text text = begin();

	if (test_point.failed) {
		if (test_point.unreported)
			text_add(&text, "  unreported: %u\n", test_point.unreported);
		if (test_point.skipped) {
			text_add(&text, "  skipped: ");
			text_add_scalar(&text, test_point.reason, ENTRY_INDENT);
		}
		text_add(&text, "  ...\n");
	} else {
		add_result(&text, "ok");
		if (test_point.skipped) {
			text_add(&text, " # SKIP ");
			text_add_description(&text, test_point.reason, false);
		}
		text_add(&text, "\n");
	}
	end(&text);
}
