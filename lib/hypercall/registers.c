// SPDX-License-Identifier: BSD-2-Clause
#include <hypercall/registers.h>
#include <test/test.h>

static const char *const names[REGISTERS] = {
	[REG_AX] = "ax",   [REG_BX] = "bx",   [REG_CX] = "cx",	 [REG_DX] = "dx",
	[REG_SI] = "si",   [REG_DI] = "di",   [REG_BP] = "bp",	 [REG_FLAGS] = "flags",
#ifdef __x86_64__
	[REG_R8] = "r8",   [REG_R9] = "r9",   [REG_R10] = "r10", [REG_R11] = "r11",
	[REG_R12] = "r12", [REG_R13] = "r13", [REG_R14] = "r14", [REG_R15] = "r15",
#endif
};

void registers_fill(struct registers *registers, unsigned int seed)
{
	for (unsigned int i = 0; i < REGISTERS; i++) {
		uint64_t value = 0x8182848881828488 ^ ((seed * REGISTERS + i) * 0x0101010101010101);

		registers->value[i] = (uintptr_t)value;
	}
}

void expect_registers_kept(const struct registers *before, const struct registers *after,
			   unsigned int but, const char *call)
{
	for (unsigned int i = 0; i < REGISTERS; i++) {
		if (!(but & REG_BIT(i)))
			EXPECT_EQ(after->value[i], before->value[i], "register %s after %s",
				  names[i], call);
	}
}
