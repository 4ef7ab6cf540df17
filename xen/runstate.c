// SPDX-License-Identifier: BSD-2-Clause
/*
 * The states of a vCPU, and how long it has been in each
 *
 * A vCPU runs, could run but has to wait for a CPU (its time is stolen then), is blocked, or offline (public/vcpu.h,
 * RUNSTATE_...). Xen, or KVM, writes to an area that the guest names which state it is in, since when, and how long
 * it has been in each before. The area is 48 bytes in 64-bit guests and 44 in 32-bit ones, may lie at any byte, and across the
 * end of a page. Where the guest has asked for it, the highest bit of the entry time is set while the area is written
 * (public/xen.h, VMASST_TYPE_runstate_update_flag).
 *
 * KVM (xen.c, kvm_xen_update_runstate): what a vCPU has not spent otherwise since the VM's clock was 0 is the time of
 * the state it was in, offline at first; so the times add up to the entry time. Its VMM can set the state and the
 * times, for a move; a vCPU that goes on is running again.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/abi.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/request.h>
#include <xen/shared.h>

#define SIZE	  sizeof(struct xen_runstate)
#define PATTERN	  0xa5
#define VECTOR	  0x40
#define WAIT_MS	  5000
#define MS	  1000000ull
#define SEVENTH	  7000000ull
#define KVM_ALONE xen_get_vm(XEN_VM_LONG_MODE, &(uint64_t){ 0 })

/* Two copies that are the same: no write came between. */
static struct xen_runstate read_area(const volatile void *area)
{
	struct xen_runstate copy, again;

	for (unsigned int i = 0; i < 100; i++) {
		memcpy(&copy, (const void *)area, SIZE);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		memcpy(&again, (const void *)area, SIZE);
		if (!memcmp(&copy, &again, SIZE))
			return copy;
	}
	test_error(TEST_SITE("area", true), "the area does not become stable");
}

static uint64_t sum_of(const struct xen_runstate *state)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i <= RUNSTATE_OFFLINE; i++)
		sum += state->time[i];
	return sum;
}

/* Where states go while the area that is looked at is prepared: the old one may be written at any time. */
static void place_aside(void)
{
	static volatile void *aside;

	xen_shared_info();
	if (!aside)
		aside = page_alloc();
	ASSERT_EQ(xen_place_runstate(aside), 0);
}

static volatile void *area_new(void)
{
	volatile void *area;

	xen_shared_info();
	area = page_alloc();
	ASSERT_EQ(xen_place_runstate(area), 0);
	return area;
}

TEST("a vCPU that looks is running")
{
	volatile void *area = area_new();

	EXPECT_EQ(read_area(area).state, RUNSTATE_RUNNING);
	EXPECT_NE(read_area(area).state_entry_time, 0);
}

TEST("the times before add up to no more than the time when it began to run, on KVM to just that")
{
	struct xen_runstate state = read_area(area_new());

	EXPECT_LE(sum_of(&state), state.state_entry_time);
	EXPECT_LE(state.state_entry_time, xen_now() + 10 * MS);
	if (!xen_itself())
		EXPECT_EQ(sum_of(&state), state.state_entry_time);
}

TEST("the area may lie at any byte of a page, and nothing beside it is written")
{
	static const unsigned int offsets[] = { 0, 1, 2, 3, 5, 8, 13, 2047, PAGE_SIZE - SIZE };
	uint8_t *page;

	xen_shared_info();
	page = page_alloc();
	for (size_t i = 0; i < COUNT_OF(offsets); i++) {
		struct xen_runstate state;
		size_t other = 0;

		place_aside();
		memset(page, PATTERN, PAGE_SIZE);
		ASSERT_EQ(xen_place_runstate(page + offsets[i]), 0, "offset %u", offsets[i]);
		state = read_area(page + offsets[i]);
		EXPECT_EQ(state.state, RUNSTATE_RUNNING, "offset %u", offsets[i]);
		EXPECT_LE(sum_of(&state), state.state_entry_time, "offset %u", offsets[i]);
		for (size_t b = 0; b < PAGE_SIZE; b++)
			other += (b < offsets[i] || b >= offsets[i] + SIZE) && page[b] != PATTERN;
		EXPECT_EQ(other, 0, "offset %u", offsets[i]);
	}
}

