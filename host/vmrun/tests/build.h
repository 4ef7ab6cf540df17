/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Builds ELF images in memory: one segment to load, and what else a test puts in
 */
#ifndef VMRUN_TESTS_BUILD_H
#define VMRUN_TESTS_BUILD_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BUILD_SIZE	  0x4000
#define BUILD_CODE_OFFSET 0x1000
#define BUILD_CODE_SIZE	  0x100
#define BUILD_NOTE_OFFSET 0x2000
#define BUILD_END	  (BUILD_NOTE_OFFSET + 20)
#define BUILD_ADDRESS	  0x100000
#define BUILD_ENTRY	  0x100010

/* A file and its size, which a test may shorten. */
struct build {
	_Alignas(8) uint8_t file[BUILD_SIZE];
	size_t size;
};

static inline Elf64_Ehdr *build_header64(struct build *build)
{
	return (Elf64_Ehdr *)build->file;
}

static inline Elf64_Phdr *build_segment64(struct build *build, unsigned int index)
{
	return (Elf64_Phdr *)(build->file + sizeof(Elf64_Ehdr)) + index;
}

static inline Elf32_Ehdr *build_header32(struct build *build)
{
	return (Elf32_Ehdr *)build->file;
}

static inline Elf32_Phdr *build_segment32(struct build *build, unsigned int index)
{
	return (Elf32_Phdr *)(build->file + sizeof(Elf32_Ehdr)) + index;
}

/* The PVH note at the given place; returns its size. */
static inline size_t build_note(struct build *build, size_t at, uint32_t entry)
{
	const uint32_t note[5] = { 4, 4, 18, 0x006e6558 /* "Xen" */, entry };

	memcpy(build->file + at, note, sizeof(note));
	return sizeof(note);
}

/* A multiboot header at the given place. */
static inline void build_multiboot(struct build *build, size_t at, uint32_t flags)
{
	const uint32_t header[3] = { 0x1badb002, flags, -(0x1badb002 + flags) };

	memcpy(build->file + at, header, sizeof(header));
}

/* The code is bytes that count up, so that a test sees which of them arrived where. */
static inline void build_code(struct build *build)
{
	memset(build, 0, sizeof(*build));
	for (unsigned int i = 0; i < BUILD_CODE_SIZE; i++)
		build->file[BUILD_CODE_OFFSET + i] = (uint8_t)(i + 1);
	build_note(build, BUILD_NOTE_OFFSET, BUILD_ENTRY);
	build->size = BUILD_END;
}

static inline void build_elf64(struct build *build)
{
	build_code(build);
	*build_header64(build) = (Elf64_Ehdr){
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = BUILD_ENTRY,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
	};
	*build_segment64(build, 0) = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = BUILD_CODE_OFFSET,
		.p_vaddr = BUILD_ADDRESS,
		.p_paddr = BUILD_ADDRESS,
		.p_filesz = BUILD_CODE_SIZE,
		.p_memsz = BUILD_CODE_SIZE + 0x1000,
		.p_align = 0x1000,
	};
	*build_segment64(build, 1) = (Elf64_Phdr){
		.p_type = PT_NOTE,
		.p_offset = BUILD_NOTE_OFFSET,
		.p_filesz = 20,
		.p_memsz = 20,
		.p_align = 4,
	};
}

static inline void build_elf32(struct build *build)
{
	build_code(build);
	*build_header32(build) = (Elf32_Ehdr){
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_version = EV_CURRENT,
		.e_entry = BUILD_ENTRY,
		.e_phoff = sizeof(Elf32_Ehdr),
		.e_ehsize = sizeof(Elf32_Ehdr),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 2,
	};
	*build_segment32(build, 0) = (Elf32_Phdr){
		.p_type = PT_LOAD,
		.p_offset = BUILD_CODE_OFFSET,
		.p_vaddr = BUILD_ADDRESS,
		.p_paddr = BUILD_ADDRESS,
		.p_filesz = BUILD_CODE_SIZE,
		.p_memsz = BUILD_CODE_SIZE,
		.p_align = 0x1000,
	};
	*build_segment32(build, 1) = (Elf32_Phdr){
		.p_type = PT_NOTE,
		.p_offset = BUILD_NOTE_OFFSET,
		.p_filesz = 20,
		.p_memsz = 20,
		.p_align = 4,
	};
}

#endif
