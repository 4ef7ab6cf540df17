/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Xen hypercall ABI for x86 HVM guests: numbers and layouts
 *
 * Sources, in Xen's tree: xen/include/public/xen.h (hypercall numbers, "Hypercall ABI" in arch-x86/
 * xen-x86_32.h and xen-x86_64.h), sched.h, version.h, errno.h, arch-x86/cpuid.h.
 */
#ifndef XEN_ABI_H
#define XEN_ABI_H

/*
 * arch-x86/cpuid.h: the leaves start at the first 0x40000x00 with this signature. Leaf 2 after it:
 * EAX = number of hypercall pages, EBX = the MSR that installs them (XEN_CPUID_LEAF(2)). Leaf 1: EAX = the version.
 */
#define XEN_CPUID_SIGNATURE "XenVMMXenVMM"
#define XEN_CPUID_VERSION   1
#define XEN_CPUID_HYPERCALL 2
#define XEN_CPUID_HVM	    4 /* EAX: what the others hold; ECX: the domain's id */
#define XEN_CPUID_HVM_DOMID (1u << 4)

/* The hypercall page: a stub for each number (xen.h: "hypercall_page"). */
#define XEN_PAGE_STUBS	   128
#define XEN_PAGE_STUB_SIZE 32

/* xen.h: __HYPERVISOR_...; those that are in use lie below XEN_NUMBERS. */
#define XEN_NUMBERS			56
#define XEN_HYPERVISOR_XEN_VERSION	17
#define XEN_HYPERVISOR_IRET		23
#define XEN_HYPERVISOR_SCHED_OP		29
#define XEN_HYPERVISOR_EVENT_CHANNEL_OP 32
#define XEN_HYPERVISOR_HVM_OP		34

/* version.h, sched.h: the operation is argument 0. */
#define XENVER_VERSION	 0
#define SCHEDOP_YIELD	 0
#define SCHEDOP_SHUTDOWN 2 /* argument 1: where the reason is, 32 bits */

/* event_channel.h; argument 1: where the port is, 32 bits. */
#define EVTCHNOP_SEND 4

/* hvm/hvm_op.h, hvm/params.h; argument 1: where a struct xen_hvm_param is. */
#define HVMOP_GET_PARAM		 1
#define HVM_PARAM_CONSOLE_PFN	 17
#define HVM_PARAM_CONSOLE_EVTCHN 18

#define XEN_DOMID_SELF		 0x7ff0

/* errno.h; returned negated. */
#define XEN_ENOSYS    38
#define XEN_EINVAL    22
#define XEN_EPERM     1

#define XEN_ARGUMENTS 6

#ifndef __ASSEMBLER__

#include <stdint.h>

struct xen_hvm_param {
	uint16_t domain;
	uint16_t pad;
	uint32_t index;
	uint64_t value;
};

#endif
#endif
