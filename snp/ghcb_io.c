// SPDX-License-Identifier: BSD-2-Clause
/*
 * Ports and MMIO by the GHCB: what is written to the scratch area, and what is not
 *
 * The guest's own #VC handler (x86/runtime_exits.c) uses a few forms of these events. Here all: string
 * I/O in both directions, of each size, at each place of the scratch area, and of no elements; port
 * accesses by RAX; MMIO of 1 to 8 bytes, over the edge of a page, and where memory is and no device.
 * The bytes that the event is about must be right, and all the others of the GHCB as they were: an
 * answer that is one element too long overwrites what the guest has there.
 *
 * The PIC's mask register at port 0x21 reads what was written last (KVM has it in the kernel), and
 * vmrun's request port its magic number (in user space); where nothing is, reads give ones.
 *
 * Sources: GHCB specification, table 5 (IOIO), "MMIO Access"; AMD APM volume 2, 15.10.2;
 * KVM: arch/x86/kvm/svm/sev.c, sev_es_string_io, setup_vmgexit_scratch; arch/x86/kvm/x86.c,
 * kvm_sev_es_string_io, kvm_sev_es_mmio, kvm_fast_pio_in (less than 4 bytes leave the rest of RAX).
 */
#include <libc/array.h>
#include <libc/string.h>
#include <sev/ghcb.h>
#include <sev/psc.h>
#include <test/test.h>
#include <vmrun/abi.h>
#include <x86/io.h>
#include <x86/memory.h>

#define PORT_PIC1_MASK 0x21u
#define PORT_NOWHERE   0x80u
#define GUARD	       0xdd
#define RAX_PATTERN    0x1122334455667788ull
#define BUFFER	       GHCB_SHARED_BUFFER_SIZE
#define IOAPIC_SELECT  0xfec00000ull
#define IOAPIC_WINDOW  0xfec00010ull
#define REDIRECTION_0  0x10
#define ENTRY	       0x1a0a5u /* of the I/O APIC, all bits of which can be written */

struct io {
	unsigned int port, size;
	bool in;
	uint64_t count;
	unsigned int offset; /* in the shared buffer */
};

/* The shared buffer before and after, and what was answered. */
static uint8_t buffer[BUFFER];
static struct answer {
	uint64_t info_1, info_2, rax;
} answer;

static void finish(struct ghcb *ghcb, uint64_t event, uint64_t info_1, uint64_t info_2,
		   unsigned int offset)
{
	memcpy(ghcb->shared_buffer, buffer, BUFFER);
	GHCB_SET(ghcb, sw_scratch, ghcb_buffer_gpa() + offset);
	answer.info_1 = ghcb_exit(ghcb, event, info_1, info_2);
	answer.info_2 = ghcb->sw_exit_info_2;
	answer.rax = ghcb->rax;
	memcpy(buffer, ghcb->shared_buffer, BUFFER);
}

static uint64_t io_info(const struct io *io)
{
	return (uint64_t)io->port << IOIO_PORT_SHIFT | io->size << IOIO_SIZE_SHIFT |
	       IOIO_ADDRESS_64 | (io->in ? IOIO_IN : 0);
}

static void string_io(const struct io *io)
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);

	finish(ghcb, SVM_EXIT_IOIO, io_info(io) | IOIO_STRING | IOIO_REP, io->count, io->offset);
	ghcb_release(&hold);
}

static void expect_no_action(const char *what)
{
	EXPECT_EQ(answer.info_1, GHCB_NO_ACTION, "%s", what);
	EXPECT_EQ(answer.info_2, 0, "%s", what);
}

static void expect_guard(unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++)
		if (!EXPECT_EQ(buffer[i], GUARD, "byte %u of the shared buffer", i))
			return;
}

static void check_input(unsigned int port, unsigned int size, uint64_t value, uint64_t count,
			unsigned int offset)
{
	const struct io io = { port, size, true, count, offset };
	unsigned int end = offset + count * size;

	memset(buffer, GUARD, sizeof(buffer));
	string_io(&io);
	expect_no_action("string input");
	expect_guard(0, offset);
	for (unsigned int i = offset; i < end; i += size)
		if (!EXPECT_MEM_EQ(&buffer[i], &value, size, "at byte %u", i))
			break;
	expect_guard(end, BUFFER);
}

