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
 * Hyper-V hypercalls that KVM leaves to user space (vmrun --hyperv): extended ones (0x8001 up) return
 * HV_STATUS_INVALID_HYPERCALL_CODE (2). HvCallPostMessage and HvCallSignalEvent would return
 * HV_STATUS_INVALID_CONNECTION_ID (0x12), but come only from a vCPU with an active SynIC, which vmrun
 * does not offer: KVM refuses them itself (3).
 */
#ifndef VMRUN_ABI_H
#define VMRUN_ABI_H

#include <stdint.h>

#define VMRUN_PORT_CONSOLE 0xe9
#define VMRUN_PORT_TEXT	   0xec
#define VMRUN_PORT_EXIT	   0xf4

#define VMRUN_TEXT_MAGIC   0x74786574 /* "text" */

struct vmrun_text {
	uint32_t size; /* of the bytes that follow */
	char bytes[];
};

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
