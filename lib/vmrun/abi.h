/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What vmrun promises to its guests, beyond the ABI of the hypervisor under it
 *
 * The one header that guests and host/vmrun share. A guest does not ask whether it runs under
 * vmrun: what it needs is declared in unittests.cfg.
 *
 * I/O ports
 *	0x3f8-0x3ff	COM1, a 16550A; what is written to it goes to vmrun's stdout
 *	0xe9		debug console: reads 0xe9, and what is written goes to stdout. KVM makes an
 *			exit to vmrun of each byte, also of REP OUTSB (arch/x86/kvm/emulate.c,
 *			em_out).
 *	0xec		text, 32 bits wide: reads VMRUN_TEXT_MAGIC. Writing the guest-physical
 *			address of a struct vmrun_text sends its bytes to stdout, by one exit. One
 *			that does not lie in RAM is an error that ends vmrun.
 *	0xe4		request, 32 bits wide: reads VMRUN_REQUEST_MAGIC. Writing the guest-physical
 *			address of a struct vmrun_request makes vmrun do what it asks for and fill in
 *			its answer, before the next instruction. One that does not lie in RAM is an
 *			error that ends vmrun. Guests use <vmrun/vmm.h>.
 *	0xf4		exit: the byte written is vmrun's exit status
 *
 * Xen hypercalls that KVM leaves to user space (vmrun --xen). vmrun keeps, for each vCPU, what the
 * last such call looked like when it arrived. The numbers below are not in use by Xen (xen/include/
 * public/xen.h ends at 55 with __HYPERVISOR_arch_7), and lie inside the 128 stubs of the page.
 *
 *	number			result
 *	17, argument 0		XEN_VMRUN_VERSION: XENVER_version, Xen 4.17
 *	XEN_VMRUN_ECHO + n	argument n (0 to 5), all 64 bits as they arrived
 *	XEN_VMRUN_RECORD	word number "argument 0" of the record of this vCPU's last call that was
 *				not XEN_VMRUN_RECORD: see enum below; -EINVAL (-22) past its end
 *	XEN_VMRUN_COUNT		how many calls other than XEN_VMRUN_RECORD and XEN_VMRUN_COUNT have
 *				reached vmrun, from all vCPUs
 *	all others		-ENOSYS (-38)
 *
 * KVM's hypercall KVM_HC_MAP_GPA_RANGE (vmrun --ram private, which shows its CPUID bit): vmrun sets
 * the attributes of the range by KVM_SET_MEMORY_ATTRIBUTES, and returns 0 or the error, as -KVM_E....
 * A page size of 0 to 3 in the attributes is taken note of and changes nothing; reserved bits are
 * -KVM_EINVAL, and so is a range that reaches beyond 4 GiB. Contents are never copied, and never dropped: a guest that wants to be rid of what was
 * private uses VMRUN_PUNCH.
 *
 * Hyper-V hypercalls that KVM leaves to user space (vmrun --hyperv): extended ones (0x8001 up)
 * return HV_STATUS_INVALID_HYPERCALL_CODE (2). HvCallPostMessage and HvCallSignalEvent come only
 * from a vCPU with an active SynIC (vmrun --synic); else KVM refuses them itself (3). Connections:
 *
 *	id			where a message or an event flag goes
 *	VMRUN_CONNECTION(c, s)	SINT s of CPU c: a message to its slot of the message page, and
 *				HV_STATUS_INSUFFICIENT_BUFFERS (0x13) with the flag "message
 *				pending" if that is in use; an event flag to its part of the page of
 *				event flags. Then the SINT is raised; not if the flag was set
 *				already. HV_STATUS_INVALID_SYNIC_STATE (0x18): the CPU has not
 *				enabled such a page.
 *	VMRUN_CONNECTION_EVENTFD	events alone: KVM counts them, see VMRUN_CONNECTION_SIGNALS
 *	all others		HV_STATUS_INVALID_CONNECTION_ID (0x12)
 */
#ifndef VMRUN_ABI_H
#define VMRUN_ABI_H

#include <stdint.h>

#define VMRUN_PORT_REQUEST  0xe4
#define VMRUN_PORT_CONSOLE  0xe9
#define VMRUN_PORT_TEXT	    0xec
#define VMRUN_PORT_EXIT	    0xf4

