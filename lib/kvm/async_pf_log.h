/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "Page ready" taken as it comes, and written down: for tests with several CPUs, each of which may be
 * told of pages at any time
 */
#ifndef KVM_ASYNC_PF_LOG_H
#define KVM_ASYNC_PF_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include <kvm/async_pf.h>

/* How many tokens a CPU writes down; more are only counted. */
#define ASYNC_PF_LOG 2048

/* SKIPs the test point where CPUID does not show asynchronous page faults with interrupts. */
void async_pf_need(void);

/*
 * As async_pf_reset(), or with flags async_pf_enable(), for the CPU that calls, whose log is then empty.
 * From then on each token is taken and acknowledged when it comes. No page of another CPU may be absent.
 */
void async_pf_log_off(void);
void async_pf_log_on(uint32_t flags);

/* What has come to a CPU since. */
unsigned int async_pf_log_count(unsigned int cpu);
uint32_t async_pf_log_token(unsigned int cpu, unsigned int index);

/* Lets interrupts in on this CPU, and waits until so many have come to that one. */
bool async_pf_log_wait(unsigned int cpu, unsigned int count);

/* Reads the word at this address at CPL 3 with interrupts enabled. */
struct async_pf_touch {
	bool told; /* the page is not present, and this is the token */
	uint32_t token;
	uint32_t value; /* else */
};

struct async_pf_touch async_pf_touch(uintptr_t address);

/* The #PF at hand is "page not present" to this CPU: clears the flags, and says so. */
bool async_pf_told(void);

#endif
