/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers of KVM's ABI, as far as tests name them
 */
#ifndef KVM_ABI_H
#define KVM_ABI_H

#include <stdint.h>

/*
 * Register ids of KVM_GET_ONE_REG and KVM_SET_ONE_REG: any MSR, and the shadow stack pointer, which
 * is no MSR. Linux 6.18, arch/x86/include/uapi/asm/kvm.h (KVM_X86_REG_ID) and
 * include/uapi/linux/kvm.h (KVM_REG_X86, KVM_REG_SIZE_U64). KVM refuses all others, and SSP where
 * the guest's CPUID has no shadow stacks (arch/x86/kvm/x86.c, kvm_get_set_one_reg), by EINVAL.
 */
#define KVM_REG_X86	   0x2000000000000000ull
#define KVM_REG_SIZE_U64   0x0030000000000000ull
#define KVM_X86_REG_MSR(i) (KVM_REG_X86 | KVM_REG_SIZE_U64 | 2ull << 32 | (uint32_t)(i))
#define KVM_X86_REG_SSP	   (KVM_REG_X86 | KVM_REG_SIZE_U64 | 3ull << 32 | 0)

#endif
