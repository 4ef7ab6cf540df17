// SPDX-License-Identifier: BSD-2-Clause
#include <hypercall/instruction.h>
#include <vmrun/abi.h>
#include <xen/hypercall.h>
#include <xen/page.h>

static const unsigned int argument_registers[XEN_ARGUMENTS] = {
#ifdef __x86_64__
	REG_DI, REG_SI, REG_DX, REG_R10, REG_R8, REG_R9
#else
	REG_BX, REG_CX, REG_DX, REG_SI, REG_DI, REG_BP
#endif
};

void xen_set_call(struct registers *registers, uintptr_t number,
		  const uintptr_t arguments[XEN_ARGUMENTS])
{
	registers->value[REG_AX] = number;
	for (unsigned int i = 0; i < XEN_ARGUMENTS; i++)
		registers->value[argument_registers[i]] = arguments[i];
}

const void *xen_page_stub(const void *page, unsigned int number)
{
	return (const char *)page + number * XEN_PAGE_STUB_SIZE;
}

static long call(const void *code, uintptr_t number, const uintptr_t arguments[XEN_ARGUMENTS])
{
	struct registers before = { 0 }, after;

	xen_set_call(&before, number, arguments);
	call_with_registers(code, &before, &after);
	return (long)after.value[REG_AX];
}

long xen_hypercall_with(uintptr_t number, const uintptr_t arguments[XEN_ARGUMENTS])
{
	return call(hypercall_stub(), number, arguments);
}

long xen_page_call_with(const void *page, unsigned int number,
			const uintptr_t arguments[XEN_ARGUMENTS])
{
	/* The stub loads the number: what eax holds before must not matter. */
	return call(xen_page_stub(page, number), ~(uintptr_t)number, arguments);
}

bool xen_call_works(const void *page, uintptr_t argument)
{
	unsigned int number = XEN_VMRUN_ECHO;
	uintptr_t expected = argument;

	if (xen_answers()) {
		number = XEN_HYPERVISOR_XEN_VERSION;
		argument = XENVER_VERSION;
		/* Another of its ways to tell its version: CPUID. */
		expected = xen_version_by_cpuid();
	}
	if (page)
		return (uintptr_t)xen_page_call(page, number, argument) == expected;
	return (uintptr_t)xen_hypercall(number, argument) == expected;
}
