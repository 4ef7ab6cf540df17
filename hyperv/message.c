// SPDX-License-Identifier: BSD-2-Clause
/*
 * Messages and event flags by way of the SynIC
 *
 * HvCallPostMessage puts a message into the slot of a SINT in a CPU's message page, HvCallSignalEvent
 * sets an event flag, and each raises the SINT's interrupt (TLFS, "Inter-Partition Communication").
 * KVM's part: the call reaches the VMM as the guest made it, but for events whose connection the
 * VMM has given an eventfd (Documentation/virt/kvm/api.rst, KVM_HYPERV_EVENTFD); the VMM raises the
 * SINT, whose vector, mask and auto-EOI are the guest's; and the VMM is told when the guest has
 * acknowledged it, by an EOI of its vector or EOM, since the slot may be free then
 * (arch/x86/kvm/hyperv.c, kvm_hvcall_signal_event(), synic_set_irq(), kvm_hv_notify_acked_sint()).
 *
 * The VMM is vmrun, whose connections <vmrun/abi.h> names. Linux 6.12 and 7.2 do the same.
 */
#include <hyperv/hypercall.h>
#include <hyperv/synic.h>
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/smp.h>
#include <x86/time.h>

#define VECTOR	      0x40 /* of SINT0; the others have those behind */
#define TYPE	      0x1234
#define INVALID_INPUT HV_STATUS_INVALID_HYPERCALL_INPUT
#define SUCCESS	      HV_STATUS_SUCCESS

/* Interrupts that a CPU took, by the SINT whose vector they had. */
static volatile unsigned int taken[2][HV_SYNIC_SINTS];
static volatile bool in_service;

static void take(struct x86_frame *frame)
{
	taken[cpu_id()][frame->vector - VECTOR]++;
	in_service = apic_in_service((uint8_t)frame->vector);
	if (in_service)
		apic_eoi();
}

/* A SynIC with nothing masked. */
static struct hv_synic synic_with(uint64_t flags)
{
	struct hv_synic synic = hv_synic_new();

	for (unsigned int sint = 0; sint < HV_SYNIC_SINTS; sint++) {
		irq_handler(VECTOR + sint, take);
		hv_sint_set(sint, (VECTOR + sint) | flags);
	}
	/* What is pending yet is of the point before. */
	irq_window();
	memset((void *)taken, 0, sizeof(taken));
	return synic;
}

static void make_synic(void *synic)
{
	*(struct hv_synic *)synic = synic_with(0);
}

static struct hv_synic synic_on_1(void)
{
	struct hv_synic synic;

	REQUIRE(cpu_count() >= 2);
	on_cpu(1, make_synic, &synic);
	return synic;
}

static uint64_t post(unsigned int cpu, unsigned int sint, uint64_t payload)
{
	return hv_post_message(VMRUN_CONNECTION(cpu, sint), TYPE, &payload, 1);
}

static void expect_message(volatile struct hv_message *message, uint64_t payload)
{
	EXPECT_EQ(message->type, TYPE);
	EXPECT_EQ(message->size, sizeof(payload));
	EXPECT_EQ(message->flags, 0);
	EXPECT_EQ(message->payload[0], payload);
}

/* The interrupts of this CPU: one of this SINT, and no other. */
static void expect_taken_alone(unsigned int cpu, unsigned int sint)
{
	for (unsigned int i = 0; i < HV_SYNIC_SINTS; i++)
		EXPECT_EQ(taken[cpu][i], i == sint, "SINT%u after one for SINT%u", i, sint);
	memset((void *)taken, 0, sizeof(taken));
}

TEST("a message arrives in the slot of its SINT, with its interrupt, for each of 16")
{
	struct hv_synic synic = synic_with(0);

	for (unsigned int sint = 0; sint < HV_SYNIC_SINTS; sint++) {
		EXPECT_EQ(post(0, sint, 0x1111 * sint), SUCCESS);
		for (unsigned int i = 0; i < HV_SYNIC_SINTS; i++)
			EXPECT_EQ(synic.messages[i].type, i == sint ? TYPE : 0, "SINT%u", i);
		expect_message(&synic.messages[sint], 0x1111 * sint);
		irq_window();
		expect_taken_alone(0, sint);
		hv_message_done(&synic.messages[sint]);
	}
}

