// SPDX-License-Identifier: BSD-2-Clause
#include <kvm/async_pf_pages.h>

#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <x86/user.h>

#define CONTENTS      0x5eed0000u
#define VECTOR_KICK   0x51
#define PATIENCE_MS   5000
#define IMPATIENCE_MS 200
#define KICK_MS	      100
#define MOMENT_US     20000
#define ESCAPE_US     5000
#define VECTOR_ESCAPE 0x52 /* has no handler */

static uintptr_t absent[ABSENT_MAX]; /* 0: free */
static volatile unsigned int kicks;

/* A KVM that has once forgotten CPU 0 is not waited for as long again. */
static volatile unsigned int patience = PATIENCE_MS;

static void count_kick(struct x86_frame *frame)
{
	(void)frame;
	kicks++;
	apic_eoi();
}

static void end_all(void)
{
	for (unsigned int i = 0; i < ABSENT_MAX; i++) {
		if (absent[i])
			vmm_page_in(absent[i]);
		absent[i] = 0;
	}
}

void async_pf_begin_off(void)
{
	uint32_t features = KVM_FEATURE_ASYNC_PF | KVM_FEATURE_ASYNC_PF_INT;

	if ((kvm_features() & features) != features)
		SKIP("CPUID does not show asynchronous page faults with interrupts");
	end_all();
	kicks = 0;
	irq_handler(VECTOR_KICK, count_kick);
	async_pf_reset();
}

void async_pf_begin(uint32_t flags)
{
	async_pf_begin_off();
	async_pf_enable(flags);
}

uint32_t absent_contents(unsigned int n)
{
	return CONTENTS + n;
}

static unsigned int absent_index(uintptr_t page)
{
	unsigned int i = 0;

	while (i < ABSENT_MAX && absent[i] != page)
		i++;
	return i;
}

void absent_make(uintptr_t page)
{
	unsigned int i = absent_index(0);

	REQUIRE(i < ABSENT_MAX);
	absent[i] = page;
	REQUIRE(vmm_page_out(page, PAGE_SIZE) == 0);
}

void absent_page_at(uintptr_t page, unsigned int n)
{
	*(volatile uint32_t *)page = absent_contents(n);
	absent_make(page);
}

uintptr_t absent_page(unsigned int n)
{
	uintptr_t page = (uintptr_t)page_alloc();

	absent_page_at(page, n);
	return page;
}

void absent_end(uintptr_t page)
{
	unsigned int i = absent_index(page);

	if (i < ABSENT_MAX)
		absent[i] = 0;
	EXPECT_EQ(vmm_page_in(page), 0, "page 0x%lx", (unsigned long)page);
}

uintptr_t read_word(uintptr_t address)
{
	return *(volatile uint32_t *)address;
}

struct x86_fault touch_kernel(uintptr_t page, uintptr_t *value)
{
	struct x86_fault fault = FAULT_OF({
		irq_enable();
		cpu_relax(); /* the shadow of STI */
		*value = read_word(page);
	});

	irq_disable();
	return fault;
}

struct x86_fault touch_kernel_masked(uintptr_t page, uintptr_t *value)
{
	return FAULT_OF(*value = read_word(page));
}

struct x86_fault touch_user(uintptr_t page, uintptr_t *value)
{
	struct user_result result = user_call_interruptible(read_word, page);

	*value = result.value;
	return result.fault;
}

struct x86_fault touch_user_masked(uintptr_t page, uintptr_t *value)
{
	struct user_result result = user_call(read_word, page);

	*value = result.value;
	return result.fault;
}

/* What CPU 1 does and finds while CPU 0 touches the page. */
struct watch {
	uintptr_t page;
	volatile bool touched; /* CPU 0 has come back */
	bool waited;	       /* someone waits for the page */
	bool kicked;	       /* CPU 0 took an interrupt meanwhile */
};

static struct watch watch;

static void start_watch(cpu_function *function, uintptr_t page)
{
	watch = (struct watch){ .page = page };
	on_cpu_start(1, function, &watch);
}

static void end_watch(void)
{
	watch.touched = true;
	on_cpu_wait(1);
}

/* The end of each watch: CPU 0 is to come back by itself. */
static void expect_back(const char *fault)
{
	unsigned int waited = patience;

	if (WAIT_FOR(watch.touched, patience))
		return;
	patience = IMPATIENCE_MS;
	FAIL("%s: ended after %u ms", fault, waited);
	end_all();
	apic_ipi(0, VECTOR_KICK);
}

static void rescue(void *argument)
{
	(void)argument;
	expect_back("CPU 0 is not told of the absent page, and waits for it");
}

