// SPDX-License-Identifier: BSD-2-Clause
/*
 * supervise: one guest's run, watched from outside
 *
 * Runs a command (QEMU, or vmrun) whose output is the TAP of one guest, relays that TAP, and judges
 * what only the host can see: whether the guest completed its plan, how the machine under it ended,
 * and whether the kernel under that stayed healthy. Exit status 0 only if all of it is well.
 */
#include "child.h"
#include "klog.h"
#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KNOWN_MAX 32

struct options {
	double timeout;
	bool qemu_status;
	bool kernel_log;
	const char *keep_log;
	struct tap_known known[KNOWN_MAX];
	size_t known_count;
	char **command;
};

static const char usage[] =
	"usage: supervise [options] -- COMMAND [ARGUMENT]...\n"
	"Relays the TAP of the guest that COMMAND runs, and judges how the run ended.\n"
	"\n"
	"  --timeout SECONDS     kill COMMAND after so long (default: no limit)\n"
	"  --qemu-status         COMMAND is QEMU: its exit status is (byte << 1) | 1, where byte is what\n"
	"                        was written to isa-debug-exit\n"
	"  --kernel-log          COMMAND leaves the log of the kernel that hosts the guest in\n"
	"                        $VMABI_SCRATCH/console; a fault in it fails the test\n"
	"  --keep-log FILE       leave that log here, too\n"
	"  --known POINT=REASON  the point of this name is a known bug: mark it TODO\n"
	"  --help\n"
	"\n"
	"COMMAND finds in $VMABI_SCRATCH a folder of its own, which is removed at the end.\n";

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
	va_list args;

	fputs("supervise: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

static struct tap_known parse_known(char *text)
{
	char *reason = strchr(text, '=');

	if (!reason)
		die("--known takes POINT=REASON, not '%s'", text);
	*reason++ = '\0';
	return (struct tap_known){ .point = text, .reason = reason };
}

static double parse_seconds(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds > 0))
		die("--timeout takes a number of seconds above 0, not '%s'", text);
	return seconds;
}

