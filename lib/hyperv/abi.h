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
#define HV_CPUID_SYNDBG_CAPABILITIES 0x40000082
#define HV_SYNDBG_ALLOW_DEBUGGING    (1u << 1)

/* TLFS, "Establishing the Hypercall Interface". Both belong to the partition, not to a CPU. */
#define HV_X64_MSR_GUEST_OS_ID 0x40000000
#define HV_X64_MSR_HYPERCALL   0x40000001

/* HV_X64_MSR_HYPERCALL: the guest-physical page in bits 63:12, bits 11:2 are reserved. */
#define HV_X64_MSR_HYPERCALL_ENABLE (1u << 0)
#define HV_X64_MSR_HYPERCALL_LOCKED (1u << 1)

/* MSRs that tests use to see that the rest of the ABI is there. */
#define HV_X64_MSR_VP_INDEX	  0x40000002
#define HV_X64_MSR_TIME_REF_COUNT 0x40000020
#define HV_X64_MSR_SCONTROL	  0x40000080

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
#define HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE 0x0002
#define HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST  0x0003
#define HVCALL_NOTIFY_LONG_SPIN_WAIT	   0x0008
#define HVCALL_SEND_IPI			   0x000b
#define HVCALL_POST_MESSAGE		   0x005c
#define HVCALL_SIGNAL_EVENT		   0x005d
#define HVCALL_POST_DEBUG_DATA		   0x0069
#define HVCALL_RETRIEVE_DEBUG_DATA	   0x006a
#define HVCALL_RESET_DEBUG_SESSION	   0x006b
#define HV_EXT_CALL_QUERY_CAPABILITIES	   0x8001
#define HV_EXT_CALL_MAX			   (HV_EXT_CALL_QUERY_CAPABILITIES + 64) /* KVM's */

/* TLFS, appendix "Hypercall Status Code Reference". */
#define HV_STATUS_SUCCESS		  0x0
#define HV_STATUS_INVALID_HYPERCALL_CODE  0x2
#define HV_STATUS_INVALID_HYPERCALL_INPUT 0x3
#define HV_STATUS_INVALID_ALIGNMENT	  0x4
#define HV_STATUS_INVALID_PARAMETER	  0x5
#define HV_STATUS_OPERATION_DENIED	  0x8
#define HV_STATUS_INVALID_CONNECTION_ID	  0x12

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

#endif
#endif
