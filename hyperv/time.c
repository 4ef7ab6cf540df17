// SPDX-License-Identifier: BSD-2-Clause
/*
 * The reference counter, the TSC page, and the frequencies
 *
 * Reference time counts 100 ns since the partition was made, the same for all its CPUs (TLFS,
 * "Partition Reference Counter"). The counter is an MSR; the TSC page holds what a guest needs to
 * compute it from the TSC without an exit: ((tsc * scale) >> 64) + offset, while its sequence is
 * neither 0 nor, in older versions of the TLFS, 0xffffffff ("Partition Reference TSC Mechanism"). A
 * guest that takes the one for the other at any time must not see time go backwards. KVM:
 * arch/x86/kvm/hyperv.c, get_time_ref_counter() and kvm_hv_setup_tsc_page(), which computes the
 * page from its master clock; the same in Linux 6.12 and 7.2.
 */
#include <hyperv/abi.h>
#include <hyperv/page.h>
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/apic.h>
#include <x86/cpuid.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/smp.h>
#include <x86/time.h>

#define HZ 10000000ull /* of reference time */
#define MS (HZ / 1000)

static uint64_t counter(void)
{
	return rdmsr(HV_X64_MSR_TIME_REF_COUNT);
}

/* The upper 64 bits of a product of 128. */
static uint64_t mul_high(uint64_t a, uint64_t b)
{
	const uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
	const uint64_t middle = ah * bl + (al * bl >> 32), other = al * bh + (uint32_t)middle;

	return ah * bh + (middle >> 32) + (other >> 32);
}

static uint64_t page_time(const struct hv_tsc_page *page)
{
	return mul_high(rdtsc(), page->scale) + (uint64_t)page->offset;
}

static bool valid(const struct hv_tsc_page *page)
{
	return page->sequence != 0 && page->sequence != 0xffffffff;
}

/* A page that is enabled. */
static struct hv_tsc_page *tsc_page(void)
{
	struct hv_tsc_page *page = page_alloc();

	hv_skip_if_absent();
	wrmsr(HV_X64_MSR_REFERENCE_TSC, (uintptr_t)page | HV_PAGE_ENABLE);
	if (!valid(page))
		SKIP("KVM has no master clock here, from which it computes the TSC page");
	return page;
}

TEST("the counter runs, and not backwards")
{
	uint64_t before;

	hv_skip_if_absent();
	before = counter();
	for (unsigned int i = 0; i < 2000; i++) {
		const uint64_t now = counter();

		EXPECT_GE(now, before);
		before = now;
	}
	EXPECT_TRUE(WAIT_FOR(counter() > before, 1000));
}

/* Whoever reads compares with what any CPU has read before. */
static struct {
	const struct hv_tsc_page *page;
	uint64_t latest;
	unsigned int turn, backwards;
} race;

#define TURNS 200

static void read_in_turn(void *by_msr)
{
	const unsigned int cpu = cpu_id();
	const bool msr = by_msr;

	for (unsigned int turn = cpu; turn < TURNS; turn += 2) {
		uint64_t time;

		while (__atomic_load_n(&race.turn, __ATOMIC_ACQUIRE) != turn)
			cpu_relax();
		time = (turn & 2) || msr ? counter() : page_time(race.page);
		race.backwards += time < race.latest;
		race.latest = time;
		__atomic_store_n(&race.turn, turn + 1, __ATOMIC_RELEASE);
	}
}

static void expect_monotonic(const struct hv_tsc_page *page)
{
	REQUIRE(cpu_count() >= 2);
	memset(&race, 0, sizeof(race));
	race.page = page;
	on_cpu_start(1, read_in_turn, page ? NULL : &race);
	read_in_turn(page ? NULL : &race);
	on_cpu_wait(1);
	EXPECT_EQ(race.backwards, 0);
}

TEST("the counter does not run backwards from CPU to CPU")
{
	hv_skip_if_absent();
	expect_monotonic(NULL);
}

TEST("neither does the page's time, nor the one against the other")
{
	expect_monotonic(tsc_page());
}

/* A clock that is read between two readings of another: the other may lie anywhere between them. */
struct reading {
	uint64_t before, value, after;
};

static struct reading read_tsc(void)
{
	struct reading reading = { .before = counter() };

	reading.value = rdtsc();
	reading.after = counter();
	return reading;
}

static struct reading read_apic_timer(void)
{
	struct reading reading = { .before = counter() };

