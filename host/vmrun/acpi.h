/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ACPI tables that a guest needs to find its CPUs: RSDP, XSDT, MADT
 *
 * Source: ACPI Specification 6.5, chapter 5.2. There is no FADT and no DSDT: nothing here is
 * described by AML. There is no interrupt source override either: KVM's default routing connects
 * ISA interrupt n to pin n of the I/O APIC, the timer's 0 included.
 */
#ifndef VMRUN_ACPI_H
#define VMRUN_ACPI_H

#include "image.h"

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt_address;
	uint32_t length;
	uint64_t xsdt_address;
	uint8_t extended_checksum; /* of all */
	uint8_t reserved[3];
} __attribute__((packed));

struct acpi_header {
	char signature[4];
	uint32_t length; /* of the whole table */
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));

struct acpi_xsdt {
	struct acpi_header header;
	uint64_t entry[1];
} __attribute__((packed));

struct acpi_madt {
	struct acpi_header header;
	uint32_t lapic_address;
	uint32_t flags;
	uint8_t entries[];
} __attribute__((packed));

#define ACPI_MADT_PCAT_COMPAT 1
#define ACPI_MADT_LAPIC	      0
#define ACPI_MADT_IOAPIC      1
#define ACPI_MADT_LAPIC_NMI   4

struct acpi_madt_lapic {
	uint8_t type;
	uint8_t length;
	uint8_t processor_uid;
	uint8_t apic_id;
	uint32_t flags; /* bit 0: enabled */
} __attribute__((packed));

struct acpi_madt_ioapic {
	uint8_t type;
	uint8_t length;
	uint8_t id;
	uint8_t reserved;
	uint32_t address;
	uint32_t gsi_base;
} __attribute__((packed));

struct acpi_madt_lapic_nmi {
	uint8_t type;
	uint8_t length;
	uint8_t processor_uid; /* 0xff: all */
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

/* Writes the tables for CPUs with the APIC ids 0 to cpus - 1 (at most LAYOUT_MAX_CPUS). */
void acpi_build(struct ram *ram, unsigned int cpus);

#endif
