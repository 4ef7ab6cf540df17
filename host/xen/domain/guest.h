/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The domain that is the guest: a PVH one, made by libxl as xl makes them
 */
#ifndef DOMAIN_GUEST_H
#define DOMAIN_GUEST_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Of Hyper-V's interface all that vmabi's tests look at, and no more: each feature besides would be one that KVM does
 * not show without being asked, either.
 */
#define GUEST_VIRIDIAN                                                                 \
	(HVMPV_base_freq | HVMPV_time_ref_count | HVMPV_reference_tsc |                \
	 HVMPV_hcall_remote_tlb_flush | HVMPV_crash_ctl | HVMPV_synic | HVMPV_stimer | \
	 HVMPV_hcall_ipi | HVMPV_ex_processor_masks | HVMPV_apic_assist)

struct guest_options {
	char *kernel; /* the ELF file */
	char *append; /* the command line, or NULL */
	unsigned int vcpus;
	unsigned int memory; /* MiB */
	bool viridian;	     /* Xen shows Hyper-V's interface, too */
};

/*
 * Creates the domain, paused. Returns its id; ends this program with a message if that cannot be.
 */
uint32_t guest_create(const struct guest_options *options);

/* Lets the domain run. */
void guest_unpause(uint32_t domid);

#endif
