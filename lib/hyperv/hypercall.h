/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hyper-V hypercalls: by the instruction itself, and through the hypercall page
 *
 *		control		input		output		result
 *	64-bit	rcx		rdx		r8		rax
 *	32-bit	edx:eax		ebx:ecx		edi:esi		edx:eax
 *
 * All other registers stay as they were (TLFS, "Hypercall Inputs" and "Hypercall Outputs"). Input
 * and output are the guest-physical addresses of the parameters, or with HV_HYPERCALL_FAST the
 * parameters themselves.
 *
 * In a VM that has Xen hypercalls too, KVM takes a call for Hyper-V's only if bit 31 of eax is set
 * (xen.c, kvm_xen_hypercall). The page sets it itself. A direct call does not: its caller chooses
 * with hv_set_call() and REG_AX, and hv_hypercall() sets the bit where Xen is present.
 */
#ifndef HYPERV_HYPERCALL_H
#define HYPERV_HYPERCALL_H

#include <hypercall/registers.h>
#include <hyperv/abi.h>

/* A call by the instruction; by the code of a hypercall page. Both return the whole result. */
uint64_t hv_hypercall(uint64_t control, uint64_t input, uint64_t output);
uint64_t hv_page_call(const void *page, uint64_t control, uint64_t input, uint64_t output);

/* Bit 31 of eax: the call is for Hyper-V, where Xen could be meant. */
#define HV_DISPATCH_BIT 0x80000000u

/*
 * How many reserved bits of the control value, from HV_HYPERCALL_RSVD0_SHIFT on, a guest can be refused
 * for. All five; but in 32-bit code beside Xen bit 31 is HV_DISPATCH_BIT, and not the guest's.
 */
unsigned int hv_rsvd0_bits(void);

/*
 * Puts the three values where a call expects them; the other registers stay, except that in 64-bit
 * mode rax, which carries no argument, gets bit 31 cleared.
 */
void hv_set_call(struct registers *registers, uint64_t control, uint64_t input, uint64_t output);

/* The result value of a call. */
uint64_t hv_result(const struct registers *after);

/*
 * Ends the test point with a skip where the hypervisor has neither HvCallSignalEvent nor the calls of the debugger:
 * Xen itself, whose CPUID leaves do not offer them (viridian.c, cpuid_viridian_leaves, viridian_hypercall).
 */
void hv_skip_without_event_calls(void);

/* Which registers a call may change. */
#ifdef __x86_64__
#define HV_CALL_CHANGES REG_BIT(REG_AX)
#else
#define HV_CALL_CHANGES (REG_BIT(REG_AX) | REG_BIT(REG_DX))
#endif

/* A call code that is none of Hyper-V's, nor KVM's number of a hypercall. */
#define HV_CODE_UNKNOWN 0x44

/*
 * A control value that Hyper-V refuses with HV_STATUS_INVALID_HYPERCALL_INPUT whoever calls it, in
 * whatever mode: a reserved bit is set. It tells that a call came to Hyper-V, and costs nothing.
 */
#define HV_CONTROL_REFUSED (HVCALL_SIGNAL_EVENT | 1ull << HV_HYPERCALL_RSVD0_SHIFT)

/*
 * What it is refused with. Xen itself looks at no reserved bit, and does not know the call (viridian.c,
 * viridian_hypercall): there it is HV_STATUS_INVALID_HYPERCALL_CODE.
 */
uint64_t hv_refusal(void);

#endif
