// SPDX-License-Identifier: BSD-2-Clause
#include <kvm/hypercall.h>

#include <hypercall/instruction.h>
#include <x86/paging.h>

void kvm_set_call(struct registers *registers, uintptr_t number,
		  const uintptr_t arguments[KVM_ARGUMENTS])
{
	static const unsigned int argument_registers[KVM_ARGUMENTS] = { REG_BX, REG_CX, REG_DX,
									REG_SI };

	registers->value[REG_AX] = number;
	for (unsigned int i = 0; i < KVM_ARGUMENTS; i++)
		registers->value[argument_registers[i]] = arguments[i];
}

long kvm_hypercall_with(uintptr_t number, const uintptr_t arguments[KVM_ARGUMENTS])
{
	struct registers before = { 0 }, after;

	kvm_set_call(&before, number, arguments);
	call_with_registers(hypercall_stub(), &before, &after);
	return (long)after.value[REG_AX];
}

static long map_gpa_range(uint64_t gpa, uint64_t size, uintptr_t attributes)
{
	if ((gpa | size) % LEVEL_SIZE(LEVEL_2M) == 0)
		attributes |= KVM_MAP_GPA_RANGE_PAGE_SZ_2M;
	return kvm_hypercall(KVM_HC_MAP_GPA_RANGE, (uintptr_t)gpa, (uintptr_t)(size >> PAGE_SHIFT),
			     attributes);
}

long kvm_make_private(uint64_t gpa, uint64_t size)
{
	return map_gpa_range(gpa, size, KVM_MAP_GPA_RANGE_ENCRYPTED);
}

long kvm_make_shared(uint64_t gpa, uint64_t size)
{
	return map_gpa_range(gpa, size, KVM_MAP_GPA_RANGE_DECRYPTED);
}
