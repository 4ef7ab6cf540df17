// SPDX-License-Identifier: BSD-2-Clause
/*
 * Xen hypercalls through a page that another CPU writes over and over
 *
 * A write to the MSR writes all 4 KiB of the page, stub by stub (xen.c,
 * kvm_xen_write_hypercall_page), while other vCPUs may run in it, and KVM may be reading an
 * instruction of it to step over it (svm.c, svm_skip_emulated_instruction, on a CPU without NRIPS).
 * What it writes is what is there already, so that at no moment is there anything else in the page:
 * no call may fault, get another number, or come back wrong.
 *
 * The page is also ordinary RAM, where another CPU may store by itself. If it stores what is there
 * already, nothing may change. If it changes the number in a stub's "mov $number, %eax" between
 * two, by a store of one byte, each call must be one of the two: a single store inside an aligned
 * quadword of code is seen before or after, never in part (AMD APM volume 2, "Cross-Modifying
 * Code", asynchronous modification).
 */
#include <test/test.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/vmrun.h>

#define CALLS_TO_USER	150
#define CALLS_TO_KVM	400
#define WRITES_AT_LEAST 20
#define PATIENCE	20 /* so many times as many calls at most, while too few writes were made */
#define WAIT_MS		5000

/* The low byte of the number in a stub: behind the opcode. */
#define STUB_NUMBER 1

/* Numbers that neither KVM nor vmrun knows. */
#define FIRST_NUMBER 33
#define NUMBERS	     (XEN_VMRUN_ECHO - FIRST_NUMBER)

struct writer {
	void *page;
	void (*write)(void *page, unsigned long turn);
	bool stop;
	unsigned long writes;
};

static void write_by_msr(void *page, unsigned long turn)
{
	(void)turn;
	wrmsr(xen_hypercall_msr(), (uintptr_t)page);
}

static void store_same_words(void *page, unsigned long turn)
{
	volatile uintptr_t *words = page;

	(void)turn;
	for (unsigned int i = 0; i < PAGE_SIZE / sizeof(*words); i++) {
		uintptr_t word = words[i];

		words[i] = word;
	}
}

static void set_echo_number(void *page, unsigned int number)
{
	volatile uint8_t *stub = (uint8_t *)page + XEN_VMRUN_ECHO * XEN_PAGE_STUB_SIZE;

	stub[STUB_NUMBER] = number;
}

static void toggle_echo_number(void *page, unsigned long turn)
{
	set_echo_number(page, XEN_VMRUN_ECHO + turn % 2);
}

static void write_until_stopped(void *argument)
{
	struct writer *writer = argument;

	for (unsigned long turn = 0; !__atomic_load_n(&writer->stop, __ATOMIC_ACQUIRE); turn++) {
		writer->write(writer->page, turn);
		__atomic_add_fetch(&writer->writes, 1, __ATOMIC_RELEASE);
	}
}

static unsigned long writes_so_far(struct writer *writer)
{
	return __atomic_load_n(&writer->writes, __ATOMIC_ACQUIRE);
}

static void start(struct writer *writer)
{
	REQUIRE(cpu_count() >= 2);
	on_cpu_start(1, write_until_stopped, writer);
	REQUIRE(WAIT_FOR(writes_so_far(writer) > 0, WAIT_MS));
}

/* Whether to make one more call: there are to be this many, and enough writes at the same time. */
static bool go_on(struct writer *writer, unsigned int made, unsigned int calls)
{
	if (made < calls)
		return true;
	return made < PATIENCE * calls && writes_so_far(writer) < WRITES_AT_LEAST;
}

static void stop(struct writer *writer)
{
	REQUIRE(writes_so_far(writer) >= WRITES_AT_LEAST);
	__atomic_store_n(&writer->stop, true, __ATOMIC_RELEASE);
	on_cpu_wait(1);
}

/* How many calls through this page do not come back with what they are to. */
static unsigned int wrong_echoes(struct writer *writer, const void *page)
{
	unsigned int wrong = 0;

	for (unsigned int i = 0; go_on(writer, i, CALLS_TO_USER); i++) {
		wrong += !xen_call_works(page, i * 0x01010101u);
	}
	return wrong;
}

TEST("calls that user space answers are right while the page is written")
{
	struct writer writer = { xen_page_new(), write_by_msr, false, 0 };

	start(&writer);
	EXPECT_EQ(wrong_echoes(&writer, writer.page), 0);
	stop(&writer);
}

