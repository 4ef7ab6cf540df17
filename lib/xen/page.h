/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Xen hypercall page: found by CPUID, installed by an MSR
 */
#ifndef XEN_PAGE_H
#define XEN_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <xen/abi.h>

/* Whether the CPUID leaves of Xen are there. */
bool xen_present(void);

/* The MSR that installs the page, from CPUID; 0 if there is no Xen. */
uint32_t xen_hypercall_msr(void);

/* Ends the test point with a skip if there is no Xen. */
void xen_skip_if_absent(void);

/* A new page, installed as hypercall page; the test point is skipped if there is no Xen. */
void *xen_page_new(void);

/*
 * What KVM writes into a page when it intercepts hypercalls (xen.c, kvm_xen_write_hypercall_page):
 * "mov $number, %eax", the instruction of the vendor, RET, and INT3 up to the next stub.
 */
void xen_page_expected(uint8_t page[XEN_PAGE_STUBS * XEN_PAGE_STUB_SIZE]);

#endif
