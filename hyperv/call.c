// SPDX-License-Identifier: BSD-2-Clause
/*
 * Hyper-V hypercalls under KVM: registers, and the status that comes back
 *
 * A call carries a control value, an input and an output parameter: in rcx rdx r8 in 64-bit code,
 * in edx:eax ebx:ecx edi:esi in 32-bit code. The result comes back in rax, or edx:eax (TLFS,
 * "Hypercall Inputs" and "Hypercall Outputs"); its low 16 bits are the status, bits 43:32 the
 * number of repetitions done.
 *
 * The control value: call code 15:0, fast 16, size of the variable header 26:17, repetitions 43:32,
 * first repetition 59:48; all others must be zero. KVM (hyperv.c, kvm_hv_hypercall) looks at the
 * reserved bits first, then at the code, then at what that code needs. Each case is made by the
 * instruction itself and through the page. Linux 6.12 and 7.2 do the same in all of this.
 *
 * All of this is the same beside Xen's hypercalls. There the guest has a Xen page as well, and sets
 * bit 31 of eax in direct calls. In a 32-bit guest KVM needs a patch for it: see xen/coexist_status.c.
 */
#include <hypercall/instruction.h>
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <libc/array.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/cpuid.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/smp.h>
#include <x86/user.h>
#include <xen/page.h>

#define INVALID_CODE	HV_STATUS_INVALID_HYPERCALL_CODE
#define INVALID_INPUT	HV_STATUS_INVALID_HYPERCALL_INPUT
#define FAST		HV_HYPERCALL_FAST
#define VARIABLE_HEADER (1ull << HV_HYPERCALL_VARHEAD_SHIFT)
#define REP_COUNT(n)	((uint64_t)(n) << HV_HYPERCALL_REP_COUNT)
#define REP_START(n)	((uint64_t)(n) << HV_HYPERCALL_REP_START)
#define REPS_DONE(n)	((uint64_t)(n) << HV_RESULT_REPS_SHIFT)

/* A call that needs nothing, and is answered with success. */
#define HARMLESS HVCALL_NOTIFY_LONG_SPIN_WAIT

/* The Hyper-V page; with Xen's beside it where there is one. */
static const void *page_of_hyperv(void)
{
	hv_skip_if_absent();
	if (xen_present())
		xen_page_new();
	return hv_page_new();
}

/* Makes the call both ways. */
static void expect_result(const void *page, uint64_t control, uint64_t input, uint64_t expected,
			  const char *name)
{
	unsigned long long shown = control;

	EXPECT_EQ(hv_hypercall(control, input, 0), expected, "%s, control 0x%llx, direct", name,
		  shown);
	EXPECT_EQ(hv_page_call(page, control, input, 0), expected, "%s, control 0x%llx, page", name,
		  shown);
}

TEST("a call that needs nothing succeeds")
{
	expect_result(page_of_hyperv(), HARMLESS, 0, HV_STATUS_SUCCESS, "long spin wait");
}

TEST("an unknown code is refused as such")
{
	static const uint16_t codes[] = {
		0,	1,	0x4,	HV_CODE_UNKNOWN,     0x5e,   0xff,
		0x1002, 0x7fff, 0x8000, HV_EXT_CALL_MAX + 1, 0xffff,
	};
	const void *page = page_of_hyperv();

	for (size_t i = 0; i < COUNT_OF(codes); i++)
		expect_result(page, codes[i], 0, INVALID_CODE, "unknown code");
}

static void expect_reserved(const void *page, unsigned int shift, unsigned int bits)
{
	for (unsigned int bit = shift; bit < shift + bits; bit++)
		expect_result(page, HARMLESS | 1ull << bit, 0, INVALID_INPUT, "reserved bit");
}

TEST("each reserved bit of the control value that is the guest's is refused")
{
	const void *page = page_of_hyperv();

	expect_reserved(page, HV_HYPERCALL_RSVD0_SHIFT, hv_rsvd0_bits());
	expect_reserved(page, HV_HYPERCALL_RSVD1_SHIFT, HV_HYPERCALL_RSVD1_BITS);
	expect_reserved(page, HV_HYPERCALL_RSVD2_SHIFT, HV_HYPERCALL_RSVD2_BITS);
}

TEST("a reserved bit counts before an unknown code does")
{
	expect_result(page_of_hyperv(), HV_CODE_UNKNOWN | 1ull << 60, 0, INVALID_INPUT,
		      "unknown code");
}

