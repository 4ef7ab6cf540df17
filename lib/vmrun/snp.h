/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How an encrypted guest starts: the contract of vmrun --snp and --sev-es with its guests
 *
 * One ELF boots both ways. As a plain VM it is entered by its PVH note. As an SEV-ES or SEV-SNP
 * guest it is entered without any firmware, in 64-bit mode, by a note of its own: owner "vmabi",
 * type VMRUN_NOTE_SEV_ENTRY, and the description is the entry's guest-physical address in 8 bytes.
 * A guest without this note cannot be started so. It lies in the same PT_NOTE as PVH's.
 *
 * The VM
 *	KVM_X86_SNP_VM (or KVM_X86_SEV_ES_VM) made by KVM_SEV_INIT2, by default with GHCB version 2
 *	and no VMSA feature beyond what KVM adds itself, and launched with policy 0x30000 (0x5).
 *	With certs, KVM asks vmrun for certificates when the guest makes an extended request: there
 *	are none, so the table is a page that begins with the entry of zeros. KVM_HC_MAP_GPA_RANGE exits to vmrun, which
 *	turns it into KVM_SET_MEMORY_ATTRIBUTES, and gives the memory of the state that the pages
 *	leave back to the host (a hole in the guest_memfd, MADV_DONTNEED); a range that is not all
 *	RAM is answered by EINVAL and changes nothing. Services of <vmrun/abi.h> tell of them. An
 *	access that does not fit the state of its page (KVM_EXIT_MEMORY_FAULT) ends vmrun with the
 *	address and the kind of the access. RAM reaches from 0 to its end without a hole, as in
 *	other VMs; in an SNP VM it is one slot with a guest_memfd, and all of it is private at first.
 *	The memory map, the MADT and the ports of <vmrun/abi.h> are as ever. What the VMM reads or
 *	writes by an address that the guest gave it (struct vmrun_text, struct vmrun_request) is
 *	shared memory: the guest has made it so. An address in a private page ends vmrun.
 *
 * What is in memory, at SNP by SNP_LAUNCH_UPDATE, so that it is private and validated; all other
 * RAM is private and not validated, and its contents are undefined (SEV-ES: by LAUNCH_UPDATE_DATA,
 * and nothing needs to be validated)
 *	page type	pages
 *	NORMAL		those of PT_LOAD segments that hold bytes of the file; zeros fill them up
 *	ZERO		the other pages of PT_LOAD segments, up to the end of their memory size
 *			(SEV-ES: NORMAL, zeros)
 *	NORMAL		the page with struct hvm_start_info, its memory map, the RSDP, XSDT and
 *			MADT, and struct vmrun_sev_boot
 *	UNMEASURED	the page with the command line, so that a guest's measurement is that of its
 *			image (SEV-ES: NORMAL)
 *	NORMAL		the page tables in use at the entry
 *	CPUID		SNP alone: the leaves of vCPU 0, as the guest gets them by KVM_SET_CPUID2, in
 *			the layout of the SNP firmware ABI; leaf 0x8000001f is one of them. Leaves
 *			that the page has no room for (64) or the firmware refuses are left out.
 *	SECRETS		SNP alone
 * All but the PT_LOAD segments lie below 1 MiB in the range that the memory map calls reserved
 * (0x9f000 to 0xfffff), each in pages of its own where the types differ.
 *
 * vCPU 0 at the entry
 *	RIP		the entry
 *	RBX		guest-physical address of struct hvm_start_info, as with PVH
 *	RSI		guest-physical address of struct vmrun_sev_boot
 *	RFLAGS		2; all other registers 0
 *	CR0		PG, ET, PE (0x80000011)
 *	CR4		PAE (0x20)
 *	EFER		LME, LMA (0x500)
 *	CR3		a PML4 that maps at least the first GiB by identity, writable, executable, with
 *			the C-bit in CR3 and in every entry
 *	CS		selector 8, 64-bit code, CPL 0
 *	SS, DS, ES,	selector 16, flat data, writable
 *	FS, GS
 *	GDTR, IDTR	limit 0: the guest loads its own before it can take an exception
 *	GHCB MSR	as KVM resets it. The guest has no GHCB: it takes pages of its own, makes them
 *			shared, and registers them.
 * The page tables are for the way into the guest, which makes its own, finds the C-bit by itself,
 * and leaves vmrun's pages alone.
 *
 * The other vCPUs exist, and wait: the guest starts them by AP creation (SNP), with VMSAs of its
 * own, and vmrun keeps calling KVM_RUN. Under SEV-ES only CPU 0 is used.
 *
 * The end is a byte at port 0xf4 by a GHCB, or a termination request, which vmrun prints with its
 * set and reason, by name where the set is VMRUN_SEV_TERM_SET, and ends with the status of a guest
 * that died. Under SEV-ES and SNP vmrun can neither read registers nor offer the services that
 * need them (VMRUN_MOVE, ..).
 */
#ifndef VMRUN_SNP_H
#define VMRUN_SNP_H

#define VMRUN_NOTE_OWNER     "vmabi"
#define VMRUN_NOTE_SEV_ENTRY 1

#ifndef __ASSEMBLER__
#include <stdint.h>

#define VMRUN_SEV_BOOT_MAGIC 0x76657376 /* "vsev" */

struct vmrun_sev_boot {
	uint32_t magic;
	uint32_t size; /* of this structure; fields may be added at its end */
	/* Guest-physical addresses of the two pages; 0 under SEV-ES. */
	uint64_t cpuid_page;
	uint64_t secrets_page;
};

_Static_assert(sizeof(struct vmrun_sev_boot) == 24, "laid out without gaps");

/*
 * Termination requests: GHCB specification 2.03, section 2.3.1 "GHCB MSR Protocol", request 0x100,
 * whose set 0 is the specification's own. This set is the suite's.
 */
#define VMRUN_SEV_TERM_SET 0xa

enum vmrun_sev_term {
	VMRUN_SEV_TERM_BOOT = 1,      /* RSI does not lead to a struct vmrun_sev_boot */
	VMRUN_SEV_TERM_PROTOCOL = 2,  /* no version of the GHCB that serves is among the host's */
	VMRUN_SEV_TERM_C_BIT = 3,     /* CPUID page and SEV information disagree, or have none */
	VMRUN_SEV_TERM_FEATURES = 4,  /* the hypervisor does not have the features of SNP */
	VMRUN_SEV_TERM_REGISTER = 5,  /* the registration of a GHCB came back with another GFN */
	VMRUN_SEV_TERM_PSC = 6,	      /* a page state change failed */
	VMRUN_SEV_TERM_PVALIDATE = 7, /* PVALIDATE failed, or changed nothing */
	VMRUN_SEV_TERM_RESPONSE = 8,  /* a response that the protocol does not know */
	VMRUN_SEV_TERM_PANIC = 9,     /* a panic whose words did not get out */
	VMRUN_SEV_TERM_REASONS
};
#endif

#endif
