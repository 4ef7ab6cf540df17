// SPDX-License-Identifier: BSD-2-Clause
#include <hypercall/instruction.h>
#include <hyperv/abi.h>
#include <hyperv/page.h>
#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <xen/page.h>

#define INT3 0xcc

bool hv_present(void)
{
	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR))
		return false;
	return cpuid(HV_CPUID_INTERFACE, 0).eax == HV_INTERFACE;
}

void hv_skip_if_absent(void)
{
	if (!hv_present())
		SKIP("no Hyper-V leaves in CPUID");
}

void hv_enable_hypercalls(void)
{
	wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_GUEST_OS_ID_VMABI);
}

void hv_disable_hypercalls(void)
{
	wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
}

void hv_install_page(const void *page)
{
	wrmsr(HV_X64_MSR_HYPERCALL, (uintptr_t)page | HV_X64_MSR_HYPERCALL_ENABLE);
}

void *hv_page_new(void)
{
	void *page;

	hv_skip_if_absent();
	page = page_alloc();
	hv_enable_hypercalls();
	hv_install_page(page);
	return page;
}

uint8_t hv_page_rest(uint8_t before)
{
	return xen_itself() ? INT3 : before;
}

size_t hv_page_expected(uint8_t code[HV_PAGE_CODE_MAX])
{
	static const uint8_t orl_eax[] = { 0x0d, 0x00, 0x00, 0x00, 0x80 };
	const uint8_t *instruction = hypercall_instruction();
	size_t size = 0;

	if (xen_present()) {
		for (size_t i = 0; i < sizeof(orl_eax); i++)
			code[size++] = orl_eax[i];
	}
	for (size_t i = 0; i < HYPERCALL_INSTRUCTION_SIZE; i++)
		code[size++] = instruction[i];
	code[size++] = 0xc3;
	return size;
}
