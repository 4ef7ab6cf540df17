// SPDX-License-Identifier: BSD-2-Clause
#include <hypercall/instruction.h>
#include <hyperv/hypercall.h>
#include <test/test.h>
#include <xen/page.h>

void hv_set_call(struct registers *registers, uint64_t control, uint64_t input, uint64_t output)
{
#ifdef __x86_64__
	registers->value[REG_AX] &= ~(uint64_t)HV_DISPATCH_BIT;
	registers->value[REG_CX] = control;
	registers->value[REG_DX] = input;
	registers->value[REG_R8] = output;
#else
	registers->value[REG_DX] = control >> 32;
	registers->value[REG_AX] = control;
	registers->value[REG_BX] = input >> 32;
	registers->value[REG_CX] = input;
	registers->value[REG_DI] = output >> 32;
	registers->value[REG_SI] = output;
#endif
}

unsigned int hv_rsvd0_bits(void)
{
	bool marked = sizeof(void *) == 4 && xen_present();

	return HV_HYPERCALL_RSVD0_BITS - marked;
}

void hv_skip_without_event_calls(void)
{
	if (xen_itself())
		SKIP("Xen itself has no such call of Hyper-V's");
}

uint64_t hv_refusal(void)
{
	return xen_itself() ? HV_STATUS_INVALID_HYPERCALL_CODE : HV_STATUS_INVALID_HYPERCALL_INPUT;
}

uint64_t hv_result(const struct registers *after)
{
#ifdef __x86_64__
	return after->value[REG_AX];
#else
	return (uint64_t)after->value[REG_DX] << 32 | after->value[REG_AX];
#endif
}

static uint64_t call(const void *code, uint64_t control, uint64_t input, uint64_t output,
		     uint32_t dispatch)
{
	struct registers before = { 0 }, after;

	hv_set_call(&before, control, input, output);
	before.value[REG_AX] |= dispatch;
	call_with_registers(code, &before, &after);
	return hv_result(&after);
}

uint64_t hv_hypercall(uint64_t control, uint64_t input, uint64_t output)
{
	return call(hypercall_stub(), control, input, output, xen_present() ? HV_DISPATCH_BIT : 0);
}

uint64_t hv_page_call(const void *page, uint64_t control, uint64_t input, uint64_t output)
{
	return call(page, control, input, output, 0);
}