/* Where one ends just at the end of a page, and where each byte of it but the first is the first of the next page. */
TEST("the area may lie across the end of a page, cut at any byte")
{
	uint8_t *pages;

	xen_shared_info();
	pages = pages_alloc(1);
	for (size_t in_first = 1; in_first <= SIZE; in_first++) {
		uint8_t *area = pages + PAGE_SIZE - in_first;
		struct xen_runstate state;
		size_t other = 0;

		place_aside();
		memset(pages, PATTERN, 2 * PAGE_SIZE);
		ASSERT_EQ(xen_place_runstate(area), 0, "%zu bytes before the end", in_first);
		state = read_area(area);
		EXPECT_EQ(state.state, RUNSTATE_RUNNING, "%zu bytes before the end", in_first);
		EXPECT_LE(sum_of(&state), state.state_entry_time, "%zu before the end", in_first);
		EXPECT_GE(state.state_entry_time, 1, "%zu before the end", in_first);
		for (size_t b = 0; b < 2 * PAGE_SIZE; b++)
			other += (pages + b < area || pages + b >= area + SIZE) &&
				 pages[b] != PATTERN;
		EXPECT_EQ(other, 0, "%zu bytes before the end", in_first);
	}
}

/* The four bytes behind the state, which 32-bit guests do not have. In one page KVM writes the members alone. */
TEST("the padding is 0 where the area lies across the end of a page, and no place for the host's memory")
{
#ifdef __x86_64__
	uint8_t *pages;

	xen_shared_info();
	pages = pages_alloc(1);
	for (size_t in_first = 1; in_first < SIZE; in_first++) {
		uint32_t padding;

		place_aside();
		memset(pages, PATTERN, 2 * PAGE_SIZE);
		ASSERT_EQ(xen_place_runstate(pages + PAGE_SIZE - in_first), 0);
		memcpy(&padding, pages + PAGE_SIZE - in_first + 4, sizeof(padding));
		EXPECT_EQ(padding, 0, "%zu bytes before the end", in_first);
	}
#else
	volatile struct xen_runstate *area = area_new();

	EXPECT_EQ((uintptr_t)&area->state_entry_time - (uintptr_t)area, 4, "there is none");
	EXPECT_NE(read_area(area).state_entry_time, 0);
#endif
}

TEST("where there is no memory, or the second page has none, an area is refused")
{
	uint64_t hole, gpa;

	KVM_ALONE;
	xen_shared_info();
	hole = memory_hole();
	EXPECT_EQ(xen_set_vcpu(XEN_VCPU_RUNSTATE_ADDR, hole), VMRUN_EFAULT);
	EXPECT_EQ(xen_get_vcpu(XEN_VCPU_RUNSTATE_ADDR, &gpa), VMRUN_ENOENT, "it is nowhere then");
	for (hole = (uintptr_t)page_alloc(); memory_is_ram(hole, PAGE_SIZE);)
		hole += PAGE_SIZE;
	EXPECT_EQ(xen_set_vcpu(XEN_VCPU_RUNSTATE_ADDR, hole - 8), VMRUN_EFAULT);
	EXPECT_EQ(xen_get_vcpu(XEN_VCPU_RUNSTATE_ADDR, &gpa), VMRUN_ENOENT);
	EXPECT_EQ(xen_set_vcpu(XEN_VCPU_RUNSTATE_ADDR, hole - SIZE), 0, "up to its end");
}

TEST("an area that is taken away is written no more")
{
	volatile struct xen_runstate *area;

	KVM_ALONE;
	area = area_new();
	ASSERT_EQ(xen_place_runstate(NULL), 0);
	memset((void *)area, 0, SIZE);
	EXPECT_EQ(xen_set_vcpu(XEN_VCPU_RUNSTATE_CURRENT, RUNSTATE_BLOCKED), 0);
	EXPECT_EQ(area->state_entry_time, 0);
}

TEST("each state that the VMM says is ended by running again, and its time counts")
{
	volatile void *area;

	KVM_ALONE;
	area = area_new();
	for (unsigned int state = RUNSTATE_RUNNABLE; state <= RUNSTATE_OFFLINE; state++) {
		struct xen_runstate before = read_area(area), after;

		ASSERT_EQ(xen_set_vcpu(XEN_VCPU_RUNSTATE_CURRENT, state), 0);
		after = read_area(area);
		EXPECT_EQ(after.state, RUNSTATE_RUNNING, "state %u", state);
		EXPECT_GT(after.time[state], before.time[state], "state %u", state);
		EXPECT_GT(after.time[RUNSTATE_RUNNING], before.time[RUNSTATE_RUNNING]);
		EXPECT_GT(after.state_entry_time, before.state_entry_time);
		EXPECT_EQ(sum_of(&after), after.state_entry_time, "state %u", state);
	}
	EXPECT_EQ(xen_set_vcpu(XEN_VCPU_RUNSTATE_CURRENT, RUNSTATE_OFFLINE + 1), VMRUN_EINVAL);
}

