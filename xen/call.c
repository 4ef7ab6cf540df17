// SPDX-License-Identifier: BSD-2-Clause
/*
 * Xen hypercalls under KVM: what arrives, what comes back, and what stays as it was
 *
 * The ABI (Xen's public/arch-x86/xen-x86_64.h and xen-x86_32.h): the number in eax; arguments in
 * rdi rsi rdx r10 r8 r9, or in 32-bit code ebx ecx edx esi edi ebp; the result in rax. All other
 * registers are preserved. A call through the page is the same but for the number, which the stub
 * loads.
 *
 * KVM (xen.c, kvm_xen_hypercall) answers a few calls itself, and hands all others to user space
 * with number, arguments, CPL, and whether the caller ran 64-bit code. From CPL 3 it hands over
 * every call. Such calls are seen here by what vmrun kept of them (<vmrun/abi.h>): 32-bit code
 * passes 32 bits of each register, 64-bit code all 64, of the number too. Linux 6.12 and 7.2 do the
 * same in all of this.
 *
 * What the calls that reach user space answer is vmrun's, as is all of xen_version: such points
 * check that the number and arguments went there and the result came back.
 *
 * Xen itself takes the calls that vmrun answers here, and nobody sees what arrived: there what comes back is all there
 * is to check. It answers, through number and arguments of the same registers, by the same rules, but at CPL 3 refuses
 * every call (hvm/hypercall.c, hvm_hypercall).
 *
 * All of this is the same in a VM that has Hyper-V's hypercalls too, as long as bit 31 of the
 * number is clear: see coexist_dispatch.c. There the guest has these enabled throughout.
 */
#include <hypercall/instruction.h>
#include <hyperv/page.h>
#include <libc/array.h>
#include <test/test.h>
#include <x86/smp.h>
#include <x86/user.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/vmrun.h>

#ifdef __x86_64__
#define LONGMODE true
#else
#define LONGMODE false
#endif

/* Bits set in every byte, and in both halves; in 32-bit code the low half of each. */
static const uintptr_t distinct_arguments[XEN_ARGUMENTS] = {
	(uintptr_t)0xd1a10001c1b10001, (uintptr_t)0xd2a20002c2b20002, (uintptr_t)0xd3a30003c3b30003,
	(uintptr_t)0xd4a40004c4b40004, (uintptr_t)0xd5a50005c5b50005, (uintptr_t)0xd6a60006c6b60006,
};

/* The Xen page; with Hyper-V's enabled beside it where there is one. */
static const void *page_of_xen(void)
{
	xen_skip_if_absent();
	if (hv_present())
		hv_page_new();
	return xen_page_new();
}

static void expect_last_call(uintptr_t number, const uintptr_t arguments[XEN_ARGUMENTS],
			     unsigned int cpl, const char *how)
{
	struct xen_record record = xen_last_call();

	EXPECT_EQ(record.number, number, "number, %s", how);
	for (unsigned int i = 0; i < XEN_ARGUMENTS; i++)
		EXPECT_EQ(record.arguments[i], arguments[i], "argument %u, %s", i, how);
	EXPECT_EQ(record.cpl, cpl, "%s", how);
	EXPECT_EQ(record.longmode, LONGMODE, "%s", how);
}

/* First of all, while no page has been installed since the reset. */
TEST("without a page yet, a direct call arrives in its caller's mode")
{
	xen_skip_if_absent();
	xen_skip_without_vmrun();
	EXPECT_EQ(xen_hypercall(XEN_VMRUN_RECORD, XEN_RECORD_LATCHED), 0, "nothing latched");
	xen_hypercall_with(XEN_NUMBER_UNUSED, distinct_arguments);
	expect_last_call(XEN_NUMBER_UNUSED, distinct_arguments, 0, "no page yet");
}

/* By this KVM lays out what it shares with the guest (xen.c, kvm_xen_write_hypercall_page). */
TEST("installing the page latches the guest's mode")
{
	page_of_xen();
	xen_skip_without_vmrun();
	EXPECT_EQ(xen_hypercall(XEN_VMRUN_RECORD, XEN_RECORD_LATCHED), LONGMODE);
}

