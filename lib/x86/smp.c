// SPDX-License-Identifier: BSD-2-Clause
#include <x86/smp.h>

#include <libc/string.h>
#include <sev/sev.h>
#include <test/report.h>
#include <x86/acpi.h>
#include <x86/apic.h>
#include <x86/cpu.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/time.h>

#define START_WAIT_MS	  10000
#define SECOND_SIPI_MS	  100
#define STOP_WAIT_MS	  5000
#define CPU_BLOCK_ORDER	  5
#define TRAMPOLINE_VECTOR (AP_TRAMPOLINE >> PAGE_SHIFT)

_Static_assert(PAGE_SIZE << CPU_BLOCK_ORDER == CPU_BLOCK_SIZE, "a CPU's block, in pages");

extern const char ap_trampoline[], ap_trampoline_end[];
extern struct cpu *ap_block; /* boot.S: the block of the CPU that starts next */

static struct cpu *cpus[CPU_MAX];
static unsigned int count; /* 0: not asked yet */

void ap_start_c(void);

static enum cpu_state get_state(const struct cpu *cpu)
{
	return __atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE);
}

static void set_state(struct cpu *cpu, enum cpu_state state)
{
	__atomic_store_n(&cpu->state, state, __ATOMIC_RELEASE);
}

/* Runs what the CPU was given. An ASSERT_ there, or a stop from outside, comes back here. */
static void run_function(struct cpu *cpu)
{
	struct jump end;

	if (!jump_save(&end)) {
		cpu->aborted = true; /* unless it comes to its end */
		cpu->abort = &end;
		cpu->function(cpu->argument);
		cpu->aborted = false;
	}
	cpu->abort = NULL;
	cpu->catch = NULL;
	cpu->stop = false;
	if (cpu->aborted)
		cpu_restore();
	set_state(cpu, CPU_DONE);
}

/* boot.S comes here with each AP, on the stack in its block. */
void ap_start_c(void)
{
	unsigned int number = ap_block->number;
	unsigned int id = ap_block->apic_id;
	struct cpu *cpu = cpu_init(number);

	cpu->apic_id = id;
	apic_init();
	set_state(cpu, CPU_IDLE);
	for (;;) {
		irq_disable();
		if (get_state(cpu) == CPU_BUSY)
			run_function(cpu);
		else
			irq_enable_and_halt();
	}
}

static void send_init(unsigned int id)
{
	apic_icr_write(ICR_INIT | ICR_ASSERT | ICR_LEVEL, id);
}

static void send_sipi(unsigned int id)
{
	apic_icr_write(ICR_STARTUP | ICR_ASSERT | TRAMPOLINE_VECTOR, id);
}

static void await_start(const struct cpu *cpu)
{
	if (!WAIT_FOR(get_state(cpu) == CPU_IDLE, START_WAIT_MS))
		test_error(TEST_SITE("cpu_count", true),
			   "CPU %u (APIC id %u) has not started in %u ms", cpu->number,
			   cpu->apic_id, START_WAIT_MS);
}

/*
 * INIT, SIPI, and a second SIPI for CPUs that missed it: Intel SDM volume 3, "Typical BSP
 * Initialization Sequence".
 */
static void boot_cpu(struct cpu *cpu, unsigned int number, unsigned int id)
{
	cpu->number = number;
	cpu->apic_id = id;
	ap_block = cpu;
	if (sev_active()) {
		sev_start_cpu(cpu, id);
		await_start(cpu);
		return;
	}
	send_init(id);
	send_sipi(id);
	if (WAIT_FOR(get_state(cpu) == CPU_IDLE, SECOND_SIPI_MS))
		return;
	send_sipi(id);
	await_start(cpu);
}

static void start_cpu(unsigned int number, unsigned int id)
{
	cpus[number] = pages_alloc(CPU_BLOCK_ORDER);
	boot_cpu(cpus[number], number, id);
}

void cpu_restart(unsigned int number)
{
	struct cpu *cpu;

	REQUIRE(number < cpu_count());
	REQUIRE(number != cpu_id());
	cpu = cpus[number];
	REQUIRE(get_state(cpu) == CPU_IDLE);
	set_state(cpu, CPU_ABSENT);
	boot_cpu(cpu, number, cpu->apic_id);
}

