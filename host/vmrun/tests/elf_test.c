// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmrun's loader, on images that are built here
 *
 * What it accepts: ELF64 and ELF32 for x86 with a PVH note (XEN_ELFNOTE_PHYS32_ENTRY) or a multiboot
 * header. What it refuses: everything that would make it read beyond the file or write beyond the
 * guest's memory, whichever field says so; each with a line that names the cause.
 *
 * Each file is copied to the end of a page that is followed by one without access, so that reading
 * a single byte too far ends the test.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <test/test.h>

#include "../elf.h"
#include "../layout.h"
#include "build.h"

#define RAM_SIZE (2u << 20)

struct outcome {
	bool loaded;
	struct image image;
	struct message why;
};

static struct build build;
static struct ram ram;

static void reset_ram(void)
{
	free(ram.data);
	ram.size = RAM_SIZE;
	ram.data = calloc(1, RAM_SIZE);
	REQUIRE(ram.data);
}

/* The file, so placed that its last byte is the last one that can be read. */
static const uint8_t *guarded_copy(size_t *mapped, uint8_t **base)
{
	size_t size = (build.size + 4095) / 4096 * 4096;

	*mapped = size + 4096;
	*base = mmap(NULL, *mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(*base != MAP_FAILED);
	REQUIRE(mprotect(*base + size, 4096, PROT_NONE) == 0);
	return memcpy(*base + size - build.size, build.file, build.size);
}

static struct outcome load(void)
{
	struct outcome outcome = { .loaded = false };
	const uint8_t *file;
	uint8_t *base;
	size_t mapped;

	reset_ram();
	file = guarded_copy(&mapped, &base);
	outcome.loaded = elf_load(file, build.size, &ram, &outcome.image, &outcome.why);
	munmap(base, mapped);
	return outcome;
}

/* Whether the image is refused with a line that has this in it. */
static void expect_refused(const char *part)
{
	struct outcome outcome = load();

	EXPECT_FALSE(outcome.loaded, "%s", part);
	if (!outcome.loaded)
		EXPECT_TRUE(strstr(outcome.why.text, part), "'%s' says '%s'", outcome.why.text,
			    part);
}

static void expect_loaded(enum boot_protocol protocol, uint32_t entry)
{
	struct outcome outcome = load();

	ASSERT_TRUE(outcome.loaded, "%s", outcome.why.text);
	EXPECT_EQ(outcome.image.protocol, protocol);
	EXPECT_EQ(outcome.image.entry, entry);
}

static void expect_code_at(uint64_t address)
{
	EXPECT_MEM_EQ(ram.data + address, build.file + BUILD_CODE_OFFSET, BUILD_CODE_SIZE);
	EXPECT_EQ(ram.data[address + BUILD_CODE_SIZE], 0);
	EXPECT_EQ(ram.data[address - 1], 0);
}

TEST("a 64-bit image with a PVH note is loaded and entered by it")
{
	build_elf64(&build);
	build_header64(&build)->e_entry = 0x100020; /* not what PVH looks at */
	expect_loaded(BOOT_PVH, BUILD_ENTRY);
	expect_code_at(BUILD_ADDRESS);
}

TEST("a 32-bit image with a PVH note is loaded and entered by it")
{
	build_elf32(&build);
	expect_loaded(BOOT_PVH, BUILD_ENTRY);
	expect_code_at(BUILD_ADDRESS);
}

TEST("segments go to their physical, not their virtual address")
{
	build_elf64(&build);
	build_segment64(&build, 0)->p_vaddr = 0xffffffff80000000;
	expect_loaded(BOOT_PVH, BUILD_ENTRY);
	expect_code_at(BUILD_ADDRESS);
}

TEST("a segment below the reserved area is loaded")
{
	build_elf64(&build);
	build_segment64(&build, 0)->p_paddr = 0x8000;
	build_note(&build, BUILD_NOTE_OFFSET, 0x8000);
	expect_loaded(BOOT_PVH, 0x8000);
	expect_code_at(0x8000);
}

TEST("a segment may reach up to the last byte of memory, and not one further")
{
	build_elf64(&build);
	build_segment64(&build, 0)->p_memsz = RAM_SIZE - BUILD_ADDRESS;
	expect_loaded(BOOT_PVH, BUILD_ENTRY);
	build_segment64(&build, 0)->p_memsz++;
	expect_refused("reaches beyond the guest's memory");
}

TEST("a segment may end where the reserved area begins, and not one byte later")
{
	build_elf64(&build);
	build_segment64(&build, 0)->p_paddr = LAYOUT_RESERVED_START - 0x1000;
	build_segment64(&build, 0)->p_memsz = 0x1000;
	build_note(&build, BUILD_NOTE_OFFSET, LAYOUT_RESERVED_START - 0x1000);
	expect_loaded(BOOT_PVH, LAYOUT_RESERVED_START - 0x1000);
	build_segment64(&build, 0)->p_memsz++;
	expect_refused("overlaps 0x9f000-0xfffff");
}

TEST("a segment that begins in, ends in, holds or is the reserved area is refused")
{
	static const struct {
		uint64_t start, end;
	} cases[] = {
		{ 0xff000, 0x101000 }, { 0x90000, 0x9f001 }, { 0x90000, 0x110000 },
		{ 0x9f000, 0x100000 }, { 0xe0000, 0xe0100 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		build_elf64(&build);
		build_segment64(&build, 0)->p_paddr = cases[i].start;
		build_segment64(&build, 0)->p_memsz = cases[i].end - cases[i].start;
		expect_refused("overlaps 0x9f000-0xfffff, which vmrun reserves");
	}
}

TEST("a segment without a size is passed over, wherever it claims to be")
{
	build_elf64(&build);
	build_header64(&build)->e_phnum = 3;
	*build_segment64(&build, 2) = (Elf64_Phdr){ .p_type = PT_LOAD, .p_paddr = ~0ull };
	expect_loaded(BOOT_PVH, BUILD_ENTRY);
}

TEST("an image without any segment to load is refused")
{
	build_elf64(&build);
	build_segment64(&build, 0)->p_type = PT_NULL;
	expect_refused("no segment to load");
	build_elf64(&build);
	build_header64(&build)->e_phnum = 0;
	expect_refused("no program headers");
}

TEST("addresses and sizes whose sums overflow are refused")
{
	static const struct {
		uint64_t address, file_size, memory_size, offset;
		const char *says;
	} cases[] = {
		{ ~0ull, 0x100, 0x100, 0x1000, "beyond the guest's memory" },
		{ 0x100000, 0x100, ~0ull, 0x1000, "beyond the guest's memory" },
		{ 0x100000, 0x100, ~0ull - 0x100000 + 1, 0x1000, "beyond the guest's memory" },
		{ 0x100000, ~0ull, ~0ull, 0x1000, "beyond the guest's memory" },
		{ 0x100000, 0x100, 0x100, ~0ull, "truncated" },
		{ 0x100000, 0x100, 0x100, ~0ull - 0x7f, "truncated" },
		{ 0x100000000, 0x100, 0x100, 0x1000, "beyond the guest's memory" },
		{ 0x100000, 0x101, 0x100, 0x1000, "more bytes in the file" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		build_elf64(&build);
		build_segment64(&build, 0)->p_paddr = cases[i].address;
		build_segment64(&build, 0)->p_filesz = cases[i].file_size;
		build_segment64(&build, 0)->p_memsz = cases[i].memory_size;
		build_segment64(&build, 0)->p_offset = cases[i].offset;
		expect_refused(cases[i].says);
	}
}

TEST("a place of the program headers that overflows is refused")
{
	build_elf64(&build);
	build_header64(&build)->e_phoff = ~0ull - 10;
	expect_refused("of the program headers are missing");
	build_elf64(&build);
	build_header64(&build)->e_phnum = 0xffff;
	expect_refused("of the program headers are missing");
	build_elf64(&build);
	build_header64(&build)->e_phentsize = sizeof(Elf64_Phdr) - 1;
	expect_refused("program headers are 55 bytes each, not 56");
}

TEST("a truncated image says which part misses how many bytes")
{
	static const struct {
		size_t size;
		const char *says;
	} cases[] = {
		{ 0, "the file is empty" },
		{ 3, "not an ELF file" },
		{ 4, "the last 12 of 16 bytes of the ELF identification are missing" },
		{ 16, "the last 48 of 64 bytes of the ELF header are missing" },
		{ 63, "the last 1 of 64 bytes of the ELF header are missing" },
		{ 64, "the last 112 of 112 bytes of the program headers are missing" },
		{ 175, "the last 1 of 112 bytes of the program headers are missing" },
		{ 176, "the last 256 of 256 bytes of segment 0 are missing" },
		{ 0x10ff, "the last 1 of 256 bytes of segment 0 are missing" },
		{ 0x1100, "the last 20 of 20 bytes of the notes are missing" },
		{ BUILD_END - 1, "the last 1 of 20 bytes of the notes are missing" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		build_elf64(&build);
		build.size = cases[i].size;
		expect_refused(cases[i].says);
	}
}

TEST("an image of whatever length below its own is refused, 64-bit and 32-bit")
{
	for (unsigned int bits = 32; bits <= 64; bits += 32) {
		for (size_t size = 0; size < BUILD_END; size += size < 300 ? 1 : 41) {
			if (bits == 64)
				build_elf64(&build);
			else
				build_elf32(&build);
			build.size = size;
			EXPECT_FALSE(load().loaded, "%u bits, %zu bytes", bits, size);
		}
	}
}

TEST("an image for another machine is refused by the machine's name")
{
	static const struct {
		uint16_t machine;
		const char *says;
	} cases[] = {
		{ EM_AARCH64, "another machine, AArch64 (183)" },
		{ EM_RISCV, "another machine, RISC-V (243)" },
		{ EM_ARM, "another machine, Arm (40)" },
		{ EM_PPC64, "another machine, 64-bit PowerPC (21)" },
		{ 0x1234, "another machine, unknown (4660)" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		build_elf64(&build);
		build_header64(&build)->e_machine = cases[i].machine;
		expect_refused(cases[i].says);
	}
	build_elf64(&build);
	build_header64(&build)->e_ident[EI_DATA] = ELFDATA2MSB;
	expect_refused("big-endian");
}

TEST("what is no linked ELF image is refused for what it is")
{
	build_elf64(&build);
	build_header64(&build)->e_type = ET_REL;
	expect_refused("object file that is not linked");
	build_header64(&build)->e_type = ET_CORE;
	expect_refused("not an executable");
	build_elf64(&build);
	build_header64(&build)->e_ident[EI_CLASS] = 3;
	expect_refused("ELF class 3");
	build_code(&build);
	memcpy(build.file, "#!/bin/sh\n", 10);
	expect_refused("not an ELF file");
	memcpy(build.file, "\x1f\x8b", 2);
	expect_refused("gzip");
	build_code(&build);
	memcpy(build.file + 0x202, "HdrS", 4);
	expect_refused("bzImage");
}

TEST("an image with neither PVH note nor multiboot header is refused")
{
	build_elf64(&build);
	build_segment64(&build, 1)->p_type = PT_NULL;
	expect_refused("neither a PVH note");
}

TEST("the PVH note is found among other notes")
{
	/* "GNU" with 5 bytes, padded to 8; "Xen" of another type; then the one. */
	static const uint32_t others[] = { 4, 5, 3, 0x00554e47, 1, 2, 4, 4, 6, 0x006e6558, 7 };

	build_elf64(&build);
	memcpy(build.file + BUILD_NOTE_OFFSET, others, sizeof(others));
	build.size = BUILD_NOTE_OFFSET + sizeof(others);
	build.size += build_note(&build, build.size, BUILD_ENTRY);
	build_segment64(&build, 1)->p_filesz = sizeof(others) + 20;
	expect_loaded(BOOT_PVH, BUILD_ENTRY);
}

TEST("the PVH note is found in a second segment of notes, and at an odd place in the file")
{
	static const uint32_t other[] = { 4, 0, 3, 0x00554e47 };

	build_elf64(&build);
	build_header64(&build)->e_phnum = 3;
	*build_segment64(&build, 2) = *build_segment64(&build, 1);
	memcpy(build.file + BUILD_NOTE_OFFSET, other, sizeof(other));
	build_segment64(&build, 1)->p_filesz = sizeof(other);
	build_segment64(&build, 2)->p_offset = BUILD_NOTE_OFFSET + 33;
	build_note(&build, BUILD_NOTE_OFFSET + 33, BUILD_ENTRY);
	build.size = BUILD_NOTE_OFFSET + 33 + 20;
	expect_loaded(BOOT_PVH, BUILD_ENTRY);
}

TEST("a PVH note with an address of 8 bytes, as Linux has it, is understood")
{
	build_elf64(&build);
	build.file[BUILD_NOTE_OFFSET + 4] = 8;
	build_segment64(&build, 1)->p_filesz = 24;
	build.size = BUILD_NOTE_OFFSET + 24;
	expect_loaded(BOOT_PVH, BUILD_ENTRY);
}

TEST("a PVH note of another size is refused")
{
	build_elf64(&build);
	build.file[BUILD_NOTE_OFFSET + 4] = 2;
	expect_refused("its PVH note holds 2 bytes");
}

/* Behind PVH's note, in the same segment, one with an entry for encrypted guests. */
static void add_sev_note(uint32_t description_size, uint64_t entry)
{
	const uint32_t head[3] = { 6, description_size, 1 };
	uint8_t *at = build.file + BUILD_NOTE_OFFSET + 20;

	memcpy(at, head, sizeof(head));
	memcpy(at + sizeof(head), "vmabi\0\0", 8);
	memcpy(at + sizeof(head) + 8, &entry, sizeof(entry));
	build.size = BUILD_NOTE_OFFSET + 20 + sizeof(head) + 8 + sizeof(entry);
	build_segment64(&build, 1)->p_filesz = build.size - BUILD_NOTE_OFFSET;
}

TEST("the entry for encrypted guests is found beside PVH's, and is none where there is no note")
{
	struct outcome outcome;

	build_elf64(&build);
	outcome = load();
	ASSERT_TRUE(outcome.loaded, "%s", outcome.why.text);
	EXPECT_TRUE(outcome.image.is_64);
	EXPECT_FALSE(outcome.image.has_sev_entry);
	add_sev_note(8, BUILD_ENTRY + 0x20);
	outcome = load();
	ASSERT_TRUE(outcome.loaded, "%s", outcome.why.text);
	EXPECT_TRUE(outcome.image.has_sev_entry);
	EXPECT_EQ(outcome.image.sev_entry, BUILD_ENTRY + 0x20);
	EXPECT_EQ(outcome.image.entry, BUILD_ENTRY);
	build_elf32(&build);
	outcome = load();
	ASSERT_TRUE(outcome.loaded, "%s", outcome.why.text);
	EXPECT_FALSE(outcome.image.is_64);
}

TEST("a wrong entry for encrypted guests is refused")
{
	build_elf64(&build);
	add_sev_note(8, 0x180000);
	expect_refused("its SEV entry, 0x180000, lies in none of its segments");
	add_sev_note(8, 0x100000000 + BUILD_ENTRY);
	expect_refused("its SEV entry, 0x100100010, lies in none of its segments");
	add_sev_note(5, BUILD_ENTRY);
	expect_refused("its SEV note holds 5 bytes");
	add_sev_note(9, BUILD_ENTRY);
	expect_refused("a note reaches beyond its segment");
}

TEST("what is loaded can be asked for, segment by segment")
{
	struct elf_extent extent;

	build_elf64(&build);
	ASSERT_TRUE(load().loaded);
	ASSERT_TRUE(elf_extent(build.file, build.size, 0, &extent));
	EXPECT_EQ(extent.start, BUILD_ADDRESS);
	EXPECT_EQ(extent.file_end, BUILD_ADDRESS + BUILD_CODE_SIZE);
	EXPECT_EQ(extent.end, BUILD_ADDRESS + BUILD_CODE_SIZE + 0x1000);
	EXPECT_FALSE(elf_extent(build.file, build.size, 1, &extent));
}

TEST("a note that reaches beyond its segment is refused")
{
	static const uint32_t sizes[][2] = {
		{ 4, 5 }, { 4, 0xffffffff }, { 0xffffffff, 4 }, { 0xfffffffd, 0xfffffffd }, { 9, 4 }
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		build_elf64(&build);
		memcpy(build.file + BUILD_NOTE_OFFSET, sizes[i], sizeof(sizes[i]));
		expect_refused("a note reaches beyond its segment");
	}
}

TEST("notes that are not padded at their end, or have a name like Xen's, are passed over")
{
	static const uint32_t short_note[] = { 4, 1, 3, 0x00554e47, 0xff };
	static const uint32_t other_name[] = { 8, 4, 18, 0x006e6558, 0, 0x180000 };

	build_elf64(&build);
	memcpy(build.file + BUILD_NOTE_OFFSET, short_note, sizeof(short_note));
	build.size = BUILD_NOTE_OFFSET + 17;
	build_segment64(&build, 1)->p_filesz = 17;
	expect_refused("neither a PVH note");

	build_elf64(&build);
	memcpy(build.file + BUILD_NOTE_OFFSET, other_name, sizeof(other_name));
	build.size = BUILD_NOTE_OFFSET + sizeof(other_name);
	build_segment64(&build, 1)->p_filesz = sizeof(other_name);
	expect_refused("neither a PVH note");
}

TEST("an entry that lies in no segment is refused")
{
	build_elf64(&build);
	build_note(&build, BUILD_NOTE_OFFSET, 0x180000);
	expect_refused("its PVH entry, 0x180000, lies in none of its segments");
}

TEST("a multiboot image is loaded, and entered at the ELF entry")
{
	build_elf32(&build);
	build_segment32(&build, 1)->p_type = PT_NULL;
	build_multiboot(&build, BUILD_CODE_OFFSET + 0x80, 0);
	expect_loaded(BOOT_MULTIBOOT, BUILD_ENTRY);
	expect_code_at(BUILD_ADDRESS);
}

TEST("a virtual multiboot entry is made physical by the segment that holds it")
{
	build_elf32(&build);
	build_segment32(&build, 1)->p_type = PT_NULL;
	build_segment32(&build, 0)->p_vaddr = 0xc0100000;
	build_header32(&build)->e_entry = 0xc0100040;
	build_multiboot(&build, BUILD_CODE_OFFSET, 3);
	expect_loaded(BOOT_MULTIBOOT, 0x100040);
}

TEST("an image with both is entered by PVH")
{
	build_elf64(&build);
	build_header64(&build)->e_entry = 0x100020;
	build_multiboot(&build, BUILD_CODE_OFFSET, 0);
	expect_loaded(BOOT_PVH, BUILD_ENTRY);
}

TEST("a multiboot entry that lies in no segment is refused")
{
	build_elf32(&build);
	build_segment32(&build, 1)->p_type = PT_NULL;
	build_header32(&build)->e_entry = 0x180000;
	build_multiboot(&build, BUILD_CODE_OFFSET, 0);
	expect_refused("its multiboot entry, 0x180000, lies in none of its segments");
}