#define VMRUN_TEXT_MAGIC    0x74786574 /* "text" */
#define VMRUN_REQUEST_MAGIC 0x6b736161 /* "aask" */

struct vmrun_text {
	uint32_t size; /* of the bytes that follow */
	char bytes[];
};

/*
 * What a request asks for, of the vCPU that makes it. In each the status is 0, or what KVM refused
 * it with, as -errno; the numbers are Linux's. VMRUN_EINVAL stands for an MSR that KVM_GET_MSRS or
 * KVM_SET_MSRS did not do, too. The fields that are not named are ignored.
 */
enum vmrun_service {
	VMRUN_MSR_READ,	 /* value = MSR id, by KVM_GET_MSRS */
	VMRUN_MSR_WRITE, /* MSR id = value, by KVM_SET_MSRS */
	/* A KVM without KVM_CAP_ONE_REG (before Linux 6.18) gives VMRUN_EOPNOTSUPP. */
	VMRUN_REG_READ,	 /* value = register id, by KVM_GET_ONE_REG */
	VMRUN_REG_WRITE, /* register id = value, by KVM_SET_ONE_REG */

	/*
	 * Exception id becomes pending (KVM_SET_VCPU_EVENTS), and arrives behind the instruction
	 * that wrote to the port. With VMRUN_EXCEPTION_ERROR_CODE in flags it has that error_code;
	 * with VMRUN_EXCEPTION_PAYLOAD value is its payload: CR2 of #PF, the bits of DR6 of #DB.
	 */
	VMRUN_INJECT_EXCEPTION,
	VMRUN_INJECT_NMI, /* KVM_NMI */

	/*
	 * The VM, with its one vCPU, is replaced by a new one on the same memory, which gets all
	 * that KVM hands out of the old one's state: a live migration on one machine. If that fails
	 * the guest goes on in the old VM, status says why, and name says which step it was. For a
	 * VM with more than one vCPU the status is VMRUN_EOPNOTSUPP. With VMRUN_MOVE_SHADOW in
	 * flags the state that moves has an interrupt shadow, as behind STI, over the instruction
	 * that comes next.
	 */
	VMRUN_MOVE,

	/*
	 * value = the statistic called name of this vCPU, by KVM_GET_STATS_FD; VMRUN_ENOENT: no
	 * such
	 */
	VMRUN_STATISTIC,

	/* value = KVM's module parameter force_emulation_prefix: 0 if it is off */
	VMRUN_FORCE_EMULATION,

	/*
	 * The pages of [id, id + value), guest-physical and page-aligned, become absent: whoever
	 * touches one waits until it is brought in. VMRUN_EINVAL: not such pages of RAM; VMRUN_EBUSY:
	 * one of them is absent already. A request or a text in such a page ends vmrun.
	 */
	VMRUN_PAGE_OUT,
	/* The absent page at id comes back, with what was in it; VMRUN_ENOENT: it is not absent */
	VMRUN_PAGE_IN,
	/*
	 * value = how many faults on the absent page at id have begun to wait for it: of a vCPU, or
	 * of what KVM has waiting in its place; VMRUN_ENOENT: it is not absent
	 */
	VMRUN_PAGE_WAITING,

	/*
	 * The memory of the guest, of one region at a time: its RAM, or what VMRUN_REGION_ADD has
	 * added. The range is [id, id + value), guest-physical and page-aligned; VMRUN_EINVAL: it
	 * is not inside of one region. Which of them there are depends on vmrun --ram.
	 */
	/* value = the 8 bytes at id, by vmrun's own mapping; VMRUN_EFAULT: it has none there */
	VMRUN_HOST_READ,
	VMRUN_HOST_WRITE, /* these 8 bytes = value */
	/*
	 * vmrun unmaps the range of RAM, or maps it again. VMRUN_EOPNOTSUPP: RAM is no guest_memfd
	 * that can be mapped. A request or a text that lies in what is unmapped ends vmrun.
	 */
	VMRUN_HOST_UNMAP,
	VMRUN_HOST_MAP,
	/* A hole in the region's guest_memfd (fallocate); VMRUN_EOPNOTSUPP: it has none */
	VMRUN_PUNCH,
	/*
	 * A new region, in a memory slot of its own; flags: VMRUN_REGION_GMEM and so on. That at id
	 * is removed again, with its memory: VMRUN_ENOENT if there is none. VMRUN_ENOSPC: there are
	 * VMRUN_REGIONS already. VMRUN_EEXIST: KVM has a slot there.
	 */
	VMRUN_REGION_ADD,
	VMRUN_REGION_REMOVE,
	/*
	 * KVM_SET_MEMORY_ATTRIBUTES: the attributes in flags, of any range. A request or a text in
	 * RAM that is private ends vmrun, which cannot see it.
	 */
	VMRUN_ATTRIBUTES,
	/*
	 * What is to be done when this vCPU meets KVM_EXIT_MEMORY_FAULT, from now on: id is one of
	 * enum vmrun_fault_way, value goes with VMRUN_FAULT_CONVERT. The record of such exits starts
	 * anew.
	 */
	VMRUN_FAULT_WAY,
	/* value = word id (enum vmrun_record) of what exits of this vCPU looked like */
	VMRUN_RECORD,

