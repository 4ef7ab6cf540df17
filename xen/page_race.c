// SPDX-License-Identifier: BSD-2-Clause
/*
 * Xen hypercalls through a page that another CPU has written over and over
 *
 * A write to the MSR writes all 4 KiB of the page, stub by stub (xen.c,
 * kvm_xen_write_hypercall_page), while other vCPUs may run in it, and KVM may be reading an
 * instruction of it to step over it (svm.c, svm_skip_emulated_instruction, on a CPU without NRIPS).
 * What it writes is what is there already, so that at no moment is there anything else in the page:
 * no call may fault, get another number, or come back wrong.
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

/* Numbers that neither KVM nor vmrun knows. */
#define FIRST_NUMBER 33
#define NUMBERS	     (XEN_VMRUN_ECHO - FIRST_NUMBER)

struct writer {
	const void *page;
	bool stop;
	unsigned long writes;
};

static void write_until_stopped(void *argument)
{
	struct writer *writer = argument;

	while (!__atomic_load_n(&writer->stop, __ATOMIC_ACQUIRE)) {
		wrmsr(xen_hypercall_msr(), (uintptr_t)writer->page);
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
	REQUIRE(WAIT_FOR(writes_so_far(writer) > 0, 1000));
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

/* How many calls through this page do not come back with the argument they were given. */
static unsigned int wrong_echoes(struct writer *writer, const void *page)
{
	unsigned int wrong = 0;

	for (unsigned int i = 0; go_on(writer, i, CALLS_TO_USER); i++) {
		uintptr_t value = i * 0x01010101u;
		long result = xen_page_call(page, XEN_VMRUN_ECHO, value);

		wrong += (uintptr_t)result != value;
	}
	return wrong;
}

TEST("calls that user space answers are right while the page is written")
{
	struct writer writer = { .page = xen_page_new() };

	start(&writer);
	EXPECT_EQ(wrong_echoes(&writer, writer.page), 0);
	stop(&writer);
}

TEST("calls that KVM answers are right while the page is written")
{
	struct writer writer = { .page = xen_page_new() };
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
	struct writer writer = { .page = xen_page_new() };

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
	struct writer writer = { .page = xen_page_new() };

	start(&writer);
	wrong_echoes(&writer, writer.page);
	stop(&writer);
	xen_page_expected(expected);
	EXPECT_MEM_EQ(writer.page, expected, PAGE_SIZE);
}

TEST("a second page being written does not disturb calls through the first")
{
	const void *page = xen_page_new();
	struct writer writer = { .page = page_alloc() };

	start(&writer);
	EXPECT_EQ(wrong_echoes(&writer, page), 0);
	stop(&writer);
}
