// SPDX-License-Identifier: BSD-2-Clause
/*
 * The runtime: instructions that exit
 *
 * Ports, MMIO, CPUID, debug registers: what the hypervisor carries out for a plain VM, and the
 * guest's own #VC handler for an encrypted one (lib/sev), which has to decode the instruction as
 * the hypervisor otherwise would. The same results must come of both: how much of a register is
 * written, what is extended and how, where a string instruction stands afterwards, in both
 * directions, over the edges of pages and over what fits one exit.
 *
 * The devices are those that KVM has itself: the PIC's mask register at port 0x21 reads what was
 * written last, and so does the I/O APIC's window (Intel 82093AA, 3.1) at 0xfec00010 for bits 16,
 * 15, 13 and 7:0 of a redirection entry, also for part of a word (arch/x86/kvm/ioapic.c,
 * ioapic_mmio_read, ioapic_mmio_write). vmrun's request port reads its magic number, and where
 * nothing is, reads give ones.
 *
 * Sources: Intel SDM volume 2, the instructions; AMD APM volume 3.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <sev/instructions.h>
#include <test/test.h>
#include <vmrun/abi.h>
#include <x86/cpuid.h>
#include <x86/exits.h>
#include <x86/io.h>
#include <x86/memory.h>
#include <x86/paging.h>
#include <x86/registers.h>
#include <x86/user.h>

#define PORT_PIC1_MASK 0x21
#define PORT_NOWHERE   0x80
#define GUARD	       0xdd

#define IOAPIC_SELECT  ((volatile void *)0xfec00000ul)
#define IOAPIC_WINDOW  ((volatile void *)0xfec00010ul)
#define REDIRECTION_0  0x10
/* Masked, level-triggered, active low, vector 0xa5: both halves' top bits are set. */
#define ENTRY 0x1a0a5u

/* Larger than what one exit of a GHCB takes. */
#define LONG_COUNT 5000

static uint8_t buffer[2 * 4096] __attribute__((aligned(4096)));

TEST("REP OUTS writes its bytes in order, upwards and downwards")
{
	static const uint8_t bytes[] = { 0xf1, 0xf2, 0xf4, 0xf8 };
	struct string_end end = rep_outsb(PORT_PIC1_MASK, bytes, 3, false);

	EXPECT_EQ(inb(PORT_PIC1_MASK), 0xf4);
	EXPECT_EQ(end.pointer, (uintptr_t)&bytes[3]);
	EXPECT_EQ(end.count, 0);

	end = rep_outsb(PORT_PIC1_MASK, &bytes[3], 3, true);
	EXPECT_EQ(inb(PORT_PIC1_MASK), 0xf2);
	EXPECT_EQ(end.pointer, (uintptr_t)&bytes[0]);
	EXPECT_EQ(end.count, 0);
	outb(PORT_PIC1_MASK, 0xff);
}

TEST("OUTS without REP writes one byte, and a count of 0 writes none")
{
	static const uint8_t bytes[] = { 0xf1, 0xf2 };
	struct string_end end = one_outsb(PORT_PIC1_MASK, bytes, 2);

	EXPECT_EQ(inb(PORT_PIC1_MASK), 0xf1);
	EXPECT_EQ(end.pointer, (uintptr_t)&bytes[1]);
	EXPECT_EQ(end.count, 2);

	end = rep_outsb(PORT_PIC1_MASK, &bytes[1], 0, false);
	EXPECT_EQ(inb(PORT_PIC1_MASK), 0xf1);
	EXPECT_EQ(end.pointer, (uintptr_t)&bytes[1]);
	outb(PORT_PIC1_MASK, 0xff);
}

static void expect_bytes(size_t from, size_t count, uint8_t byte)
{
	for (size_t i = from; i < from + count; i++)
		if (!EXPECT_EQ(buffer[i], byte, "byte %zu", i))
			return;
}

static void check_ins(size_t first, size_t count, bool down)
{
	const uint8_t *at = &buffer[down ? first + count - 1 : first];
	struct string_end end;

	memset(buffer, GUARD, sizeof(buffer));
	end = rep_insb(PORT_PIC1_MASK, at, count, down);
	expect_bytes(0, first, GUARD);
	expect_bytes(first, count, 0xe7);
	expect_bytes(first + count, sizeof(buffer) - first - count, GUARD);
	EXPECT_EQ(end.pointer, (uintptr_t)&buffer[first] + (down ? -1 : (intptr_t)count));
	EXPECT_EQ(end.count, 0);
}