	/*
	 * The page at id is swapped out by the host's kernel, and is nowhere in memory then: who touches it
	 * has it read. VMRUN_EINVAL: it is no page of RAM; VMRUN_EBUSY: the kernel did not do it in time
	 */
	VMRUN_PAGE_SWAP,

	/*
	 * value = how many system events have come of the type that this vCPU last asked for; and
	 * from now on those of type id (VMRUN_EVENT_..; 0: none) do not end
	 * vmrun, but are counted, and the guest goes on
	 */
	VMRUN_EXPECT_EVENT,
	/* value = word id, see enum below, of what this vCPU's last KVM_EXIT_HYPERV was */
	VMRUN_HYPERV_EXIT,
	/*
	 * value = how often KVM told that the SINT of the connection id (VMRUN_CONNECTION) was
	 * acknowledged since it was last asked for; the first asks KVM to tell
	 */
	VMRUN_SINT_ACKS,
	/* value = how many events KVM has counted for VMRUN_CONNECTION_EVENTFD since last asked */
	VMRUN_CONNECTION_SIGNALS,

	/*
	 * Of encrypted guests (<vmrun/snp.h>) alone, else VMRUN_EOPNOTSUPP: what requests for a page
	 * state change have become, which arrive as exits KVM_HC_MAP_GPA_RANGE.
	 *
	 * Such exit number id of this vCPU, from 0 on (VMRUN_RECORD_CALLS has their number): value =
	 * its address, error_code = its number of pages, flags = its attributes (VMRUN_MAP_..).
	 * VMRUN_ENOENT: none such, or one of more than VMRUN_MAP_RECORDS ago
	 */
	VMRUN_MAP_RECORD,
	/* Exit id from now on, 0 being the next, is answered by error EINVAL and changes nothing. */
	VMRUN_MAP_FAIL,
	/* value = how many pages of [id, id + value) are private by their memory attributes */
	VMRUN_PRIVATE_PAGES,
	/* KVM_CAP_EXIT_HYPERCALL for KVM_HC_MAP_GPA_RANGE, as it is at first (id 1), or taken back (0) */
	VMRUN_MAP_CAPABILITY,
	VMRUN_SERVICES
};

#define VMRUN_EXCEPTION_ERROR_CODE (1u << 0)
#define VMRUN_EXCEPTION_PAYLOAD	   (1u << 1)

#define VMRUN_MOVE_SHADOW	   (1u << 0)

/* Of VMRUN_REGION_ADD; none: memory of vmrun's own, which cannot be private. */
#define VMRUN_REGION_GMEM   (1u << 0) /* with a guest_memfd, as --ram has it */
#define VMRUN_REGION_CLOSED (1u << 1) /* whose last descriptor and mapping are gone at once */
/* How many there may be beside RAM. */
#define VMRUN_REGIONS 4

enum vmrun_fault_way {
	VMRUN_FAULT_DIE, /* the guest has died: as at the start */
	/* The attributes of the range that KVM names become value, and the guest goes on. */
	VMRUN_FAULT_CONVERT,
	/* The instruction raises #MC, which stands for the memory that cannot be reached. */
	VMRUN_FAULT_RAISE,
	VMRUN_FAULT_WAYS
};

