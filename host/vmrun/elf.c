// SPDX-License-Identifier: BSD-2-Clause
/*
 * Both classes of ELF are brought into one form (struct segment) at once, so that every check is
 * written once. All sizes and offsets come from the file and are taken for hostile: they are 64
 * bits wide, and are compared by subtracting from what is known to be larger, never by adding.
 */
#include "elf.h"

#include <elf.h>
#include <inttypes.h>
#include <string.h>
#include <vmrun/snp.h>

#include "layout.h"
#include "multiboot.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18 /* Xen, public/elfnote.h */

struct file {
	const uint8_t *data;
	size_t size;
	bool is_64;
	uint64_t entry;
	uint64_t phoff;
	unsigned int phnum;
	unsigned int phentsize;
};

/* A note that gives an address to enter the guest at. */
struct entry_note {
	const char *way; /* what it is called here */
	const char *owner;
	uint32_t type;
	uint64_t address;
	bool found;
};

struct segment {
	unsigned int index;
	uint32_t type;
	uint64_t offset;
	uint64_t virtual_address;
	uint64_t address; /* physical */
	uint64_t file_size;
	uint64_t memory_size;
	uint64_t align;
};

static const char *machine_name(unsigned int machine)
{
	switch (machine) {
	case EM_AARCH64:
		return "AArch64";
	case EM_ARM:
		return "Arm";
	case EM_RISCV:
		return "RISC-V";
	case EM_PPC:
		return "PowerPC";
	case EM_PPC64:
		return "64-bit PowerPC";
	case EM_S390:
		return "S/390";
	case EM_MIPS:
		return "MIPS";
	case EM_SPARCV9:
		return "64-bit SPARC";
	case EM_LOONGARCH:
		return "LoongArch";
	case EM_IA_64:
		return "Itanium";
	default:
		return "unknown";
	}
}

/* Whether the part of the file is there; if not, says how many bytes of it are missing. */
static bool in_file(const struct file *file, uint64_t offset, uint64_t size, struct message *why,
		    const char *part)
{
	uint64_t have = offset < file->size ? file->size - offset : 0;

	if (have >= size)
		return true;
	return refuse(why,
		      "truncated: the last %" PRIu64 " of %" PRIu64
		      " bytes of %s are missing (the file has %zu bytes): copy or build it again",
		      size - have, size, part, file->size);
}

static bool check_magic(const struct file *file, struct message *why)
{
	const uint8_t *data = file->data;

	if (file->size == 0)
		return refuse(why, "the file is empty: copy or build it again");
	if (file->size >= SELFMAG && !memcmp(data, ELFMAG, SELFMAG))
		return in_file(file, 0, EI_NIDENT, why, "the ELF identification");
	if (file->size >= 0x206 && !memcmp(data + 0x202, "HdrS", 4))
		return refuse(why,
			      "a Linux bzImage, not an ELF file: give the uncompressed vmlinux");
	if (file->size >= 2 && data[0] == 0x1f && data[1] == 0x8b)
		return refuse(why, "compressed with gzip: uncompress it first");
	return refuse(why,
		      "not an ELF file: give an ELF image with a PVH note or multiboot header");
}

static bool check_kind(unsigned int type, unsigned int machine, struct message *why)
{
	if (machine != EM_386 && machine != EM_X86_64)
		return refuse(
			why,
			"built for another machine, %s (%u): vmrun boots x86 guests, build it "
			"for x86_64 or i386",
			machine_name(machine), machine);
	if (type == ET_REL)
		return refuse(why, "an object file that is not linked yet: link it");
	if (type != ET_EXEC && type != ET_DYN)
		return refuse(why, "not an executable (ELF type %u): give a linked image", type);
	return true;
}

/* ELF structures are copied out of the file, which promises no alignment. */
static bool read_header(struct file *file, struct message *why)
{
	union {
		Elf64_Ehdr elf64;
		Elf32_Ehdr elf32;
	} header;
	size_t size;

	if (!check_magic(file, why))
		return false;
	if (file->data[EI_CLASS] != ELFCLASS64 && file->data[EI_CLASS] != ELFCLASS32)
		return refuse(why, "ELF class %u is neither 32 nor 64 bits: the file is damaged",
			      file->data[EI_CLASS]);
	if (file->data[EI_DATA] != ELFDATA2LSB)
		return refuse(why, "a big-endian ELF file: vmrun boots x86 guests, build it for "
				   "x86_64 or i386");
	file->is_64 = file->data[EI_CLASS] == ELFCLASS64;
	size = file->is_64 ? sizeof(header.elf64) : sizeof(header.elf32);
	if (!in_file(file, 0, size, why, "the ELF header"))
		return false;
	memcpy(&header, file->data, size);
	if (file->is_64) {
		file->entry = header.elf64.e_entry;
		file->phoff = header.elf64.e_phoff;
		file->phnum = header.elf64.e_phnum;
		file->phentsize = header.elf64.e_phentsize;
	} else {
		file->entry = header.elf32.e_entry;
		file->phoff = header.elf32.e_phoff;
		file->phnum = header.elf32.e_phnum;
		file->phentsize = header.elf32.e_phentsize;
	}
	/* Type and machine lie at the same place in both classes. */
	return check_kind(header.elf64.e_type, header.elf64.e_machine, why);
}

