// SPDX-License-Identifier: BSD-2-Clause
/*
 * What an encrypted guest finds in memory, and as which pages, as <vmrun/snp.h> promises it
 *
 * The layout of the CPUID page is that of the SNP firmware ABI (56860), 7.1 "CPUID Reporting"; the numbers of page types are those of
 * SNP_LAUNCH_UPDATE (8.17); those of page tables are of the AMD APM, volume 2, 5.3 "Long-Mode Page Translation".
 */
#include <string.h>
#include <test/test.h>
#include <uapi/sev.h>
#include <vmrun/snp.h>

#include "../elf.h"
#include "../layout.h"
#include "../pvh.h"
#include "../sev_pages.h"
#include "build.h"

#define RAM_SIZE (2u << 20)
#define PAGES	 (RAM_SIZE / 4096)
#define C_BIT	 47
#define TABLES	 3
#define FUNCTION 48 /* bytes, behind 16 of the page's head */
#define MOST	 64

static _Alignas(4096) uint8_t memory[RAM_SIZE];
static struct ram ram = { memory, RAM_SIZE };
static uint8_t types[PAGES];
static struct cpuid cpuid;

static void start(enum sev_kind kind, const char *command)
{
	static const struct kvm_cpuid_entry2 leaves[] = {
		{ .function = 0, .eax = 0x10, .ebx = 1, .ecx = 2, .edx = 3 },
		{ .function = 7, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .eax = 5 },
		{ .function = 0xd,
		  .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		  .eax = 7,
		  .ebx = 0x340 },
		{ .function = 0x40000000, .eax = 0x40000010 },
		{ .function = 0x4fffffff, .eax = 9 },
		{ .function = 0x8000001f, .eax = 0x1a, .ebx = 0x4000 | 0x40 | C_BIT },
	};
	struct message why;
	uint32_t info;

	memset(memory, 0, sizeof(memory));
	memset(types, 0, sizeof(types));
	memset(&cpuid, 0, sizeof(cpuid));
	memcpy(cpuid.entries, leaves, sizeof(leaves));
	cpuid.count = sizeof(leaves) / sizeof(leaves[0]);
	REQUIRE(pvh_build(&ram, command, &info, &why));
	sev_pages_build(&ram, kind, &cpuid, types);
}

static uint64_t word_at(uint64_t address)
{
	uint64_t word;

	memcpy(&word, memory + address, sizeof(word));
	return word;
}

static uint32_t half_at(uint64_t address)
{
	return (uint32_t)word_at(address);
}

static struct vmrun_sev_boot boot(void)
{
	struct vmrun_sev_boot boot;

	memcpy(&boot, memory + LAYOUT_SEV, sizeof(boot));
	return boot;
}

TEST("the C-bit is that of leaf 0x8000001f, and 0 without it")
{
	start(SEV_SNP, "");
	EXPECT_EQ(sev_pages_c_bit(&cpuid), C_BIT);
	cpuid.count--;
	EXPECT_EQ(sev_pages_c_bit(&cpuid), 0);
}

