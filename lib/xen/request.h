/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's Xen ioctls, as vmrun does them for the guest: <vmrun/xen.h>
 *
 * Each returns 0, or what KVM refused it with, as -errno. For what a test says of KVM alone; what Xen itself has too is
 * in <xen/shared.h> and <xen/events.h>. On Xen itself there is nobody to ask, and the test point is skipped.
 */
#ifndef XEN_REQUEST_H
#define XEN_REQUEST_H

#include <stddef.h>
#include <stdint.h>
#include <vmrun/xen.h>

/* An attribute whose value is one number of up to 64 bits. */
int xen_set_vm(unsigned int type, uint64_t value);
int xen_set_vcpu(unsigned int type, uint64_t value);
int xen_get_vm(unsigned int type, uint64_t *value);
int xen_get_vcpu(unsigned int type, uint64_t *value);

/* One that is a structure. */
int xen_set_vm_struct(unsigned int type, const void *value, size_t size);
int xen_set_vcpu_struct(unsigned int type, const void *value, size_t size);
int xen_get_vcpu_struct(unsigned int type, void *value, size_t size);

/* KVM_XEN_HVM_CONFIG with these flags. */
int xen_configure(uint32_t flags);

/* Likewise, with this MSR in place of its own (0: its own), and so many pages of the VMM's own in place of KVM's. */
int xen_configure_page(uint32_t flags, uint32_t msr, uint8_t pages);

/* The flags that this KVM offers, and a skip that names the one it does not. */
uint32_t xen_offers(void);
void xen_skip_without(uint32_t flag, const char *name);

/* An event by the VMM: KVM_XEN_HVM_EVTCHN_SEND, and an eventfd whose interrupt line is routed to the port. */
int xen_vmm_send(uint32_t port, uint32_t vcpu, uint32_t priority);
int xen_vmm_raise(uint32_t port, uint32_t vcpu, uint32_t priority);

/* How many events the guest has sent to a port that is an eventfd, since last asked. */
uint64_t xen_vmm_signals(void);

#endif