struct x86_fault touch_rescued(touch_function *touch, uintptr_t page, uintptr_t *value)
{
	struct x86_fault fault;

	start_watch(rescue, page);
	fault = touch(page, value);
	end_watch();
	return fault;
}

uint32_t take_not_present(struct x86_fault fault)
{
	ASSERT_EQ(fault.vector, PF);
	EXPECT_EQ(fault.error_code, 0);
	EXPECT_NE(fault.cr2, 0);
	EXPECT_NE((uint32_t)fault.cr2, ASYNC_PF_WAKE_ALL);
	EXPECT_EQ(fault.cr2 >> 16 >> 16, 0);
	EXPECT_EQ(async_pf_area()->flags, KVM_PV_REASON_PAGE_NOT_PRESENT);
	async_pf_area()->flags = 0;
	return (uint32_t)fault.cr2;
}

uint32_t expect_not_present(touch_function *touch, uintptr_t page)
{
	uintptr_t value = 0;
	struct x86_fault fault = touch_rescued(touch, page, &value);

	EXPECT_EQ(value, 0);
	return take_not_present(fault);
}

uint32_t fault_at_user(uintptr_t page)
{
	return expect_not_present(touch_user, page);
}

void expect_ready(uint32_t token, unsigned int count)
{
	ASSERT_TRUE(async_pf_wait(count), "page ready, number %u", count);
	EXPECT_EQ(async_pf_take(), token);
}

void bring_back(uintptr_t page, uint32_t token, unsigned int count)
{
	absent_end(page);
	expect_ready(token, count);
}

void expect_contents(uintptr_t page, unsigned int n)
{
	uintptr_t value = 0;
	struct x86_fault fault = touch_rescued(touch_user, page, &value);

	EXPECT_FAULT_EQ(fault, NO_FAULT, 0);
	EXPECT_EQ(value, absent_contents(n));
}

static void kick_and_end(void *argument)
{
	(void)argument;
	watch.waited = WAIT_FOR(vmm_page_waiting(watch.page) > 0, patience);
	/* Of a page that is out already this does not say that CPU 0 has touched it. */
	delay_us(MOMENT_US);
	apic_ipi(0, VECTOR_KICK);
	watch.kicked = WAIT_FOR(kicks > 0, KICK_MS);
	absent_end(watch.page);
	expect_back("CPU 0 goes on waiting for a page that is back");
}

struct x86_fault expect_wait(touch_function *touch, uintptr_t page, enum silence silence,
			     uintptr_t *value)
{
	struct x86_fault fault;

	kicks = 0;
	start_watch(kick_and_end, page);
	fault = touch(page, value);
	end_watch();
	EXPECT_TRUE(watch.waited);
	EXPECT_EQ(watch.kicked, silence == TAKES_INTERRUPTS);
	EXPECT_EQ(async_pf_area()->flags, 0);
	return fault;
}

struct x86_fault expect_silence(touch_function *touch, uintptr_t page, enum silence silence,
				uintptr_t *value)
{
	unsigned int ready = async_pf_ready();
	uint32_t token = async_pf_area()->token;
	struct x86_fault fault = expect_wait(touch, page, silence, value);

	EXPECT_EQ(async_pf_area()->token, token);
	EXPECT_TRUE(async_pf_stays(ready));
	EXPECT_EQ(kicks, 1);
	return fault;
}

static void interrupt_touch(void *argument)
{
	(void)argument;
	delay_us(ESCAPE_US);
	apic_ipi(0, VECTOR_ESCAPE);
	expect_back("CPU 0 takes no interrupt while it waits for a page that is out");
}

void expect_not_told_again(uintptr_t page, unsigned int n)
{
	struct x86_fault fault;
	uintptr_t value;

	start_watch(interrupt_touch, page);
	fault = touch_user(page, &value);
	end_watch();
	apic_eoi();
	EXPECT_FAULT_EQ(fault, VECTOR_ESCAPE, 0, "page %u", n);
	EXPECT_EQ(async_pf_area()->flags, 0, "page %u", n);
}

void expect_silent_read(touch_function *touch, enum silence silence)
{
	uintptr_t value = 0;
	struct x86_fault fault = expect_silence(touch, absent_page(4), silence, &value);

	EXPECT_FAULT_EQ(fault, NO_FAULT, 0);
	EXPECT_EQ(value, absent_contents(4));
}

static void end_in_a_moment(void *argument)
{
	(void)argument;
	delay_us(MOMENT_US);
	absent_end(watch.page);
	expect_back("CPU 0 does not go on when the page is back");
}

void absent_end_elsewhere(uintptr_t page)
{
	start_watch(end_in_a_moment, page);
}

void absent_end_elsewhere_done(void)
{
	end_watch();
}