static struct options parse(int argc, char **argv)
{
	static const struct option names[] = {
		{ "timeout", required_argument, NULL, 't' },
		{ "qemu-status", no_argument, NULL, 'q' },
		{ "kernel-log", no_argument, NULL, 'l' },
		{ "keep-log", required_argument, NULL, 'c' },
		{ "known", required_argument, NULL, 'k' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	struct options options = {};
	int option;

	while ((option = getopt_long(argc, argv, "+", names, NULL)) != -1) {
		if (option == 't') {
			options.timeout = parse_seconds(optarg);
		} else if (option == 'q') {
			options.qemu_status = true;
		} else if (option == 'l') {
			options.kernel_log = true;
		} else if (option == 'c') {
			options.keep_log = optarg;
		} else if (option == 'k' && options.known_count < KNOWN_MAX) {
			options.known[options.known_count++] = parse_known(optarg);
		} else if (option == 'h') {
			fputs(usage, stdout);
			exit(0);
		} else {
			exit(2);
		}
	}
	if (optind == argc)
		die("no command; see --help");
	options.command = argv + optind;
	return options;
}

static void make_scratch(char *path, size_t size)
{
	const char *parent = getenv("TMPDIR");

	snprintf(path, size, "%s/vmabi.XXXXXX", parent && *parent ? parent : "/tmp");
	if (!mkdtemp(path))
		die("cannot make a folder %s: %s; point TMPDIR at a place with room", path,
		    strerror(errno));
	setenv("VMABI_SCRATCH", path, 1);
}

static void remove_scratch(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		unlinkat(dirfd(folder), entry->d_name, 0);
	if (folder)
		closedir(folder);
	rmdir(path);
}

static void write_out(void *context, const char *text, size_t size)
{
	bool *broken = context;

	if (fwrite(text, 1, size, stdout) != size || fflush(stdout))
		*broken = true;
}

static bool relay_output(void *context, const char *bytes, size_t size)
{
	struct tap_relay *relay = context;

	tap_relay_bytes(relay, bytes, size);
	return !*(bool *)relay->context;
}

/*
 * The byte that the guest, or vmrun in its stead, ended with; -1: there was none. Guests write single
 * digits (platform.h), so a status above 128 is a signal that ended QEMU.
 */
static int ending_byte(const struct options *options, int status)
{
	if (!options->qemu_status)
		return status;
	return status & 1 && status < 128 ? status >> 1 : -1;
}

/* How the run ended, if not as it should: one line. Returns whether it is well. */
static bool judge_end(const struct options *options, const struct tap_relay *relay,
		      const struct child_result *result, enum klog_panic panic, char *reason,
		      size_t size)
{
	static const char *const panics[] = {
		[KLOG_PANIC_KERNEL] = "the kernel that hosts the guest panicked",
		[KLOG_PANIC_DOM0] = "dom0, beside the guest, crashed",
		[KLOG_PANIC_XEN] = "Xen, under the guest, panicked",
	};
	int byte = ending_byte(options, result->status);

	if (panic)
		snprintf(reason, size, "%s", panics[panic]);
	else if (result->end == CHILD_TIMED_OUT)
		snprintf(
			reason, size,
			"nothing ended the run within %g s: neither the guest nor the host under it "
			"answered",
			options->timeout);
	else if (byte < 0)
		snprintf(reason, size,
			 "the machine ended without a word from the guest (%s %d)%s%s",
			 result->status > 128 ? "killed by signal" : "status",
			 result->status > 128 ? result->status - 128 : result->status,
			 *relay->stray ? ": " : "", relay->stray);
	else if (byte > 1)
		snprintf(reason, size, "the run ended with status %d%s%s", byte,
			 *relay->stray ? ": " : "", relay->stray);
	else if (!relay->have_plan)
		snprintf(reason, size, "the guest ended before it made a plan%s%s",
			 *relay->stray ? ": " : "", relay->stray);
	else if (!tap_relay_complete(relay))
		snprintf(reason, size, "the guest planned %lu points and ended after %lu",
			 relay->planned, relay->seen);
	else if (!relay->plan_is_skip && byte != (relay->not_ok > 0))
		snprintf(reason, size, "the guest ended with status %d after %lu failed points",
			 byte, relay->not_ok);
	else
		return true;
	return false;
}

/* What cannot be kept is no fault of the guest's: it is said, and changes no result. */
static void keep_log(const char *from, const char *to)
{
	char bytes[65536];
	size_t size;
	FILE *in = fopen(from, "r"), *out = in ? fopen(to, "w") : NULL;
	bool kept = out;

	while (kept && (size = fread(bytes, 1, sizeof(bytes), in)))
		kept = fwrite(bytes, 1, size, out) == size;
	if (out && fclose(out))
		kept = false;
	if (!kept)
		fprintf(stderr, "supervise: cannot keep the kernel log as %s: %s\n", to,
			strerror(errno));
	if (in)
		fclose(in);
}

static void judge_kernel_log(const struct options *options, struct klog_report *report)
{
	char path[4096];

	if (!options->kernel_log)
		return;
	snprintf(path, sizeof(path), "%s/console", getenv("VMABI_SCRATCH"));
	int error = klog_read(path, report);
	if (error) {
		report->lines = 1;
		snprintf(report->text, sizeof(report->text), "there is no kernel log: %s",
			 strerror(-error));
	} else if (options->keep_log) {
		keep_log(path, options->keep_log);
	}
}

static int supervise(struct options *options)
{
	bool broken = false;
	static struct tap_relay relay;
	struct child_result result;
	struct klog_report log = {};
	char reason[512];

	relay.write = write_out;
	relay.context = &broken;
	relay.known = options->known;
	relay.known_count = options->known_count;
	relay.host_points = options->kernel_log;
	tap_relay_begin(&relay);
	int error = child_run(options->command, options->timeout, relay_output, &relay, &result);
	if (error) {
		fprintf(stderr, "supervise: cannot run %s: %s\n", options->command[0],
			strerror(-error));
		return 2;
	}
	if (result.end == CHILD_INTERRUPTED)
		return 128 + result.status;
	tap_relay_end(&relay);
	judge_kernel_log(options, &log);
	bool well = judge_end(options, &relay, &result, log.panic, reason, sizeof(reason));
	if (!well)
		tap_relay_point(&relay, false, "the guest runs to its end", reason);
	if (options->kernel_log && !relay.plan_is_skip)
		tap_relay_point(&relay, !log.lines, "the host's kernel log shows no fault",
				log.text);
	return !well || relay.failed || log.lines;
}

int main(int argc, char **argv)
{
	char scratch[4096];
	struct options options = parse(argc, argv);

	make_scratch(scratch, sizeof(scratch));
	int status = supervise(&options);
	remove_scratch(scratch);
	return status;
}
