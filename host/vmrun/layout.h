/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where vmrun puts what in the guest's physical memory
 *
 * RAM reaches from 0 to the end of memory without a hole. The guest owns it all but for the range
 * that firmware would have, which the memory map calls reserved. Everything that vmrun writes there
 * fits into one page, since each page that is touched costs a fault at every start.
 */
#ifndef VMRUN_LAYOUT_H
#define VMRUN_LAYOUT_H

#define LAYOUT_RESERVED_START 0x9f000
#define LAYOUT_RESERVED_END   0x100000

/* The RSDP lies where a guest that gets no pointer to it searches: 0xe0000-0xfffff. */
#define LAYOUT_RSDP    0xe0000
#define LAYOUT_XSDT    0xe0040
#define LAYOUT_MADT    0xe0080 /* to 0xe02be with LAYOUT_MAX_CPUS */
#define LAYOUT_SEV     0xe0300 /* struct vmrun_sev_boot */
#define LAYOUT_INFO    0xe0400 /* hvm_start_info or multiboot_info */
#define LAYOUT_MAP     0xe0500 /* its memory map */
#define LAYOUT_NAME    0xe0600 /* name of the boot loader, for multiboot */
#define LAYOUT_COMMAND 0xe0800

/* Of encrypted guests: pages whose types differ. */
#define LAYOUT_SEV_COMMAND 0xe1000
#define LAYOUT_SEV_CPUID   0xe2000
#define LAYOUT_SEV_SECRETS 0xe3000
#define LAYOUT_SEV_TABLES  0xe4000 /* a PML4, a PDPT and a page directory */

/* Size of the command line with its end, as in Linux (COMMAND_LINE_SIZE). */
#define LAYOUT_COMMAND_SIZE 2048

#define LAYOUT_MAX_CPUS	    64
#define LAYOUT_MIN_MIB	    2
/* Everything above this belongs to the APICs, and to what KVM needs on Intel. */
#define LAYOUT_MAX_MIB 3072

/* Four pages that KVM uses for real mode on Intel CPUs without "unrestricted guest". */
#define LAYOUT_IDENTITY_MAP 0xfffbc000
#define LAYOUT_TSS	    0xfffbd000

#define LAYOUT_IOAPIC	    0xfec00000
#define LAYOUT_LAPIC	    0xfee00000

#endif