TEST("REP INS fills its bytes and no others, upwards and downwards, over the edge of a page")
{
	outb(PORT_PIC1_MASK, 0xe7);
	for (unsigned int down = 0; down < 2; down++) {
		check_ins(16, 1, down);
		check_ins(17, 30, down);
		check_ins(PAGE_SIZE - 7, 20, down);
	}
	outb(PORT_PIC1_MASK, 0xff);
}

TEST("REP INS of doublewords goes on where one exit has ended")
{
	uint32_t *words = (uint32_t *)buffer;
	size_t count = LONG_COUNT / sizeof(*words);
	struct string_end end;

	memset(buffer, GUARD, sizeof(buffer));
	end = rep_insl(VMRUN_PORT_REQUEST, words, count, false);
	for (size_t i = 0; i < count; i++)
		if (!EXPECT_EQ(words[i], VMRUN_REQUEST_MAGIC, "doubleword %zu", i))
			break;
	EXPECT_EQ(buffer[count * sizeof(*words)], GUARD);
	EXPECT_EQ(end.pointer, (uintptr_t)&words[count]);
	EXPECT_EQ(end.count, 0);
}

TEST("REP OUTS of many doublewords comes to its end")
{
	struct string_end end = rep_outsl(PORT_NOWHERE, buffer, LONG_COUNT / 4, false);

	EXPECT_EQ(end.pointer, (uintptr_t)buffer + LONG_COUNT);
	EXPECT_EQ(end.count, 0);
}

/* The first page is there, the second is not. */
TEST("REP INS into a page that is missing raises PF there, with what comes before done")
{
	uint8_t *page = page_alloc();
	struct x86_fault fault;

	map_page(VA_FREE, (uintptr_t)page, LEVEL_4K, PTE_RAM);
	map_page(VA_FREE + PAGE_SIZE, (uintptr_t)page, LEVEL_4K, 0);
	outb(PORT_PIC1_MASK, 0xe7);
	fault = FAULT_OF(rep_insb(PORT_PIC1_MASK, (void *)(VA_FREE + PAGE_SIZE - 5), 20, false));
	outb(PORT_PIC1_MASK, 0xff);
	EXPECT_FAULT_EQ(fault, PF, PF_WRITE);
	EXPECT_EQ(fault.cr2, VA_FREE + PAGE_SIZE);
	for (unsigned int i = PAGE_SIZE - 5; i < PAGE_SIZE; i++)
		EXPECT_EQ(page[i], 0xe7, "byte %u", i);
	EXPECT_FAULT(PF, 0, one_outsb(PORT_PIC1_MASK, (void *)(VA_FREE + PAGE_SIZE), 1));
	EXPECT_FAULT(PF, PF_WRITE,
		     rep_insl(VMRUN_PORT_REQUEST, (void *)(VA_FREE + PAGE_SIZE - 3), 1, false));
}

TEST("IN writes the part of RAX that it names, and a doubleword clears the rest")
{
	outb(PORT_PIC1_MASK, 0xe7);
	EXPECT_EQ(in_al(PORT_PIC1_MASK), (EXITS_PATTERN & ~0xffull) | 0xe7);
	EXPECT_EQ(in_al_pic(PORT_PIC1_MASK), (EXITS_PATTERN & ~0xffull) | 0xe7);
	EXPECT_EQ(in_eax(VMRUN_PORT_REQUEST), VMRUN_REQUEST_MAGIC);
	outb(PORT_PIC1_MASK, 0xff);
}

static void select_entry(void)
{
	store_eax(IOAPIC_SELECT, REDIRECTION_0);
	store_eax(IOAPIC_WINDOW, ENTRY);
}

