// SPDX-License-Identifier: BSD-2-Clause
/*
 * domain: runs one guest as a domain of Xen's, in dom0
 *
 * What the guest writes to its console goes to stdout, and the status it gives (lib/xen/status.h) is this program's.
 * How a domain ended that gave none is said in a line. The domain is left as it is: the machine ends with this program.
 */
#include "console.h"
#include "guest.h"
#include "probe.h"
#include "say.h"
#include "xen.h"

#include <getopt.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xen/sched.h>
#include <xen/status.h>
#include <xenstore.h>

#define USAGE \
	"usage: domain [--smp N] [--mem MIB] [--append TEXT] [--hyperv] [--timeout SECONDS] GUEST | --probe"

/* A guest whose page tables hide the bell's argument from Xen rings in vain. */
#define LOOK_MS 50

struct options {
	bool probe;
	struct guest_options guest;
	unsigned int timeout;
};

static void say_v(const char *format, va_list args)
{
	fputs("domain: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_v(format, args);
	va_end(args);
}

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_v(format, args);
	va_end(args);
	_exit(STATUS_FAILED);
}

xc_interface *xen_control(void)
{
	static xc_interface *control;

	if (!control)
		control = xc_interface_open(NULL, NULL, 0);
	if (!control)
		die("libxenctrl does not come up: %m");
	return control;
}

static struct options parse(int argc, char **argv)
{
	static const struct option names[] = {
		{ "smp", required_argument, NULL, 's' },
		{ "mem", required_argument, NULL, 'm' },
		{ "append", required_argument, NULL, 'a' },
		{ "hyperv", no_argument, NULL, 'h' },
		{ "timeout", required_argument, NULL, 't' },
		{ "probe", no_argument, NULL, 'p' },
		{},
	};
	struct options options = { .guest = { .vcpus = 1, .memory = 64 }, .timeout = 20 };
	int option;

	while ((option = getopt_long(argc, argv, "+", names, NULL)) != -1) {
		if (option == 's')
			options.guest.vcpus = strtoul(optarg, NULL, 0);
		else if (option == 'm')
			options.guest.memory = strtoul(optarg, NULL, 0);
		else if (option == 'a')
			options.guest.append = optarg;
		else if (option == 'h')
			options.guest.viridian = true;
		else if (option == 'p')
			options.probe = true;
		else if (option == 't')
			options.timeout = strtoul(optarg, NULL, 0);
		else
			die(USAGE);
	}
	if (optind + !options.probe != argc)
		die(USAGE);
	options.guest.kernel = argv[optind];
	return options;
}

/* xenstored tells of each domain that shuts down. */
static struct xs_handle *watch_domains(void)
{
	struct xs_handle *store = xs_open(0);

	if (!store || !xs_watch(store, "@releaseDomain", "end"))
		die("xenstored does not answer: %m");
	return store;
}

static void take_watches(struct xs_handle *store)
{
	char **watch;

	while ((watch = xs_check_watch(store)))
		free(watch);
}

static bool has_ended(uint32_t domid, unsigned int *reason)
{
	xc_domaininfo_t info;

	if (xc_domain_getinfolist(xen_control(), domid, 1, &info) != 1 || info.domain != domid)
		die("the domain is gone");
	*reason = info.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
	return info.flags & XEN_DOMINF_shutdown;
}

static int result_of(unsigned int reason)
{
	static const char *const reasons[] = {
		[SHUTDOWN_poweroff] = "it powered itself off without a status",
		[SHUTDOWN_reboot] = "it shut down (a triple fault), or asked for a reset",
		[SHUTDOWN_suspend] = "it suspended itself",
		[SHUTDOWN_crash] = "it crashed, or Xen crashed it",
		[SHUTDOWN_watchdog] = "its watchdog ended it",
		[SHUTDOWN_soft_reset] = "it asked for a soft reset",
	};

	if (reason & XEN_STATUS_GIVEN)
		return reason & ~XEN_STATUS_GIVEN;
	if (reason < sizeof(reasons) / sizeof(*reasons))
		say("the guest ended without a status: %s", reasons[reason]);
	else
		say("the guest ended with the unknown reason %u", reason);
	return STATUS_FAILED;
}

static unsigned int run(uint32_t domid, unsigned int timeout)
{
	struct xs_handle *store = watch_domains();
	struct pollfd fds[] = { { .fd = console_fd(), .events = POLLIN },
				{ .fd = xs_fileno(store), .events = POLLIN } };
	time_t end = time(NULL) + timeout;
	unsigned int reason;

	guest_unpause(domid);
	while (!has_ended(domid, &reason)) {
		if (time(NULL) >= end)
			die("the guest has not ended in %u s", timeout);
		poll(fds, 2, LOOK_MS);
		if (fds[0].revents)
			console_hear();
		take_watches(store);
		console_relay();
	}
	return reason;
}

int main(int argc, char **argv)
{
	struct options options = parse(argc, argv);

	if (options.probe) {
		probe();
		return 0;
	}
	uint32_t domid = guest_create(&options.guest);

	console_open(domid);
	unsigned int reason = run(domid, options.timeout);
	console_relay();
	return result_of(reason);
}
