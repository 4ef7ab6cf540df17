// SPDX-License-Identifier: BSD-2-Clause
/*
 * Several CPUs that call Xen and Hyper-V at once: no call is misrouted
 *
 * To whom a call belongs is decided by the caller's eax and by the VM's guest OS id (xen.c,
 * kvm_xen_hypercall): nothing that another CPU calls at the same time may matter, nor that it
 * installs the pages again, which KVM does by writing what is in them already. A guest OS id that
 * comes and goes on one CPU moves another's calls with bit 31 to and fro between the two, and those
 * without it not at all.
 *
 * Most calls are ones that KVM answers without user space, as they are faster by far:
 *
 *	Xen: sched_op yield		0. As a Hyper-V call it would be refused with 2 or 3.
 *	Hyper-V: a reserved bit set	3. As a Xen call it would be -ENOSYS, and counted by vmrun.
 *
 * The two CPUs of the first point make thousands of calls each.
 */
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <test/test.h>
#include <x86/msr.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/vmrun.h>

#define MANY	 2500
#define SOME	 200
#define CPUS_MAX 4
#define WAIT_MS	 5000

static struct {
	const void *xen, *hyperv;
} page;

/* What one CPU does, and how it went. */
struct caller {
	bool (*call)(unsigned int i); /* whether the answer was right */
	unsigned int calls;
	unsigned int wrong;
	unsigned int done;
};

static bool xen_by_page(unsigned int i)
{
	(void)i;
	return xen_page_call(page.xen, XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD) == 0;
}

static bool xen_direct(unsigned int i)
{
	(void)i;
	return xen_hypercall(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD) == 0;
}

static bool xen_echo(unsigned int i)
{
	return xen_call_works(page.xen, ~(uintptr_t)i);
}

static bool hyperv_by_page(unsigned int i)
{
	return hv_page_call(page.hyperv, HV_CONTROL_REFUSED, i, 0) == hv_refusal();
}

static bool hyperv_direct(unsigned int i)
{
	return hv_hypercall(HV_CONTROL_REFUSED, i, 0) == hv_refusal();
}

static bool by_turns(unsigned int i)
{
	return i % 2 ? xen_by_page(i) : hyperv_by_page(i);
}

static bool install_both_again(unsigned int i)
{
	(void)i;
	wrmsr(xen_hypercall_msr(), (uintptr_t)page.xen);
	hv_install_page(page.hyperv);
	return true;
}

static bool switch_guest_os_id(unsigned int i)
{
	if (i % 2)
		hv_enable_hypercalls();
	else
		hv_disable_hypercalls();
	return true;
}

static void run(void *argument)
{
	struct caller *caller = argument;

	for (unsigned int i = 0; i < caller->calls; i++) {
		caller->wrong += !caller->call(i);
		__atomic_store_n(&caller->done, i + 1, __ATOMIC_RELEASE);
	}
}

/* One caller a CPU, at once. */
static void run_all(struct caller *callers, unsigned int count)
{
	page.xen = xen_page_new();
	page.hyperv = hv_page_new();
	REQUIRE(cpu_count() >= count);
	for (unsigned int cpu = 1; cpu < count; cpu++)
		on_cpu_start(cpu, run, &callers[cpu]);
	run(&callers[0]);
	for (unsigned int cpu = 1; cpu < count; cpu++)
		on_cpu_wait(cpu);
	for (unsigned int cpu = 0; cpu < count; cpu++) {
		EXPECT_EQ(callers[cpu].done, callers[cpu].calls, "CPU %u", cpu);
		EXPECT_EQ(callers[cpu].wrong, 0, "wrong answers on CPU %u", cpu);
	}
}

/* Xen itself counts nothing. */
static unsigned long count_of_xen(void)
{
	return xen_itself() ? 0 : xen_calls_counted();
}

/* As run_all(); and this many of the calls must have come to user space. */
static void run_all_counted(struct caller *callers, unsigned int count, unsigned long to_user)
{
	unsigned long before;

	xen_skip_if_absent();
	hv_skip_if_absent();
	before = count_of_xen();
	run_all(callers, count);
	if (!xen_itself())
		EXPECT_EQ(count_of_xen() - before, to_user, "calls that came to user space");
}

