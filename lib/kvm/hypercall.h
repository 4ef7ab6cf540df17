/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's own hypercalls, and the one that makes pages private or shared
 *
 *		number	arguments 0 to 3	result
 *	64-bit	rax	rbx rcx rdx rsi		rax
 *	32-bit	eax	ebx ecx edx esi		eax
 *
 * All other registers stay as they were. CPL 0 only: KVM_EPERM. Documentation/virt/kvm/x86/
 * hypercalls.rst; include/uapi/linux/kvm_para.h and arch/x86/include/uapi/asm/kvm_para.h;
 * arch/x86/kvm/x86.c, ____kvm_emulate_hypercall.
 */
#ifndef KVM_HYPERCALL_H
#define KVM_HYPERCALL_H

#include <hypercall/registers.h>
#include <stdint.h>

#define KVM_HC_MAP_GPA_RANGE 12

/* EAX of KVM's leaf +1; set by the VMM, which is to answer the call. */
#define KVM_FEATURE_HC_MAP_GPA_RANGE (1u << 16)

/* The third argument of KVM_HC_MAP_GPA_RANGE: a page size, which is a hint, and what to make of the pages. */
#define KVM_MAP_GPA_RANGE_PAGE_SZ_4K 0
#define KVM_MAP_GPA_RANGE_PAGE_SZ_2M (1u << 0)
#define KVM_MAP_GPA_RANGE_PAGE_SZ_1G (1u << 1)
#define KVM_MAP_GPA_RANGE_DECRYPTED  0
#define KVM_MAP_GPA_RANGE_ENCRYPTED  (1u << 4)

/* Results are 0 or one of these, negative. */
#define KVM_EPERM     1
#define KVM_EFAULT    14
#define KVM_EINVAL    22
#define KVM_ENOSYS    1000

#define KVM_ARGUMENTS 4

/*
 * A hypercall with up to KVM_ARGUMENTS arguments, the others 0: kvm_hypercall(12, gpa, pages, 0x10).
 * At any CPL. The result is signed.
 */
#define kvm_hypercall(number, ...) \
	kvm_hypercall_with(number, (const uintptr_t[KVM_ARGUMENTS]){ __VA_ARGS__ })
long kvm_hypercall_with(uintptr_t number, const uintptr_t arguments[KVM_ARGUMENTS]);

/* Puts number and arguments where a call expects them; the other registers stay. */
void kvm_set_call(struct registers *registers, uintptr_t number,
		  const uintptr_t arguments[KVM_ARGUMENTS]);

/*
 * Makes the pages of [gpa, gpa + size) private or shared, by one call. Neither says what the pages
 * then hold: <vmrun/abi.h>.
 */
long kvm_make_private(uint64_t gpa, uint64_t size);
long kvm_make_shared(uint64_t gpa, uint64_t size);

#endif
