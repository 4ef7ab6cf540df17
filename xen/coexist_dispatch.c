// SPDX-License-Identifier: BSD-2-Clause
/*
 * Which of the two ABIs a hypercall belongs to, in a VM that has Xen's and Hyper-V's
 *
 * KVM (xen.c, kvm_xen_hypercall) takes a call for Hyper-V's if bit 31 of eax is set and the guest
 * has set a guest OS id other than 0; every other call is Xen's. So:
 *
 *	bit 31	guest OS id
 *	0	any		Xen's
 *	1	0		Xen's, with that very number
 *	1	not 0		Hyper-V's
 *
 * Whether a page is installed, and which, does not matter, nor do the other bits of eax, nor in
 * 64-bit code the high half of rax. The Hyper-V page sets the bit itself; Xen uses no such numbers.
 *
 * Xen itself, whose trick bit 31 is, does not look at the id: a call with the bit is Hyper-V's (hvm/hypercall.c,
 * hvm_hypercall). The TLFS has no word on it, and no guest without an id is to call; so both are right.
 *
 * A call is known as Xen's by what vmrun kept of it: its number (<vmrun/abi.h>). It is known as
 * Hyper-V's by a status that Xen never returns, while vmrun's count of Xen calls stands still. The
 * call used has another reserved bit of its control value set, so that it is refused alike in
 * 64-bit code, where the control value is rcx, and in 32-bit code, where eax is its low half and
 * bit 31 itself is reserved.
 */
#include <hypercall/instruction.h>
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <libc/array.h>
#include <test/test.h>
#include <x86/msr.h>
#include <x86/smp.h>
#include <x86/user.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/vmrun.h>

#define REFUSED hv_refusal()
#define BIT31	((uintptr_t)HV_DISPATCH_BIT)

/* In the control value of 32-bit code, and so in eax: see HV_CONTROL_REFUSED. */
#define RESERVED_BIT ((uintptr_t)1 << HV_HYPERCALL_RSVD0_SHIFT)

static struct {
	const void *xen, *hyperv;
} page;

static void install_both(void)
{
	page.xen = xen_page_new();
	page.hyperv = hv_page_new();
}

/*
 * Any call with this value of rax, by this code. The argument registers of Xen hold what makes
 * Hyper-V refuse the call, where they are its registers too: rcx in 64-bit code, edx in 32-bit
 * code.
 */
static struct registers call(const void *code, uintptr_t ax)
{
	struct registers before, after;

	registers_fill(&before, 1);
	hv_set_call(&before, HV_CONTROL_REFUSED, 0, 0);
	before.value[REG_AX] = ax;
	call_with_registers(code, &before, &after);
	return after;
}

static unsigned long count_of_xen(void)
{
	return xen_itself() ? 0 : xen_calls_counted();
}

static void expect_xen(uintptr_t ax, const char *why)
{
	unsigned long count;
	struct registers after;

	/* To these it has answers, which depend on what the argument registers hold by chance. */
	if (xen_itself() && ax < XEN_NUMBERS)
		return;
	count = count_of_xen();
	after = call(hypercall_stub(), ax);
	EXPECT_EQ((long)after.value[REG_AX], -XEN_ENOSYS, "rax 0x%lx, %s", (unsigned long)ax, why);
	if (xen_itself())
		return;
	EXPECT_EQ(xen_hypercall(XEN_VMRUN_RECORD, XEN_RECORD_NUMBER), (long)ax, "number, %s", why);
	EXPECT_EQ(xen_calls_counted() - count, 1, "rax 0x%lx, %s", (unsigned long)ax, why);
}

static void expect_hyperv(uintptr_t ax, const char *why)
{
	unsigned long count = count_of_xen();
	struct registers after = call(hypercall_stub(), ax);

	/* In 32-bit code the code is ax's: Xen itself answers those that it knows, reserved bit or not. */
	if (xen_itself())
		EXPECT_LE(hv_result(&after) & 0xffff, HV_STATUS_INVALID_PARAMETER, "rax 0x%lx, %s",
			  (unsigned long)ax, why);
	else
		EXPECT_EQ(hv_result(&after), REFUSED, "rax 0x%lx, %s", (unsigned long)ax, why);
	EXPECT_EQ(count_of_xen(), count, "rax 0x%lx, %s", (unsigned long)ax, why);
}

/* hvm/hypercall.c, hvm_hypercall: bit 31 alone decides, where the VM has Hyper-V's interface. */
static void skip_if_xen_ignores_id(void)
{
	if (xen_itself())
		SKIP("Xen itself does not look at the guest OS id");
}

