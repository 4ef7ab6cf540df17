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

/*
 * Whether the hypervisor is Xen itself, and not a KVM that imitates it. That shows its own leaves beside Xen's, or, where
 * QEMU is its VMM and hides them, has QEMU's console at port 0xe9, which Xen does not let a guest read. For what the ABI
 * leaves open, and each of them does in its own way.
 */
bool xen_itself(void);

/* Whether hypercalls are answered as Xen does: by Xen itself, or by QEMU in front of KVM; not by vmrun's table. */
bool xen_answers(void);

/* The version in the leaf behind the signature (arch-x86/cpuid.h, XEN_CPUID_LEAF(1)): major << 16 | minor. */
uint32_t xen_version_by_cpuid(void);

/* The MSR that installs the page, from CPUID; 0 if there is no Xen. */
uint32_t xen_hypercall_msr(void);

/* Ends the test point with a skip if there is no Xen. */
void xen_skip_if_absent(void);

/* A new page, installed as hypercall page; the test point is skipped if there is no Xen. */
void *xen_page_new(void);

/*
 * What KVM writes into a page when it intercepts hypercalls (xen.c, kvm_xen_write_hypercall_page):
 * "mov $number, %eax", the instruction of the vendor, RET, and INT3 up to the next stub. So does Xen itself, but for
 * IRET's stub, number 23, which is UD2 (hvm/svm/svm.c, svm_init_hypercall_page).
 */
void xen_page_expected(uint8_t page[XEN_PAGE_STUBS * XEN_PAGE_STUB_SIZE]);

#endif
