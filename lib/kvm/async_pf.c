// SPDX-License-Identifier: BSD-2-Clause
#include <kvm/async_pf.h>

#include <test/test.h>
#include <x86/apic.h>
#include <x86/cpuid.h>
#include <x86/interrupt.h>
#include <x86/msr.h>
#include <x86/smp.h>
#include <x86/time.h>

#define READY_MS     5000
#define IMPATIENT_MS 200
#define QUIET_MS     20

struct cpu_state {
	struct kvm_vcpu_pv_apf_data area;
	unsigned int ready;
} __attribute__((aligned(64)));

static volatile struct cpu_state states[ASYNC_PF_CPUS];

/* A KVM that has once forgotten "page ready" is not waited for as long again. */
static volatile unsigned int patience = READY_MS;

static volatile struct cpu_state *state(void)
{
	REQUIRE(cpu_id() < ASYNC_PF_CPUS);
	return &states[cpu_id()];
}

volatile struct kvm_vcpu_pv_apf_data *async_pf_area_of(unsigned int cpu)
{
	REQUIRE(cpu < ASYNC_PF_CPUS);
	return &states[cpu].area;
}

volatile struct kvm_vcpu_pv_apf_data *async_pf_area(void)
{
	return &state()->area;
}

unsigned int async_pf_ready(void)
{
	return state()->ready;
}

uint32_t kvm_features(void)
{
	uint32_t base;

	return cpuid_hypervisor("KVMKVMKVM\0\0", &base) ? cpuid(base + 1, 0).eax : 0;
}

static void count_ready(struct x86_frame *frame)
{
	(void)frame;
	state()->ready++;
	apic_eoi();
}

void async_pf_reset(void)
{
	wrmsr(MSR_KVM_ASYNC_PF_EN, 0);
	irq_handler(ASYNC_PF_VECTOR, count_ready);
	/* KVM's local APIC takes the interrupt only if it is enabled. */
	apic_eoi();
	/* One that was raised before and not let in. */
	irq_window();
	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
	wrmsr(MSR_KVM_ASYNC_PF_INT, ASYNC_PF_VECTOR);
	state()->area.flags = 0;
	state()->area.token = 0;
	state()->ready = 0;
}

void async_pf_enable(uint32_t flags)
{
	async_pf_reset();
	wrmsr(MSR_KVM_ASYNC_PF_EN, (uintptr_t)async_pf_area() | KVM_ASYNC_PF_ON | flags);
	REQUIRE(async_pf_wait(1));
	REQUIRE(async_pf_take() == ASYNC_PF_WAKE_ALL);
	state()->ready = 0;
}

static bool let_in(unsigned int count)
{
	irq_window();
	return async_pf_ready() >= count;
}

bool async_pf_wait(unsigned int count)
{
	if (!WAIT_FOR(let_in(count), patience))
		patience = IMPATIENT_MS;
	return async_pf_ready() == count;
}

bool async_pf_stays(unsigned int count)
{
	return !WAIT_FOR(let_in(count + 1), QUIET_MS) && async_pf_ready() == count;
}

uint32_t async_pf_take(void)
{
	uint32_t token = state()->area.token;

	state()->area.token = 0;
	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
	return token;
}
