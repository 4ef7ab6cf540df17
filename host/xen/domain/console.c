// SPDX-License-Identifier: BSD-2-Clause
#include "console.h"

#include "say.h"
#include "xen.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/hvm/params.h>
#include <xen/io/console.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xenstore.h>

static struct xencons_interface *ring;
static xenevtchn_handle *channels;
static evtchn_port_t port;

/* libxl is done with a domain when it is told of the terminal that xenconsoled has made for it. */
static void *tell_of_terminal(void *path)
{
	struct xs_handle *store = xs_open(0);
	unsigned int size;

	if (!store || !xs_watch(store, path, "terminal"))
		die("xenstored does not answer: %m");
	for (;;) {
		free(xs_read_watch(store, &size));
		char *terminal = xs_read(store, XBT_NULL, path, &size);

		if (terminal && !*terminal && xs_write(store, XBT_NULL, path, "none", 4))
			return NULL;
		free(terminal);
	}
}

void console_expect(uint32_t domid)
{
	static char path[64];
	pthread_t thread;

	snprintf(path, sizeof(path), "/local/domain/%u/console/tty", domid);
	if (pthread_create(&thread, NULL, tell_of_terminal, path))
		die("no memory for a thread");
}

static uint64_t parameter(uint32_t domid, uint32_t name)
{
	uint64_t value;

	if (xc_hvm_param_get(xen_control(), domid, name, &value))
		die("the domain has no console: %m");
	return value;
}

void console_open(uint32_t domid)
{
	xen_pfn_t frame = parameter(domid, HVM_PARAM_CONSOLE_PFN);
	xenforeignmemory_handle *memory = xenforeignmemory_open(NULL, 0);
	int error = 0;

	channels = xenevtchn_open(NULL, 0);
	if (!memory || !channels)
		die("cannot open the devices of Xen: %m");
	ring = xenforeignmemory_map(memory, domid, PROT_READ | PROT_WRITE, 1, &frame, &error);
	if (!ring || error)
		die("the ring of the domain's console does not map: %m");
	int bound = xenevtchn_bind_interdomain(channels, domid,
					       parameter(domid, HVM_PARAM_CONSOLE_EVTCHN));
	if (bound < 0)
		die("the event channel of the domain's console does not bind: %m");
	port = bound;
}

int console_fd(void)
{
	return xenevtchn_fd(channels);
}

/* The guest's index is not to be believed more than once. */
void console_relay(void)
{
	char bytes[sizeof(ring->out)];
	XENCONS_RING_IDX from = ring->out_cons,
			 to = __atomic_load_n(&ring->out_prod, __ATOMIC_ACQUIRE);
	size_t size = to - from;

	if (!size || size > sizeof(bytes))
		return;
	for (size_t i = 0; i < size; i++)
		bytes[i] = ring->out[MASK_XENCONS_IDX(from + i, ring->out)];
	__atomic_store_n(&ring->out_cons, to, __ATOMIC_RELEASE);
	xenevtchn_notify(channels, port);
	for (size_t done = 0; done < size;) {
		ssize_t written = write(STDOUT_FILENO, bytes + done, size - done);

		if (written <= 0)
			die("cannot write to stdout: %m");
		done += written;
	}
}

void console_hear(void)
{
	int rung = xenevtchn_pending(channels);

	if (rung < 0)
		die("cannot read the event channels: %m");
	xenevtchn_unmask(channels, rung);
}
