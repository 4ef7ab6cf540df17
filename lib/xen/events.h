/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Event channels of the two-level ABI, from ports to upcalls
 *
 * An event that is sent sets the port's bit in shared_info; if it was clear and the port is not masked, the bit of that
 * word in the selector of the vCPU that the port is bound to, and its upcall_pending; then the vCPU is interrupted, by
 * a vector of its own APIC, or by the callback vector of all (public/xen.h, struct vcpu_info and shared_info; hvm/
 * params.h, HVM_PARAM_CALLBACK_IRQ).
 */
#ifndef XEN_EVENTS_H
#define XEN_EVENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <xen/shared.h>

/* What xen_port() takes for a port that may be any. */
#define XEN_PORT_ANY 0

/*
 * Begins a test point: no ports, nothing pending, all masked, on this CPU no upcall pending. On KVM polling and sending
 * are turned on. The test point is skipped if there is no Xen.
 */
void xen_events_begin(void);

/*
 * A new port, unmasked, to which an event that is sent comes back, at this CPU (an IPI). Of Xen itself a port by its
 * number is asked for until it is given; what it does not give at all is skipped.
 */
uint32_t xen_port(uint32_t wanted, unsigned int cpu);

/* The port of the timers of this CPU. */
uint32_t xen_timer_port(void);

void xen_port_close(uint32_t port);

/* EVTCHNOP_send, and what it returns. */
long xen_send(uint32_t port);

/* The port's bits, each by one atomic access. take_: clears it, and says whether it was set. */
bool xen_port_pending(uint32_t port);
bool xen_port_take(uint32_t port);
void xen_port_mask(uint32_t port);
void xen_port_unmask(uint32_t port);

/* This CPU's selector, and whether its upcall is pending; clears both, as a handler does. */
bool xen_upcall_take(void);

/* How this CPU, or each that has no vector of its own, is told; 0: not at all, which Xen does not know of the first. */
int xen_upcall_vector(uint8_t vector);
int xen_callback_vector(uint8_t vector);

#endif