TEST("repetitions and variable header are refused where the call has none")
{
	static const uint64_t extras[] = {
		REP_COUNT(1),	  REP_COUNT(0xfff), REP_START(1),
		REP_START(0xfff), VARIABLE_HEADER,  0x3ffull << HV_HYPERCALL_VARHEAD_SHIFT,
	};
	const void *page = page_of_hyperv();

	for (size_t i = 0; i < COUNT_OF(extras); i++) {
		expect_result(page, HARMLESS | extras[i], 0, INVALID_INPUT, "long spin wait");
		expect_result(page, HVCALL_SIGNAL_EVENT | extras[i], 1, INVALID_INPUT,
			      "signal event");
	}
}

TEST("a misaligned input is refused as such, at the end of a page too")
{
	const void *page = page_of_hyperv();
	const uintptr_t input = (uintptr_t)page_alloc();

	hv_skip_without_event_calls();
	for (unsigned int offset = 1; offset < 8; offset++) {
		expect_result(page, HVCALL_SIGNAL_EVENT, input + offset,
			      HV_STATUS_INVALID_ALIGNMENT, "misaligned input");
		expect_result(page, HVCALL_SIGNAL_EVENT, input + PAGE_SIZE - offset,
			      HV_STATUS_INVALID_ALIGNMENT, "input across two pages");
	}
}

/* KVM has no better word for it (kvm_hvcall_signal_event). */
TEST("an input without memory behind it is refused like a misaligned one")
{
	hv_skip_without_event_calls();
	expect_result(page_of_hyperv(), HVCALL_SIGNAL_EVENT, memory_hole(),
		      HV_STATUS_INVALID_ALIGNMENT, "input in a hole");
}

TEST("the high half of the input belongs to its address")
{
	const void *page = page_of_hyperv();
	const uintptr_t input = (uintptr_t)page_alloc();

	hv_skip_without_event_calls();
	expect_result(page, HVCALL_SIGNAL_EVENT, 1ull << 38 | input, HV_STATUS_INVALID_ALIGNMENT,
		      "input far above memory");
}

/* What signal event says of a well-formed connection id that nobody knows. */
static uint64_t unknown_connection(void)
{
	uint64_t ignored;

	/* Without a SynIC KVM does not ask user space. With it, vmrun says this. */
	return rdmsr_safe(HV_X64_MSR_SCONTROL, &ignored) ? HV_STATUS_INVALID_CONNECTION_ID
							 : INVALID_INPUT;
}

TEST("a slow call reads its input from memory")
{
	const void *page = page_of_hyperv();
	uint64_t *input = page_alloc();

	hv_skip_without_event_calls();
	input[1] = 5;
	expect_result(page, HVCALL_SIGNAL_EVENT, (uintptr_t)&input[1], unknown_connection(),
		      "connection 5");
}

TEST("a fast call takes its input as a value, not as an address")
{
	const void *page = page_of_hyperv();

	hv_skip_without_event_calls();
	/* Slow, the first would be misaligned, and the second without memory. */
	expect_result(page, HVCALL_SIGNAL_EVENT | FAST, 5, unknown_connection(), "connection 5");
	expect_result(page, HVCALL_SIGNAL_EVENT | FAST, memory_hole(), INVALID_INPUT,
		      "reserved bits of the connection id");
}

TEST("calls that cannot be fast refuse to be")
{
	static const uint16_t codes[] = {
		HVCALL_POST_DEBUG_DATA,
		HVCALL_RETRIEVE_DEBUG_DATA,
		HV_EXT_CALL_QUERY_CAPABILITIES,
		HV_EXT_CALL_MAX,
	};
	const void *page = page_of_hyperv();

	hv_skip_without_event_calls();
	for (size_t i = 0; i < COUNT_OF(codes); i++)
		expect_result(page, codes[i] | FAST, 0, HV_STATUS_INVALID_PARAMETER, "fast call");
}

TEST("debug calls are refused until the guest asks for them")
{
	static const uint16_t codes[] = {
		HVCALL_POST_DEBUG_DATA,
		HVCALL_RETRIEVE_DEBUG_DATA,
		HVCALL_RESET_DEBUG_SESSION,
	};
	const void *page = page_of_hyperv();
	bool debugger = cpuid(HV_CPUID_SYNDBG_CAPABILITIES, 0).eax & HV_SYNDBG_ALLOW_DEBUGGING;

	for (size_t i = 0; i < COUNT_OF(codes); i++)
		expect_result(page, codes[i], 0,
			      debugger ? HV_STATUS_OPERATION_DENIED : INVALID_CODE, "debug call");
}

