// SPDX-License-Identifier: BSD-2-Clause
#include <hyperv/hypercall.h>
#include <hyperv/synic.h>
#include <libc/string.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/memory.h>
#include <x86/msr.h>

void hv_skip_without_synic(void)
{
	uint64_t ignored;

	hv_skip_if_absent();
	if (!rdmsr_safe(HV_X64_MSR_SVERSION, &ignored))
		SKIP("the SynIC is not active");
}

struct hv_synic hv_synic_new(void)
{
	struct hv_synic synic = { .messages = page_alloc(), .events = page_alloc() };

	hv_skip_without_synic();
	hv_enable_hypercalls();
	apic_id();
	for (uint32_t i = 0; i < HV_STIMERS; i++) {
		wrmsr(HV_X64_MSR_STIMER0_CONFIG + 2 * i, 0);
		wrmsr(HV_X64_MSR_STIMER0_COUNT + 2 * i, 0);
	}
	for (uint32_t sint = 0; sint < HV_SYNIC_SINTS; sint++)
		hv_sint_set(sint, HV_SYNIC_SINT_MASKED);
	wrmsr(HV_X64_MSR_SIMP, (uintptr_t)synic.messages | HV_PAGE_ENABLE);
	wrmsr(HV_X64_MSR_SIEFP, (uintptr_t)synic.events | HV_PAGE_ENABLE);
	wrmsr(HV_X64_MSR_SCONTROL, HV_SYNIC_CONTROL_ENABLE);
	return synic;
}

void hv_sint_set(unsigned int sint, uint64_t value)
{
	wrmsr(HV_X64_MSR_SINT0 + sint, value);
}

void hv_message_done(volatile struct hv_message *message)
{
	message->type = 0;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wrmsr(HV_X64_MSR_EOM, 0);
}

uint64_t hv_post_message(uint32_t connection, uint32_t type, const uint64_t *payload,
			 unsigned int words)
{
	struct hv_post_message *post = page_alloc();
	uint64_t result;

	post->connection = connection;
	post->type = type;
	post->size = words * sizeof(*payload);
	memcpy(post->payload, payload, post->size);
	result = hv_hypercall(HVCALL_POST_MESSAGE, (uintptr_t)post, 0);
	page_free(post);
	return result;
}

uint64_t hv_signal_event(uint32_t connection, uint16_t flag)
{
	return hv_hypercall(HVCALL_SIGNAL_EVENT | HV_HYPERCALL_FAST,
			    (uint64_t)flag << 32 | connection, 0);
}

bool hv_event_flag(const struct hv_synic *synic, unsigned int sint, unsigned int flag)
{
	return synic->events[sint * HV_EVENT_BYTES + flag / 8] & 1u << flag % 8;
}
