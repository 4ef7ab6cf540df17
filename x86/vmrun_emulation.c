// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmrun: instructions that KVM's emulator executes on demand
 *
 * With force_emulation_prefix (vmrun --force-emulation) KVM takes UD2 and the letters "kvm" for a
 * prefix, and executes the instruction behind it in arch/x86/kvm/emulate.c. Tests of what the
 * emulator does stand on that: it must really be the emulator, and it must do what the CPU does. An
 * instruction is executed by both, from the same registers, flags and memory, and must leave the
 * same ones.
 *
 * That it is the emulator shows by what it does not know: POPCNT and PXOR have no entry in its
 * tables (emulate.c, twobyte_table), so that they raise #UD, with the address behind the prefix
 * (x86.c, handle_ud and x86_emulate_instruction); and by KVM's own count of emulated instructions
 * ("insn_emulation").
 *
 * A few results that Intel's SDM, volume 2, calls undefined (AF of shifts and MUL) are compared
 * too: the emulator lets the CPU compute, by the same instruction.
 */
#include <hypercall/registers.h>
#include <kvm/emulate.h>
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/paging.h>

#define RET	0xc3
#define DATA	64 /* bytes that instructions may work on */
#define LONGEST 6

struct instruction {
	const char *name;
	uint8_t size;
	uint8_t bytes[LONGEST];
};

/* (E)DI and (E)SI are addresses, all other registers patterns. */
static const struct instruction instructions[] = {
	{ "NOP", 1, { 0x90 } },
	{ "ADD %ecx, %eax", 2, { 0x01, 0xc8 } },
	{ "ADC %ecx, %eax", 2, { 0x11, 0xc8 } },
	{ "SBB %ecx, (%edi)", 2, { 0x19, 0x0f } },
	{ "CMP %ecx, %eax", 2, { 0x39, 0xc8 } },
	{ "NEG (%edi)", 2, { 0xf7, 0x1f } },
	{ "MUL %ecx", 2, { 0xf7, 0xe1 } },
	{ "SHL %cl, %eax", 2, { 0xd3, 0xe0 } },
	{ "CDQ", 1, { 0x99 } },
	{ "MOV %eax, (%edi)", 2, { 0x89, 0x07 } },
	{ "MOV (%edi), %eax", 2, { 0x8b, 0x07 } },
	{ "MOVZX (%edi), %eax", 3, { 0x0f, 0xb6, 0x07 } },
	{ "LEA 4(%edi,%ecx,2), %eax", 4, { 0x8d, 0x44, 0x4f, 0x04 } },
	{ "XCHG %ecx, (%edi)", 2, { 0x87, 0x0f } },
	{ "LOCK XADD %ecx, (%edi)", 4, { 0xf0, 0x0f, 0xc1, 0x0f } },
	{ "LOCK CMPXCHG %ecx, (%edi)", 4, { 0xf0, 0x0f, 0xb1, 0x0f } },
	{ "BT %ecx, %eax", 3, { 0x0f, 0xa3, 0xc8 } },
	{ "CMOVC %ecx, %eax", 3, { 0x0f, 0x42, 0xc1 } },
	{ "SETC (%edi)", 3, { 0x0f, 0x92, 0x07 } },
	{ "BSWAP %ecx", 2, { 0x0f, 0xc9 } },
	{ "MOVSL", 1, { 0xa5 } },
	{ "STOSB", 1, { 0xaa } },
	{ "LODSL", 1, { 0xad } },
	{ "STC", 1, { 0xf9 } },
	{ "LAHF", 1, { 0x9f } },
	{ "JMP to the next", 2, { 0xeb, 0x00 } },
	{ "JC to the next", 2, { 0x72, 0x00 } },
	{ "LOOP to the next", 2, { 0xe2, 0x00 } },
	{ "RET", 1, { 0xc3 } },
	{ "RET $0", 3, { 0xc2, 0x00, 0x00 } },
#ifdef __x86_64__
	{ "ADD %r9, %rax", 3, { 0x4c, 0x01, 0xc8 } },
	{ "XCHG %r15, (%rdi)", 3, { 0x4c, 0x87, 0x3f } },
	{ "MOV (%rdi), %r10", 3, { 0x4c, 0x8b, 0x17 } },
#endif
};

