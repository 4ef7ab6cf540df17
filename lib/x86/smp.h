/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other CPUs
 *
 * They are found in the ACPI MADT that start_info names (none: this is the only CPU) and are
 * started when first asked for, so that a test on one CPU does not pay for them. CPU 0 is the one
 * that booted. Each waits halted, with interrupts enabled, until it is given a function, which it
 * runs with interrupts disabled.
 *
 * Failures on any CPU count for the test point that runs. An ASSERT_, REQUIRE or SKIP there ends
 * the function on that CPU, and the point in whoever waits for it. What still runs when a
 * point ends is stopped by NMI.
 */
#ifndef X86_SMP_H
#define X86_SMP_H

#define CPU_MAX 64

typedef void cpu_function(void *argument);

/* How many CPUs there are; starts them. One that does not start is an error of the test point. */
unsigned int cpu_count(void);

/* The number of this CPU, from 0. Right at CPL 3 also. */
unsigned int cpu_id(void);

/*
 * INIT and SIPI to another CPU, which has nothing to do: it starts anew, and waits. What a reset of the CPU
 * leaves, as its APIC and its MSRs, is as it was at first.
 */
void cpu_restart(unsigned int cpu);

/* The APIC id of a CPU. */
unsigned int cpu_apic_id(unsigned int cpu);

/*
 * Runs function(argument) on that CPU, which may be this one, and waits for its end. Not done
 * within CPU_WAIT_MS is an error of the test point that names the CPU.
 */
void on_cpu(unsigned int cpu, cpu_function *function, void *argument);

/* The two halves of on_cpu(). To start one on a CPU that is still busy is an error. */
void on_cpu_start(unsigned int cpu, cpu_function *function, void *argument);
void on_cpu_wait(unsigned int cpu);

/* Runs it on all CPUs at once, this one included, and waits. */
void on_all_cpus(cpu_function *function, void *argument);

#define CPU_WAIT_MS 10000

/* In a loop that waits for another CPU. */
static inline void cpu_relax(void)
{
	asm volatile("pause" ::: "memory");
}

#endif
