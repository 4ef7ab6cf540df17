/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instructions of SEV-ES and SNP, one a wrapper: AMD APM volume 3
 */
#ifndef SEV_INSTRUCTIONS_H
#define SEV_INSTRUCTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <sev/abi.h>

/* VMGEXIT is REP VMMCALL; where there is no SEV-ES, it is VMMCALL. */
static inline void vmgexit(void)
{
	asm volatile("rep; vmmcall" ::: "memory");
}

/* What PVALIDATE and RMPADJUST leave behind. */
struct rmp_outcome {
	uint64_t rax; /* enum rmp_result in its low half */
	bool carry;   /* PVALIDATE: the page had been in this state before */
};

/*
 * Makes the page at the virtual address validated, or not validated. The registers are those of the
 * instruction: any size and state may be given, RMP_4K or RMP_2M and 0 or 1 being the defined ones.
 */
static inline struct rmp_outcome pvalidate_raw(uint64_t va, uint32_t size, uint32_t validate)
{
	struct rmp_outcome outcome;

	/* The mnemonic takes binutils 2.36. */
	asm volatile(".byte 0xf2, 0x0f, 0x01, 0xff"
		     : "=@ccc"(outcome.carry), "=a"(outcome.rax)
		     : "a"(va), "c"(size), "d"(validate)
		     : "memory");
	return outcome;
}

/* Sets the permissions of a page for a lower VMPL, and whether it is a VMSA. */
static inline uint64_t rmpadjust(uint64_t va, enum rmp_size size, uint64_t attributes)
{
	uint64_t result;

	asm volatile(".byte 0xf3, 0x0f, 0x01, 0xfe"
		     : "=a"(result)
		     : "a"(va), "c"((uint64_t)size), "d"(attributes)
		     : "memory", "cc");
	return result;
}

/* What a lower VMPL may do with a page, and the size of its entry. Newer than the other two: else #UD. */
struct rmp_query {
	uint64_t rax;	     /* enum rmp_result in its low half */
	uint64_t size;	     /* enum rmp_size */
	uint64_t attributes; /* as RMPADJUST takes them */
};

static inline struct rmp_query rmpquery(uint64_t va, uint64_t vmpl)
{
	struct rmp_query query;

	asm volatile(".byte 0xf3, 0x0f, 0x01, 0xfd"
		     : "=a"(query.rax), "=c"(query.size), "=d"(query.attributes)
		     : "a"(va), "d"(vmpl)
		     : "memory", "cc");
	return query;
}

/* VMMCALL with nothing but RAX given. */
static inline uint64_t vmmcall(uint64_t rax)
{
	asm volatile("vmmcall" : "+a"(rax)::"rbx", "rcx", "rdx", "rsi", "memory");
	return rax;
}

static inline void wbinvd(void)
{
	asm volatile("wbinvd" ::: "memory");
}

#endif