static bool check_program_headers(const struct file *file, struct message *why)
{
	size_t size = file->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

	if (file->phnum == 0)
		return refuse(why, "the ELF file has no program headers: there is nothing to load");
	if (file->phentsize < size)
		return refuse(why, "its program headers are %u bytes each, not %zu: it is damaged",
			      file->phentsize, size);
	return in_file(file, file->phoff, (uint64_t)file->phnum * file->phentsize, why,
		       "the program headers");
}

static void read_segment(const struct file *file, unsigned int index, struct segment *segment)
{
	const uint8_t *from = file->data + file->phoff + (size_t)index * file->phentsize;

	segment->index = index;
	if (file->is_64) {
		Elf64_Phdr header;

		memcpy(&header, from, sizeof(header));
		segment->type = header.p_type;
		segment->offset = header.p_offset;
		segment->virtual_address = header.p_vaddr;
		segment->address = header.p_paddr;
		segment->file_size = header.p_filesz;
		segment->memory_size = header.p_memsz;
		segment->align = header.p_align;
	} else {
		Elf32_Phdr header;

		memcpy(&header, from, sizeof(header));
		segment->type = header.p_type;
		segment->offset = header.p_offset;
		segment->virtual_address = header.p_vaddr;
		segment->address = header.p_paddr;
		segment->file_size = header.p_filesz;
		segment->memory_size = header.p_memsz;
		segment->align = header.p_align;
	}
}

static bool check_segment(const struct segment *segment, const struct ram *ram, struct message *why)
{
	uint64_t start = segment->address, size = segment->memory_size;

	if (segment->file_size > size)
		return refuse(why,
			      "segment %u has more bytes in the file (%#" PRIx64
			      ") than in memory (%#" PRIx64 "): it is damaged",
			      segment->index, segment->file_size, size);
	if (start > ram->size || size > ram->size - start)
		return refuse(why,
			      "segment %u, %#" PRIx64 " bytes at %#" PRIx64
			      ", reaches beyond the guest's memory, which ends at %#" PRIx64
			      ": give it more with --mem, or link it lower",
			      segment->index, size, start, ram->size);
	if (start < LAYOUT_RESERVED_END && start + size > LAYOUT_RESERVED_START)
		return refuse(
			why,
			"segment %u, %#" PRIx64 " bytes at %#" PRIx64
			", overlaps %#x-%#x, which vmrun reserves: link it at 0x100000 or above",
			segment->index, size, start, LAYOUT_RESERVED_START,
			LAYOUT_RESERVED_END - 1);
	return true;
}

static bool load_segment(const struct file *file, const struct segment *segment, struct ram *ram,
			 struct message *why)
{
	char part[64];

	if (!check_segment(segment, ram, why))
		return false;
	snprintf(part, sizeof(part), "segment %u", segment->index);
	if (!in_file(file, segment->offset, segment->file_size, why, part))
		return false;
	/* What is beyond file_size stays as it is: RAM begins as zeros. */
	memcpy(ram->data + segment->address, file->data + segment->offset, segment->file_size);
	return true;
}

static uint64_t align_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

/* The address in such a note: 4 bytes, or 8, as Linux writes it for PVH in 64-bit kernels. */
static bool read_note(const uint8_t *description, uint32_t size, struct entry_note *note,
		      struct message *why)
{
	if (size != 4 && size != 8)
		return refuse(why, "its %s note holds %u bytes, not an address of 4 or 8",
			      note->way, size);
	note->address = 0;
	memcpy(&note->address, description, size);
	note->found = true;
	return true;
}

static bool is_note(const Elf64_Nhdr *note, const uint8_t *name, const struct entry_note *wanted)
{
	size_t length = strlen(wanted->owner) + 1;

	return !wanted->found && note->n_type == wanted->type && note->n_namesz == length &&
	       !memcmp(name, wanted->owner, length);
}

/*
 * Looks through the notes of a PT_NOTE segment. Name and description are padded to 4 bytes, or to 8
 * in a segment that is so aligned (.note.gnu.property), counted from the start of the segment. The
 * sizes in a note are below 2^32, so that the sums stay in range.
 */
static bool find_notes(const struct file *file, const struct segment *segment,
		       struct entry_note *wanted, unsigned int count, struct message *why)
{
	const uint8_t *notes = file->data + segment->offset;
	uint64_t align = segment->align == 8 ? 8 : 4;
	uint64_t at = 0, end = segment->file_size;
	Elf64_Nhdr note;

