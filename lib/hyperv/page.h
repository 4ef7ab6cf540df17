/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Hyper-V hypercall page: the guest OS id that permits it, and the MSR that installs it
 */
#ifndef HYPERV_PAGE_H
#define HYPERV_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most that KVM writes into the page. */
#define HV_PAGE_CODE_MAX 9

/*
 * Whether CPUID says that the hypervisor conforms to the interface "Hv#1", whoever made it (the
 * vendor in leaf 0x40000000 need not be Microsoft: TLFS, "Feature and Interface Discovery").
 */
bool hv_present(void);

/* Ends the test point with a skip if there is no Hyper-V. */
void hv_skip_if_absent(void);

/* An id for this guest. */
#define HV_GUEST_OS_ID_VMABI (HV_GUEST_OS_ID_OPEN_SOURCE | 0x7full << 56 | 0x766d61626900)

/* Sets the id above; back to none, which also disables the page. */
void hv_enable_hypercalls(void);
void hv_disable_hypercalls(void);

/* Installs this page; with an id in force. */
void hv_install_page(const void *page);

/* A new page, with id set and page installed; the test point is skipped if there is no Hyper-V. */
void *hv_page_new(void);

/*
 * What KVM writes to the start of the page (hyperv.c, kvm_hv_set_msr_pw): where Xen hypercalls are
 * intercepted too "orl $0x80000000, %eax" first, then the instruction of the vendor and RET.
 * Returns the size.
 */
size_t hv_page_expected(uint8_t code[HV_PAGE_CODE_MAX]);

/*
 * What stands behind the code in a page that was full of a byte before it was installed: KVM leaves it, Xen itself
 * makes INT3 of it (viridian.c, enable_hypercall_page). The TLFS says of it only that the page is laid over the guest's.
 */
uint8_t hv_page_rest(uint8_t before);

#endif