	reading.value = 0xffffffff - apic_read(APIC_TIMER_CURRENT);
	reading.after = counter();
	return reading;
}

/* Of a clock with this frequency, within 1 %, but for what it took to read it. */
static void expect_frequency(struct reading first, struct reading last, uint64_t hz)
{
	const uint64_t ticks = last.value - first.value, per_ms = hz / 1000;

	EXPECT_GE(ticks * 100, (last.before - first.after) * per_ms / MS * 99);
	EXPECT_LE(ticks * 100, (last.after - first.before) * per_ms / MS * 101);
}

static void spin(uint64_t time)
{
	const uint64_t end = counter() + time;

	while (counter() < end)
		cpu_relax();
}

TEST("the counter counts 10000000 in as many ticks of the TSC as its frequency says")
{
	struct reading first;

	hv_skip_if_absent();
	first = read_tsc();
	spin(20 * MS);
	expect_frequency(first, read_tsc(), rdmsr(HV_X64_MSR_TSC_FREQUENCY));
}

TEST("the scale of the page is that of the TSC's frequency")
{
	const struct hv_tsc_page *page = tsc_page();
	const uint64_t second = mul_high(rdmsr(HV_X64_MSR_TSC_FREQUENCY), page->scale);

	EXPECT_GE(second, HZ - HZ / 100);
	EXPECT_LE(second, HZ + HZ / 100);
}

/* Both from the same formula (get_time_ref_counter): to the tick. */
TEST("the page's time agrees with the counter")
{
	const struct hv_tsc_page *page = tsc_page();

	for (unsigned int i = 0; i < 200; i++) {
		const uint64_t before = counter(), time = page_time(page), after = counter();

		EXPECT_GE(time, before);
		EXPECT_LE(time, after);
	}
}

TEST("enabling and disabling the page lets the counter run on")
{
	uint64_t before, after, page;

	hv_skip_if_absent();
	wrmsr(HV_X64_MSR_REFERENCE_TSC, 0);
	for (unsigned int i = 0; i < 20; i++) {
		before = counter();
		page = (uintptr_t)tsc_page();
		after = counter();
		EXPECT_GE(after, before, "enabled");
		EXPECT_LT(after, before + 1000 * MS, "enabled");
		wrmsr(HV_X64_MSR_REFERENCE_TSC, page);
		before = counter();
		EXPECT_GE(before, after, "disabled");
		EXPECT_LT(before, after + 1000 * MS, "disabled");
		page_free((void *)(uintptr_t)page);
	}
}

TEST("the page is written as far as it has fields, and no further")
{
	uint8_t *bytes = page_alloc();
	unsigned int others = 0;

	hv_skip_if_absent();
	memset(bytes, 0xa5, PAGE_SIZE);
	wrmsr(HV_X64_MSR_REFERENCE_TSC, (uintptr_t)bytes | HV_PAGE_ENABLE);
	for (unsigned int i = sizeof(struct hv_tsc_page); i < PAGE_SIZE; i++)
		others += bytes[i] != 0xa5;
	EXPECT_EQ(others, 0);
}

static const struct {
	uint32_t before, after;
} sequences[] = {
	{ 0, 1 },	   { 1, 2 },	     { 0x7fffffff, 0x80000000 }, { 0xfffffffd, 0xfffffffe },
	{ 0xfffffffe, 1 }, { 0xffffffff, 1 }
};

TEST("the sequence goes on from what is in the page, and is never 0 nor 0xffffffff")
{
	struct hv_tsc_page *page = tsc_page();

	for (size_t i = 0; i < COUNT_OF(sequences); i++) {
		page->sequence = sequences[i].before;
		wrmsr(HV_X64_MSR_REFERENCE_TSC, (uintptr_t)page | HV_PAGE_ENABLE);
		EXPECT_EQ(page->sequence, sequences[i].after, "from 0x%x", sequences[i].before);
	}
}

TEST("a page that is disabled is not written any more")
{
	struct hv_tsc_page *page = tsc_page(), *other = page_alloc();

	wrmsr(HV_X64_MSR_REFERENCE_TSC, (uintptr_t)page);
	memset(page, 0, sizeof(*page));
	wrmsr(HV_X64_MSR_REFERENCE_TSC, (uintptr_t)other | HV_PAGE_ENABLE);
	EXPECT_EQ(page->sequence, 0);
	EXPECT_EQ(page->scale, 0);
	EXPECT_TRUE(valid(other));
}

