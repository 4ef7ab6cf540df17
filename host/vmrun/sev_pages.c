// SPDX-License-Identifier: BSD-2-Clause
#include "sev_pages.h"

#include <string.h>
#include <uapi/sev.h>
#include <vmrun/snp.h>

#include "elf.h"
#include "layout.h"
#include "pvh.h"

#define PAGE	       4096u
#define ENTRIES	       512
#define LARGE	       (2ull << 20)

#define PTE_TABLE      0x3ull  /* present, writable */
#define PTE_LARGE      0x83ull /* and the leaf of a page directory */

#define LEAF_XSAVE     0xdu
#define LEAF_SEV       0x8000001fu
#define LEAF_EBX_C_BIT 0x3fu

/* Hypervisors' leaves: the CPU's firmware has no say in them, and takes none. */
#define HYPERVISOR_FIRST 0x40000000u
#define HYPERVISOR_LAST	 0x4fffffffu

/*
 * Of leaf 0xd, whose sizes depend on XCR0 and XSS, the page has what they are with x87 alone: the legacy area and the
 * header (APM volume 2, 11.5.6). A guest reckons with the other subleaves itself.
 */
#define XSAVE_SIZE_LEGACY 0x240u
#define XCR0_X87	  1u

/* SNP firmware ABI (56860), 7.1 "CPUID Reporting". */
#define FUNCTIONS 64

struct function {
	uint32_t eax_in, ecx_in;
	uint64_t xcr0_in, xss_in;
	uint32_t eax, ebx, ecx, edx;
	uint64_t reserved;
};

struct cpuid_page {
	uint32_t count;
	uint32_t reserved0;
	uint64_t reserved1;
	struct function functions[FUNCTIONS];
};

_Static_assert(sizeof(struct function) == 48 && sizeof(struct cpuid_page) <= PAGE,
	       "as the firmware has it");

unsigned int sev_pages_c_bit(const struct cpuid *cpuid)
{
	for (uint32_t i = 0; i < cpuid->count; i++)
		if (cpuid->entries[i].function == LEAF_SEV)
			return cpuid->entries[i].ebx & LEAF_EBX_C_BIT;
	return 0;
}

static void mark(uint8_t *types, uint64_t start, uint64_t end, enum sev_page_type type)
{
	for (uint64_t at = start / PAGE; at < (end + PAGE - 1) / PAGE; at++)
		types[at] = (uint8_t)type;
}

/* Segments may meet in a page: one with bytes of the file is what it is for all. */
void sev_pages_mark_image(const uint8_t *file, size_t size, uint8_t *types)
{
	struct elf_extent extent;

	for (unsigned int i = 0; elf_extent(file, size, i, &extent); i++)
		mark(types, extent.start, extent.end, SEV_PAGE_ZERO);
	for (unsigned int i = 0; elf_extent(file, size, i, &extent); i++)
		if (extent.file_end > extent.start)
			mark(types, extent.start, extent.file_end, SEV_PAGE_NORMAL);
}

static struct function function_of(const struct kvm_cpuid_entry2 *entry)
{
	struct function function = {
		.eax_in = entry->function,
		.ecx_in = entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX ? entry->index : 0,
		.eax = entry->eax,
		.ebx = entry->ebx,
		.ecx = entry->ecx,
		.edx = entry->edx,
	};

	if (entry->function == LEAF_XSAVE && entry->index <= 1) {
		function.xcr0_in = XCR0_X87;
		function.ebx = XSAVE_SIZE_LEGACY;
	}
	return function;
}

static void build_cpuid(struct cpuid_page *page, const struct cpuid *cpuid)
{
	for (uint32_t i = 0; i < cpuid->count && page->count < FUNCTIONS; i++) {
		uint32_t function = cpuid->entries[i].function;

		if (function < HYPERVISOR_FIRST || function > HYPERVISOR_LAST)
			page->functions[page->count++] = function_of(&cpuid->entries[i]);
	}
}

static void build_tables(struct ram *ram, uint64_t c_bit)
{
	uint64_t *tables = (uint64_t *)(ram->data + LAYOUT_SEV_TABLES);
	uint64_t *directory = tables + 2 * ENTRIES;

	tables[0] = (LAYOUT_SEV_TABLES + PAGE) | PTE_TABLE | c_bit;
	tables[ENTRIES] = (LAYOUT_SEV_TABLES + 2 * PAGE) | PTE_TABLE | c_bit;
	for (unsigned int i = 0; i < ENTRIES; i++)
		directory[i] = i * LARGE | PTE_LARGE | c_bit;
}

/* So that the measurement of a guest does not depend on it. */
static void move_command_line(struct ram *ram)
{
	struct hvm_start_info *info = (struct hvm_start_info *)(ram->data + LAYOUT_INFO);

	memcpy(ram->data + LAYOUT_SEV_COMMAND, ram->data + LAYOUT_COMMAND, LAYOUT_COMMAND_SIZE);
	memset(ram->data + LAYOUT_COMMAND, 0, LAYOUT_COMMAND_SIZE);
	info->cmdline_paddr = LAYOUT_SEV_COMMAND;
}

void sev_pages_build(struct ram *ram, enum sev_kind kind, const struct cpuid *cpuid, uint8_t *types)
{
	struct vmrun_sev_boot boot = { .magic = VMRUN_SEV_BOOT_MAGIC, .size = sizeof(boot) };

	if (kind == SEV_SNP) {
		boot.cpuid_page = LAYOUT_SEV_CPUID;
		boot.secrets_page = LAYOUT_SEV_SECRETS;
		build_cpuid((struct cpuid_page *)(ram->data + LAYOUT_SEV_CPUID), cpuid);
		mark(types, LAYOUT_SEV_CPUID, LAYOUT_SEV_CPUID + PAGE, SEV_PAGE_CPUID);
		mark(types, LAYOUT_SEV_SECRETS, LAYOUT_SEV_SECRETS + PAGE, SEV_PAGE_SECRETS);
	}
	memcpy(ram->data + LAYOUT_SEV, &boot, sizeof(boot));
	move_command_line(ram);
	build_tables(ram, 1ull << sev_pages_c_bit(cpuid));
	mark(types, LAYOUT_RSDP, LAYOUT_RSDP + PAGE, SEV_PAGE_NORMAL);
	mark(types, LAYOUT_SEV_COMMAND, LAYOUT_SEV_COMMAND + PAGE, SEV_PAGE_UNMEASURED);
	mark(types, LAYOUT_SEV_TABLES, LAYOUT_SEV_TABLES + 3 * PAGE, SEV_PAGE_NORMAL);
}

bool sev_pages_drop_cpuid(struct ram *ram, const uint8_t *given)
{
	struct cpuid_page *page = (struct cpuid_page *)(ram->data + LAYOUT_SEV_CPUID);
	struct cpuid_page before;
	uint32_t kept = 0;

	memcpy(&before, given, sizeof(before));
	for (uint32_t i = 0; i < before.count; i++)
		if (!memcmp(&page->functions[i], &before.functions[i], sizeof(struct function)))
			before.functions[kept++] = before.functions[i];
	if (kept == before.count)
		return false;
	memset(&before.functions[kept], 0, (before.count - kept) * sizeof(struct function));
	before.count = kept;
	memcpy(page, &before, sizeof(before));
	return true;
}