TEST("a direct call arrives with its number and six arguments")
{
	page_of_xen();
	xen_hypercall_with(XEN_NUMBER_UNUSED, distinct_arguments);
	expect_last_call(XEN_NUMBER_UNUSED, distinct_arguments, 0, "direct");
}

TEST("a call through the page arrives as a direct one does")
{
	const void *page = page_of_xen();

	xen_page_call_with(page, XEN_NUMBER_UNUSED, distinct_arguments);
	expect_last_call(XEN_NUMBER_UNUSED, distinct_arguments, 0, "page");
}

TEST("each stub of the page passes its own number")
{
	const void *page = page_of_xen();

	xen_skip_without_vmrun();
	for (unsigned int number = 0; number < XEN_VMRUN_RECORD; number++) {
		xen_page_call(page, number, XEN_NO_OPERATION);
		EXPECT_EQ(xen_hypercall(XEN_VMRUN_RECORD, XEN_RECORD_NUMBER), number);
	}
}

TEST("the last stubs of the page, 126 and 127, pass their number")
{
	const void *page = page_of_xen();
	long count;

	xen_skip_without_vmrun();
	xen_hypercall(XEN_NUMBER_UNUSED);
	EXPECT_EQ(xen_page_call(page, XEN_VMRUN_RECORD, XEN_RECORD_NUMBER), XEN_NUMBER_UNUSED);
	count = xen_hypercall(XEN_VMRUN_COUNT);
	EXPECT_EQ(xen_page_call(page, XEN_VMRUN_COUNT), count);
}

TEST("a direct call may have any number without bit 31")
{
	static const uintptr_t numbers[] = {
		56,
		128,
		255,
		0x100,
		0x10001,
		0x40000000,
		0x7fffff63,
		0x7fffffff,
#ifdef __x86_64__
		1ull << 32 | XEN_NUMBER_UNUSED,
		1ull << 63 | XEN_NUMBER_UNUSED,
		0xffffffff7fffffff,
#endif
	};

	page_of_xen();
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		EXPECT_EQ(xen_hypercall(numbers[i]), -XEN_ENOSYS, "number 0x%lx",
			  (unsigned long)numbers[i]);
		if (!xen_answers())
			EXPECT_EQ(xen_hypercall(XEN_VMRUN_RECORD, XEN_RECORD_NUMBER), numbers[i]);
	}
}

#ifdef __x86_64__
TEST("the number of a call is all of rax: high bits make it another one")
{
	const uintptr_t version = XEN_HYPERVISOR_XEN_VERSION, high = 1ull << 32;

	page_of_xen();
	EXPECT_TRUE(xen_hypercall(version, XENVER_VERSION) > 0);
	EXPECT_EQ(xen_hypercall(high | version, XENVER_VERSION), -XEN_ENOSYS);
	/* Nor does KVM take it for the sched_op that it answers itself. */
	EXPECT_EQ(xen_hypercall(high | XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD), -XEN_ENOSYS);
}
#endif

TEST("each argument keeps all of its bits")
{
	static const uint64_t values[] = {
		0,
		1,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		0x100000000,
		0x7fffffffffffffff,
		0x8000000000000000,
		0xffffffff00000000,
		0xffffffffffffffff,
	};
	const void *page = page_of_xen();

	xen_skip_without_vmrun();
	for (size_t i = 0; i < COUNT_OF(values); i++) {
		for (unsigned int n = 0; n < XEN_ARGUMENTS; n++) {
			uintptr_t arguments[XEN_ARGUMENTS] = { 0 };
			long echoed;

			arguments[n] = (uintptr_t)values[i];
			echoed = xen_page_call_with(page, XEN_VMRUN_ECHO + n, arguments);
			EXPECT_EQ((uintptr_t)echoed, (uintptr_t)values[i], "argument %u", n);
		}
	}
}

