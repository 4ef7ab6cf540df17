/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hypercalls that Xen itself answers an HVM guest, and KVM leaves to user space: operations and their arguments
 *
 * Sources, in Xen's tree: xen/include/public/memory.h, grant_table.h, event_channel.h, vcpu.h, xen.h, hvm/hvm_op.h,
 * hvm/params.h. The names are theirs. "unsigned long" is as wide as the guest's code, as xen_pfn_t and xen_ulong_t.
 */
#ifndef XEN_OPS_H
#define XEN_OPS_H

#include <stdint.h>
#include <xen/abi.h>

/* Numbers of hypercalls; argument 0 is the operation, argument 1 the address of what it works on. */
#define XEN_HYPERVISOR_MEMORY_OP      12
#define XEN_HYPERVISOR_SET_TIMER_OP   15 /* argument: when, in ns; in 32-bit code two halves */
#define XEN_HYPERVISOR_CONSOLE_IO     18 /* arguments: operation, size, address */
#define XEN_HYPERVISOR_GRANT_TABLE_OP 20 /* a third argument: how many */
#define XEN_HYPERVISOR_VM_ASSIST      21 /* arguments: command, type */
#define XEN_HYPERVISOR_VCPU_OP	      24 /* arguments: operation, vCPU, address */

/* errno.h */
#define XEN_ENOENT 2
#define XEN_ENXIO  6
#define XEN_ESRCH  3
#define XEN_EFAULT 14
#define XEN_EEXIST 17
#define XEN_ETIME  62

/* memory.h */
#define XENMEM_DECREASE_RESERVATION 1
#define XENMEM_CURRENT_RESERVATION  3
#define XENMEM_MAXIMUM_RESERVATION  4
#define XENMEM_POPULATE_PHYSMAP	    6
#define XENMEM_ADD_TO_PHYSMAP	    7
#define XENMEM_MEMORY_MAP	    9
#define XENMEM_MACHPHYS_MAPPING	    12
#define XENMEM_MAXIMUM_GPFN	    14
#define XENMAPSPACE_SHARED_INFO	    0
#define XENMAPSPACE_GRANT_TABLE	    1

struct xen_memory_reservation {
	unsigned long *extent_start;
	unsigned long nr_extents;
	uint32_t extent_order;
	uint32_t mem_flags;
	uint16_t domid;
};

struct xen_add_to_physmap {
	uint16_t domid;
	uint16_t size;
	uint32_t space;
	unsigned long idx;
	unsigned long gpfn;
};

struct xen_memory_map {
	uint32_t nr_entries;
	void *buffer; /* of struct xen_memory_map_entry */
};

struct __attribute__((packed)) xen_memory_map_entry {
	uint64_t address;
	uint64_t size;
	uint32_t type;
};

/* grant_table.h */
#define GNTTABOP_TRANSFER	4
#define GNTTABOP_COPY		5
#define GNTTABOP_QUERY_SIZE	6
#define GTF_PERMIT_ACCESS	1
#define GTF_READONLY		(1 << 2)
#define GNTTAB_RESERVED_CONSOLE 0
#define GNTST_OKAY		0
#define GNTST_GENERAL_ERROR	(-1)
#define GNTST_BAD_DOMAIN	(-2)
#define GNTST_BAD_GNTREF	(-3)
#define GNTST_BAD_COPY_ARG	(-10)
#define GNTCOPY_SOURCE_GREF	(1 << 0)
#define GNTCOPY_DEST_GREF	(1 << 1)

struct xen_grant_entry {
	uint16_t flags;
	uint16_t domid;
	uint32_t frame;
};

struct xen_gnttab_query_size {
	uint16_t dom;
	uint32_t nr_frames;
	uint32_t max_nr_frames;
	int16_t status;
};

struct xen_gnttab_copy_ptr {
	unsigned long frame; /* or the reference of a grant */
	uint16_t domid;
	uint16_t offset;
};

struct xen_gnttab_copy {
	struct xen_gnttab_copy_ptr source, dest;
	uint16_t len;
	uint16_t flags;
	int16_t status;
};