	if (!in_file(file, segment->offset, segment->file_size, why, "the notes"))
		return false;
	while (at < end && end - at >= sizeof(note)) {
		const uint8_t *name = notes + at + sizeof(note);
		uint64_t description;

		memcpy(&note, notes + at, sizeof(note));
		description = align_up(at + sizeof(note) + note.n_namesz, align);
		if (description + note.n_descsz > end)
			return refuse(why, "a note reaches beyond its segment: it is damaged");
		for (unsigned int i = 0; i < count; i++)
			if (is_note(&note, name, &wanted[i]) &&
			    !read_note(notes + description, note.n_descsz, &wanted[i], why))
				return false;
		at = align_up(description + note.n_descsz, align);
	}
	return true;
}

/* Multiboot takes the entry of the ELF header, which some linkers give as a virtual address. */
static uint64_t physical_entry(const struct file *file)
{
	struct segment segment;

	for (unsigned int i = 0; i < file->phnum; i++) {
		read_segment(file, i, &segment);
		if (segment.type == PT_LOAD &&
		    file->entry - segment.virtual_address < segment.memory_size)
			return file->entry - segment.virtual_address + segment.address;
	}
	return file->entry;
}

static bool is_loaded(const struct file *file, uint64_t address)
{
	struct segment segment;

	for (unsigned int i = 0; i < file->phnum; i++) {
		read_segment(file, i, &segment);
		if (segment.type == PT_LOAD && address - segment.address < segment.memory_size)
			return true;
	}
	return false;
}

static bool check_loaded(const struct file *file, const char *way, uint64_t entry,
			 struct message *why)
{
	return is_loaded(file, entry) ||
	       refuse(why, "its %s entry, %#" PRIx64 ", lies in none of its segments", way, entry);
}

static bool find_entry(const struct file *file, const struct entry_note *pvh, struct image *image,
		       struct message *why)
{
	uint64_t entry = pvh->address;

	image->protocol = BOOT_PVH;
	if (!pvh->found) {
		bool found;

		if (!multiboot_find_header(file->data, file->size, &found, why))
			return false;
		if (!found)
			return refuse(why,
				      "no way to enter it: it has neither a PVH note "
				      "(XEN_ELFNOTE_PHYS32_ENTRY in a PT_NOTE segment) nor a "
				      "multiboot header in its first %u bytes",
				      MULTIBOOT_SEARCH);
		image->protocol = BOOT_MULTIBOOT;
		entry = physical_entry(file);
	}
	image->entry = (uint32_t)entry;
	return check_loaded(file, pvh->found ? "PVH" : "multiboot", entry, why);
}

static bool find_sev_entry(const struct file *file, const struct entry_note *note,
			   struct image *image, struct message *why)
{
	image->is_64 = file->is_64;
	image->has_sev_entry = note->found;
	image->sev_entry = note->address;
	return !note->found || check_loaded(file, "SEV", note->address, why);
}

bool elf_load(const uint8_t *data, size_t size, struct ram *ram, struct image *image,
	      struct message *why)
{
	struct file file = { .data = data, .size = size };
	struct entry_note notes[] = {
		{ "PVH", "Xen", XEN_ELFNOTE_PHYS32_ENTRY, 0, false },
		{ "SEV", VMRUN_NOTE_OWNER, VMRUN_NOTE_SEV_ENTRY, 0, false },
	};
	struct segment segment;
	bool loaded = false;

	if (!read_header(&file, why) || !check_program_headers(&file, why))
		return false;
	for (unsigned int i = 0; i < file.phnum; i++) {
		read_segment(&file, i, &segment);
		if (segment.type == PT_LOAD && segment.memory_size != 0) {
			if (!load_segment(&file, &segment, ram, why))
				return false;
			loaded = true;
		} else if (segment.type == PT_NOTE && !find_notes(&file, &segment, notes, 2, why)) {
			return false;
		}
	}
	if (!loaded)
		return refuse(why, "it has no segment to load (PT_LOAD)");
	return find_entry(&file, &notes[0], image, why) &&
	       find_sev_entry(&file, &notes[1], image, why);
}

bool elf_extent(const uint8_t *data, size_t size, unsigned int index, struct elf_extent *extent)
{
	struct file file = { .data = data, .size = size };
	struct segment segment;
	struct message why;

	if (!read_header(&file, &why))
		return false;
	for (unsigned int i = 0; i < file.phnum; i++) {
		read_segment(&file, i, &segment);
		if (segment.type != PT_LOAD || segment.memory_size == 0 || index-- > 0)
			continue;
		*extent = (struct elf_extent){ segment.address, segment.address + segment.file_size,
					       segment.address + segment.memory_size };
		return true;
	}
	return false;
}
