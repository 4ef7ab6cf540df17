/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The save area of an SEV-ES or SNP vCPU: AMD APM volume 2, appendix B, table B-4
 */
#ifndef SEV_VMSA_H
#define SEV_VMSA_H

#include <stdint.h>

struct vmsa_segment {
	uint16_t selector;
	uint16_t attributes; /* bits 47:40 and 55:52 of the descriptor */
	uint32_t limit;
	uint64_t base;
};

struct __attribute__((packed)) vmsa {
	struct vmsa_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved_0a0[0xca - 0xa0];
	uint8_t vmpl;
	uint8_t cpl;
	uint8_t reserved_0cc[0xd0 - 0xcc];
	uint64_t efer;
	uint8_t reserved_0d8[0x148 - 0xd8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved_180[0x1d8 - 0x180];
	uint64_t rsp;
	uint8_t reserved_1e0[0x268 - 0x1e0];
	uint64_t g_pat;
	uint8_t reserved_270[0x3b0 - 0x270];
	uint64_t sev_features;
	uint8_t reserved_3b8[0x3e8 - 0x3b8];
	uint64_t xcr0;
	uint8_t reserved_3f0[0x408 - 0x3f0];
	uint32_t mxcsr;
	uint16_t x87_ftw, x87_fsw, x87_fcw;
};

_Static_assert(__builtin_offsetof(struct vmsa, rip) == 0x178, "as in table B-4");
_Static_assert(__builtin_offsetof(struct vmsa, g_pat) == 0x268, "as in table B-4");
_Static_assert(__builtin_offsetof(struct vmsa, x87_fcw) == 0x410, "as in table B-4");

#endif
