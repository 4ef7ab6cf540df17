// SPDX-License-Identifier: BSD-2-Clause
#include <kvm/async_pf_log.h>

#include <test/test.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <x86/user.h>

#define READY_MS 5000

struct log {
	unsigned int count;
	uint32_t tokens[ASYNC_PF_LOG];
};

static volatile struct log logs[ASYNC_PF_CPUS];

static volatile struct log *log_of(unsigned int cpu)
{
	REQUIRE(cpu < ASYNC_PF_CPUS);
	return &logs[cpu];
}

void async_pf_need(void)
{
	uint32_t features = KVM_FEATURE_ASYNC_PF | KVM_FEATURE_ASYNC_PF_INT;

	if ((kvm_features() & features) != features)
		SKIP("CPUID does not show asynchronous page faults with interrupts");
}

static void note_ready(struct x86_frame *frame)
{
	volatile struct log *log = log_of(cpu_id());
	uint32_t token = async_pf_take();

	(void)frame;
	if (log->count < ASYNC_PF_LOG)
		log->tokens[log->count] = token;
	log->count++;
	apic_eoi();
}

static void begin(void)
{
	log_of(cpu_id())->count = 0;
	irq_handler(ASYNC_PF_VECTOR, note_ready);
}

void async_pf_log_off(void)
{
	async_pf_reset();
	begin();
}

void async_pf_log_on(uint32_t flags)
{
	async_pf_enable(flags);
	begin();
}

unsigned int async_pf_log_count(unsigned int cpu)
{
	return log_of(cpu)->count;
}

uint32_t async_pf_log_token(unsigned int cpu, unsigned int index)
{
	REQUIRE(index < ASYNC_PF_LOG);
	return log_of(cpu)->tokens[index];
}

static bool let_in(unsigned int cpu, unsigned int count)
{
	irq_window();
	return async_pf_log_count(cpu) >= count;
}

bool async_pf_log_wait(unsigned int cpu, unsigned int count)
{
	return WAIT_FOR(let_in(cpu, count), READY_MS) && async_pf_log_count(cpu) == count;
}

static uintptr_t read_at(uintptr_t address)
{
	return *(volatile uint32_t *)address;
}

bool async_pf_told(void)
{
	if (async_pf_area()->flags != KVM_PV_REASON_PAGE_NOT_PRESENT)
		return false;
	async_pf_area()->flags = 0;
	return true;
}

struct async_pf_touch async_pf_touch(uintptr_t address)
{
	struct user_result result = user_call_interruptible(read_at, address);
	struct async_pf_touch touch = { .value = (uint32_t)result.value };

	if (result.returned)
		return touch;
	EXPECT_FAULT_EQ(result.fault, PF, 0);
	touch.told = async_pf_told();
	EXPECT_TRUE(touch.told, "#PF at ip 0x%lx, cr2 0x%lx", (unsigned long)result.fault.ip,
		    (unsigned long)result.fault.cr2);
	touch.token = (uint32_t)result.fault.cr2;
	return touch;
}