TEST("extended calls are user space's, which knows none")
{
	const void *page = page_of_hyperv();

	expect_result(page, HV_EXT_CALL_QUERY_CAPABILITIES, 0, INVALID_CODE, "extended call");
	expect_result(page, HV_EXT_CALL_MAX, 0, INVALID_CODE, "extended call");
}

/* Input of both flush calls: all CPUs, all address spaces; and the list of addresses behind it. */
static uintptr_t flush_input(void)
{
	struct hv_tlb_flush *flush = page_alloc();
	uint64_t *list = (uint64_t *)(flush + 1);

	flush->flags = HV_FLUSH_ALL_PROCESSORS | HV_FLUSH_ALL_VIRTUAL_ADDRESS_SPACES;
	list[0] = (uintptr_t)flush;
	return (uintptr_t)flush;
}

TEST("flush calls demand repetitions of a list and refuse them for a whole space")
{
	static const struct {
		uint64_t control;
		uint64_t expected;
	} cases[] = {
		{ HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE, HV_STATUS_SUCCESS },
		{ HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE | REP_COUNT(1), INVALID_INPUT },
		{ HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE | REP_START(1), INVALID_INPUT },
		{ HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE | VARIABLE_HEADER, INVALID_INPUT },
		{ HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST, INVALID_INPUT },
		{ HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST | REP_COUNT(2) | REP_START(1), INVALID_INPUT },
		{ HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST | REP_COUNT(1) | VARIABLE_HEADER,
		  INVALID_INPUT },
	};
	const void *page = page_of_hyperv();
	const uintptr_t input = flush_input();

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		expect_result(page, cases[i].control, input, cases[i].expected, "flush");
}

TEST("the high half of the result tells how many repetitions were done")
{
	static const unsigned int counts[] = { 1, 2, 15, 16, 400 };
	const void *page = page_of_hyperv();
	const uintptr_t input = flush_input();

	for (size_t i = 0; i < COUNT_OF(counts); i++)
		expect_result(page, HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST | REP_COUNT(counts[i]), input,
			      REPS_DONE(counts[i]), "flush list");
}

static unsigned int ipis_taken;

static void take_ipi(struct x86_frame *frame)
{
	(void)frame;
	ipis_taken++;
	apic_eoi();
}

/*
 * Fast, the vector is the input value and the set of CPUs the output value (TLFS,
 * HvCallSendSyntheticClusterIpi).
 */
static unsigned int ipis_after_send(const void *page, uint64_t input, uint64_t cpus,
				    uint64_t expected)
{
	ipis_taken = 0;
	EXPECT_EQ(hv_page_call(page, HVCALL_SEND_IPI | FAST, input, cpus), expected);
	irq_window();
	return ipis_taken;
}

TEST("the third parameter of a fast call arrives, in both of its halves")
{
	const unsigned int vector = 0x40;
	const void *page = page_of_hyperv();

	irq_handler(vector, take_ipi);
	apic_id(); /* switches the APIC on */
	EXPECT_EQ(ipis_after_send(page, vector, 1, HV_STATUS_SUCCESS), 1, "to CPU 0");
	EXPECT_EQ(ipis_after_send(page, vector, 1ull << 32, HV_STATUS_SUCCESS), 0,
		  "to CPU 32, which is not there");
	/* The TLFS names no status for it; Xen itself has another word than KVM. */
	EXPECT_EQ(ipis_after_send(page, 1ull << 32 | vector, 1,
				  xen_itself() ? HV_STATUS_INVALID_PARAMETER : INVALID_INPUT),
		  0, "reserved high half of the vector");
}

/* Calls that come back in different ways, for the registers. The input is a page with zeros. */
static const struct kept_case {
	const char *name;
	uint64_t control;
	uint64_t result;
} kept_cases[] = {
	{ "a call that succeeds", HARMLESS, HV_STATUS_SUCCESS },
	{ "a call that is refused", HV_CONTROL_REFUSED, 0 /* hv_refusal() */ },
	{ "a call with repetitions", HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST | REP_COUNT(3),
	  REPS_DONE(3) },
	{ "a call that user space answers", HV_EXT_CALL_QUERY_CAPABILITIES, INVALID_CODE },
};

