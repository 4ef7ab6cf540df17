// SPDX-License-Identifier: BSD-2-Clause
/*
 * RSDP, XSDT or RSDT, MADT: ACPI specification 6.5, sections 5.2.5 to 5.2.12
 */
#include <x86/acpi.h>

#include <libc/string.h>
#include <stdbool.h>
#include <stddef.h>

struct __attribute__((packed)) rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision; /* 2 and up: the fields from length on are there */
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
};

struct __attribute__((packed)) table {
	char signature[4];
	uint32_t length; /* with this header */
	uint8_t revision;
	uint8_t checksum;
	char oem[26];
};

struct __attribute__((packed)) madt {
	struct table header;
	uint32_t local_apic;
	uint32_t flags;
};

struct __attribute__((packed)) madt_entry {
	uint8_t type;
	uint8_t length;
	union {
		struct __attribute__((packed)) {
			uint8_t processor;
			uint8_t apic_id;
			uint32_t flags;
		} local_apic;
		struct __attribute__((packed)) {
			uint16_t reserved;
			uint32_t apic_id;
			uint32_t flags;
			uint32_t processor;
		} local_x2apic;
	};
};

#define MADT_LOCAL_APIC	  0
#define MADT_LOCAL_X2APIC 9
#define MADT_ENABLED	  1

static uint64_t rsdp_address;

void acpi_set_rsdp(uint64_t address)
{
	rsdp_address = address;
}

/* The tables lie where the identity mapping reaches. */
static const void *at(uint64_t address)
{
	return address < 1ull << 32 ? (const void *)(uintptr_t)address : NULL;
}

static bool is_madt(const struct table *table)
{
	return table && !memcmp(table->signature, "APIC", 4);
}

static const struct madt *find_madt(void)
{
	const struct rsdp *rsdp = at(rsdp_address);
	bool extended;
	const struct table *root;
	size_t size;

	if (!rsdp || memcmp(rsdp->signature, "RSD PTR ", 8))
		return NULL;
	extended = rsdp->revision >= 2 && rsdp->xsdt;
	root = at(extended ? rsdp->xsdt : rsdp->rsdt);
	if (!root)
		return NULL;
	size = extended ? sizeof(uint64_t) : sizeof(uint32_t);

	for (size_t offset = sizeof(*root); offset + size <= root->length; offset += size) {
		uint64_t address = 0;

		memcpy(&address, (const char *)root + offset, size);
		if (is_madt(at(address)))
			return at(address);
	}
	return NULL;
}

/* Whether the entry is an enabled CPU. */
static bool entry_cpu(const struct madt_entry *entry, unsigned int *apic_id)
{
	switch (entry->type) {
	case MADT_LOCAL_APIC:
		*apic_id = entry->local_apic.apic_id;
		return entry->local_apic.flags & MADT_ENABLED;
	case MADT_LOCAL_X2APIC:
		*apic_id = entry->local_x2apic.apic_id;
		return entry->local_x2apic.flags & MADT_ENABLED;
	default:
		return false;
	}
}

unsigned int acpi_cpus(unsigned int *apic_ids, unsigned int limit)
{
	const struct madt *madt = find_madt();
	const struct madt_entry *entry;
	unsigned int count = 0;

	if (!madt)
		return 0;
	for (size_t offset = sizeof(*madt); offset + 2 <= madt->header.length && count < limit;
	     offset += entry->length) {
		entry = (const void *)((const char *)madt + offset);
		if (entry->length < 2)
			break;
		if (entry_cpu(entry, &apic_ids[count]))
			count++;
	}
	return count;
}
