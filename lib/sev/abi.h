/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ABI of SEV-ES and SEV-SNP between guest and hypervisor, in numbers
 *
 * AMD, "SEV-ES Guest-Hypervisor Communication Block Standardization" (56421), revision 2: the GHCB
 * specification in the comments below. AMD APM volume 2, sections 15.35 (SEV-ES) and 15.36 (SNP).
 * Linux has the same numbers in arch/x86/include/asm/sev-common.h and uapi/asm/svm.h.
 */
#ifndef SEV_ABI_H
#define SEV_ABI_H

#include <stdint.h>

#define MSR_GHCB		  0xc0010130
#define MSR_SEV_STATUS		  0xc0010131 /* APM 15.34.10; from bit 2 on VMSA.SEV_FEATURES */

#define SEV_STATUS_SEV		  (1u << 0)
#define SEV_STATUS_ES		  (1u << 1)
#define SEV_STATUS_SNP		  (1u << 2)
#define SEV_STATUS_FEATURES_SHIFT 2

/*
 * The MSR protocol: bits 11:0 of the GHCB MSR name a request, and the hypervisor's response. GHCB
 * specification, 2.3.1 "GHCB MSR Protocol", table 3.
 */
#define GHCB_MSR_INFO_MASK	0xfffull
#define GHCB_MSR_DATA_SHIFT	12
#define GHCB_MSR_SEV_INFO	0x001
#define GHCB_MSR_SEV_INFO_REQ	0x002
#define GHCB_MSR_CPUID_REQ	0x004
#define GHCB_MSR_CPUID_RESP	0x005
#define GHCB_MSR_AP_HOLD_REQ	0x006
#define GHCB_MSR_AP_HOLD_RESP	0x007
#define GHCB_MSR_PREFERRED_REQ	0x010
#define GHCB_MSR_PREFERRED_RESP 0x011
#define GHCB_MSR_REGISTER_REQ	0x012
#define GHCB_MSR_REGISTER_RESP	0x013
#define GHCB_MSR_PSC_REQ	0x014
#define GHCB_MSR_PSC_RESP	0x015
#define GHCB_MSR_RUN_VMPL_REQ	0x016
#define GHCB_MSR_RUN_VMPL_RESP	0x017
#define GHCB_MSR_FEATURES_REQ	0x080
#define GHCB_MSR_FEATURES_RESP	0x081
#define GHCB_MSR_TERMINATE	0x100

/* SEV information: bits 63:48, 47:32 and 31:24. */
#define SEV_INFO_MAX(info)   ((info) >> 48 & 0xffff)
#define SEV_INFO_MIN(info)   ((info) >> 32 & 0xffff)
#define SEV_INFO_C_BIT(info) ((info) >> 24 & 0xff)

/* CPUID: the function in bits 63:32, the register in 31:30; the value comes in 63:32. */
enum ghcb_cpuid_register { GHCB_CPUID_EAX, GHCB_CPUID_EBX, GHCB_CPUID_ECX, GHCB_CPUID_EDX };

#define GHCB_MSR_CPUID(function, register) \
	((uint64_t)(function) << 32 | (uint64_t)(register) << 30 | GHCB_MSR_CPUID_REQ)

/* The GFN of "no preferred GHCB". */
#define GHCB_NO_PREFERENCE 0xfffffffffffffull

/* Page state change: the GFN in bits 51:12, the operation in 55:52; an error in 63:32. */
#define GHCB_MSR_PSC(gfn, operation) \
	((uint64_t)(operation) << 52 | (uint64_t)(gfn) << 12 | GHCB_MSR_PSC_REQ)

/* Hypervisor features, in bits 63:12 of that response, or SW_EXITINFO2 of that event. */
#define GHCB_FEATURE_SNP	 (1ull << 0)
#define GHCB_FEATURE_AP_CREATION (1ull << 1)

/* Termination: the set in bits 15:12, the reason in 23:16. */
#define GHCB_MSR_TERMINATION(set, reason) \
	((uint64_t)(reason) << 16 | (uint64_t)(set) << 12 | GHCB_MSR_TERMINATE)

#define GHCB_SHARED_BUFFER_SIZE 2032