TEST("a message arrives at another CPU, for each of 16 SINTs")
{
	struct hv_synic synic;

	synic_with(0);
	synic = synic_on_1();
	for (unsigned int sint = 0; sint < HV_SYNIC_SINTS; sint++) {
		EXPECT_EQ(post(1, sint, sint), SUCCESS);
		EXPECT_TRUE(WAIT_FOR(taken[1][sint], 1000), "SINT%u", sint);
		expect_message(&synic.messages[sint], sint);
		expect_taken_alone(1, sint);
		synic.messages[sint].type = 0;
	}
}

TEST("the message of a masked SINT comes without an interrupt")
{
	struct hv_synic synic = synic_with(0);

	hv_sint_set(4, (VECTOR + 4) | HV_SYNIC_SINT_MASKED);
	EXPECT_EQ(post(0, 4, 9), SUCCESS);
	expect_message(&synic.messages[4], 9);
	EXPECT_FALSE(apic_requested(VECTOR + 4));
	hv_sint_set(4, VECTOR + 4);
	irq_window();
	EXPECT_EQ(taken[0][4], 0, "nor when it is unmasked");
}

TEST("a SINT raises the vector that it has at that time")
{
	synic_with(0);
	hv_sint_set(4, VECTOR + 9);
	EXPECT_EQ(post(0, 4, 9), SUCCESS);
	irq_window();
	expect_taken_alone(0, 9);
}

TEST("without auto-EOI the interrupt of a SINT is in service until its EOI")
{
	synic_with(0);
	EXPECT_EQ(post(0, 6, 1), SUCCESS);
	irq_window();
	EXPECT_EQ(taken[0][6], 1);
	EXPECT_TRUE(in_service);
	EXPECT_FALSE(apic_in_service(VECTOR + 6));
}

TEST("with auto-EOI the interrupt of a SINT is over when it is taken")
{
	synic_with(HV_SYNIC_SINT_AUTO_EOI);
	for (unsigned int sint = 0; sint < HV_SYNIC_SINTS; sint++) {
		EXPECT_EQ(post(0, sint, 1), SUCCESS);
		in_service = true;
		irq_window();
		EXPECT_EQ(taken[0][sint], 1);
		EXPECT_FALSE(in_service, "SINT%u", sint);
	}
}

TEST("auto-EOI is that of the vector, by whichever SINT that has it")
{
	synic_with(0);
	hv_sint_set(3, (VECTOR + 8) | HV_SYNIC_SINT_AUTO_EOI);
	EXPECT_EQ(post(0, 8, 1), SUCCESS);
	in_service = true;
	irq_window();
	EXPECT_EQ(taken[0][8], 1);
	EXPECT_FALSE(in_service);
	hv_sint_set(3, VECTOR + 8);
	EXPECT_EQ(post(0, 3, 1), SUCCESS);
	irq_window();
	EXPECT_EQ(taken[0][8], 2);
	EXPECT_TRUE(in_service, "the vector has no auto-EOI any more");
}

TEST("a second message waits, as the slot's flag says, and may come after EOM")
{
	struct hv_synic synic = synic_with(0);

	EXPECT_EQ(post(0, 2, 1), SUCCESS);
	EXPECT_EQ(post(0, 2, 2), HV_STATUS_INSUFFICIENT_BUFFERS);
	EXPECT_EQ(synic.messages[2].payload[0], 1);
	EXPECT_EQ(synic.messages[2].flags, HV_MESSAGE_FLAG_PENDING);
	hv_message_done(&synic.messages[2]);
	EXPECT_EQ(post(0, 2, 2), SUCCESS);
	expect_message(&synic.messages[2], 2);
}

TEST("the VMM is told of the EOI of a SINT's vector, and of no other's")
{
	synic_with(0);
	vmm_sint_acks(0, 6);
	vmm_sint_acks(0, 7);
	EXPECT_EQ(post(0, 6, 1), SUCCESS);
	EXPECT_EQ(vmm_sint_acks(0, 6), 0);
	irq_window();
	EXPECT_EQ(vmm_sint_acks(0, 6), 1);
	EXPECT_EQ(vmm_sint_acks(0, 7), 0);
}

