/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of the guest of <common/guest.h>, for C and assembly
 *
 * The first GiB of guest-physical memory is mapped twice: at 0 with the C-bit, at VIEW_SHARED without.
 */
#ifndef SNP_LAYOUT_H
#define SNP_LAYOUT_H

#define GUEST_PML4	  0x1000
#define GUEST_PDPT	  0x2000
#define GUEST_PD_PRIVATE  0x3000
#define GUEST_PD_SHARED	  0x4000
#define GUEST_DESCRIPTORS 0x5000 /* GDT, and the IDT behind it */
#define GUEST_IDT_OFFSET  0x100
#define GUEST_CODE	  0x6000
#define GUEST_STACK_END	  0x8000
#define GUEST_MAILBOX	  0x8000
#define GUEST_SIZE	  0x10000

#define VIEW_SHARED	  0x40000000

/* struct mailbox */
#define BOX_OPERATION	    0
#define BOX_ADDRESS	    8
#define BOX_RCX		    16
#define BOX_RDX		    24
#define BOX_RAX		    32
#define BOX_CARRY	    40
#define BOX_VC		    48

#define OPERATION_READ	    0
#define OPERATION_WRITE	    1
#define OPERATION_PVALIDATE 2

#endif