/* GHCB specification, table 6 "GHCB Layout". */
struct __attribute__((packed, aligned(8))) ghcb {
	uint8_t reserved_000[0xcb];
	uint8_t cpl;
	uint8_t reserved_0cc[0x140 - 0xcc];
	uint64_t xss;
	uint8_t reserved_148[0x160 - 0x148];
	uint64_t dr7;
	uint8_t reserved_168[0x178 - 0x168];
	uint64_t rip;
	uint8_t reserved_180[0x1d8 - 0x180];
	uint64_t rsp;
	uint8_t reserved_1e0[0x1f8 - 0x1e0];
	uint64_t rax;
	uint8_t reserved_200[0x308 - 0x200];
	uint64_t rcx;
	uint64_t rdx;
	uint64_t rbx;
	uint64_t reserved_320;
	uint64_t rbp;
	uint64_t rsi;
	uint64_t rdi;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint8_t reserved_380[0x390 - 0x380];
	uint64_t sw_exit_code;
	uint64_t sw_exit_info_1;
	uint64_t sw_exit_info_2;
	uint64_t sw_scratch;
	uint8_t reserved_3b0[0x3e8 - 0x3b0];
	uint64_t xcr0;
	uint8_t valid_bitmap[16]; /* a bit for each 8 bytes up to here */
	uint64_t x87_state_gpa;
	uint8_t reserved_408[0x800 - 0x408];
	uint8_t shared_buffer[GHCB_SHARED_BUFFER_SIZE];
	uint8_t reserved_ff0[0xffa - 0xff0];
	uint16_t protocol_version;
	uint32_t usage; /* 0: as laid out here */
};

_Static_assert(sizeof(struct ghcb) == 4096, "a GHCB is a page");
_Static_assert(__builtin_offsetof(struct ghcb, sw_exit_code) == 0x390, "as in table 6");
_Static_assert(__builtin_offsetof(struct ghcb, valid_bitmap) == 0x3f0, "as in table 6");

/* The bit of a field in valid_bitmap. */
#define GHCB_BIT(field) (__builtin_offsetof(struct ghcb, field) / 8)

#define GHCB_VERSION	2

/*
 * Events: SW_EXITCODE. Those below 0x80000000 are the exits of SVM (APM volume 2, appendix C), and
 * also the error codes of #VC. GHCB specification, tables 5 and 7.
 */
enum ghcb_event {
	SVM_EXIT_READ_DR7 = 0x27,
	SVM_EXIT_WRITE_DR7 = 0x37,
	SVM_EXIT_EXCEPTION = 0x40, /* and the vector */
	SVM_EXIT_RDTSC = 0x6e,
	SVM_EXIT_RDPMC = 0x6f,
	SVM_EXIT_CPUID = 0x72,
	SVM_EXIT_INVD = 0x76,
	SVM_EXIT_IOIO = 0x7b,
	SVM_EXIT_MSR = 0x7c,
	SVM_EXIT_VMMCALL = 0x81,
	SVM_EXIT_RDTSCP = 0x87,
	SVM_EXIT_WBINVD = 0x89,
	SVM_EXIT_MONITOR = 0x8a,
	SVM_EXIT_MWAIT = 0x8b,
	SVM_EXIT_NPF = 0x400,
	/* APM 15.36.7: a private page that is not validated; no exit, but an error code of #VC */
	VC_PAGE_NOT_VALIDATED = 0x404,
};

#define GHCB_MMIO_READ	       0x80000001ull
#define GHCB_MMIO_WRITE	       0x80000002ull
#define GHCB_NMI_COMPLETE      0x80000003ull
#define GHCB_AP_HOLD	       0x80000004ull
#define GHCB_AP_JUMP_TABLE     0x80000005ull
#define GHCB_PSC	       0x80000010ull
#define GHCB_GUEST_REQUEST     0x80000011ull
#define GHCB_EXT_GUEST_REQUEST 0x80000012ull
#define GHCB_AP_CREATION       0x80000013ull
#define GHCB_FEATURES	       0x8000fffdull
#define GHCB_TERMINATE	       0x8000fffeull

/* What comes back in SW_EXITINFO1, bits 31:0. GHCB specification, 4.1 "Invoking VMGEXIT". */
enum ghcb_result { GHCB_NO_ACTION = 0, GHCB_EXCEPTION = 1, GHCB_BAD_INPUT = 2 };