TEST("one CPU calls Xen and one Hyper-V, through their pages")
{
	struct caller callers[] = { { xen_by_page, MANY, 0, 0 }, { hyperv_by_page, MANY, 0, 0 } };

	run_all_counted(callers, 2, 0);
}

TEST("one CPU calls Hyper-V and one Xen, through their pages")
{
	struct caller callers[] = { { hyperv_by_page, 2 * SOME, 0, 0 },
				    { xen_by_page, 2 * SOME, 0, 0 } };

	run_all_counted(callers, 2, 0);
}

TEST("one CPU calls Xen and one Hyper-V, by the instruction")
{
	struct caller callers[] = { { xen_direct, SOME, 0, 0 }, { hyperv_direct, SOME, 0, 0 } };

	run_all_counted(callers, 2, 0);
}

TEST("Xen calls that user space answers arrive once each beside Hyper-V calls")
{
	struct caller callers[] = { { xen_echo, SOME / 2, 0, 0 }, { hyperv_by_page, SOME, 0, 0 } };

	run_all_counted(callers, 2, SOME / 2);
}

TEST("two CPUs call both by turns, out of step")
{
	struct caller callers[] = { { by_turns, SOME, 0, 0 }, { by_turns, SOME + 1, 0, 0 } };

	run_all_counted(callers, 2, 0);
}

TEST("four CPUs call, two each")
{
	struct caller callers[CPUS_MAX] = {
		{ xen_by_page, SOME, 0, 0 },
		{ hyperv_by_page, SOME, 0, 0 },
		{ xen_direct, SOME, 0, 0 },
		{ hyperv_direct, SOME, 0, 0 },
	};

	run_all_counted(callers, CPUS_MAX, 0);
}

TEST("both ABIs are called while another CPU installs both pages again")
{
	struct caller callers[] = {
		{ xen_by_page, SOME, 0, 0 },
		{ hyperv_by_page, SOME, 0, 0 },
		{ install_both_again, SOME / 10, 0, 0 },
	};

	run_all_counted(callers, 3, 0);
}

TEST("Xen calls are Xen's while another CPU sets and takes back the guest OS id")
{
	struct caller callers[] = { { xen_by_page, SOME, 0, 0 },
				    { switch_guest_os_id, SOME, 0, 0 } };

	run_all_counted(callers, 2, 0);
}

static void switch_until_stopped(void *argument)
{
	const bool *stopped = argument;

	for (unsigned int i = 0; !__atomic_load_n(stopped, __ATOMIC_ACQUIRE); i++)
		switch_guest_os_id(i);
}

/* Whose the calls with bit 31 were, by their answers. */
struct answers {
	unsigned int hyperv, xen, others;
};

/* One more call. Whether there have been enough, of both kinds. */
static bool call_either(struct answers *answers)
{
	uint64_t result = hv_page_call(page.hyperv, HV_CONTROL_REFUSED, 0, 0);

	/* In 32-bit code Xen answers in eax; edx is still the control value's high half: 0. */
	if (result == HV_STATUS_INVALID_HYPERCALL_INPUT)
		answers->hyperv++;
	else if (result == (uintptr_t)-XEN_ENOSYS)
		answers->xen++;
	else
		answers->others++;
	return answers->hyperv + answers->xen >= SOME && answers->hyperv && answers->xen;
}

TEST("calls with bit 31 are one's or the other's while another CPU changes the guest OS id")
{
	struct answers answers = { 0 };
	bool stopped = false;
	unsigned long before;

	page.xen = xen_page_new();
	page.hyperv = hv_page_new();
	if (xen_itself())
		SKIP("Xen itself does not look at the guest OS id");
	before = xen_calls_counted();
	REQUIRE(cpu_count() >= 2);
	on_cpu_start(1, switch_until_stopped, &stopped);
	EXPECT_TRUE(WAIT_FOR(call_either(&answers), WAIT_MS), "%u calls were Hyper-V's, %u Xen's",
		    answers.hyperv, answers.xen);
	__atomic_store_n(&stopped, true, __ATOMIC_RELEASE);
	on_cpu_wait(1);
	EXPECT_EQ(answers.others, 0, "answers that neither gives");
	EXPECT_EQ(xen_calls_counted() - before, answers.xen, "calls that came to user space");
}
