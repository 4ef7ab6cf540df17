/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Xen hypercalls: by the instruction itself, and through the hypercall page
 *
 *		number	arguments 0 to 5		result
 *	64-bit	rax	rdi rsi rdx r10 r8 r9		rax
 *	32-bit	eax	ebx ecx edx esi edi ebp		eax
 *
 * All other registers stay as they were (public/arch-x86/xen-x86_64.h and xen-x86_32.h, "Hypercall
 * interface").
 */
#ifndef XEN_HYPERCALL_H
#define XEN_HYPERCALL_H

#include <hypercall/registers.h>
#include <stdbool.h>
#include <xen/abi.h>

/*
 * A hypercall with up to XEN_ARGUMENTS arguments, the others 0: xen_hypercall(17, 0). The result is
 * signed: errors are -XEN_E.... xen_page_call() enters the page's stub of that number.
 */
#define xen_hypercall(number, ...) \
	xen_hypercall_with(number, (const uintptr_t[XEN_ARGUMENTS]){ __VA_ARGS__ })
#define xen_page_call(page, number, ...) \
	xen_page_call_with(page, number, (const uintptr_t[XEN_ARGUMENTS]){ __VA_ARGS__ })

long xen_hypercall_with(uintptr_t number, const uintptr_t arguments[XEN_ARGUMENTS]);
long xen_page_call_with(const void *page, unsigned int number,
			const uintptr_t arguments[XEN_ARGUMENTS]);

/* The stub of a number in a page, for call_with_registers(). */
const void *xen_page_stub(const void *page, unsigned int number);

/* Puts number and arguments where a direct call expects them; the other registers stay. */
void xen_set_call(struct registers *registers, uintptr_t number,
		  const uintptr_t arguments[XEN_ARGUMENTS]);

/* No call of Xen's, and none of vmrun's table: -ENOSYS, from user space. So is the next one. */
#define XEN_NUMBER_UNUSED 99

/*
 * Whether this page, or with NULL the instruction, brings a call to Xen and its result back: argument 0 from vmrun, the
 * version from Xen itself.
 */
bool xen_call_works(const void *page, uintptr_t argument);

/* Keeps vcpu_op and the like from finding an operation that KVM answers itself. */
#define XEN_NO_OPERATION 0x7ff0

/* Which registers a call may change. */
#define XEN_CALL_CHANGES REG_BIT(REG_AX)

#endif