/* Under Xen itself, all that it answers is answered alike. */
TEST("calls that KVM answers are right while the page is written")
{
	struct writer writer = { xen_page_new(), write_by_msr, false, 0 };
	unsigned long count = xen_calls_counted();
	unsigned int wrong = 0;

	start(&writer);
	for (unsigned int i = 0; go_on(&writer, i, CALLS_TO_KVM); i++)
		wrong += xen_page_call(writer.page, XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD) != 0;
	stop(&writer);
	EXPECT_EQ(wrong, 0);
	EXPECT_EQ(xen_calls_counted(), count, "none had another number");
}

TEST("each number is right while the page is written")
{
	struct writer writer = { xen_page_new(), write_by_msr, false, 0 };

	xen_skip_without_vmrun();
	start(&writer);
	for (unsigned int i = 0; go_on(&writer, i, NUMBERS); i++) {
		unsigned int number = FIRST_NUMBER + i % NUMBERS;

		xen_page_call(writer.page, number);
		EXPECT_EQ(xen_hypercall(XEN_VMRUN_RECORD, XEN_RECORD_NUMBER), number);
	}
	stop(&writer);
}

TEST("the page is whole after it was written and used at once")
{
	static uint8_t expected[PAGE_SIZE];
	struct writer writer = { xen_page_new(), write_by_msr, false, 0 };

	start(&writer);
	wrong_echoes(&writer, writer.page);
	stop(&writer);
	xen_page_expected(expected);
	EXPECT_MEM_EQ(writer.page, expected, PAGE_SIZE);
}

TEST("a second page being written does not disturb calls through the first")
{
	const void *page = xen_page_new();
	struct writer writer = { page_alloc(), write_by_msr, false, 0 };

	start(&writer);
	EXPECT_EQ(wrong_echoes(&writer, page), 0);
	stop(&writer);
}

TEST("calls are right while another CPU stores the same bytes to the page itself")
{
	static uint8_t expected[PAGE_SIZE];
	struct writer writer = { xen_page_new(), store_same_words, false, 0 };

	start(&writer);
	EXPECT_EQ(wrong_echoes(&writer, writer.page), 0);
	stop(&writer);
	xen_page_expected(expected);
	EXPECT_MEM_EQ(writer.page, expected, PAGE_SIZE);
}

/* What calls of the echo came to while its number changed: argument 0, argument 1, or neither. */
struct echoes {
	unsigned int first, second, others;
};

static void call_either(const void *page, uintptr_t value, struct echoes *echoes)
{
	uintptr_t result = (uintptr_t)xen_page_call(page, XEN_VMRUN_ECHO, value, ~value);

	if (result == value)
		echoes->first++;
	else if (result == ~value)
		echoes->second++;
	else
		echoes->others++;
}

TEST("a call is one of two while another CPU changes the number in its stub between them")
{
	struct writer writer = { xen_page_new(), toggle_echo_number, false, 0 };
	struct echoes echoes = { 0 };

	xen_skip_without_vmrun();
	start(&writer);
	for (unsigned int i = 0; go_on(&writer, i, CALLS_TO_USER); i++)
		call_either(writer.page, i, &echoes);
	EXPECT_TRUE(WAIT_FOR((call_either(writer.page, 0, &echoes), echoes.first && echoes.second),
			     WAIT_MS),
		    "argument 0 came back %u times, argument 1 %u times", echoes.first,
		    echoes.second);
	stop(&writer);
	EXPECT_EQ(echoes.others, 0);
}

static void set_second_number(void *page)
{
	set_echo_number(page, XEN_VMRUN_ECHO + 1);
}

TEST("once another CPU has changed the number in a stub, calls have the new one")
{
	void *page = xen_page_new();

	xen_skip_without_vmrun();
	REQUIRE(cpu_count() >= 2);
	EXPECT_EQ(xen_page_call(page, XEN_VMRUN_ECHO, 1, 2), 1, "as installed");
	on_cpu(1, set_second_number, page);
	EXPECT_EQ(xen_page_call(page, XEN_VMRUN_ECHO, 1, 2), 2, "changed");
	wrmsr(xen_hypercall_msr(), (uintptr_t)page);
	EXPECT_EQ(xen_page_call(page, XEN_VMRUN_ECHO, 1, 2), 1, "installed again");
}
