// SPDX-License-Identifier: BSD-2-Clause
/*
 * The runtime: several CPUs
 *
 * Tests of races need a function to run on a CPU of their choice, at the same time as another one,
 * and need to know that it did. Here CPUs are started, given work and interrupted, in both modes of
 * the local APIC; what they find out by themselves (their number, their APIC's id) must agree with
 * what the runtime says of them.
 *
 * Sources: Intel SDM volume 3, "Multiple-Processor (MP) Initialization", "Issuing
 * Interprocessor Interrupts" and "Extended XAPIC (x2APIC)"; AMD APM volume 2, chapter 16.
 */
#include <test/test.h>
#include <x86/apic.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/msr.h>
#include <x86/registers.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <x86/user.h>

#define IPI_VECTOR 0x60
#define WAIT_MS	   5000
#define ROUNDS	   200
#define INCREMENTS 10000

struct identity {
	unsigned int cpu, apic_id, runs;
	uintptr_t flags;
};

static void need_cpus(unsigned int count)
{
	if (cpu_count() < count)
		SKIP("needs %u CPUs, and there are %u", count, cpu_count());
}

static void identify(void *argument)
{
	struct identity *identity = argument;

	identity->cpu = cpu_id();
	identity->apic_id = apic_id();
	identity->flags = read_flags();
	identity->runs++;
}

TEST("a function runs on the CPU that was asked for, once, with interrupts disabled")
{
	for (unsigned int cpu = 0; cpu < cpu_count(); cpu++) {
		struct identity identity = { 0 };

		on_cpu(cpu, identify, &identity);
		EXPECT_EQ(identity.runs, 1, "CPU %u", cpu);
		EXPECT_EQ(identity.cpu, cpu);
		EXPECT_EQ(identity.apic_id, cpu_apic_id(cpu), "CPU %u", cpu);
		EXPECT_EQ(identity.flags & FLAGS_IF, 0, "CPU %u", cpu);
	}
}

TEST("no two CPUs have the same APIC id, and CPU 0 is the one that booted")
{
	for (unsigned int a = 0; a < cpu_count(); a++)
		for (unsigned int b = a + 1; b < cpu_count(); b++)
			EXPECT_NE(cpu_apic_id(a), cpu_apic_id(b), "CPUs %u and %u", a, b);
	EXPECT_EQ(rdmsr(MSR_IA32_APIC_BASE) & APIC_BASE_BSP, APIC_BASE_BSP);
}

static unsigned int arrived;
static unsigned int counter;

/* All must be here at the same time for any to go on. */
static void meet_and_count(void *argument)
{
	(void)argument;
	__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
	ASSERT_TRUE(WAIT_FOR(__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) == cpu_count(), WAIT_MS));
	for (unsigned int i = 0; i < INCREMENTS; i++)
		__atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED);
}

TEST("all CPUs run at the same time")
{
	need_cpus(2);
	arrived = counter = 0;
	on_all_cpus(meet_and_count, NULL);
	EXPECT_EQ(counter, INCREMENTS * cpu_count());
}

TEST("work is given and waited for a few hundred times")
{
	struct identity identity = { 0 };

	need_cpus(2);
	for (unsigned int i = 0; i < ROUNDS; i++)
		on_cpu(1, identify, &identity);
	EXPECT_EQ(identity.runs, ROUNDS);
}

static void catch_faults(void *argument)
{
	struct x86_fault *fault = argument;

	*fault = FAULT_OF(ud2());
}

static uintptr_t user_ud2(uintptr_t argument)
{
	ud2();
	return argument;
}

static void catch_user_faults(void *argument)
{
	struct x86_fault *fault = argument;

	*fault = user_call(user_ud2, 0).fault;
}

TEST("each CPU catches its own faults, at CPL 0 and 3")
{
	for (unsigned int cpu = 0; cpu < cpu_count(); cpu++) {
		struct x86_fault fault = { 0 };

		on_cpu(cpu, catch_faults, &fault);
		EXPECT_FAULT_EQ(fault, UD, 0, "CPU %u, CPL 0", cpu);
		fault = (struct x86_fault){ 0 };
		on_cpu(cpu, catch_user_faults, &fault);
		EXPECT_FAULT_EQ(fault, UD, 0, "CPU %u, CPL 3", cpu);
	}
}

static unsigned int interrupts[CPU_MAX];

