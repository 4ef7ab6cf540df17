// SPDX-License-Identifier: BSD-2-Clause
#include <kvm/emulate.h>

#include <libc/string.h>

#define RET 0xc3

size_t emulated_code(uint8_t *code, const uint8_t *instruction, size_t size)
{
	static const uint8_t prefix[KVM_EMULATE_PREFIX_SIZE] = { 0x0f, 0x0b, 'k', 'v', 'm' };

	memcpy(code, prefix, sizeof(prefix));
	memcpy(code + sizeof(prefix), instruction, size);
	code[sizeof(prefix) + size] = RET;
	return sizeof(prefix) + size + 1;
}