TEST("times that the VMM sets are those that the guest sees")
{
	struct xen_runstate_attribute data = { .state = RUNSTATE_RUNNING,
					       .entry_time = 10,
					       .time = { 1, 2, 3, 4 } };
	volatile void *area;
	struct xen_runstate state;

	KVM_ALONE;
	area = area_new();
	ASSERT_EQ(xen_set_vcpu_struct(XEN_VCPU_RUNSTATE_DATA, &data, sizeof(data)), 0);
	ASSERT_EQ(xen_place_runstate(area), 0);
	state = read_area(area);
	/* It may have had to wait for a CPU meanwhile. */
	EXPECT_GE(state.state_entry_time, 10);
	EXPECT_GE(state.time[RUNSTATE_RUNNABLE], 2);
	EXPECT_EQ(state.time[RUNSTATE_BLOCKED], 3);
	EXPECT_EQ(state.time[RUNSTATE_OFFLINE], 4);
	EXPECT_EQ(sum_of(&state), state.state_entry_time);
}

/* As the request itself makes the vCPU begin to run anew, time that is added to one state is taken from others. */
TEST("times that the VMM adds are added, and the state stays if it says none")
{
	struct xen_runstate_attribute add = { .state = ~0ull,
					      .time = { 0ull - 11 * SEVENTH, 2 * SEVENTH,
							4 * SEVENTH, 5 * SEVENTH } };
	struct xen_runstate before, after;
	volatile void *area;

	KVM_ALONE;
	area = area_new();
	before = read_area(area);
	ASSERT_EQ(xen_set_vcpu_struct(XEN_VCPU_RUNSTATE_ADJUST, &add, sizeof(add)), 0);
	after = read_area(area);
	EXPECT_EQ(after.state, RUNSTATE_RUNNING);
	EXPECT_EQ(after.time[RUNSTATE_BLOCKED] - before.time[RUNSTATE_BLOCKED], 4 * SEVENTH);
	EXPECT_EQ(after.time[RUNSTATE_OFFLINE] - before.time[RUNSTATE_OFFLINE], 5 * SEVENTH);
	EXPECT_GE(after.time[RUNSTATE_RUNNABLE] - before.time[RUNSTATE_RUNNABLE], 2 * SEVENTH);
	EXPECT_GE(after.time[RUNSTATE_RUNNING] + 11 * SEVENTH, before.time[RUNSTATE_RUNNING]);
	EXPECT_EQ(sum_of(&after), after.state_entry_time);
}

static const struct refused_case {
	const char *name;
	struct xen_runstate_attribute value;
} refused_cases[] = {
	{ "state 4", { 4, 10, { 1, 2, 3, 4 } } },
	{ "times that do not add up", { 0, 10, { 1, 2, 3, 5 } } },
	{ "an entry time without times", { 0, 1, { 0 } } },
	{ "a time that is yet to come", { 0, 1ull << 55, { 1ull << 55 } } },
};

TEST("times that cannot be are refused, and change nothing")
{
	volatile void *area;
	struct xen_runstate before, after;

	KVM_ALONE;
	area = area_new();
	before = read_area(area);
	for (size_t i = 0; i < 2 * COUNT_OF(refused_cases); i++) {
		const struct refused_case *c = &refused_cases[i / 2];

		EXPECT_EQ(xen_set_vcpu_struct(i % 2 ? XEN_VCPU_RUNSTATE_ADJUST
						    : XEN_VCPU_RUNSTATE_DATA,
					      &c->value, sizeof(c->value)),
			  VMRUN_EINVAL, "%s, %s", c->name, i % 2 ? "added" : "set");
	}
	ASSERT_EQ(xen_place_runstate(area), 0);
	after = read_area(area);
	EXPECT_EQ(after.time[RUNSTATE_BLOCKED], before.time[RUNSTATE_BLOCKED]);
	EXPECT_EQ(after.time[RUNSTATE_OFFLINE], before.time[RUNSTATE_OFFLINE]);
}

static volatile bool woken;

static void wake(struct x86_frame *frame)
{
	(void)frame;
	woken = true;
	apic_eoi();
}

TEST("the time in HLT is that of a vCPU that is blocked")
{
	volatile void *area = area_new();
	struct xen_runstate before, after;

	irq_handler(VECTOR, wake);
	woken = false;
	before = read_area(area);
	apic_timer_start(LVT_TIMER_ONE_SHOT, VECTOR, 20 * apic_timer_khz());
	while (!woken)
		irq_enable_and_halt(), irq_disable();
	after = read_area(area);
	EXPECT_GE(after.time[RUNSTATE_BLOCKED] - before.time[RUNSTATE_BLOCKED], 10 * MS);
	EXPECT_EQ(after.state, RUNSTATE_RUNNING);
}