TEST("each page has its type, and what is not handed over has none")
{
	static const struct {
		enum sev_kind kind;
		uint8_t cpuid, secrets;
	} cases[] = { { SEV_SNP, 6, 5 }, { SEV_ES, 0, 0 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int count = 0;

		start(cases[i].kind, "");
		EXPECT_EQ(types[LAYOUT_RSDP / 4096], 1);
		EXPECT_EQ(types[LAYOUT_SEV_COMMAND / 4096], 4);
		EXPECT_EQ(types[LAYOUT_SEV_CPUID / 4096], cases[i].cpuid);
		EXPECT_EQ(types[LAYOUT_SEV_SECRETS / 4096], cases[i].secrets);
		for (unsigned int page = 0; page < TABLES; page++)
			EXPECT_EQ(types[LAYOUT_SEV_TABLES / 4096 + page], 1);
		for (unsigned int page = 0; page < PAGES; page++)
			count += types[page] != 0;
		EXPECT_EQ(count, cases[i].cpuid ? 7 : 5);
	}
}

TEST("the boot structure leads to the pages that there are")
{
	start(SEV_SNP, "");
	EXPECT_EQ(boot().magic, VMRUN_SEV_BOOT_MAGIC);
	EXPECT_EQ(boot().size, 24);
	EXPECT_EQ(boot().cpuid_page, LAYOUT_SEV_CPUID);
	EXPECT_EQ(boot().secrets_page, LAYOUT_SEV_SECRETS);
	start(SEV_ES, "");
	EXPECT_EQ(boot().cpuid_page, 0);
	EXPECT_EQ(boot().secrets_page, 0);
}

TEST("the command line is in its own page alone")
{
	const struct hvm_start_info *info = (const void *)(memory + LAYOUT_INFO);

	start(SEV_SNP, "a=b c");
	EXPECT_EQ(info->cmdline_paddr, LAYOUT_SEV_COMMAND);
	EXPECT_STR_EQ((const char *)memory + LAYOUT_SEV_COMMAND, "a=b c");
	EXPECT_EQ(half_at(LAYOUT_COMMAND), 0);
}

TEST("the page tables map the first GiB by identity, with the C-bit in every entry")
{
	const uint64_t c = 1ull << C_BIT;

	start(SEV_SNP, "");
	EXPECT_EQ(word_at(LAYOUT_SEV_TABLES), (LAYOUT_SEV_TABLES + 0x1000) | c | 3);
	EXPECT_EQ(word_at(LAYOUT_SEV_TABLES + 0x1000), (LAYOUT_SEV_TABLES + 0x2000) | c | 3);
	for (unsigned int i = 0; i < 512; i++)
		EXPECT_EQ(word_at(LAYOUT_SEV_TABLES + 0x2000 + 8 * i), (uint64_t)i << 21 | c | 0x83,
			  "entry %u", i);
	for (unsigned int i = 1; i < 512; i++)
		EXPECT_EQ(word_at(LAYOUT_SEV_TABLES + 8 * i) |
				  word_at(LAYOUT_SEV_TABLES + 0x1000 + 8 * i),
			  0, "entry %u", i);
}

TEST("the CPUID page has the CPU's functions, and no hypervisor's")
{
	const uint64_t at = LAYOUT_SEV_CPUID + 16;

	start(SEV_SNP, "");
	EXPECT_EQ(half_at(LAYOUT_SEV_CPUID), 4);
	EXPECT_EQ(word_at(at), 0); /* function and subleaf */
	EXPECT_EQ(word_at(at + 24), 0x100000010);
	EXPECT_EQ(word_at(at + 32), 0x300000002);
	EXPECT_EQ(word_at(at + FUNCTION), 0x100000007);
	EXPECT_EQ(half_at(at + FUNCTION + 24), 5);
	EXPECT_EQ(half_at(at + 2 * FUNCTION), 0xd);
	EXPECT_EQ(word_at(at + 2 * FUNCTION + 8), 1, "XCR0");
	EXPECT_EQ(half_at(at + 2 * FUNCTION + 28), 0x240, "the size with XCR0 = 1");
	EXPECT_EQ(half_at(at + 3 * FUNCTION), 0x8000001f);
	EXPECT_EQ(half_at(at + 3 * FUNCTION + 28), 0x4040 | C_BIT);
}

TEST("the CPUID page takes no more functions than it has room for")
{
	start(SEV_SNP, "");
	for (uint32_t i = 0; i < 100; i++)
		cpuid.entries[i] = (struct kvm_cpuid_entry2){ .function = i + 1 };
	cpuid.count = 100;
	memset(memory + LAYOUT_SEV_CPUID, 0, 4096);
	sev_pages_build(&ram, SEV_SNP, &cpuid, types);
	EXPECT_EQ(half_at(LAYOUT_SEV_CPUID), MOST);
	EXPECT_EQ(half_at(LAYOUT_SEV_CPUID + 16 + (MOST - 1) * FUNCTION), MOST);
	EXPECT_EQ(half_at(LAYOUT_SEV_CPUID + 16 + MOST * FUNCTION), 0);
}

TEST("functions that the firmware has corrected are dropped, and it is told when there are none")
{
	const uint64_t at = LAYOUT_SEV_CPUID + 16;
	static uint8_t given[4096];

	start(SEV_SNP, "");
	memcpy(given, memory + LAYOUT_SEV_CPUID, sizeof(given));
	EXPECT_FALSE(sev_pages_drop_cpuid(&ram, given));
	memory[at + 24]++;
	memory[at + 2 * FUNCTION + 24]++;
	EXPECT_TRUE(sev_pages_drop_cpuid(&ram, given));
	EXPECT_EQ(half_at(LAYOUT_SEV_CPUID), 2);
	EXPECT_EQ(word_at(at), 0x100000007);
	EXPECT_EQ(half_at(at + 24), 5);
	EXPECT_EQ(half_at(at + FUNCTION), 0x8000001f);
	for (unsigned int i = 0; i < 2 * FUNCTION; i++)
		EXPECT_EQ(memory[at + 2 * FUNCTION + i], 0);
}

TEST("of the image, pages with bytes of the file are measured, and the others are zeros")
{
	static const struct {
		uint64_t address, file_size, memory_size;
		uint8_t types[4]; /* from 0x100000 on */
	} cases[] = {
		{ 0x100000, 0x100, 0x1100, { 1, 3, 0, 0 } },
		{ 0x100000, 0x1000, 0x1000, { 1, 0, 0, 0 } },
		{ 0x100000, 0x1001, 0x3000, { 1, 1, 3, 0 } },
		{ 0x100ff0, 0x20, 0x1010, { 1, 1, 0, 0 } },
		{ 0x101000, 0, 0x2001, { 0, 3, 3, 3 } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct build build;

		build_elf64(&build);
		build_segment64(&build, 0)->p_paddr = cases[i].address;
		build_segment64(&build, 0)->p_filesz = cases[i].file_size;
		build_segment64(&build, 0)->p_memsz = cases[i].memory_size;
		memset(types, 0, sizeof(types));
		sev_pages_mark_image(build.file, build.size, types);
		for (unsigned int page = 0; page < 4; page++)
			EXPECT_EQ(types[0x100 + page], cases[i].types[page], "case %zu, page %u", i,
				  page);
	}
}

TEST("where two segments share a page, bytes of the file count")
{
	struct build build;

	build_elf64(&build);
	build_header64(&build)->e_phnum = 3;
	*build_segment64(&build, 2) = *build_segment64(&build, 0);
	build_segment64(&build, 2)->p_paddr = BUILD_ADDRESS + 0x1800;
	build_segment64(&build, 0)->p_memsz = 0x1400;
	memset(types, 0, sizeof(types));
	sev_pages_mark_image(build.file, build.size, types);
	EXPECT_EQ(types[0x100], 1);
	EXPECT_EQ(types[0x101], 1);
	EXPECT_EQ(types[0x102], 3);
}
