// SPDX-License-Identifier: BSD-2-Clause
#include <x86/apic.h>

#include <x86/cpu.h>
#include <x86/cpuid.h>
#include <x86/interrupt.h>
#include <x86/msr.h>
#include <x86/time.h>

/* Intel SDM volume 3, "x2APIC Register Address Space": register offset / 16 is the MSR's index. */
#define X2APIC_MSR(reg)	     (MSR_X2APIC_FIRST + ((reg) >> 4))

#define XAPIC_ID_SHIFT	     24
#define DIVIDE_BY_1	     0xb
#define WORD_BITS	     32
#define WORD_STRIDE	     0x10
#define ICR_WAIT_MS	     5000
#define CALIBRATION_US	     20000
#define CALIBRATION_READINGS 5
#define COUNT_MAX	     0xffffffffu

static uint64_t known_timer_khz;

static volatile uint32_t *xapic_register(enum apic_register reg)
{
	return (volatile uint32_t *)(APIC_BASE_DEFAULT + reg);
}

static uint32_t read_raw(const struct cpu *cpu, enum apic_register reg)
{
	return cpu->apic_x2 ? (uint32_t)rdmsr(X2APIC_MSR(reg)) : *xapic_register(reg);
}

static void write_raw(const struct cpu *cpu, enum apic_register reg, uint32_t value)
{
	if (cpu->apic_x2)
		wrmsr(X2APIC_MSR(reg), value);
	else
		*xapic_register(reg) = value;
}

static void spurious_interrupt(struct x86_frame *frame)
{
	(void)frame; /* needs no EOI: Intel SDM volume 3, "Spurious Interrupt" */
}

static void wake_up(struct x86_frame *frame)
{
	(void)frame; /* that the HLT ended is enough */
	apic_eoi();
}

void apic_init(void)
{
	struct cpu *cpu = this_cpu();
	uint64_t base;

	if (cpu->apic_ready)
		return;
	base = rdmsr(MSR_IA32_APIC_BASE);
	if (!(base & APIC_BASE_ENABLE))
		wrmsr(MSR_IA32_APIC_BASE, base | APIC_BASE_ENABLE);
	cpu->apic_x2 = base & APIC_BASE_X2APIC;
	cpu->apic_ready = true;
	irq_handler(VECTOR_SPURIOUS, spurious_interrupt);
	irq_handler(VECTOR_WAKE, wake_up);
	write_raw(cpu, APIC_SVR, APIC_SVR_ENABLE | VECTOR_SPURIOUS);
}

uint32_t apic_read(enum apic_register reg)
{
	apic_init();
	return read_raw(this_cpu(), reg);
}

void apic_write(enum apic_register reg, uint32_t value)
{
	apic_init();
	write_raw(this_cpu(), reg, value);
}

uint32_t apic_id(void)
{
	uint32_t id = apic_read(APIC_ID);

	return this_cpu()->apic_x2 ? id : id >> XAPIC_ID_SHIFT;
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_icr_write(uint32_t low, uint32_t destination)
{
	struct cpu *cpu = this_cpu();

	apic_init();
	if (cpu->apic_x2) {
		wrmsr(X2APIC_MSR(APIC_ICR), (uint64_t)destination << 32 | low);
		return;
	}
	write_raw(cpu, APIC_ICR_HIGH, destination << XAPIC_ID_SHIFT);
	write_raw(cpu, APIC_ICR, low);
	if (!WAIT_FOR(!(read_raw(cpu, APIC_ICR) & ICR_PENDING), ICR_WAIT_MS))
		test_error(TEST_SITE("apic_icr_write", true),
			   "the APIC of CPU %u has not sent its IPI 0x%x in %u ms", cpu->number,
			   low, ICR_WAIT_MS);
}

void apic_ipi(unsigned int cpu, uint8_t vector)
{
	apic_icr_write(ICR_FIXED | ICR_ASSERT | vector, cpu_apic_id(cpu));
}

static bool bit_set(enum apic_register first, uint8_t vector)
{
	uint32_t word = apic_read(first + vector / WORD_BITS * WORD_STRIDE);

	return word >> vector % WORD_BITS & 1;
}

bool apic_requested(uint8_t vector)
{
	return bit_set(APIC_IRR, vector);
}

bool apic_in_service(uint8_t vector)
{
	return bit_set(APIC_ISR, vector);
}

bool has_x2apic(void)
{
	return cpuid(1, 0).ecx & CPUID_1_ECX_X2APIC;
}

bool apic_is_x2(void)
{
	apic_init();
	return this_cpu()->apic_x2;
}

void apic_set_x2(bool x2)
{
	uint64_t base;

	if (apic_is_x2() == x2)
		return;
	REQUIRE(!x2 || has_x2apic());
	base = rdmsr(MSR_IA32_APIC_BASE);
	if (x2) {
		wrmsr(MSR_IA32_APIC_BASE, base | APIC_BASE_X2APIC);
	} else {
		base &= ~(uint64_t)(APIC_BASE_ENABLE | APIC_BASE_X2APIC);
		wrmsr(MSR_IA32_APIC_BASE, base);
		wrmsr(MSR_IA32_APIC_BASE, base | APIC_BASE_ENABLE);
	}
	this_cpu()->apic_ready = false;
	apic_init();
}

void apic_timer_start(uint32_t mode, uint8_t vector, uint64_t count)
{
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, mode | vector);
	if ((mode & LVT_TIMER_DEADLINE) == LVT_TIMER_DEADLINE) {
		/* "TSC-Deadline Mode": a memory-mapped LVT write must be done before the MSR's. */
		asm volatile("mfence" ::: "memory");
		wrmsr(MSR_IA32_TSC_DEADLINE, count);
	} else {
		apic_write(APIC_TIMER_INITIAL, count);
	}
}

void apic_timer_stop(void)
{
	/* A count of 0 stops it; leaving the deadline mode disarms that. */
	apic_write(APIC_LVT_TIMER, LVT_MASKED | LVT_TIMER_ONE_SHOT | VECTOR_SPURIOUS);
	apic_write(APIC_TIMER_INITIAL, 0);
}

/*
 * The timer's count, and the TSC at that time: the best of some readings, each of which may be
 * slow.
 */
struct reading {
	uint64_t count, time;
};

static struct reading read_timer(void)
{
	uint64_t shortest = UINT64_MAX;
	struct reading best = { 0 };

	for (unsigned int i = 0; i < CALIBRATION_READINGS; i++) {
		uint64_t before = rdtsc();
		uint32_t timer = apic_read(APIC_TIMER_CURRENT);
		uint64_t duration = rdtsc() - before;

		if (duration < shortest) {
			shortest = duration;
			best = (struct reading){ .count = timer, .time = before + duration / 2 };
		}
	}
	return best;
}

uint64_t apic_timer_khz(void)
{
	struct reading first, last;

	if (known_timer_khz)
		return known_timer_khz;
	apic_timer_start(LVT_TIMER_ONE_SHOT | LVT_MASKED, VECTOR_SPURIOUS, COUNT_MAX);
	first = read_timer();
	delay_us(CALIBRATION_US);
	last = read_timer();
	apic_timer_stop();
	known_timer_khz = (first.count - last.count) * tsc_khz() / (last.time - first.time);
	return known_timer_khz;
}

bool has_tsc_deadline(void)
{
	return cpuid(1, 0).ecx & CPUID_1_ECX_TSC_DEADLINE;
}