static void wait_for_stolen_time(void *argument)
{
	struct deadline end = { .start = rdtsc() };
	volatile struct xen_runstate *area = page_alloc();
	unsigned long *stolen = argument;

	REQUIRE(xen_place_runstate(area) == 0);
	while (!__atomic_load_n(stolen, __ATOMIC_ACQUIRE) && !deadline_passed(&end, 2000)) {
		if (read_area(area).time[RUNSTATE_RUNNABLE] > MS)
			__atomic_add_fetch(stolen, 1, __ATOMIC_RELEASE);
		delay_us(100);
	}
}

/* More vCPUs than the project's own hosts have CPUs, all busy. */
TEST("time in which it could run and does not is told as such")
{
	unsigned long stolen = 0;

	xen_shared_info();
	REQUIRE(cpu_count() >= 4);
	on_all_cpus(wait_for_stolen_time, &stolen);
	if (!stolen)
		SKIP("no vCPU had to wait in 2 s: this host has CPUs to spare");
}

struct writer {
	volatile struct xen_runstate *area;
	bool ready, stop;
};

/* Has its own area written over and over. */
static void write_states(void *argument)
{
	struct writer *writer = argument;

	REQUIRE(xen_place_runstate(writer->area) == 0);
	__atomic_store_n(&writer->ready, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&writer->stop, __ATOMIC_ACQUIRE))
		xen_set_vcpu(XEN_VCPU_RUNSTATE_CURRENT, RUNSTATE_BLOCKED);
}

/* As public/xen.h has a guest do it. Returns whether what was read between is to be trusted. */
static bool read_by_flag(volatile struct xen_runstate *area, struct xen_runstate *copy)
{
	volatile uint8_t *flag = (volatile uint8_t *)&area->state_entry_time + 7;

	if (*flag & 0x80)
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	memcpy(copy, (const void *)area, SIZE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !(*flag & 0x80) && copy->state_entry_time == area->state_entry_time;
}

static void read_while_written(volatile void *area)
{
	struct writer writer = { .area = area };
	unsigned int good = 0, torn = 0;
	struct xen_runstate copy;

	REQUIRE(cpu_count() >= 2);
	ASSERT_EQ(xen_runstate_update_flag(true), 0);
	on_cpu_start(1, write_states, &writer);
	REQUIRE(WAIT_FOR(__atomic_load_n(&writer.ready, __ATOMIC_ACQUIRE), WAIT_MS));
	for (struct deadline end = { .start = rdtsc() }; !deadline_passed(&end, 50);) {
		if (!read_by_flag(area, &copy))
			continue;
		good++;
		torn += sum_of(&copy) != copy.state_entry_time;
	}
	__atomic_store_n(&writer.stop, true, __ATOMIC_RELEASE);
	on_cpu_wait(1);
	EXPECT_GT(good, 0);
	EXPECT_EQ(torn, 0);
	EXPECT_EQ(read_area(area).state_entry_time & XEN_RUNSTATE_UPDATE, 0, "off at the end");
	ASSERT_EQ(xen_runstate_update_flag(false), 0);
}

TEST("what another vCPU reads while it is written is whole, by the update flag")
{
	KVM_ALONE;
	xen_skip_without(KVM_XEN_FLAG_RUNSTATE_UPDATE_FLAG, "RUNSTATE_UPDATE_FLAG");
	xen_shared_info();
	read_while_written(page_alloc());
}

TEST("so it is where the area lies across the end of a page")
{
	KVM_ALONE;
	xen_skip_without(KVM_XEN_FLAG_RUNSTATE_UPDATE_FLAG, "RUNSTATE_UPDATE_FLAG");
	xen_shared_info();
	read_while_written((uint8_t *)pages_alloc(1) + PAGE_SIZE - 20);
}

TEST("the update flag can be turned on and off, and is told")
{
	uint64_t value;

	KVM_ALONE;
	xen_skip_without(KVM_XEN_FLAG_RUNSTATE_UPDATE_FLAG, "RUNSTATE_UPDATE_FLAG");
	for (unsigned int on = 0; on < 3; on++) {
		EXPECT_EQ(xen_runstate_update_flag(on), 0);
		EXPECT_EQ(xen_get_vm(XEN_VM_RUNSTATE_UPDATE_FLAG, &value), 0);
		EXPECT_EQ(value, !!on);
	}
	EXPECT_EQ(xen_runstate_update_flag(false), 0);
}