/* An auto-EOI happens when the interrupt is taken: the guest cannot have freed the slot by then. */
TEST("the VMM is told of the EOM behind an auto-EOI, and not of that itself")
{
	synic_with(HV_SYNIC_SINT_AUTO_EOI);
	vmm_sint_acks(0, 5);
	EXPECT_EQ(post(0, 5, 1), SUCCESS);
	irq_window();
	EXPECT_EQ(taken[0][5], 1);
	EXPECT_EQ(vmm_sint_acks(0, 5), 0);
	wrmsr(HV_X64_MSR_EOM, 0);
	EXPECT_EQ(vmm_sint_acks(0, 5), 1);
}

TEST("the VMM is told of EOM, for each SINT")
{
	synic_with(0);
	for (unsigned int sint = 0; sint < HV_SYNIC_SINTS; sint++)
		vmm_sint_acks(0, sint);
	wrmsr(HV_X64_MSR_EOM, 0);
	for (unsigned int sint = 0; sint < HV_SYNIC_SINTS; sint++)
		EXPECT_EQ(vmm_sint_acks(0, sint), 1, "SINT%u", sint);
}

TEST("EOM of one CPU is not that of another")
{
	synic_with(0);
	synic_on_1();
	vmm_sint_acks(1, 0);
	wrmsr(HV_X64_MSR_EOM, 0);
	EXPECT_EQ(vmm_sint_acks(1, 0), 0);
}

/* The first and the last flag of the first and the last SINT, and some between. */
static const struct {
	unsigned int sint, flag;
} flag_cases[] = {
	{ 0, 0 }, { 0, 2047 }, { 7, 31 }, { 7, 32 }, { 8, 1000 }, { 15, 0 }, { 15, 2047 }
};

TEST("an event sets its flag and no other, and raises its SINT")
{
	struct hv_synic synic = synic_with(0);

	for (size_t i = 0; i < COUNT_OF(flag_cases); i++) {
		const unsigned int sint = flag_cases[i].sint, flag = flag_cases[i].flag;
		unsigned int others = 0;

		EXPECT_EQ(hv_signal_event(VMRUN_CONNECTION(0, sint), (uint16_t)flag), SUCCESS);
		EXPECT_TRUE(hv_event_flag(&synic, sint, flag), "SINT%u, flag %u", sint, flag);
		synic.events[sint * HV_EVENT_BYTES + flag / 8] = 0;
		for (unsigned int byte = 0; byte < PAGE_SIZE; byte++)
			others += synic.events[byte];
		EXPECT_EQ(others, 0);
		irq_window();
		expect_taken_alone(0, sint);
	}
}

TEST("an event sets its flag at another CPU")
{
	struct hv_synic synic;

	synic_with(0);
	synic = synic_on_1();
	EXPECT_EQ(hv_signal_event(VMRUN_CONNECTION(1, 11), 77), SUCCESS);
	EXPECT_TRUE(WAIT_FOR(taken[1][11], 1000));
	EXPECT_TRUE(hv_event_flag(&synic, 11, 77));
	expect_taken_alone(1, 11);
}

TEST("a flag that is set already raises nothing")
{
	synic_with(0);
	EXPECT_EQ(hv_signal_event(VMRUN_CONNECTION(0, 1), 5), SUCCESS);
	irq_window();
	EXPECT_EQ(hv_signal_event(VMRUN_CONNECTION(0, 1), 5), SUCCESS);
	irq_window();
	expect_taken_alone(0, 1);
}

/* What the VMM was told of the last call; and nothing but that call. */
static void expect_told(uint64_t count, uint64_t input, uint64_t first, uint64_t second)
{
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_COUNT), count);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_TYPE), 2);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_INPUT), input);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_PARAM0), first);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_PARAM1), second);
}

#define UNKNOWN (VMRUN_CONNECTION(0, 0) - 1)

