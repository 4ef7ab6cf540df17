// SPDX-License-Identifier: BSD-2-Clause
/*
 * Hyper-V hypercalls from compatibility mode
 *
 * 32-bit code in a 64-bit guest makes calls with the registers of 32-bit guests: the control value in
 * edx:eax, the input in ebx:ecx, the output in edi:esi, the result in edx:eax (TLFS, "Hypercall
 * Inputs"). KVM tells the ABIs apart by the code segment of the caller, not by the guest's mode
 * (arch/x86/kvm/x86.h, is_64_bit_hypercall(), which on a CPU with protected registers is always
 * true); a call of one mode that is read as one of the other has a wild input. Linux 6.12 and 7.2
 * do the same. What the calls are is in hyperv/call.c.
 */
#include <hypercall/compat.h>
#include <hypercall/instruction.h>
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <hyperv/xmm.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/memory.h>

#define HARMLESS      HVCALL_NOTIFY_LONG_SPIN_WAIT
#define INVALID_CODE  HV_STATUS_INVALID_HYPERCALL_CODE
#define INVALID_INPUT HV_STATUS_INVALID_HYPERCALL_INPUT
#define FAST	      HV_HYPERCALL_FAST
#define VECTOR	      0x40

static uint64_t call_by(const void *code, uint64_t control, uint64_t input, uint64_t output)
{
	const struct compat_registers before = {
		.eax = (uint32_t)control,
		.ebx = (uint32_t)(input >> 32),
		.ecx = (uint32_t)input,
		.edx = (uint32_t)(control >> 32),
		.esi = (uint32_t)output,
		.edi = (uint32_t)(output >> 32),
	};
	struct compat_registers after;

	call_in_compatibility_mode(code, &before, &after);
	EXPECT_EQ(after.ebx, before.ebx);
	EXPECT_EQ(after.ecx, before.ecx);
	EXPECT_EQ(after.esi, before.esi);
	EXPECT_EQ(after.edi, before.edi);
	return (uint64_t)after.edx << 32 | after.eax;
}

/* Both ways: by the instruction and by the page. */
static void expect_call(uint64_t control, uint64_t input, uint64_t output, uint64_t expected)
{
	const void *page = hv_page_new();

	EXPECT_EQ(call_by(hypercall_stub(), control, input, output), expected,
		  "control 0x%llx, direct", (unsigned long long)control);
	EXPECT_EQ(call_by(page, control, input, output), expected, "control 0x%llx, page",
		  (unsigned long long)control);
}

TEST("a call that needs nothing succeeds")
{
	expect_call(HARMLESS, 0, 0, HV_STATUS_SUCCESS);
}

TEST("an unknown code is refused as such")
{
	expect_call(HV_CODE_UNKNOWN, 0, 0, INVALID_CODE);
	expect_call(0xffff, 0, 0, INVALID_CODE);
}

TEST("each reserved bit of the control value is refused, in both of its halves")
{
	for (unsigned int bit = HV_HYPERCALL_RSVD0_SHIFT; bit < 64; bit++)
		if (bit < 32 || (bit >= 44 && bit < 48) || bit >= 60)
			expect_call(HARMLESS | 1ull << bit, 0, 0, INVALID_INPUT);
}

TEST("repetitions and a variable header arrive, and are refused where there are none")
{
	for (unsigned int bit = HV_HYPERCALL_VARHEAD_SHIFT; bit < 60; bit++)
		if (bit < HV_HYPERCALL_RSVD0_SHIFT || (bit >= 32 && bit < 44) || bit >= 48)
			expect_call(HARMLESS | 1ull << bit, 0, 0, INVALID_INPUT);
}

TEST("the input is an address, of both of its halves")
{
	const uintptr_t input = (uintptr_t)page_alloc();

	expect_call(HVCALL_SIGNAL_EVENT, input + 4, 0, HV_STATUS_INVALID_ALIGNMENT);
	expect_call(HVCALL_SIGNAL_EVENT, input, 0, INVALID_INPUT);
	expect_call(HVCALL_SIGNAL_EVENT, 1ull << 38 | input, 0, HV_STATUS_INVALID_ALIGNMENT);
}

TEST("the high half of the result tells how many repetitions were done")
{
	uint64_t *input = page_alloc();

	input[1] = HV_FLUSH_ALL_PROCESSORS;
	for (uint64_t count = 1; count < 400; count *= 3)
		expect_call(HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST | count << HV_HYPERCALL_REP_COUNT,
			    (uintptr_t)input, 0, count << HV_RESULT_REPS_SHIFT);
}

static unsigned int taken;

static void take(struct x86_frame *frame)
{
	(void)frame;
	taken++;
	apic_eoi();
}

static unsigned int taken_after(uint64_t input, uint64_t output, uint64_t expected)
{
	hv_page_new();
	irq_handler(VECTOR, take);
	apic_id();
	taken = 0;
	EXPECT_EQ(call_by(hypercall_stub(), HVCALL_SEND_IPI | FAST, input, output), expected);
	irq_window();
	return taken;
}

TEST("a fast call takes input and output as values, of both of their halves")
{
	EXPECT_EQ(taken_after(VECTOR, 1, HV_STATUS_SUCCESS), 1);
	EXPECT_EQ(taken_after(VECTOR, 1ull << 32, HV_STATUS_SUCCESS), 0);
	EXPECT_EQ(taken_after(1ull << 32 | VECTOR, 1, INVALID_INPUT), 0);
}

TEST("a fast call takes XMM registers")
{
	/* The set: bank 0, and CPU 0 in it. */
	static const uint64_t halves[HV_XMM_HALVES] = { 1, 1 };

	hv_page_new();
	irq_handler(VECTOR, take);
	apic_id();
	taken = 0;
	/* Loads them; this call itself is refused. */
	EXPECT_EQ(hv_xmm_call(HV_CODE_UNKNOWN, 0, 0, halves), INVALID_CODE);
	EXPECT_EQ(call_by(hypercall_stub(),
			  HVCALL_SEND_IPI_EX | FAST | 1ull << HV_HYPERCALL_VARHEAD_SHIFT, VECTOR,
			  HV_GENERIC_SET_SPARSE_4K),
		  HV_STATUS_SUCCESS);
	irq_window();
	EXPECT_EQ(taken, 1);
	EXPECT_TRUE(hv_xmm_kept(halves));
}

TEST("a call that the VMM answers reaches it with the parameters of this ABI")
{
	const uint64_t input = 0x1122334455667788, output = 0x99aabbccddeeff00;

	hv_page_new();
	EXPECT_EQ(call_by(hypercall_stub(), HV_EXT_CALL_QUERY_CAPABILITIES, input, output),
		  INVALID_CODE);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_INPUT), HV_EXT_CALL_QUERY_CAPABILITIES);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_PARAM0), input);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_PARAM1), output);
}

TEST("a call of 64-bit code beside it is still one of that ABI")
{
	expect_call(HARMLESS, 0, 0, HV_STATUS_SUCCESS);
	EXPECT_EQ(hv_hypercall(HV_CODE_UNKNOWN, 0, 0), INVALID_CODE);
	EXPECT_EQ(hv_hypercall(HARMLESS | 1ull << 63, 0, 0), INVALID_INPUT);
	expect_call(HV_CODE_UNKNOWN, 0, 0, INVALID_CODE);
}