/* Counts and places: at the beginning, in the middle, unaligned, at the end, and all. */
static void check_inputs(unsigned int port, unsigned int size, uint64_t value)
{
	unsigned int most = BUFFER / size;

	check_input(port, size, value, 1, 0);
	check_input(port, size, value, 1, BUFFER - size);
	check_input(port, size, value, 3, 1001);
	check_input(port, size, value, 16, BUFFER - 16 * size);
	check_input(port, size, value, most - 1, size);
	check_input(port, size, value, most, 0);
}

TEST("string input of bytes fills its elements and no others, from a device of the kernel's")
{
	outb(PORT_PIC1_MASK, 0xe7);
	check_inputs(PORT_PIC1_MASK, 1, 0xe7);
	outb(PORT_PIC1_MASK, 0xff);
}

TEST("string input of doublewords fills its elements and no others, from a device of the VMM's")
{
	check_inputs(VMRUN_PORT_REQUEST, 4, VMRUN_REQUEST_MAGIC);
}

TEST("string input of words fills its elements and no others")
{
	check_inputs(PORT_NOWHERE, 2, 0xffff);
}

TEST("string output is in order, at each place of the scratch area, and leaves it as it was")
{
	static const struct {
		unsigned int offset, count;
	} cases[] = { { 0, 1 }, { 0, 4 }, { 1000, 3 }, { BUFFER - 1, 1 }, { 0, BUFFER } };

	for (unsigned int i = 0; i < COUNT_OF(cases); i++) {
		struct io io = { PORT_PIC1_MASK, 1, false, cases[i].count, cases[i].offset };
		unsigned int last = cases[i].offset + cases[i].count - 1;

		memset(buffer, GUARD, sizeof(buffer));
		buffer[last] = 0xe0 + i;
		string_io(&io);
		expect_no_action("string output");
		EXPECT_EQ(inb(PORT_PIC1_MASK), 0xe0 + i, "case %u", i);
		expect_guard(0, last);
		expect_guard(last + 1, BUFFER);
	}
	outb(PORT_PIC1_MASK, 0xff);
}

TEST("string output of words and doublewords comes to its end")
{
	for (unsigned int size = 2; size <= 4; size *= 2) {
		struct io io = { PORT_NOWHERE, size, false, BUFFER / size, 0 };

		memset(buffer, GUARD, sizeof(buffer));
		string_io(&io);
		expect_no_action("string output");
		expect_guard(0, BUFFER);
	}
}

TEST("string I/O of no elements does nothing, wherever its scratch area is")
{
	for (unsigned int in = 0; in < 2; in++) {
		struct io io = { PORT_PIC1_MASK, 1, in, 0, BUFFER + 100 };

		memset(buffer, GUARD, sizeof(buffer));
		string_io(&io);
		expect_no_action("no elements");
		expect_guard(0, BUFFER);
	}
}

static void register_io(const struct io *io, uint64_t rax)
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);

	GHCB_SET(ghcb, rax, rax);
	finish(ghcb, SVM_EXIT_IOIO, io_info(io), 0, 0);
	ghcb_release(&hold);
}

TEST("IN gives the bytes that it has, and leaves the rest of RAX; a doubleword clears it")
{
	static const struct {
		unsigned int port, size;
		uint64_t rax;
	} cases[] = {
		{ PORT_PIC1_MASK, 1, (RAX_PATTERN & ~0xffull) | 0xe7 },
		{ PORT_NOWHERE, 1, RAX_PATTERN | 0xff },
		{ PORT_NOWHERE, 2, RAX_PATTERN | 0xffff },
		{ VMRUN_PORT_REQUEST, 4, VMRUN_REQUEST_MAGIC },
	};

	outb(PORT_PIC1_MASK, 0xe7);
	memset(buffer, GUARD, sizeof(buffer));
	for (unsigned int i = 0; i < COUNT_OF(cases); i++) {
		register_io(&(struct io){ cases[i].port, cases[i].size, true, 0, 0 }, RAX_PATTERN);
		expect_no_action("IN");
		EXPECT_EQ(answer.rax, cases[i].rax, "case %u", i);
	}
	expect_guard(0, BUFFER);
	outb(PORT_PIC1_MASK, 0xff);
}