/* Numbers that both ABIs know, that one knows, and that none knows; none that vmrun answers. */
static const uint16_t numbers[] = {
	0,
	HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE,
	HVCALL_NOTIFY_LONG_SPIN_WAIT,
	12,
	XEN_HYPERVISOR_IRET,
	56,
	HVCALL_POST_MESSAGE,
	HVCALL_SIGNAL_EVENT,
	XEN_NUMBER_UNUSED,
	HVCALL_POST_DEBUG_DATA,
	128,
	HV_EXT_CALL_QUERY_CAPABILITIES,
	0xffff,
};

TEST("without bit 31 a call is Xen's, with a guest OS id or without")
{
	install_both();
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		expect_xen(numbers[i], "with an id");
	hv_disable_hypercalls();
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		expect_xen(numbers[i], "without an id");
}

TEST("with bit 31 and a guest OS id a call is Hyper-V's")
{
	install_both();
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		expect_hyperv(BIT31 | RESERVED_BIT | numbers[i], "with an id");
	expect_hyperv(0xffffffff, "with an id");
}

TEST("Xen itself goes by bit 31 alone, with a guest OS id or without")
{
	if (!xen_itself())
		SKIP("the hypervisor is not Xen itself");
	install_both();
	hv_disable_hypercalls();
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		expect_hyperv(BIT31 | RESERVED_BIT | numbers[i], "without an id");
}

TEST("with bit 31 and no guest OS id a call is Xen's, with that very number")
{
	skip_if_xen_ignores_id();
	install_both();
	hv_disable_hypercalls();
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		expect_xen(BIT31 | numbers[i], "without an id");
	expect_xen(0xffffffff, "without an id");
}

TEST("no other bit of the register makes a call Hyper-V's")
{
	install_both();
	for (unsigned int bit = 0; bit < 8 * sizeof(uintptr_t); bit++) {
		if (bit != 31)
			expect_xen((uintptr_t)1 << bit, "with an id");
	}
	expect_xen(~BIT31, "all but bit 31");
}

TEST("no other bit of the register keeps a call from being Hyper-V's")
{
	install_both();
	for (unsigned int bit = 0; bit < 8 * sizeof(uintptr_t); bit++)
		expect_hyperv(BIT31 | RESERVED_BIT | (uintptr_t)1 << bit, "with an id");
	expect_hyperv(~(uintptr_t)0, "all bits");
}

TEST("the id decides at each call: set, taken back, set again")
{
	skip_if_xen_ignores_id();
	install_both();
	for (unsigned int i = 0; i < 4; i++) {
		hv_disable_hypercalls();
		expect_xen(BIT31 | RESERVED_BIT, "id taken back");
		hv_enable_hypercalls();
		expect_hyperv(BIT31 | RESERVED_BIT, "id set again");
	}
}

TEST("an id in its high half alone is an id")
{
	install_both();
	wrmsr(HV_X64_MSR_GUEST_OS_ID, 1ull << 63);
	expect_hyperv(BIT31 | RESERVED_BIT, "id 1 << 63");
	wrmsr(HV_X64_MSR_GUEST_OS_ID, 1ull << 32);
	expect_hyperv(BIT31 | RESERVED_BIT, "id 1 << 32");
}

TEST("the id decides, not whether Hyper-V's page is enabled")
{
	install_both();
	wrmsr(HV_X64_MSR_HYPERCALL, 0);
	expect_hyperv(BIT31 | RESERVED_BIT, "page disabled");
	expect_xen(XEN_NUMBER_UNUSED, "page disabled");
	EXPECT_EQ(hv_page_call(page.hyperv, HV_CONTROL_REFUSED, 0, 0), REFUSED, "disabled page");
}

TEST("a call through the Hyper-V page of old is Xen's when there is no id, with bit 31 set")
{
	struct registers after;

	skip_if_xen_ignores_id();
	install_both();
	hv_disable_hypercalls();
	after = call(page.hyperv, 0x4321);
	EXPECT_EQ((long)after.value[REG_AX], -XEN_ENOSYS);
	EXPECT_EQ((uintptr_t)xen_hypercall(XEN_VMRUN_RECORD, XEN_RECORD_NUMBER), BIT31 | 0x4321);
}

TEST("the same numbers sent to both pages are told apart")
{
	unsigned long count;

	xen_skip_without_vmrun();
	install_both();
	for (unsigned int number = 0; number < XEN_VMRUN_ECHO; number++) {
		uint64_t control = number | (uint64_t)RESERVED_BIT;

		xen_page_call(page.xen, number, XEN_NO_OPERATION);
		EXPECT_EQ(xen_hypercall(XEN_VMRUN_RECORD, XEN_RECORD_NUMBER), number);
		EXPECT_EQ(hv_page_call(page.hyperv, control, 0, 0), REFUSED, "code %u", number);
	}
	count = xen_calls_counted();
	for (unsigned int number = 0; number < XEN_PAGE_STUBS; number++)
		hv_page_call(page.hyperv, number | (uint64_t)RESERVED_BIT, 0, 0);
	EXPECT_EQ(xen_calls_counted(), count, "no call of Hyper-V's came to Xen");
}