/* event_channel.h */
#define EVTCHNOP_BIND_INTERDOMAIN 0
#define EVTCHNOP_BIND_VIRQ	  1
#define EVTCHNOP_CLOSE		  3
#define EVTCHNOP_STATUS		  5
#define EVTCHNOP_ALLOC_UNBOUND	  6
#define EVTCHNOP_BIND_IPI	  7
#define EVTCHNSTAT_CLOSED	  0
#define EVTCHNSTAT_UNBOUND	  1
#define EVTCHNSTAT_INTERDOMAIN	  2
#define EVTCHNSTAT_VIRQ		  4
#define EVTCHNSTAT_IPI		  5
#define VIRQ_TIMER		  0

struct xen_evtchn_alloc_unbound {
	uint16_t dom, remote_dom;
	uint32_t port;
};

struct xen_evtchn_bind_interdomain {
	uint16_t remote_dom;
	uint32_t remote_port;
	uint32_t local_port;
};

struct xen_evtchn_bind_virq {
	uint32_t virq;
	uint32_t vcpu;
	uint32_t port;
};

struct xen_evtchn_bind_ipi {
	uint32_t vcpu;
	uint32_t port;
};

struct xen_evtchn_status {
	uint16_t dom;
	uint32_t port;
	uint32_t status;
	uint32_t vcpu;
	uint32_t details[2];
};

/* xen.h, struct shared_info: where the bits of the ports are, of which a word holds as many as it has bits. */
#define XEN_SHARED_INFO_PENDING 0x800
#define XEN_SHARED_INFO_MASK	(0x800 + 64 * sizeof(unsigned long))

/* vcpu.h */
#define VCPUOP_IS_UP		       3
#define VCPUOP_GET_RUNSTATE_INFO       4
#define VCPUOP_REGISTER_RUNSTATE_AREA  5
#define VCPUOP_STOP_PERIODIC_TIMER     7
#define VCPUOP_SET_SINGLESHOT_TIMER    8
#define VCPUOP_STOP_SINGLESHOT_TIMER   9
#define VCPUOP_REGISTER_VCPU_INFO      10
#define VCPUOP_GET_PHYSID	       12
#define VCPUOP_REGISTER_VCPU_TIME_AREA 13
#define RUNSTATE_RUNNING	       0
#define RUNSTATE_RUNNABLE	       1
#define RUNSTATE_BLOCKED	       2
#define RUNSTATE_OFFLINE	       3
#define XEN_RUNSTATE_UPDATE	       (1ull << 63) /* in state_entry_time: being written */
#define VCPU_SSHOTTMR_FUTURE	       (1u << 0)

struct xen_singleshot_timer {
	uint64_t timeout_abs_ns;
	uint32_t flags;
};

struct xen_runstate {
	int32_t state;
	uint64_t state_entry_time;
	uint64_t time[4];
};

/* Of an area that is registered, by its linear address: a union of 64 bits in 32-bit code, too. */
struct xen_register_area {
	uint64_t address;
};

struct xen_register_vcpu_info {
	uint64_t mfn;
	uint32_t offset;
	uint32_t reserved;
};

/* sched.h */
#define SCHEDOP_POLL   3
#define XEN_POLL_PORTS 128 /* common/sched/core.c, do_poll: no more than so many */

struct xen_sched_poll {
	const uint32_t *ports;
	uint32_t nr_ports;
	uint64_t timeout; /* by the system time; 0: none */
};

/* hvm/hvm_op.h, hvm/params.h */
#define HVMOP_SET_PARAM		       0
#define HVMOP_GET_TIME		       10
#define HVMOP_SET_EVTCHN_UPCALL_VECTOR 23
#define HVM_PARAM_CALLBACK_IRQ	       0
#define HVM_PARAM_VIRIDIAN	       9
#define HVM_NR_PARAMS		       64 /* none has had so high an index */

struct xen_hvm_upcall_vector {
	uint32_t vcpu;
	uint8_t vector;
};

/* xen.h */
#define VMASST_CMD_ENABLE		 0
#define VMASST_CMD_DISABLE		 1
#define VMASST_TYPE_RUNSTATE_UPDATE_FLAG 5
#define CONSOLEIO_WRITE			 0
#define CONSOLEIO_READ			 1

#endif