TEST("a load from MMIO writes, zero-extends and sign-extends as the instruction says")
{
	static const struct {
		uint64_t (*load)(const volatile void *at);
		uint64_t expected;
		const char *name;
	} loads[] = {
		{ load_al, (EXITS_PATTERN & ~0xffull) | 0xa5, "AL" },
		{ load_ah, (EXITS_PATTERN & ~0xff00ull) | 0xa500, "AH" },
		{ load_ax, (EXITS_PATTERN & ~0xffffull) | 0xa0a5, "AX" },
		{ load_eax, ENTRY, "EAX" },
		{ load_rax, ENTRY, "RAX" },
		{ load_zx_byte, 0xa5, "MOVZX of a byte" },
		{ load_zx_word, 0xa0a5, "MOVZX of a word" },
		{ load_sx_byte_word, (EXITS_PATTERN & ~0xffffull) | 0xffa5, "MOVSX to a word" },
		{ load_sx_byte, 0xffffffa5, "MOVSX of a byte" },
		{ load_sx_word, 0xffffffffffffa0a5, "MOVSX of a word" },
		{ load_disp8, ENTRY, "an 8-bit displacement" },
		{ load_disp32, ENTRY, "a 32-bit displacement" },
		{ load_sib, ENTRY, "base, index and displacement" },
	};

	select_entry();
	for (unsigned int i = 0; i < COUNT_OF(loads); i++)
		EXPECT_EQ(loads[i].load(IOAPIC_WINDOW), loads[i].expected, "%s", loads[i].name);
	EXPECT_EQ(load_extended(IOAPIC_WINDOW), ENTRY);
}

static void expect_entry(uint32_t value, const char *name)
{
	EXPECT_EQ((uint32_t)load_eax(IOAPIC_WINDOW), value, "%s", name);
	store_eax(IOAPIC_WINDOW, ENTRY);
}

/* KVM's I/O APIC takes a part of a word as a word whose rest is zero. */
TEST("a store to MMIO has the bytes that the instruction says")
{
	select_entry();
	store_al(IOAPIC_WINDOW, 0xfffff5a3);
	expect_entry(0xa3, "AL");
	store_ah(IOAPIC_WINDOW, 0xffff5aff);
	expect_entry(0x5a, "AH");
	store_ax(IOAPIC_WINDOW, 0xffffa0b7);
	expect_entry(0xa0b7, "AX");
	store_rax(IOAPIC_WINDOW, 0xffffffff0001a0c9);
	expect_entry(0x1a0c9, "RAX");
	store_immediate_8(IOAPIC_WINDOW, 0x6b);
	expect_entry(0x6b, "an immediate byte");
	store_immediate_32(IOAPIC_WINDOW, 0x180d1);
	expect_entry(0x180d1, "an immediate doubleword");
	store_eax(IOAPIC_WINDOW, 0x10000);
}

TEST("MOVS moves between MMIO and memory, in both directions, and STOS stores")
{
	uint32_t value = 0x1a077, words[2] = { 0 };

	select_entry();
	EXPECT_EQ(rep_movsl(&words[1], IOAPIC_WINDOW, 1), 0);
	EXPECT_EQ(words[1], ENTRY);
	EXPECT_EQ(words[0], 0);
	EXPECT_EQ(rep_movsl(IOAPIC_WINDOW, &value, 1), 0);
	expect_entry(value, "MOVS");
	EXPECT_EQ(rep_stosl(IOAPIC_WINDOW, 0x1a055, 1), 0);
	expect_entry(0x1a055, "STOS");
	store_eax(IOAPIC_WINDOW, 0x10000);
}

TEST("where nothing is, loads of each size give ones, and stores go nowhere")
{
	volatile void *hole = (volatile void *)(uintptr_t)memory_hole();

	store_rax(hole, 0);
	EXPECT_EQ(load_rax(hole), ~0ull);
	EXPECT_EQ(load_eax(hole), 0xffffffff);
	EXPECT_EQ(load_zx_word(hole), 0xffff);
	EXPECT_EQ(load_zx_byte(hole), 0xff);
	EXPECT_EQ(rep_movsl(buffer, hole, 8), 0);
	expect_bytes(0, 32, 0xff);
}

static uintptr_t signature(uintptr_t leaf)
{
	return cpuid(leaf, 0).ebx;
}

TEST("CPUID gives the same at CPL 3 as at CPL 0")
{
	EXPECT_EQ(user_call(signature, 0).value, cpuid(0, 0).ebx);
	EXPECT_EQ(user_call(signature, 0x80000000).value, cpuid(0x80000000, 0).ebx);
}

/* With no breakpoint enabled: the conditions alone. */
TEST("DR7 reads as it was written, with bit 10 set")
{
	write_dr7(0xabc00000);
	EXPECT_EQ(read_dr7(), 0xabc00000 | DR7_DEFAULT);
	write_dr7(DR7_DEFAULT);
	EXPECT_EQ(read_dr7(), DR7_DEFAULT);
}

TEST("WBINVD is gone over")
{
	wbinvd();
}