TEST("OUT writes the low bytes of RAX")
{
	memset(buffer, GUARD, sizeof(buffer));
	register_io(&(struct io){ PORT_PIC1_MASK, 1, false, 0, 0 }, 0x11223344556677a3);
	expect_no_action("OUT");
	EXPECT_EQ(inb(PORT_PIC1_MASK), 0xa3);
	expect_guard(0, BUFFER);
	outb(PORT_PIC1_MASK, 0xff);
}

static void mmio(uint64_t gpa, unsigned int size, bool write, unsigned int offset)
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);

	finish(ghcb, write ? GHCB_MMIO_WRITE : GHCB_MMIO_READ, gpa, size, offset);
	ghcb_release(&hold);
}

static void expect_read(uint64_t gpa, unsigned int size, uint64_t value, unsigned int offset)
{
	memset(buffer, GUARD, sizeof(buffer));
	mmio(gpa, size, false, offset);
	expect_no_action("MMIO read");
	expect_guard(0, offset);
	EXPECT_MEM_EQ(&buffer[offset], &value, size, "%u bytes", size);
	expect_guard(offset + size, BUFFER);
}

TEST("MMIO reads of 1 to 8 bytes fill their bytes and no others, at each place")
{
	for (unsigned int size = 1; size <= 8; size++) {
		expect_read(memory_hole(), size, ~0ull, 0);
		expect_read(memory_hole() + 3, size, ~0ull, 777);
		expect_read(memory_hole(), size, ~0ull, BUFFER - size);
	}
}

TEST("MMIO over the edge of a page is done")
{
	for (unsigned int size = 2; size <= 8; size++) {
		expect_read(memory_hole() + PAGE_SIZE - 1, size, ~0ull, 16);
		memset(buffer, GUARD, sizeof(buffer));
		mmio(memory_hole() + PAGE_SIZE - 1, size, true, 16);
		expect_no_action("MMIO write");
		expect_guard(0, BUFFER);
	}
}

static void write_mmio(uint64_t gpa, unsigned int size, uint64_t value, unsigned int offset)
{
	memset(buffer, GUARD, sizeof(buffer));
	memcpy(&buffer[offset], &value, size);
	mmio(gpa, size, true, offset);
	expect_no_action("MMIO write");
	expect_guard(0, offset);
	EXPECT_MEM_EQ(&buffer[offset], &value, size);
	expect_guard(offset + size, BUFFER);
}

TEST("MMIO writes have their bytes and no others, and a device of the kernel's reads them back")
{
	write_mmio(IOAPIC_SELECT, 4, REDIRECTION_0, 0);
	write_mmio(IOAPIC_WINDOW, 4, ENTRY, 100);
	expect_read(IOAPIC_WINDOW, 4, ENTRY, BUFFER - 4);
	write_mmio(IOAPIC_WINDOW, 1, 0x6b, BUFFER - 1);
	expect_read(IOAPIC_WINDOW, 4, 0x6b, 0);
	write_mmio(IOAPIC_WINDOW, 4, 0x10000, 0);
}

TEST("MMIO of a private page neither gives nor changes what is in it")
{
	uint8_t *page = page_alloc();
	uint64_t value = 0x5a69788796a5b4c3;

	for (unsigned int i = 0; i < PAGE_SIZE; i += sizeof(value))
		memcpy(page + i, &value, sizeof(value));
	memset(buffer, GUARD, sizeof(buffer));
	mmio((uintptr_t)page, 8, false, 0);
	expect_no_action("MMIO read");
	EXPECT_NE(memcmp(buffer, &value, sizeof(value)), 0);
	memset(buffer, GUARD, sizeof(buffer));
	mmio((uintptr_t)page, 8, true, 0);
	expect_no_action("MMIO write");
	for (unsigned int i = 0; i < PAGE_SIZE; i += sizeof(value))
		EXPECT_MEM_EQ(page + i, &value, sizeof(value), "byte %u", i);
	page_free(page);
}
