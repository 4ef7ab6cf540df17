/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's asynchronous page faults: the host tells the guest that a page is not there for now, and
 * later that it is
 *
 * Documentation/virt/kvm/x86/msr.rst and cpuid.rst; arch/x86/include/uapi/asm/kvm_para.h;
 * arch/x86/kvm/x86.c (kvm_pv_enable_async_pf, kvm_arch_async_page_not_present,
 * kvm_arch_async_page_present); virt/kvm/async_pf.c.
 */
#ifndef KVM_ASYNC_PF_H
#define KVM_ASYNC_PF_H

#include <stdbool.h>
#include <stdint.h>

/* KVM's features: EAX of its leaf +1. */
#define KVM_FEATURE_ASYNC_PF	    (1u << 4)
#define KVM_FEATURE_ASYNC_PF_VMEXIT (1u << 10)
#define KVM_FEATURE_ASYNC_PF_INT    (1u << 14)

#define MSR_KVM_ASYNC_PF_EN	    0x4b564d02
#define MSR_KVM_ASYNC_PF_INT	    0x4b564d06
#define MSR_KVM_ASYNC_PF_ACK	    0x4b564d07

/* MSR_KVM_ASYNC_PF_EN: the guest-physical address of the area, and these. Bits 4 and 5 are reserved. */
#define KVM_ASYNC_PF_ENABLED		   (1u << 0)
#define KVM_ASYNC_PF_SEND_ALWAYS	   (1u << 1) /* at CPL 0 too */
#define KVM_ASYNC_PF_DELIVERY_AS_PF_VMEXIT (1u << 2)
#define KVM_ASYNC_PF_DELIVERY_AS_INT	   (1u << 3)

/* Nothing is delivered without both of these (x86.c, __kvm_pv_async_pf_enabled). */
#define KVM_ASYNC_PF_ON (KVM_ASYNC_PF_ENABLED | KVM_ASYNC_PF_DELIVERY_AS_INT)

/* The flags of the area, with #PF: the page is not present, and CR2 is its token. */
#define KVM_PV_REASON_PAGE_NOT_PRESENT 1u

/* The token that wakes all who wait: it comes whenever asynchronous page faults are switched on. */
#define ASYNC_PF_WAKE_ALL 0xffffffffu

/* Each vCPU has one in memory, 64-byte aligned. */
struct kvm_vcpu_pv_apf_data {
	uint32_t flags; /* set by KVM with #PF, cleared by the guest */
	uint32_t token; /* set by KVM with the interrupt "page ready"; the guest makes it 0 again */
	uint8_t padding[56];
};

_Static_assert(sizeof(struct kvm_vcpu_pv_apf_data) == 64, "the area has 64 bytes");

/* EAX of KVM's leaf +1, wherever the leaves are; 0 if the hypervisor is not KVM. */
uint32_t kvm_features(void);

/*
 * What follows is for the CPU that calls, one of the first ASYNC_PF_CPUS: each has an area of its
 * own. "Page ready" comes at ASYNC_PF_VECTOR, whose handler counts it, and leaves the token where it is.
 */
#define ASYNC_PF_CPUS	8
#define ASYNC_PF_VECTOR 0x50

volatile struct kvm_vcpu_pv_apf_data *async_pf_area(void);

/* The area of another CPU. */
volatile struct kvm_vcpu_pv_apf_data *async_pf_area_of(unsigned int cpu);

/* How often "page ready" has come since the reset. */
unsigned int async_pf_ready(void);

/* Switches them off, and makes all of the above as new: to be called first in a test point. */
void async_pf_reset(void);

/* Resets, switches them on with these flags besides KVM_ASYNC_PF_ON, and takes the token that comes with it. */
void async_pf_enable(uint32_t flags);

/* Lets interrupts in, and waits until "page ready" has come so many times since the reset. */
bool async_pf_wait(unsigned int count);

/* Whether it has come so often, and no more within a time in which KVM would have done it. */
bool async_pf_stays(unsigned int count);

/* Takes the token, with the acknowledgement that makes KVM look for the next, and returns it. */
uint32_t async_pf_take(void);

#endif