static const struct instruction unknown[] = {
	{ "POPCNT %ecx, %eax", 4, { 0xf3, 0x0f, 0xb8, 0xc1 } },
	{ "PXOR %xmm0, %xmm0", 4, { 0x66, 0x0f, 0xef, 0xc0 } },
	{ "UD2", 2, { 0x0f, 0x0b } },
};

/* What an instruction left behind. */
struct outcome {
	struct registers registers;
	uint8_t data[DATA];
};

static struct outcome run(const uint8_t *code, uint8_t *data, unsigned int seed)
{
	struct outcome outcome;
	struct registers before;

	for (unsigned int i = 0; i < DATA; i++)
		data[i] = 0x5a + 7 * i + seed;
	registers_fill(&before, seed);
	before.value[REG_DI] = (uintptr_t)data;
	before.value[REG_SI] = (uintptr_t)data + DATA / 2;
	call_with_registers(code, &before, &outcome.registers);
	memcpy(outcome.data, data, DATA);
	return outcome;
}

static void compare(const struct instruction *instruction, unsigned int seed)
{
	uint8_t *native = page_alloc(), *emulated = page_alloc(), *data = page_alloc();
	struct outcome wanted, got;

	memcpy(native, instruction->bytes, instruction->size);
	native[instruction->size] = RET;
	emulated_code(emulated, instruction->bytes, instruction->size);
	wanted = run(native, data, seed);
	got = run(emulated, data, seed);
	expect_registers_kept(&wanted.registers, &got.registers, 0, instruction->name);
	EXPECT_MEM_EQ(got.data, wanted.data, DATA, "%s", instruction->name);
	page_free(native);
	page_free(emulated);
	page_free(data);
}

TEST("the emulator leaves the registers, flags and memory that the CPU leaves")
{
	REQUIRE(vmm_forces_emulation());
	for (unsigned int i = 0; i < COUNT_OF(instructions); i++)
		for (unsigned int seed = 1; seed <= 3; seed++)
			compare(&instructions[i], seed);
}

TEST("KVM counts each of them as an emulated instruction")
{
	static const uint8_t nop = 0x90;
	uint8_t *code = page_alloc();
	uint64_t before, after;

	REQUIRE(vmm_forces_emulation());
	emulated_code(code, &nop, 1);
	ASSERT_EQ(vmm_statistic("insn_emulation", &before), 0);
	for (unsigned int i = 0; i < 100; i++)
		((void (*)(void))code)();
	ASSERT_EQ(vmm_statistic("insn_emulation", &after), 0);
	EXPECT_GE(after - before, 100);
	page_free(code);
}

TEST("an instruction that the emulator does not know raises UD behind the prefix")
{
	uint8_t *code = page_alloc();

	REQUIRE(vmm_forces_emulation());
	for (unsigned int i = 0; i < COUNT_OF(unknown); i++) {
		struct x86_fault fault;

		emulated_code(code, unknown[i].bytes, unknown[i].size);
		fault = FAULT_OF(((void (*)(void))code)());
		EXPECT_FAULT_EQ(fault, UD, 0, "%s", unknown[i].name);
		EXPECT_EQ(fault.ip, (uintptr_t)code + KVM_EMULATE_PREFIX_SIZE, "%s",
			  unknown[i].name);
	}
	page_free(code);
}

/* MOV (%edi), %eax and MOV %eax, (%edi), where nothing is mapped. */
TEST("a memory operand that is not mapped raises PF, with the address and the kind of access")
{
	static const struct instruction accesses[] = { { "read", 2, { 0x8b, 0x07 } },
						       { "write", 2, { 0x89, 0x07 } } };
	uint8_t *code = page_alloc();

	REQUIRE(vmm_forces_emulation());
	for (unsigned int write = 0; write < COUNT_OF(accesses); write++) {
		struct registers before, after;
		struct x86_fault fault;

		emulated_code(code, accesses[write].bytes, accesses[write].size);
		registers_fill(&before, 1);
		before.value[REG_DI] = VA_FREE;
		fault = FAULT_OF(call_with_registers(code, &before, &after));
		EXPECT_FAULT_EQ(fault, PF, write ? PF_WRITE : 0, "%s", accesses[write].name);
		EXPECT_EQ(fault.cr2, VA_FREE, "%s", accesses[write].name);
		EXPECT_EQ(fault.ip, (uintptr_t)code + KVM_EMULATE_PREFIX_SIZE, "%s",
			  accesses[write].name);
	}
	page_free(code);
}