/* Makes each call with all flags clear, then all set. */
static void expect_calls_keep_registers(const void *code, uint32_t dispatch, unsigned int changes)
{
	static const uintptr_t flags[] = { 0, FLAGS_STATUS };
	const uintptr_t input = flush_input();

	for (size_t i = 0; i < COUNT_OF(kept_cases) * COUNT_OF(flags); i++) {
		const struct kept_case *c = &kept_cases[i / COUNT_OF(flags)];
		struct registers before, after;

		registers_fill(&before, (unsigned int)i);
		before.value[REG_FLAGS] = flags[i % COUNT_OF(flags)];
		hv_set_call(&before, c->control, input, 0x1122334455667788);
		before.value[REG_AX] |= dispatch;
		call_with_registers(code, &before, &after);
		EXPECT_EQ(hv_result(&after),
			  c->control == HV_CONTROL_REFUSED ? hv_refusal() : c->result, "%s",
			  c->name);
		expect_registers_kept(&before, &after, changes, c->name);
	}
}

TEST("a direct call changes no register but those of the result")
{
	page_of_hyperv();
	expect_calls_keep_registers(hypercall_stub(), xen_present() ? HV_DISPATCH_BIT : 0,
				    HV_CALL_CHANGES);
}

TEST("a call through the page changes no register but those of the result")
{
	const void *page = page_of_hyperv();

	/* The flags too, if the page has the ORL that tells Hyper-V's calls from Xen's. */
	expect_calls_keep_registers(page, 0,
				    HV_CALL_CHANGES | (xen_present() ? REG_BIT(REG_FLAGS) : 0));
}

static uintptr_t call_at_cpl3(uintptr_t code)
{
	struct registers before = { 0 }, after;

	hv_set_call(&before, HARMLESS, 0, 0);
	before.value[REG_AX] |= xen_present() ? HV_DISPATCH_BIT : 0;
	call_with_registers((const void *)code, &before, &after);
	return 0;
}

TEST("at CPL 3 a direct call raises #UD at the instruction")
{
	struct user_result result;

	page_of_hyperv();
	result = user_call(call_at_cpl3, (uintptr_t)hypercall_stub());
	EXPECT_FAULT_EQ(result.fault, UD, 0);
	EXPECT_EQ(result.fault.ip, (uintptr_t)hypercall_stub());
}

TEST("at CPL 3 a call through the page raises #UD at the instruction")
{
	const void *page = page_of_hyperv();
	struct user_result result = user_call(call_at_cpl3, (uintptr_t)page);

	EXPECT_FAULT_EQ(result.fault, UD, 0);
	EXPECT_EQ(result.fault.ip, (uintptr_t)page + (xen_present() ? 5 : 0));
}

/* What makes a call Hyper-V's is the id (hyperv.h, kvm_hv_hypercall_enabled). */
TEST("with an id, direct calls work while the page is disabled")
{
	hv_skip_if_absent();
	hv_enable_hypercalls();
	wrmsr(HV_X64_MSR_HYPERCALL, 0);
	EXPECT_EQ(hv_hypercall(HARMLESS, 0, 0), HV_STATUS_SUCCESS);
	EXPECT_EQ(hv_hypercall(HV_CODE_UNKNOWN, 0, 0), INVALID_CODE);
}

TEST("the code of a page works from any memory it is copied to")
{
	const void *page = page_of_hyperv();
	uint8_t *copy = page_alloc();

	hv_page_expected(copy + 100);
	expect_result(copy + 100, HARMLESS, 0, HV_STATUS_SUCCESS, "copy");
	EXPECT_EQ(hv_page_call(page, HARMLESS, 0, 0), HV_STATUS_SUCCESS);
}

struct cpu_call {
	const void *page;
	uint64_t result;
};

static void call_on_this_cpu(void *argument)
{
	struct cpu_call *c = argument;

	c->result = hv_page_call(c->page, HV_CODE_UNKNOWN, 0, 0);
}

TEST("a page installed by one CPU serves another")
{
	struct cpu_call c = { .page = page_of_hyperv() };

	REQUIRE(cpu_count() >= 2);
	on_cpu(1, call_on_this_cpu, &c);
	EXPECT_EQ(c.result, INVALID_CODE);
}