TEST("a direct call and one through the page return the same result")
{
	const void *page = page_of_xen();

	EXPECT_TRUE(xen_call_works(NULL, 0x1234), "direct");
	EXPECT_TRUE(xen_call_works(page, 0x1234), "page");
	for (unsigned int n = 0; n < XEN_ARGUMENTS && !xen_answers(); n++) {
		long direct = xen_hypercall_with(XEN_VMRUN_ECHO + n, distinct_arguments);
		long by_page = xen_page_call_with(page, XEN_VMRUN_ECHO + n, distinct_arguments);

		EXPECT_EQ((uintptr_t)direct, distinct_arguments[n], "direct, argument %u", n);
		EXPECT_EQ((uintptr_t)by_page, distinct_arguments[n], "page, argument %u", n);
	}
}

/* Calls that leave KVM by different ways: user space's answer, and KVM's own. */
static const struct kept_case {
	const char *name;
	unsigned int number;
	uintptr_t argument;
} kept_cases[] = {
	{ "a call that user space answers", XEN_VMRUN_ECHO, 0x12345678 },
	{ "a call that nobody knows", XEN_NUMBER_UNUSED, 0 },
	{ "a call that KVM answers", XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD },
};

/* Makes each call with all flags clear, then all set. */
static void expect_calls_keep_registers(const void *page)
{
	static const uintptr_t flags[] = { 0, FLAGS_STATUS };

	for (size_t i = 0; i < COUNT_OF(kept_cases) * COUNT_OF(flags); i++) {
		const struct kept_case *c = &kept_cases[i / COUNT_OF(flags)];
		const uintptr_t arguments[XEN_ARGUMENTS] = {
			c->argument,	       distinct_arguments[1], distinct_arguments[2],
			distinct_arguments[3], distinct_arguments[4], distinct_arguments[5],
		};
		struct registers before, after;

		registers_fill(&before, (unsigned int)i);
		before.value[REG_FLAGS] = flags[i % COUNT_OF(flags)];
		xen_set_call(&before, c->number, arguments);
		call_with_registers(page ? xen_page_stub(page, c->number) : hypercall_stub(),
				    &before, &after);
		expect_registers_kept(&before, &after, XEN_CALL_CHANGES, c->name);
	}
}

TEST("a direct call leaves every other register and the flags as they were")
{
	page_of_xen();
	expect_calls_keep_registers(NULL);
}

TEST("a call through the page leaves every other register and the flags as they were")
{
	expect_calls_keep_registers(page_of_xen());
}

TEST("an unknown number returns -ENOSYS, in all of the register")
{
	const void *page = page_of_xen();

	EXPECT_EQ(xen_hypercall(XEN_NUMBER_UNUSED), -XEN_ENOSYS, "direct");
	EXPECT_EQ(xen_page_call(page, XEN_NUMBER_UNUSED), -XEN_ENOSYS, "page");
}

TEST("xen_version is answered")
{
	const void *page = page_of_xen();
	const long version = xen_answers() ? xen_version_by_cpuid() : XEN_VMRUN_VERSION;

	EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_XEN_VERSION, XENVER_VERSION), version, "direct");
	EXPECT_EQ(xen_page_call(page, XEN_HYPERVISOR_XEN_VERSION, XENVER_VERSION), version, "page");
}

TEST("sched_op yield returns 0")
{
	const void *page = page_of_xen();

	EXPECT_EQ(xen_hypercall(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD), 0, "direct");
	EXPECT_EQ(xen_page_call(page, XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD), 0, "page");
}

TEST("KVM answers sched_op yield itself")
{
	const void *page = page_of_xen();
	unsigned long count = xen_calls_counted();

	xen_hypercall(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD);
	xen_page_call(page, XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD);
	EXPECT_EQ(xen_calls_counted(), count, "nothing came to user space");
}

TEST("each call arrives once")
{
	const void *page = page_of_xen();
	unsigned long count = xen_calls_counted();

	for (unsigned int i = 0; i < 50; i++) {
		xen_hypercall(XEN_NUMBER_UNUSED);
		xen_page_call(page, XEN_NUMBER_UNUSED);
	}
	EXPECT_EQ(xen_calls_counted() - count, 100);
}

