// SPDX-License-Identifier: BSD-2-Clause
#include "klog.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* How many lines after a fault are shown with it: enough for RIP and the top of the call trace. */
#define CONTEXT_LINES 16

static const char *const faults[] = {
	"Kernel panic - not syncing",
	"WARNING: ",
	"BUG: ",
	"BUG at ",
	"kernel BUG",
	"Oops",
	"general protection fault",
	"self-detected stall",
	"detected stalls on CPUs",
	"expedited stalls",
	"soft lockup",
	"hard LOCKUP",
	"Hard LOCKUP",
	"blocked for more than",
	"UBSAN: ",
	"KASAN: ",
	"list_add corruption",
	"list_del corruption",
	"unchecked MSR access error",
	"possible circular locking dependency",
	"possible recursive locking detected",
	"suspicious RCU usage",
	"sleeping function called from invalid context",
	"scheduling while atomic",
	/* Xen's own */
	"Panic on CPU",
	"FATAL TRAP",
	"Xen BUG at",
	"Xen WARN at",
	"(XEN) Assertion ",
	"Hardware Dom0 crashed",
};

/* By which lines an end is known, and who it was; the later ones go before. */
static const struct ending {
	const char *line;
	enum klog_panic panic;
} endings[] = {
	{ "Kernel panic", KLOG_PANIC_KERNEL },
	{ "Hardware Dom0 crashed", KLOG_PANIC_DOM0 },
	{ "Panic on CPU", KLOG_PANIC_XEN },
	{ "FATAL TRAP", KLOG_PANIC_XEN },
};

bool klog_is_fault(const char *line)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++)
		if (strstr(line, faults[i]))
			return true;
	return false;
}

static void append(struct klog_report *report, const char *line)
{
	size_t used = strlen(report->text);

	snprintf(report->text + used, sizeof(report->text) - used, "%s\n", line);
}

static enum klog_panic panic_of(const char *line)
{
	enum klog_panic panic = KLOG_PANIC_NONE;

	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++)
		if (strstr(line, endings[i].line))
			panic = endings[i].panic;
	return panic;
}

int klog_read(const char *path, struct klog_report *report)
{
	char line[1024];
	unsigned int context = 0;
	FILE *log = fopen(path, "re");

	if (!log)
		return -errno;
	while (fgets(line, sizeof(line), log)) {
		line[strcspn(line, "\r\n")] = '\0';
		if (klog_is_fault(line)) {
			report->lines++;
			enum klog_panic panic = panic_of(line);
			if (panic > report->panic)
				report->panic = panic;
			context = CONTEXT_LINES;
		}
		if (context) {
			append(report, line);
			context--;
		}
	}
	fclose(log);
	return 0;
}