TEST("a post reaches the VMM with its three parameters, slow and fast")
{
	const uint64_t fast = HVCALL_POST_MESSAGE | HV_HYPERCALL_FAST, output = 0x123456789abcdef0;
	uint64_t count, *input = page_alloc();

	synic_with(0);
	count = vmm_hyperv_exit(HYPERV_EXIT_COUNT);
	*input = UNKNOWN;
	EXPECT_EQ(hv_hypercall(HVCALL_POST_MESSAGE, (uintptr_t)input, output),
		  HV_STATUS_INVALID_CONNECTION_ID);
	expect_told(++count, HVCALL_POST_MESSAGE, (uintptr_t)input, output);
	hv_hypercall(fast, ~output, output);
	expect_told(++count, fast, ~output, output);
}

TEST("a signal that KVM does not know reaches the VMM with the event itself, slow and fast")
{
	const uint64_t fast = HVCALL_SIGNAL_EVENT | HV_HYPERCALL_FAST;
	uint64_t count, *input = page_alloc();

	synic_with(0);
	count = vmm_hyperv_exit(HYPERV_EXIT_COUNT);
	*input = UNKNOWN;
	EXPECT_EQ(hv_hypercall(HVCALL_SIGNAL_EVENT, (uintptr_t)input, 7),
		  HV_STATUS_INVALID_CONNECTION_ID);
	expect_told(++count, HVCALL_SIGNAL_EVENT, UNKNOWN, 7);
	EXPECT_EQ(hv_hypercall(fast, UNKNOWN, 8), HV_STATUS_INVALID_CONNECTION_ID);
	expect_told(++count, fast, UNKNOWN, 8);
}

TEST("each reserved bit of an event is refused, and does not reach the VMM")
{
	uint64_t count;

	synic_with(0);
	count = vmm_hyperv_exit(HYPERV_EXIT_COUNT);
	for (unsigned int bit = 24; bit < 64; bit++)
		if (bit < 32 || bit >= 48)
			EXPECT_EQ(hv_hypercall(HVCALL_SIGNAL_EVENT | HV_HYPERCALL_FAST,
					       1ull << bit | VMRUN_CONNECTION_EVENTFD, 0),
				  INVALID_INPUT, "bit %u", bit);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_COUNT), count);
	EXPECT_EQ(vmm_connection_signals(), 0);
}

TEST("KVM signals an eventfd itself, once for each call, slow and fast")
{
	uint64_t count, *input = page_alloc();

	synic_with(0);
	count = vmm_hyperv_exit(HYPERV_EXIT_COUNT);
	for (unsigned int i = 0; i < 3; i++)
		EXPECT_EQ(hv_signal_event(VMRUN_CONNECTION_EVENTFD, 0), SUCCESS);
	EXPECT_EQ(vmm_connection_signals(), 3);
	*input = VMRUN_CONNECTION_EVENTFD;
	EXPECT_EQ(hv_hypercall(HVCALL_SIGNAL_EVENT, (uintptr_t)input, 0), SUCCESS);
	EXPECT_EQ(vmm_connection_signals(), 1);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_COUNT), count);
}

TEST("an event with a flag's number is the VMM's, even if KVM knows the connection")
{
	synic_with(0);
	for (unsigned int bit = 0; bit < 16; bit++)
		EXPECT_EQ(hv_signal_event(VMRUN_CONNECTION_EVENTFD, (uint16_t)(1u << bit)),
			  HV_STATUS_INVALID_CONNECTION_ID, "bit %u", bit);
	EXPECT_EQ(vmm_connection_signals(), 0);
}

TEST("repetitions and a variable header are refused, before the VMM is asked")
{
	static const uint16_t codes[] = { HVCALL_POST_MESSAGE, HVCALL_SIGNAL_EVENT };
	const uintptr_t input = (uintptr_t)page_alloc();
	uint64_t count;

	synic_with(0);
	count = vmm_hyperv_exit(HYPERV_EXIT_COUNT);
	for (unsigned int bit = 17; bit < 60; bit++)
		for (size_t i = 0; i < COUNT_OF(codes); i++)
			EXPECT_EQ(hv_hypercall(codes[i] | 1ull << bit, input, 0), INVALID_INPUT,
				  "bit %u", bit);
	EXPECT_EQ(vmm_hyperv_exit(HYPERV_EXIT_COUNT), count);
}
