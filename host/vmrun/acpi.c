// SPDX-License-Identifier: BSD-2-Clause
#include "acpi.h"

#include <string.h>

#include "layout.h"

/* The byte that makes the sum of all bytes zero. */
static uint8_t checksum(const void *table, size_t size)
{
	const uint8_t *bytes = table;
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += bytes[i];
	return (uint8_t)-sum;
}

static void *append(uint8_t **at, const void *entry, size_t size)
{
	void *where = memcpy(*at, entry, size);

	*at += size;
	return where;
}

static void finish(struct acpi_header *header, const char signature[4], uint8_t revision,
		   size_t length)
{
	memcpy(header->signature, signature, 4);
	memcpy(header->oem_id, "VMABI ", 6);
	memcpy(header->oem_table_id, "VMRUN   ", 8);
	memcpy(header->creator_id, "VMRN", 4);
	header->oem_revision = 1;
	header->creator_revision = 1;
	header->revision = revision;
	header->length = (uint32_t)length;
	header->checksum = 0;
	header->checksum = checksum(header, length);
}

static void build_madt(struct acpi_madt *madt, unsigned int cpus)
{
	uint8_t *at = madt->entries;

	madt->lapic_address = LAYOUT_LAPIC;
	madt->flags = ACPI_MADT_PCAT_COMPAT;
	for (unsigned int id = 0; id < cpus; id++) {
		const struct acpi_madt_lapic lapic = { ACPI_MADT_LAPIC, sizeof(lapic), (uint8_t)id,
						       (uint8_t)id, 1 };

		append(&at, &lapic, sizeof(lapic));
	}
	/* The id that KVM gives its I/O APIC at reset is 0; nothing else shares that name space. */
	const struct acpi_madt_ioapic ioapic = {
		ACPI_MADT_IOAPIC, sizeof(ioapic), 0, 0, LAYOUT_IOAPIC, 0
	};
	const struct acpi_madt_lapic_nmi nmi = { ACPI_MADT_LAPIC_NMI, sizeof(nmi), 0xff, 0, 1 };

	append(&at, &ioapic, sizeof(ioapic));
	append(&at, &nmi, sizeof(nmi));
	finish(&madt->header, "APIC", 4, (size_t)(at - (uint8_t *)madt));
}

void acpi_build(struct ram *ram, unsigned int cpus)
{
	struct acpi_xsdt xsdt = { .entry = { LAYOUT_MADT } };
	struct acpi_rsdp rsdp = {
		.revision = 2,
		.length = sizeof(rsdp),
		.xsdt_address = LAYOUT_XSDT,
	};

	build_madt((struct acpi_madt *)(ram->data + LAYOUT_MADT), cpus);
	finish(&xsdt.header, "XSDT", 1, sizeof(xsdt));
	memcpy(ram->data + LAYOUT_XSDT, &xsdt, sizeof(xsdt));
	memcpy(rsdp.signature, "RSD PTR ", 8);
	memcpy(rsdp.oem_id, "VMABI ", 6);
	rsdp.checksum = checksum(&rsdp, offsetof(struct acpi_rsdp, length));
	rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
	memcpy(ram->data + LAYOUT_RSDP, &rsdp, sizeof(rsdp));
}
