// SPDX-License-Identifier: BSD-2-Clause
#include <hypercall/instruction.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/abi.h>
#include <vmrun/vmm.h>
#include <x86/cpuid.h>
#include <x86/io.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <xen/page.h>

#define MOV_EAX 0xb8
#define RET	0xc3
#define INT3	0xcc

static const uint8_t ud2[] = { 0x0f, 0x0b };

bool xen_present(void)
{
	return xen_hypercall_msr() != 0;
}

bool xen_itself(void)
{
	/* As below. */
	static bool searched, found;
	uint32_t base;

	if (!searched)
		found = xen_present() && !cpuid_hypervisor("KVMKVMKVM\0\0", &base) &&
			inb(VMRUN_PORT_CONSOLE) != VMRUN_PORT_CONSOLE;
	searched = true;
	return found;
}

bool xen_answers(void)
{
	/* As below. */
	static bool searched, found;

	if (!searched)
		found = xen_itself() || (xen_present() && !has_vmm());
	searched = true;
	return found;
}

uint32_t xen_version_by_cpuid(void)
{
	uint32_t base;

	REQUIRE(cpuid_hypervisor(XEN_CPUID_SIGNATURE, &base));
	return cpuid(base + XEN_CPUID_VERSION, 0).eax;
}

uint32_t xen_hypercall_msr(void)
{
	/* Kept, as a search of all leaves is many exits. CPUs that race here find the same. */
	static bool searched;
	static uint32_t msr;
	uint32_t base;

	if (!searched && cpuid_hypervisor(XEN_CPUID_SIGNATURE, &base))
		msr = cpuid(base + XEN_CPUID_HYPERCALL, 0).ebx;
	searched = true;
	return msr;
}

void xen_skip_if_absent(void)
{
	if (!xen_present())
		SKIP("no Xen leaves in CPUID");
}

void *xen_page_new(void)
{
	void *page;

	xen_skip_if_absent();
	page = page_alloc();
	wrmsr(xen_hypercall_msr(), (uintptr_t)page);
	return page;
}

static void expected_stub(uint8_t stub[XEN_PAGE_STUB_SIZE], unsigned int number)
{
	const uint8_t *instruction = hypercall_instruction();
	unsigned int i = 0;

	if (number == XEN_HYPERVISOR_IRET && xen_itself()) {
		memset(stub, INT3, XEN_PAGE_STUB_SIZE);
		memcpy(stub, ud2, sizeof(ud2));
		return;
	}
	stub[i++] = MOV_EAX;
	stub[i++] = number & 0xff;
	stub[i++] = 0;
	stub[i++] = 0;
	stub[i++] = 0;
	for (unsigned int byte = 0; byte < HYPERCALL_INSTRUCTION_SIZE; byte++)
		stub[i++] = instruction[byte];
	stub[i++] = RET;
	while (i < XEN_PAGE_STUB_SIZE)
		stub[i++] = INT3;
}

void xen_page_expected(uint8_t page[XEN_PAGE_STUBS * XEN_PAGE_STUB_SIZE])
{
	for (unsigned int number = 0; number < XEN_PAGE_STUBS; number++)
		expected_stub(page + number * XEN_PAGE_STUB_SIZE, number);
}