/* In SW_EXITINFO2 with GHCB_BAD_INPUT: table 7. */
enum ghcb_error {
	GHCB_ERROR_NOT_REGISTERED = 1,
	GHCB_ERROR_USAGE = 2,
	GHCB_ERROR_SCRATCH = 3,
	GHCB_ERROR_MISSING = 4,
	GHCB_ERROR_INVALID = 5,
	GHCB_ERROR_EVENT = 6,
};

/* SW_EXITINFO2 with GHCB_EXCEPTION: as EVENTINJ, APM volume 2, 15.20. */
#define GHCB_EVENT_VECTOR(info) ((info)&0xff)
#define GHCB_EVENT_ERROR_CODE	(1u << 11)
#define GHCB_EVENT_VALID	(1u << 31)
#define GHCB_EVENT_ERROR_SHIFT	32

/* SW_EXITINFO1 of IOIO: as EXITINFO1 of the exit, APM volume 2, 15.10.2. The port in bits 31:16. */
#define IOIO_IN		   (1u << 0)
#define IOIO_STRING	   (1u << 2)
#define IOIO_REP	   (1u << 3)
#define IOIO_SIZE_SHIFT	   4 /* 1, 2 or 4 bytes */
#define IOIO_ADDRESS_64	   (1u << 9)
#define IOIO_SEGMENT_SHIFT 10
#define IOIO_PORT_SHIFT	   16

/* The request's header and entries in the GHCB's shared buffer: 4.1.6 "SNP Page State Change". */
enum psc_operation { PSC_PRIVATE = 1, PSC_SHARED = 2, PSC_SMASH = 3, PSC_UNSMASH = 4 };

struct psc_header {
	uint16_t cur_entry;
	uint16_t end_entry; /* the last one to do */
	uint32_t reserved;
};

/* An entry: cur_page 11:0, GFN 51:12, operation 55:52, size 56, reserved 63:57. */
#define PSC_ENTRY(gfn, operation, is_2m, cur_page)                                       \
	((uint64_t)(is_2m) << 56 | (uint64_t)(operation) << 52 | (uint64_t)(gfn) << 12 | \
	 (uint64_t)(cur_page))
#define PSC_CUR_PAGE(entry) ((entry)&0xfff)
#define PSC_ENTRIES	    253

struct psc_buffer {
	struct psc_header header;
	uint64_t entries[PSC_ENTRIES];
};

_Static_assert(sizeof(struct psc_buffer) == GHCB_SHARED_BUFFER_SIZE, "as many as there is room");

/* SW_EXITINFO2 of a page state change. */
#define PSC_DONE       0ull
#define PSC_BAD_HEADER 0x100000001ull
#define PSC_BAD_ENTRY  0x100000002ull
#define PSC_GENERIC    0x10000000000ull

/* AP creation: SW_EXITINFO1 is this and the APIC id in bits 63:32, SW_EXITINFO2 the VMSA. */
enum ap_creation { AP_CREATE_ON_INIT = 0, AP_CREATE = 1, AP_DESTROY = 2 };

/* What PVALIDATE and RMPADJUST return in EAX: APM volume 3, the two instructions. */
enum rmp_result { RMP_OK = 0, RMP_FAIL_INPUT = 1, RMP_FAIL_PERMISSION = 2, RMP_FAIL_SIZE = 6 };

enum rmp_size { RMP_4K = 0, RMP_2M = 1 };

/* RDX of RMPADJUST: the target VMPL in bits 7:0, its permissions in 15:8, and this. */
#define RMPADJUST_VMSA (1u << 16)

/* The CPUID page: SEV-SNP firmware ABI (56860), 7.1 "CPUID Reporting", tables 14 and 15. */
#define CPUID_PAGE_MAX 64

struct cpuid_page_entry {
	uint32_t eax_in, ecx_in;
	uint64_t xcr0_in, xss_in;
	uint32_t eax, ebx, ecx, edx;
	uint64_t reserved;
};

struct cpuid_page {
	uint32_t count;
	uint32_t reserved0;
	uint64_t reserved1;
	struct cpuid_page_entry entries[CPUID_PAGE_MAX];
};

#define CPUID_SEV	    0x8000001f
#define CPUID_SEV_EBX_C_BIT 0x3f

#endif
