/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What vmrun does for a guest with Xen's hypercalls (vmrun --xen), beside <vmrun/abi.h>: KVM's Xen ioctls
 *
 * KVM lets the VMM say where it shares memory with the guest, which ports there are, and which vectors tell of them: on
 * Xen itself a guest does so by hypercalls. Without such a request none of it is set up, and of KVM_XEN_HVM_CONFIG only
 * KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL is on. A VM that moves (VMRUN_MOVE) takes all of it along.
 *
 * The types of attributes and their layout are the kernel's (include/uapi asm/kvm.h of x86: KVM_XEN_ATTR_TYPE_...,
 * struct kvm_xen_hvm_attr and kvm_xen_vcpu_attr). The first VMRUN_NAME_SIZE bytes of an attribute's value travel in
 * the name of the request, whose last byte is always 0. Where the kernel wants an address of the VMM's (.._HVA), the
 * guest gives a guest-physical one, or all ones for "none"; where it wants an eventfd (an event channel whose port to
 * deliver to is 0), vmrun gives its own, whose events are counted.
 */
#ifndef VMRUN_XEN_ABI_H
#define VMRUN_XEN_ABI_H

#include <stdint.h>

/* Services, behind those of enum vmrun_service. */
enum vmrun_xen_service {
	/* KVM_XEN_HVM_CONFIG with flags, MSR id (0: that it has), and value pages of the VMM's own, which are nowhere */
	VMRUN_XEN_CONFIG = 0x100,
	/* KVM_XEN_HVM_SET_ATTR and KVM_XEN_HVM_GET_ATTR: an attribute of type id of the VM */
	VMRUN_XEN_VM_SET,
	VMRUN_XEN_VM_GET,
	/* KVM_XEN_VCPU_SET_ATTR and KVM_XEN_VCPU_GET_ATTR: of this vCPU */
	VMRUN_XEN_VCPU_SET,
	VMRUN_XEN_VCPU_GET,
	/* KVM_XEN_HVM_EVTCHN_SEND: port id of vCPU value, with priority error_code */
	VMRUN_XEN_SEND,
	/* An interrupt line is routed to port id of vCPU value, with priority error_code; an eventfd raises it */
	VMRUN_XEN_RAISE,
	/* value = how many events KVM has counted for such eventfds since last asked */
	VMRUN_XEN_SIGNALS,
	/* value = the flags of KVM_CAP_XEN_HVM */
	VMRUN_XEN_OFFERS,
	VMRUN_XEN_SERVICES
};

#define KVM_XEN_FLAG_INTERCEPT		  (1u << 1)
#define KVM_XEN_FLAG_SHARED_INFO	  (1u << 2)
#define KVM_XEN_FLAG_RUNSTATE		  (1u << 3)
#define KVM_XEN_FLAG_EVTCHN_2LEVEL	  (1u << 4)
#define KVM_XEN_FLAG_EVTCHN_SEND	  (1u << 5)
#define KVM_XEN_FLAG_RUNSTATE_UPDATE_FLAG (1u << 6)
#define KVM_XEN_FLAG_TSC_UNSTABLE	  (1u << 7)
#define KVM_XEN_FLAG_SHARED_INFO_HVA	  (1u << 8)

enum vmrun_xen_vm_attribute {
	XEN_VM_LONG_MODE,
	XEN_VM_SHARED_INFO,
	XEN_VM_UPCALL_VECTOR,
	XEN_VM_EVTCHN,
	XEN_VM_XEN_VERSION,
	XEN_VM_RUNSTATE_UPDATE_FLAG,
	XEN_VM_SHARED_INFO_HVA,
	XEN_VM_ATTRIBUTES
};

enum vmrun_xen_vcpu_attribute {
	XEN_VCPU_INFO,
	XEN_VCPU_TIME_INFO,
	XEN_VCPU_RUNSTATE_ADDR,
	XEN_VCPU_RUNSTATE_CURRENT,
	XEN_VCPU_RUNSTATE_DATA,
	XEN_VCPU_RUNSTATE_ADJUST,
	XEN_VCPU_ID,
	XEN_VCPU_TIMER,
	XEN_VCPU_UPCALL_VECTOR,
	XEN_VCPU_INFO_HVA,
	XEN_VCPU_ATTRIBUTES
};

/* In place of an address or a frame: none. */
#define XEN_NOWHERE	    (~0ull)

#define XEN_PRIORITY_2LEVEL (~0u)

/* struct kvm_xen_hvm_attr, u.evtchn */
struct xen_evtchn_attribute {
	uint32_t send_port;
	uint32_t type;
	uint32_t flags;
	uint32_t port; /* 0: an eventfd */
	uint32_t vcpu;
	uint32_t priority;
};

#define XEN_EVTCHN_DEASSIGN (1u << 0)
#define XEN_EVTCHN_UPDATE   (1u << 1)
#define XEN_EVTCHN_RESET    (1u << 2)

/* struct kvm_xen_vcpu_attr, u.timer and u.runstate */
struct xen_timer_attribute {
	uint32_t port;
	uint32_t priority;
	uint64_t expires_ns;
};

struct xen_runstate_attribute {
	uint64_t state;
	uint64_t entry_time;
	uint64_t time[4];
};

#endif