enum vmrun_record {
	/* KVM_EXIT_MEMORY_FAULT, since VMRUN_FAULT_WAY: how many, and the last one's fields */
	VMRUN_RECORD_FAULTS,
	VMRUN_RECORD_FAULT_FLAGS,
	VMRUN_RECORD_FAULT_GPA,
	VMRUN_RECORD_FAULT_SIZE,
	/* KVM_EXIT_HYPERCALL with KVM_HC_MAP_GPA_RANGE: how many, and the last one's fields */
	VMRUN_RECORD_CALLS,
	VMRUN_RECORD_CALL_GPA,
	VMRUN_RECORD_CALL_PAGES,
	VMRUN_RECORD_CALL_ATTRIBUTES,
	VMRUN_RECORD_CALL_FLAGS,
	/* data[0] of the last system event that was counted (VMRUN_EXPECT_EVENT) */
	VMRUN_RECORD_EVENT_DATA,
	VMRUN_RECORD_WORDS
};

#define VMRUN_EVENT_RESET	    2
#define VMRUN_EVENT_CRASH	    3
#define VMRUN_EVENT_SEV_TERM	    6

#define VMRUN_CONNECTION(cpu, sint) (0x100000u + (cpu)*16u + (sint))
#define VMRUN_CONNECTION_EVENTFD    0x200000u

/* The words for VMRUN_HYPERV_EXIT; those that the type does not have are 0. */
enum {
	HYPERV_EXIT_COUNT = 0, /* of all such exits of this vCPU */
	HYPERV_EXIT_TYPE = 1,  /* 1: SynIC, 2: hypercall, 3: debugger (linux/kvm.h) */
	HYPERV_EXIT_INPUT = 2, /* of a hypercall: its three parameters */
	HYPERV_EXIT_PARAM0 = 3,
	HYPERV_EXIT_PARAM1 = 4,
	HYPERV_EXIT_MSR =
		5, /* of the others: what was written, and the registers as they now are */
	HYPERV_EXIT_CONTROL = 6,
	HYPERV_EXIT_EVENT_PAGE = 7, /* SynIC */
	HYPERV_EXIT_MESSAGE_PAGE = 8,
	HYPERV_EXIT_SEND_PAGE = 9, /* debugger */
	HYPERV_EXIT_RECEIVE_PAGE = 10,
	HYPERV_EXIT_PENDING_PAGE = 11,
	HYPERV_EXIT_WORDS
};

#define VMRUN_MAP_RECORDS 1024

/* Documentation/virt/kvm/x86/hypercalls.rst, KVM_HC_MAP_GPA_RANGE: the third argument. */
#define VMRUN_MAP_SIZE_2M   (1u << 0)
#define VMRUN_MAP_ENCRYPTED (1u << 4)

#define VMRUN_ENOENT	    (-2)
#define VMRUN_EFAULT	    (-14)
#define VMRUN_EBUSY	    (-16)
#define VMRUN_EEXIST	    (-17)
#define VMRUN_EINVAL	    (-22)
#define VMRUN_ENOSPC	    (-28)
#define VMRUN_ENOSYS	    (-38) /* no such service */
#define VMRUN_EOPNOTSUPP    (-95)

#define VMRUN_NAME_SIZE	    48

/* The same for 64- and 32-bit code. */
struct vmrun_request {
	uint32_t service;
	int32_t status; /* out */
	uint64_t id;
	uint64_t value; /* in or out */
	uint32_t flags;
	uint32_t error_code;
	char name[VMRUN_NAME_SIZE]; /* with a final 0 */
};

_Static_assert(sizeof(struct vmrun_request) == 80, "a request is laid out without gaps");

#define XEN_VMRUN_VERSION 0x00040011

#define XEN_VMRUN_ECHO	  120
#define XEN_VMRUN_RECORD  126
#define XEN_VMRUN_COUNT	  127

/* The words of a record; as in struct kvm_xen_exit (linux/kvm.h). */
enum {
	XEN_RECORD_NUMBER = 0,
	XEN_RECORD_PARAM0 = 1, /* to 6: the six arguments */
	XEN_RECORD_CPL = 7,
	XEN_RECORD_LONGMODE = 8,
	XEN_RECORD_LATCHED =
		9, /* not of the call: whether KVM has latched 64-bit mode for the VM */
	XEN_RECORD_WORDS
};

#endif
