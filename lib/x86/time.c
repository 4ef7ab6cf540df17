// SPDX-License-Identifier: BSD-2-Clause
#include <x86/time.h>

#include <x86/cpuid.h>
#include <x86/io.h>
#include <x86/lock.h>

/*
 * VMware's timing leaf, which KVM's VMMs took over: EAX is the TSC's frequency in kHz. KVM's leaves, where
 * another hypervisor's stand first, begin higher.
 */
#define HYPERVISOR_BASE	  0x40000000u
#define HYPERVISOR_TIMING 0x10u

/* TSC / core crystal clock = EBX / EAX, and ECX is the crystal's frequency in Hz, or 0. */
#define LEAF_TSC 0x15

/* Intel 8254 data sheet; channel 2 is gated by port 0x61, where its output can be read, too. */
#define PIT_HZ		  1193182
#define PIT_CHANNEL2	  0x42
#define PIT_COMMAND	  0x43
#define PIT_CH2_ONE_SHOT  0xb0 /* channel 2, both bytes, mode 0: output rises at the end */
#define PORT_SYSTEM_B	  0x61
#define SYSTEM_B_GATE2	  0x01
#define SYSTEM_B_SPEAKER  0x02
#define SYSTEM_B_OUTPUT2  0x20
#define CALIBRATION_MS	  10
#define CALIBRATION_READS 1000000 /* an output that never rises is none */

/* With nothing to measure by (QEMU's microvm, say) waits are rather too long than too short. */
#define ASSUMED_KHZ 5000000

/* Even at 5 GHz this is not a millisecond. */
#define SURELY_SHORT 2000000

static uint64_t known_khz;
static struct lock lock;

/*
 * What is there without a hypervisor is an emulated CPU, which copies leaf 0x15 of its model and has a clock of
 * its own.
 */
static uint64_t khz_by_cpuid(void)
{
	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR))
		return 0;

	uint32_t base = HYPERVISOR_BASE;

	cpuid_hypervisor("KVMKVMKVM\0\0", &base);
	if (cpuid(base, 0).eax >= base + HYPERVISOR_TIMING) {
		uint32_t khz = cpuid(base + HYPERVISOR_TIMING, 0).eax;

		if (khz)
			return khz;
	}
	struct cpuid leaf = cpuid_checked(LEAF_TSC, 0);
	if (leaf.eax && leaf.ebx && leaf.ecx)
		return (uint64_t)leaf.ecx * leaf.ebx / leaf.eax / 1000;
	return 0;
}

static bool pit_output_is_high(void)
{
	return inb(PORT_SYSTEM_B) & SYSTEM_B_OUTPUT2;
}

static uint64_t khz_by_pit(void)
{
	uint16_t count = PIT_HZ / (1000 / CALIBRATION_MS);
	uint8_t gate = (inb(PORT_SYSTEM_B) & ~SYSTEM_B_SPEAKER) | SYSTEM_B_GATE2;
	unsigned int reads = 0;
	uint64_t start;

	outb(PORT_SYSTEM_B, gate);
	outb(PIT_COMMAND, PIT_CH2_ONE_SHOT);
	/* A port with nothing behind it reads all ones, or zeros. */
	if ((inb(PORT_SYSTEM_B) & (SYSTEM_B_GATE2 | SYSTEM_B_SPEAKER)) != SYSTEM_B_GATE2)
		return ASSUMED_KHZ;
	outb(PIT_CHANNEL2, count & 0xff);
	outb(PIT_CHANNEL2, count >> 8);
	start = rdtsc();
	while (!pit_output_is_high())
		if (++reads == CALIBRATION_READS)
			return ASSUMED_KHZ;
	return (rdtsc() - start) / CALIBRATION_MS;
}

uint64_t tsc_khz(void)
{
	lock_take(&lock);
	if (!known_khz)
		known_khz = khz_by_cpuid();
	if (!known_khz)
		known_khz = khz_by_pit();
	lock_release(&lock);
	return known_khz;
}

void delay_us(uint64_t microseconds)
{
	uint64_t ticks = tsc_khz() * microseconds / 1000;
	uint64_t start = rdtsc();

	while (rdtsc() - start < ticks)
		cpu_relax();
}

bool deadline_passed(struct deadline *deadline, uint64_t milliseconds)
{
	uint64_t passed = rdtsc() - deadline->start;

	if (!deadline->ticks) {
		if (passed < SURELY_SHORT && milliseconds)
			return false;
		deadline->ticks = tsc_khz() * milliseconds;
	}
	return passed >= deadline->ticks;
}
