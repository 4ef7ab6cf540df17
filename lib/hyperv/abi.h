/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Hyper-V hypercall ABI: MSRs, call codes, input value and status
 *
 * Source: Microsoft, "Hypervisor Top-Level Functional Specification", version 6.0b (TLFS), whose
 * sections are named here and in the tests by their title. The names are those of the kernel's
 * include/hyperv/hvgdk_mini.h, where the TLFS's are prose.
 */
#ifndef HYPERV_ABI_H
#define HYPERV_ABI_H

/* TLFS, "Feature and Interface Discovery": EAX = "Hv#1" if the hypervisor has this interface. */
#define HV_CPUID_INTERFACE 0x40000001
#define HV_INTERFACE	   0x31237648

/*
 * The synthetic debugger: leaf 0x40000082, EAX bit 1 allows it ("Hv#1" debugging leaves, documented
 * with the kernel's HYPERV_CPUID_SYNDBG_PLATFORM_CAPABILITIES).
 */
#define HV_CPUID_SYNDBG_VENDOR	     0x40000080
#define HV_CPUID_SYNDBG_INTERFACE    0x40000081
#define HV_CPUID_SYNDBG_CAPABILITIES 0x40000082
#define HV_SYNDBG_ALLOW_DEBUGGING    (1u << 1)

/* TLFS, "Feature and Interface Discovery": the leaves, and the bits of those that have some. */
#define HV_CPUID_VENDOR		 0x40000000
#define HV_CPUID_VERSION	 0x40000002
#define HV_CPUID_FEATURES	 0x40000003
#define HV_CPUID_RECOMMENDATIONS 0x40000004
#define HV_CPUID_LIMITS		 0x40000005
#define HV_CPUID_NESTED_FEATURES 0x4000000a

/* HV_CPUID_FEATURES, EAX: MSRs. */
#define HV_MSR_VP_RUNTIME_AVAILABLE	(1u << 0)
#define HV_MSR_TIME_REF_COUNT_AVAILABLE (1u << 1)
#define HV_MSR_SYNIC_AVAILABLE		(1u << 2)
#define HV_MSR_SYNTIMER_AVAILABLE	(1u << 3)
#define HV_MSR_APIC_ACCESS_AVAILABLE	(1u << 4)
#define HV_MSR_HYPERCALL_AVAILABLE	(1u << 5)
#define HV_MSR_VP_INDEX_AVAILABLE	(1u << 6)
#define HV_MSR_RESET_AVAILABLE		(1u << 7)
#define HV_MSR_REFERENCE_TSC_AVAILABLE	(1u << 9)
#define HV_ACCESS_FREQUENCY_MSRS	(1u << 11)
#define HV_ACCESS_REENLIGHTENMENT	(1u << 13)
#define HV_ACCESS_TSC_INVARIANT		(1u << 15)

/* EBX: hypercalls. */
#define HV_POST_MESSAGES	      (1u << 4)
#define HV_SIGNAL_EVENTS	      (1u << 5)
#define HV_DEBUGGING		      (1u << 11)
#define HV_ENABLE_EXTENDED_HYPERCALLS (1u << 20)

/* EDX: the rest. */
#define HV_X64_GUEST_DEBUGGING_AVAILABLE     (1u << 1)
#define HV_X64_HYPERCALL_XMM_INPUT_AVAILABLE (1u << 4)
#define HV_FEATURE_FREQUENCY_MSRS_AVAILABLE  (1u << 8)
#define HV_FEATURE_GUEST_CRASH_MSR_AVAILABLE (1u << 10)
#define HV_FEATURE_DEBUG_MSRS_AVAILABLE	     (1u << 11)
#define HV_FEATURE_EXT_GVA_RANGES_FLUSH	     (1u << 14)
#define HV_STIMER_DIRECT_MODE_AVAILABLE	     (1u << 19)

/* HV_CPUID_RECOMMENDATIONS, EAX; EBX is the number of spins before HvCallNotifyLongSpinWait. */
#define HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED   (1u << 2)
#define HV_X64_APIC_ACCESS_RECOMMENDED	      (1u << 3)
#define HV_X64_RELAXED_TIMING_RECOMMENDED     (1u << 5)
#define HV_DEPRECATING_AEOI_RECOMMENDED	      (1u << 9)
#define HV_X64_CLUSTER_IPI_RECOMMENDED	      (1u << 10)
#define HV_X64_EX_PROCESSOR_MASKS_RECOMMENDED (1u << 11)
#define HV_X64_ENLIGHTENED_VMCS_RECOMMENDED   (1u << 14)
#define HV_X64_NO_NONARCH_CORESHARING	      (1u << 18)