/* A call made at CPL 3, which can report nothing itself. */
struct user_call_case {
	const void *code;
	struct registers before, after;
};

static uintptr_t call_at_cpl3(uintptr_t argument)
{
	struct user_call_case *c = (struct user_call_case *)argument;

	call_with_registers(c->code, &c->before, &c->after);
	return 0;
}

static void expect_call_at_cpl3(const void *code, unsigned int number, uintptr_t operation)
{
	const uintptr_t arguments[XEN_ARGUMENTS] = {
		operation,
		distinct_arguments[1],
		distinct_arguments[2],
		distinct_arguments[3],
		distinct_arguments[4],
		distinct_arguments[5],
	};
	struct user_call_case c = { .code = code };
	struct user_result result;

	xen_skip_without_vmrun();
	registers_fill(&c.before, number);
	xen_set_call(&c.before, number, arguments);
	result = user_call(call_at_cpl3, (uintptr_t)&c);
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	ASSERT_TRUE(result.returned);
	EXPECT_EQ((long)c.after.value[REG_AX], -XEN_ENOSYS);
	expect_registers_kept(&c.before, &c.after, XEN_CALL_CHANGES, "a call at CPL 3");
	expect_last_call(number, arguments, 3, "CPL 3");
}

TEST("a direct call at CPL 3 arrives like another, with its CPL")
{
	page_of_xen();
	expect_call_at_cpl3(hypercall_stub(), XEN_NUMBER_UNUSED, 0);
}

TEST("a call through the page at CPL 3 arrives like another, with its CPL")
{
	const void *page = page_of_xen();

	expect_call_at_cpl3(xen_page_stub(page, XEN_NUMBER_UNUSED), XEN_NUMBER_UNUSED, 0);
}

TEST("at CPL 3 KVM answers nothing itself")
{
	page_of_xen();
	expect_call_at_cpl3(hypercall_stub(), XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD);
}

/* hvm/hypercall.c, hvm_hypercall. KVM leaves it to user space to refuse them. */
TEST("at CPL 3 Xen itself refuses every call with -EPERM, and changes nothing else")
{
	static const unsigned int numbers[] = { XEN_NUMBER_UNUSED, XEN_HYPERVISOR_SCHED_OP,
						XEN_HYPERVISOR_XEN_VERSION };
	const void *page = page_of_xen();

	if (!xen_itself())
		SKIP("the hypervisor is not Xen itself");
	for (size_t i = 0; i < 2 * COUNT_OF(numbers); i++) {
		unsigned int number = numbers[i / 2];
		struct user_call_case c = { .code = i % 2 ? xen_page_stub(page, number)
							  : hypercall_stub() };

		registers_fill(&c.before, (unsigned int)i);
		xen_set_call(&c.before, number, distinct_arguments);
		EXPECT_FAULT_EQ(user_call(call_at_cpl3, (uintptr_t)&c).fault, NO_FAULT, 0);
		EXPECT_EQ((long)c.after.value[REG_AX], -XEN_EPERM, "number %u", number);
		expect_registers_kept(&c.before, &c.after, XEN_CALL_CHANGES, "a call at CPL 3");
	}
}

struct cpu_call {
	const void *page;
	struct xen_record record;
};

static void call_and_read_record(void *argument)
{
	struct cpu_call *c = argument;

	xen_page_call_with(c->page, XEN_NUMBER_UNUSED, distinct_arguments);
	c->record = xen_last_call();
}

TEST("a page installed by one CPU serves another")
{
	struct cpu_call c = { .page = page_of_xen() };

	REQUIRE(cpu_count() >= 2);
	xen_hypercall(XEN_NUMBER_UNUSED + 1);
	on_cpu(1, call_and_read_record, &c);
	EXPECT_EQ(c.record.number, XEN_NUMBER_UNUSED);
	EXPECT_EQ(c.record.arguments[5], distinct_arguments[5]);
	EXPECT_EQ(xen_last_call().number, XEN_NUMBER_UNUSED + 1, "the record of CPU 0");
}
