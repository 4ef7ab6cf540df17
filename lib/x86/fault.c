// SPDX-License-Identifier: BSD-2-Clause
#include <x86/fault.h>

#include <libc/array.h>
#include <libc/format.h>
#include <libc/string.h>
#include <test/report.h>

static const char *const names[] = {
	[DE] = "#DE", [DB] = "#DB", [NMI] = "NMI", [BP] = "#BP", [OF] = "#OF",
	[BR] = "#BR", [UD] = "#UD", [NM] = "#NM",  [DF] = "#DF", [TS] = "#TS",
	[NP] = "#NP", [SS] = "#SS", [GP] = "#GP",  [PF] = "#PF", [MF] = "#MF",
	[AC] = "#AC", [MC] = "#MC", [XM] = "#XM",  [VE] = "#VE", [CP] = "#CP",
};

const char *fault_name(unsigned int vector)
{
	if (vector < COUNT_OF(names) && names[vector])
		return names[vector];
	return vector < VECTOR_IRQ_FIRST ? "reserved exception" : "interrupt";
}

static void describe(char *text, size_t size, unsigned int vector, uint32_t error_code)
{
	if (vector == NO_FAULT)
		format_text(text, size, "no exception");
	else
		format_text(text, size, "%s (vector %u), error code 0x%x", fault_name(vector),
			    vector, error_code);
}

bool fault_compare(const struct test_site *site, struct x86_fault fault, unsigned int vector,
		   uint32_t error_code, const char *format, ...)
{
	char expected[64], actual[128];
	size_t length;
	va_list arguments;

	if (fault.vector == vector && (vector == NO_FAULT || fault.error_code == error_code))
		return true;

	describe(expected, sizeof(expected), vector, error_code);
	describe(actual, sizeof(actual), fault.vector, fault.error_code);
	if (fault.vector != NO_FAULT) {
		length = strlen(actual);
		format_text(actual + length, sizeof(actual) - length, " at ip 0x%lx, cr2 0x%lx",
			    (unsigned long)fault.ip, (unsigned long)fault.cr2);
	}
	va_start(arguments, format);
	test_report(site, expected, actual, format, arguments);
	va_end(arguments);
	return false;
}
