/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one thing that is asked of ACPI: which CPUs there are
 */
#ifndef X86_ACPI_H
#define X86_ACPI_H

#include <stdint.h>

/* Where the loader says the RSDP is; 0: nowhere. */
void acpi_set_rsdp(uint64_t address);

/* Writes the APIC ids of all enabled CPUs of the MADT, at most limit, and returns how many. */
unsigned int acpi_cpus(unsigned int *apic_ids, unsigned int limit);

#endif
