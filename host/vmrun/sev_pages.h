/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an encrypted guest finds in memory: <vmrun/snp.h>
 *
 * All of it is written to RAM as vmrun sees it; the launch makes pages of the guest of it, each by its
 * type. Works on memory buffers alone, so that it can be tested without KVM.
 */
#ifndef VMRUN_SEV_PAGES_H
#define VMRUN_SEV_PAGES_H

#include "cpuid.h"
#include "image.h"
#include "sev_options.h"

/* The position of the C-bit, of the leaves that KVM supports; 0: they do not say. */
unsigned int sev_pages_c_bit(const struct cpuid *cpuid);

/*
 * The types of the pages of the image: one of enum sev_page_type for each page of RAM, in types. The file is
 * one that elf_load() has loaded.
 */
void sev_pages_mark_image(const uint8_t *file, size_t size, uint8_t *types);

/*
 * Adds to what pvh_build() and acpi_build() have written: struct vmrun_sev_boot, the command line in a page of
 * its own, page tables, and for SEV-SNP the CPUID page.
 */
void sev_pages_build(struct ram *ram, enum sev_kind kind, const struct cpuid *cpuid,
		     uint8_t *types);

/* Up to where these page tables map by identity. */
#define SEV_PAGES_MAPPED (1u << 30)

/*
 * What the firmware has made of a CPUID page that it refused, beside what it was given: drops the functions that
 * differ. False: there are none, the fault lies elsewhere.
 */
bool sev_pages_drop_cpuid(struct ram *ram, const uint8_t *given);

#endif