/* TLFS, "Establishing the Hypercall Interface". Both belong to the partition, not to a CPU. */
#define HV_X64_MSR_GUEST_OS_ID 0x40000000
#define HV_X64_MSR_HYPERCALL   0x40000001

/* HV_X64_MSR_HYPERCALL: the guest-physical page in bits 63:12, bits 11:2 are reserved. */
#define HV_X64_MSR_HYPERCALL_ENABLE (1u << 0)
#define HV_X64_MSR_HYPERCALL_LOCKED (1u << 1)

/* TLFS, appendix "Hypervisor Synthetic MSRs". */
#define HV_X64_MSR_VP_INDEX		   0x40000002
#define HV_X64_MSR_RESET		   0x40000003
#define HV_X64_MSR_VP_RUNTIME		   0x40000010
#define HV_X64_MSR_TIME_REF_COUNT	   0x40000020
#define HV_X64_MSR_REFERENCE_TSC	   0x40000021
#define HV_X64_MSR_TSC_FREQUENCY	   0x40000022
#define HV_X64_MSR_APIC_FREQUENCY	   0x40000023
#define HV_X64_MSR_EOI			   0x40000070
#define HV_X64_MSR_ICR			   0x40000071
#define HV_X64_MSR_TPR			   0x40000072
#define HV_X64_MSR_VP_ASSIST_PAGE	   0x40000073
#define HV_X64_MSR_SCONTROL		   0x40000080
#define HV_X64_MSR_SVERSION		   0x40000081
#define HV_X64_MSR_SIEFP		   0x40000082
#define HV_X64_MSR_SIMP			   0x40000083
#define HV_X64_MSR_EOM			   0x40000084
#define HV_X64_MSR_SINT0		   0x40000090 /* to SINT15: 0x4000009f */
#define HV_X64_MSR_STIMER0_CONFIG	   0x400000b0 /* then its count, then STIMER1 .. 3 */
#define HV_X64_MSR_STIMER0_COUNT	   0x400000b1
#define HV_X64_MSR_SYNDBG_CONTROL	   0x400000f1
#define HV_X64_MSR_SYNDBG_STATUS	   0x400000f2
#define HV_X64_MSR_SYNDBG_SEND_BUFFER	   0x400000f3
#define HV_X64_MSR_SYNDBG_RECV_BUFFER	   0x400000f4
#define HV_X64_MSR_SYNDBG_PENDING_BUFFER   0x400000f5
#define HV_X64_MSR_SYNDBG_OPTIONS	   0x400000ff
#define HV_X64_MSR_CRASH_P0		   0x40000100 /* to P4: 0x40000104 */
#define HV_X64_MSR_CRASH_CTL		   0x40000105
#define HV_X64_MSR_REENLIGHTENMENT_CONTROL 0x40000106
#define HV_X64_MSR_TSC_EMULATION_CONTROL   0x40000107
#define HV_X64_MSR_TSC_EMULATION_STATUS	   0x40000108
#define HV_X64_MSR_TSC_INVARIANT_CONTROL   0x40000118

#define HV_CRASH_PARAMETERS		   5
#define HV_CRASH_CTL_CRASH_NOTIFY	   (1ull << 63)
#define HV_SYNDBG_OPTION_USE_HCALLS	   (1u << 2)

/* Of the MSRs that hold the address of a page: SIMP, SIEFP, the VP assist page, the TSC page. */
#define HV_PAGE_ENABLE 1u

/* TLFS, "SynIC Registers". */
#define HV_SYNIC_SINTS		16
#define HV_SYNIC_VERSION_1	1
#define HV_SYNIC_CONTROL_ENABLE 1u
#define HV_SYNIC_SINT_MASKED	(1ull << 16)
#define HV_SYNIC_SINT_AUTO_EOI	(1ull << 17)

/* TLFS, "Synthetic Timers": the configuration. */
#define HV_STIMERS	    4
#define HV_STIMER_ENABLE    (1ull << 0)
#define HV_STIMER_PERIODIC  (1ull << 1)
#define HV_STIMER_LAZY	    (1ull << 2)
#define HV_STIMER_AUTO	    (1ull << 3)
#define HV_STIMER_VECTOR(v) ((uint64_t)(v) << 4)
#define HV_STIMER_DIRECT    (1ull << 12)
#define HV_STIMER_SINT(s)   ((uint64_t)(s) << 16)

/*
 * TLFS, "Reporting the Guest OS Identity": an open-source guest sets bit 63; bits 62:56 are its
 * type, the rest is its own. An id other than 0 is what switches hypercalls on.
 */
#define HV_GUEST_OS_ID_OPEN_SOURCE (1ull << 63)