unsigned int cpu_count(void)
{
	unsigned int ids[CPU_MAX];
	unsigned int found, self;

	if (count)
		return count;
	REQUIRE(cpu_id() == 0);
	cpus[0] = this_cpu();
	count = 1;
	found = acpi_cpus(ids, CPU_MAX);
	if (found < 2)
		return count;

	self = apic_id();
	cpus[0]->apic_id = self;
	if (!sev_active())
		/* cppcheck-suppress comparePointers */
		memcpy((void *)AP_TRAMPOLINE, ap_trampoline, ap_trampoline_end - ap_trampoline);
	for (unsigned int i = 0; i < found; i++) {
		if (ids[i] != self) {
			start_cpu(count, ids[i]);
			count++;
		}
	}
	return count;
}

unsigned int cpu_apic_id(unsigned int cpu)
{
	REQUIRE(cpu < cpu_count());
	/* With one CPU in the machine nobody has asked it yet. */
	return cpu == cpu_id() ? apic_id() : cpus[cpu]->apic_id;
}

void on_cpu_start(unsigned int number, cpu_function *function, void *argument)
{
	struct cpu *cpu;

	REQUIRE(number < cpu_count());
	REQUIRE(number != cpu_id());
	cpu = cpus[number];
	if (get_state(cpu) != CPU_IDLE)
		test_error(TEST_SITE("on_cpu_start", true), "CPU %u is %s", number,
			   get_state(cpu) == CPU_LOST ? "lost since an earlier test point"
						      : "still busy");
	cpu->function = function;
	cpu->argument = argument;
	set_state(cpu, CPU_BUSY);
	apic_ipi(number, VECTOR_WAKE);
}

void on_cpu_wait(unsigned int number)
{
	struct cpu *cpu;

	REQUIRE(number < cpu_count());
	cpu = cpus[number];
	if (!WAIT_FOR(get_state(cpu) != CPU_BUSY, CPU_WAIT_MS))
		test_error(TEST_SITE("on_cpu_wait", true), "CPU %u has not come back in %u ms",
			   number, CPU_WAIT_MS);
	if (get_state(cpu) != CPU_DONE)
		test_error(TEST_SITE("on_cpu_wait", true), "CPU %u was not given anything to do",
			   number);
	set_state(cpu, CPU_IDLE);
	if (cpu->aborted)
		test_abort();
}

void on_cpu(unsigned int cpu, cpu_function *function, void *argument)
{
	if (cpu == cpu_id()) {
		function(argument);
		return;
	}
	on_cpu_start(cpu, function, argument);
	on_cpu_wait(cpu);
}

void on_all_cpus(cpu_function *function, void *argument)
{
	unsigned int cpus_there = cpu_count();

	for (unsigned int cpu = 0; cpu < cpus_there; cpu++)
		if (cpu != cpu_id())
			on_cpu_start(cpu, function, argument);
	function(argument);
	for (unsigned int cpu = 0; cpu < cpus_there; cpu++)
		if (cpu != cpu_id())
			on_cpu_wait(cpu);
}

/* Whether the CPU, which runs on from the point that is over, could be stopped. */
static bool stop_cpu(struct cpu *cpu)
{
	cpu->stop = true;
	apic_icr_write(ICR_NMI | ICR_ASSERT, cpu->apic_id);
	return WAIT_FOR(get_state(cpu) != CPU_BUSY, STOP_WAIT_MS);
}

static void settle_cpu(struct cpu *cpu, bool aborted)
{
	const struct test_site site = test_point_site();

	if (get_state(cpu) == CPU_BUSY) {
		if (!aborted)
			test_note_error(&site, "the point ended while CPU %u was still busy",
					cpu->number);
		if (!stop_cpu(cpu)) {
			test_note_error(&site, "CPU %u cannot be stopped, and is lost",
					cpu->number);
			set_state(cpu, CPU_LOST);
		}
	}
	if (get_state(cpu) == CPU_DONE)
		set_state(cpu, CPU_IDLE);
}

void smp_settle(bool aborted)
{
	for (unsigned int number = 1; number < count; number++)
		settle_cpu(cpus[number], aborted);
}