TEST("a page without memory behind it is taken, and the counter runs on")
{
	const uint64_t hole = memory_hole() | HV_PAGE_ENABLE;
	uint64_t before;

	hv_skip_if_absent();
	before = counter();
	EXPECT_NO_FAULT(wrmsr(HV_X64_MSR_REFERENCE_TSC, hole));
	EXPECT_EQ(rdmsr(HV_X64_MSR_REFERENCE_TSC), hole);
	EXPECT_TRUE(WAIT_FOR(counter() > before, 1000));
	wrmsr(HV_X64_MSR_REFERENCE_TSC, 0);
}

static void read_msr(void *at)
{
	uint64_t *value = at;

	*value = rdmsr((uint32_t)*value);
}

TEST("the page is that of all CPUs, and its reserved bits are kept")
{
	uint64_t other = HV_X64_MSR_REFERENCE_TSC, page = (uintptr_t)page_alloc();

	hv_skip_if_absent();
	page |= 0xffe;
	wrmsr(HV_X64_MSR_REFERENCE_TSC, page);
	EXPECT_EQ(rdmsr(HV_X64_MSR_REFERENCE_TSC), page);
	on_cpu(1, read_msr, &other);
	EXPECT_EQ(other, page);
	wrmsr(HV_X64_MSR_REFERENCE_TSC, 0);
}

TEST("the TSC's frequency is that of KVM's own leaf, to the kHz, on each CPU")
{
	uint64_t other = HV_X64_MSR_TSC_FREQUENCY;
	uint32_t base;

	hv_skip_if_absent();
	REQUIRE(cpuid_hypervisor("KVMKVMKVM\0\0\0", &base));
	EXPECT_EQ(rdmsr(HV_X64_MSR_TSC_FREQUENCY), 1000ull * cpuid(base + 0x10, 0).eax);
	on_cpu(1, read_msr, &other);
	EXPECT_EQ(other, rdmsr(HV_X64_MSR_TSC_FREQUENCY));
}

/* KVM's APIC counts nanoseconds (KVM_CAP_X86_APIC_BUS_CYCLES_NS aside). */
TEST("the APIC's frequency is 1 GHz, at which its timer counts")
{
	struct reading first;

	hv_skip_if_absent();
	EXPECT_EQ(rdmsr(HV_X64_MSR_APIC_FREQUENCY), 1000000000);
	apic_timer_start(LVT_TIMER_ONE_SHOT | LVT_MASKED, 0x40, 0xffffffff);
	first = read_apic_timer();
	spin(10 * MS);
	expect_frequency(first, read_apic_timer(), 1000000000);
	apic_timer_stop();
}

static uint64_t runtime_of(unsigned int cpu)
{
	uint64_t value = HV_X64_MSR_VP_RUNTIME;

	on_cpu(cpu, read_msr, &value);
	return value;
}

TEST("the run time of a CPU that runs grows, and not backwards")
{
	uint64_t before;

	hv_skip_if_absent();
	before = rdmsr(HV_X64_MSR_VP_RUNTIME);
	for (unsigned int i = 0; i < 200; i++) {
		const uint64_t now = rdmsr(HV_X64_MSR_VP_RUNTIME);

		EXPECT_GE(now, before);
		before = now;
	}
	EXPECT_TRUE(WAIT_FOR(rdmsr(HV_X64_MSR_VP_RUNTIME) > before, 1000));
}

/* However busy the host is: what CPU 1 has run is not what this one has spun meanwhile. */
TEST("the run time of a CPU that halts stands still")
{
	uint64_t begin, spun, halted, all;

	hv_skip_if_absent();
	REQUIRE(cpu_count() >= 2);
	begin = counter();
	halted = runtime_of(1);
	spun = counter();
	while (counter() - spun < 30 * MS)
		cpu_relax();
	spun = counter() - spun;
	halted = runtime_of(1) - halted;
	all = counter() - begin;
	EXPECT_LE(halted, all - spun / 2);
}

TEST("the VMM may set the run time, which goes on from there")
{
	const uint64_t start = 1ull << 50;

	hv_skip_if_absent();
	EXPECT_EQ(vmm_msr_write(HV_X64_MSR_VP_RUNTIME, start), 0);
	EXPECT_GE(rdmsr(HV_X64_MSR_VP_RUNTIME), start);
	EXPECT_LT(rdmsr(HV_X64_MSR_VP_RUNTIME), start + 1000 * MS);
	EXPECT_LT(runtime_of(1), start);
}