static void count_interrupt(struct x86_frame *frame)
{
	__atomic_add_fetch(&interrupts[cpu_id()], 1, __ATOMIC_SEQ_CST);
	if (frame->vector != NMI)
		apic_eoi();
}

static bool was_interrupted(unsigned int cpu, unsigned int times)
{
	return WAIT_FOR(__atomic_load_n(&interrupts[cpu], __ATOMIC_SEQ_CST) >= times, WAIT_MS);
}

static void reset_interrupts(void)
{
	for (unsigned int cpu = 0; cpu < CPU_MAX; cpu++)
		interrupts[cpu] = 0;
	irq_handler(IPI_VECTOR, count_interrupt);
	irq_handler(NMI, count_interrupt);
}

static void send_ipis_to_all(void)
{
	reset_interrupts();
	irq_enable();
	for (unsigned int cpu = 0; cpu < cpu_count(); cpu++) {
		apic_ipi(cpu, IPI_VECTOR);
		EXPECT_TRUE(was_interrupted(cpu, 1), "CPU %u", cpu);
	}
	irq_disable();
	for (unsigned int cpu = 0; cpu < cpu_count(); cpu++)
		EXPECT_EQ(interrupts[cpu], 1, "CPU %u", cpu);
}

TEST("an IPI arrives at its CPU, and at no other")
{
	send_ipis_to_all();
}

TEST("an NMI by IPI arrives at its CPU, and at no other")
{
	need_cpus(2);
	reset_interrupts();
	for (unsigned int cpu = 1; cpu < cpu_count(); cpu++) {
		apic_icr_write(ICR_NMI | ICR_ASSERT, cpu_apic_id(cpu));
		EXPECT_TRUE(was_interrupted(cpu, 1), "CPU %u", cpu);
	}
	for (unsigned int cpu = 0; cpu < cpu_count(); cpu++)
		EXPECT_EQ(interrupts[cpu], cpu ? 1 : 0, "CPU %u", cpu);
}

TEST("an IPI to all but oneself arrives at all others")
{
	need_cpus(2);
	reset_interrupts();
	irq_enable();
	apic_icr_write(ICR_FIXED | ICR_ASSERT | ICR_ALL_BUT_SELF | IPI_VECTOR, 0);
	for (unsigned int cpu = 1; cpu < cpu_count(); cpu++)
		EXPECT_TRUE(was_interrupted(cpu, 1), "CPU %u", cpu);
	irq_disable();
	EXPECT_EQ(interrupts[cpu_id()], 0);
}

TEST("an IPI to oneself waits in the IRR until interrupts are enabled")
{
	reset_interrupts();
	apic_ipi(cpu_id(), IPI_VECTOR);
	EXPECT_TRUE(WAIT_FOR(apic_requested(IPI_VECTOR), WAIT_MS));
	EXPECT_EQ(interrupts[cpu_id()], 0);
	irq_window();
	EXPECT_EQ(interrupts[cpu_id()], 1);
	EXPECT_FALSE(apic_requested(IPI_VECTOR));
	EXPECT_FALSE(apic_in_service(IPI_VECTOR));
}

TEST("an interrupt without a handler is caught as its vector")
{
	struct x86_fault fault;

	apic_ipi(cpu_id(), IPI_VECTOR);
	REQUIRE(WAIT_FOR(apic_requested(IPI_VECTOR), WAIT_MS));
	fault = FAULT_OF(irq_window());
	EXPECT_FAULT_EQ(fault, IPI_VECTOR, 0);
	EXPECT_TRUE(apic_in_service(IPI_VECTOR));
	apic_eoi();
	EXPECT_FALSE(apic_in_service(IPI_VECTOR));
}

static void set_x2(void *argument)
{
	const bool *x2 = argument;

	apic_set_x2(*x2);
	EXPECT_EQ(apic_is_x2(), *x2);
	EXPECT_EQ(apic_id(), cpu_apic_id(cpu_id()));
}

/* This CPU last: the others are reached from it meanwhile, in the mode in which it is. */
static void set_all_x2(bool x2)
{
	for (unsigned int cpu = cpu_count(); cpu-- > 0;)
		on_cpu(cpu, set_x2, &x2);
}

TEST("IPIs arrive in x2APIC mode, and in xAPIC mode again after it")
{
	if (!has_x2apic())
		SKIP("this CPU has no x2APIC");
	set_all_x2(true);
	send_ipis_to_all();
	set_all_x2(false);
	send_ipis_to_all();
}