/* TLFS, "Hypercall Inputs": the hypercall input value. */
#define HV_HYPERCALL_FAST	   (1ull << 16)
#define HV_HYPERCALL_VARHEAD_SHIFT 17 /* size of the variable header in 8-byte words, 10 bits */
#define HV_HYPERCALL_REP_COUNT	   32 /* shift; 12 bits */
#define HV_HYPERCALL_REP_START	   48 /* shift; 12 bits */
#define HV_HYPERCALL_RSVD0_SHIFT   27 /* bits 31:27, 47:44 and 63:60 must be zero */
#define HV_HYPERCALL_RSVD0_BITS	   5
#define HV_HYPERCALL_RSVD1_SHIFT   44
#define HV_HYPERCALL_RSVD1_BITS	   4
#define HV_HYPERCALL_RSVD2_SHIFT   60
#define HV_HYPERCALL_RSVD2_BITS	   4

/* TLFS, "Hypercall Outputs": status in bits 15:0, reps completed in 43:32. */
#define HV_RESULT_REPS_SHIFT 32

/* TLFS, appendix "Hypercall Code Reference". */
#define HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE    0x0002
#define HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST     0x0003
#define HVCALL_NOTIFY_LONG_SPIN_WAIT	      0x0008
#define HVCALL_SEND_IPI			      0x000b
#define HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX 0x0013
#define HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX  0x0014
#define HVCALL_SEND_IPI_EX		      0x0015
#define HVCALL_POST_MESSAGE		      0x005c
#define HVCALL_SIGNAL_EVENT		      0x005d
#define HVCALL_POST_DEBUG_DATA		      0x0069
#define HVCALL_RETRIEVE_DEBUG_DATA	      0x006a
#define HVCALL_RESET_DEBUG_SESSION	      0x006b
#define HV_EXT_CALL_QUERY_CAPABILITIES	      0x8001
#define HV_EXT_CALL_MAX			      (HV_EXT_CALL_QUERY_CAPABILITIES + 64) /* KVM's */

/* TLFS, appendix "Hypercall Status Code Reference". */
#define HV_STATUS_SUCCESS		  0x0
#define HV_STATUS_INVALID_HYPERCALL_CODE  0x2
#define HV_STATUS_INVALID_HYPERCALL_INPUT 0x3
#define HV_STATUS_INVALID_ALIGNMENT	  0x4
#define HV_STATUS_INVALID_PARAMETER	  0x5
#define HV_STATUS_ACCESS_DENIED		  0x6
#define HV_STATUS_OPERATION_DENIED	  0x8
#define HV_STATUS_INVALID_PORT_ID	  0x11
#define HV_STATUS_INVALID_CONNECTION_ID	  0x12
#define HV_STATUS_INSUFFICIENT_BUFFERS	  0x13
#define HV_STATUS_INVALID_SYNIC_STATE	  0x18

#ifndef __ASSEMBLER__

#include <stdint.h>

/* TLFS, HvCallFlushVirtualAddressSpace and ..List: the input; a list follows it. */
struct hv_tlb_flush {
	uint64_t address_space;
	uint64_t flags;
	uint64_t processor_mask;
};

#define HV_FLUSH_ALL_PROCESSORS		    (1u << 0)
#define HV_FLUSH_ALL_VIRTUAL_ADDRESS_SPACES (1u << 1)

/*
 * TLFS, "Virtual Processor Sets": which of up to 64 banks of 64 CPUs there are, and those banks, the
 * lowest first. The call's variable header has their number.
 */
#define HV_GENERIC_SET_SPARSE_4K 0
#define HV_GENERIC_SET_ALL	 1

/* TLFS, HV_MESSAGE: 16 of them, one a SINT, fill the message page. */
struct hv_message {
	uint32_t type; /* 0: the slot is free */
	uint8_t size;
	uint8_t flags;
	uint16_t reserved;
	uint64_t origin;
	uint64_t payload[30];
};

#define HV_MESSAGE_TIMER_EXPIRED 0x80000010
#define HV_MESSAGE_FLAG_PENDING	 (1u << 0)

/* The payload of that message: reference time is in units of 100 ns. */
struct hv_timer_message {
	uint32_t index;
	uint32_t reserved;
	uint64_t expiration_time;
	uint64_t delivery_time;
};

/* TLFS, HvCallPostMessage: the input. */
struct hv_post_message {
	uint32_t connection;
	uint32_t reserved;
	uint32_t type;
	uint32_t size;
	uint64_t payload[30];
};

/* TLFS, "Partition Reference TSC Mechanism". */
struct hv_tsc_page {
	volatile uint32_t sequence; /* 0: not valid */
	uint32_t reserved;
	volatile uint64_t scale;
	volatile int64_t offset;
};

#endif
#endif