TEST("calls of both by turns come back each from its own")
{
	install_both();
	for (uintptr_t i = 0; i < 100; i++) {
		EXPECT_TRUE(xen_call_works(page.xen, i), "Xen, page");
		EXPECT_EQ(hv_page_call(page.hyperv, HV_CONTROL_REFUSED, i, 0), REFUSED, "page");
		EXPECT_TRUE(xen_call_works(NULL, i), "Xen, direct");
		EXPECT_EQ(hv_hypercall(HV_CONTROL_REFUSED, i, 0), REFUSED, "direct");
	}
}

TEST("KVM's own answers to Xen calls are given beside Hyper-V too")
{
	unsigned long count;

	install_both();
	count = xen_calls_counted();
	EXPECT_EQ(xen_page_call(page.xen, XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD), 0, "page");
	EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD), 0, "direct");
	EXPECT_EQ(xen_calls_counted(), count);
}

/* Returns by what registers say: the result alone would not tell a call that changed others. */
static void expect_registers(const void *code, uintptr_t ax, unsigned int changes, const char *name)
{
	struct registers before, after;

	registers_fill(&before, 3);
	hv_set_call(&before, HV_CONTROL_REFUSED, 0, 0);
	before.value[REG_AX] = ax;
	call_with_registers(code, &before, &after);
	expect_registers_kept(&before, &after, changes, name);
}

TEST("either call changes no register but those of its own result")
{
	install_both();
	expect_registers(hypercall_stub(), XEN_NUMBER_UNUSED, XEN_CALL_CHANGES, "a Xen call");
	expect_registers(xen_page_stub(page.xen, XEN_NUMBER_UNUSED), 0, XEN_CALL_CHANGES,
			 "one by the page");
	expect_registers(hypercall_stub(), BIT31 | RESERVED_BIT, HV_CALL_CHANGES, "a Hyper-V call");
	/* The page's ORL changes the flags. */
	expect_registers(page.hyperv, RESERVED_BIT, HV_CALL_CHANGES | REG_BIT(REG_FLAGS),
			 "one by the page");
}

struct user_call_case {
	const void *code;
	uintptr_t ax;
	struct registers after;
};

static uintptr_t call_at_cpl3(uintptr_t argument)
{
	struct user_call_case *c = (struct user_call_case *)argument;

	c->after = call(c->code, c->ax);
	return c->after.value[REG_AX];
}

static struct user_result user(const void *code, uintptr_t ax)
{
	struct user_call_case c = { .code = code, .ax = ax };

	return user_call(call_at_cpl3, (uintptr_t)&c);
}

TEST("at CPL 3 a Xen call arrives while a Hyper-V call raises #UD")
{
	struct user_result xen, hyperv;

	xen_skip_without_vmrun();
	install_both();
	xen = user(xen_page_stub(page.xen, XEN_NUMBER_UNUSED), 0);
	EXPECT_FAULT_EQ(xen.fault, NO_FAULT, 0, "Xen");
	EXPECT_EQ((long)xen.value, -XEN_ENOSYS);
	EXPECT_EQ(xen_last_call().cpl, 3);
	hyperv = user(page.hyperv, RESERVED_BIT);
	EXPECT_FAULT_EQ(hyperv.fault, UD, 0, "Hyper-V, page");
	hyperv = user(hypercall_stub(), BIT31 | RESERVED_BIT);
	EXPECT_FAULT_EQ(hyperv.fault, UD, 0, "Hyper-V, direct");
}

TEST("at CPL 3 and without an id, a call with bit 31 is Xen's and raises nothing")
{
	struct user_result result;
	struct xen_record record;

	skip_if_xen_ignores_id();
	install_both();
	hv_disable_hypercalls();
	result = user(hypercall_stub(), BIT31 | XEN_NUMBER_UNUSED);
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_EQ((long)result.value, -XEN_ENOSYS);
	record = xen_last_call();
	EXPECT_EQ(record.number, BIT31 | XEN_NUMBER_UNUSED);
	EXPECT_EQ(record.cpl, 3);
}

static void set_id(void *unused)
{
	(void)unused;
	hv_enable_hypercalls();
}

static void take_id_back(void *unused)
{
	(void)unused;
	hv_disable_hypercalls();
}

TEST("the id counts for all CPUs, whichever set it")
{
	skip_if_xen_ignores_id();
	install_both();
	REQUIRE(cpu_count() >= 2);
	on_cpu(1, take_id_back, NULL);
	expect_xen(BIT31 | RESERVED_BIT, "id taken back by CPU 1");
	on_cpu(1, set_id, NULL);
	expect_hyperv(BIT31 | RESERVED_BIT, "id set by CPU 1");
}
