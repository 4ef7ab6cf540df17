// SPDX-License-Identifier: BSD-2-Clause
/*
 * Xen's console of a domain (xen/include/public/io/console.h): a ring in a page whose frame number, and an event
 * channel whose port, are parameters of the domain (public/hvm/params.h).
 *
 * The page lies where the identity mapping reaches. What Xen reads it reads by a linear address: it does not find
 * what the page tables of the moment do not let it. A bell that is not heard is not needed either: whoever reads the
 * ring looks now and then.
 */
#include <xen/domain.h>

#include <x86/cpuid.h>
#include <x86/memory.h>
#include <xen/abi.h>
#include <xen/status.h>

#define OUT_SIZE 2048

struct ring {
	char in[1024];
	char out[OUT_SIZE];
	uint32_t in_cons, in_prod;
	uint32_t out_cons, out_prod;
};

static struct ring *ring; /* NULL: there is none */
static uint32_t port;
static bool searched, amd;

/* Not by lib/hypercall, whose results tests look at. */
static long hypercall(uintptr_t number, uintptr_t operation, void *argument)
{
	uintptr_t pointer = (uintptr_t)argument;
	long result;

#ifdef __x86_64__
	if (amd)
		asm volatile("vmmcall"
			     : "=a"(result), "+D"(operation), "+S"(pointer)
			     : "a"(number)
			     : "memory");
	else
		asm volatile("vmcall"
			     : "=a"(result), "+D"(operation), "+S"(pointer)
			     : "a"(number)
			     : "memory");
#else
	if (amd)
		asm volatile("vmmcall"
			     : "=a"(result), "+b"(operation), "+c"(pointer)
			     : "a"(number)
			     : "memory");
	else
		asm volatile("vmcall"
			     : "=a"(result), "+b"(operation), "+c"(pointer)
			     : "a"(number)
			     : "memory");
#endif
	return result;
}

static uint64_t parameter(uint32_t index)
{
	struct xen_hvm_param param = { .domain = XEN_DOMID_SELF, .index = index };

	if (hypercall(XEN_HYPERVISOR_HVM_OP, HVMOP_GET_PARAM, &param))
		return 0;
	return param.value;
}

bool xen_domain_find(void)
{
	uint32_t base;

	if (searched || !(cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR) ||
	    !cpuid_hypervisor(XEN_CPUID_SIGNATURE, &base))
		return ring != NULL;
	searched = true;
	amd = cpu_is_amd();
	port = (uint32_t)parameter(HVM_PARAM_CONSOLE_EVTCHN);
	ring = (struct ring *)(uintptr_t)(parameter(HVM_PARAM_CONSOLE_PFN) << PAGE_SHIFT);
	return ring != NULL;
}

static void ring_bell(void)
{
	hypercall(XEN_HYPERVISOR_EVENT_CHANNEL_OP, EVTCHNOP_SEND, &port);
}

void xen_domain_write(const char *text, size_t size)
{
	uint32_t to = ring->out_prod;

	while (size) {
		if (to - __atomic_load_n(&ring->out_cons, __ATOMIC_ACQUIRE) == OUT_SIZE) {
			ring_bell();
			hypercall(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_YIELD, NULL);
			continue;
		}
		ring->out[to % OUT_SIZE] = *text;
		__atomic_store_n(&ring->out_prod, ++to, __ATOMIC_RELEASE);
		text++;
		size--;
	}
	ring_bell();
}

void xen_domain_exit(uint8_t status)
{
	uint32_t reason = XEN_STATUS_GIVEN | status;

	if (ring)
		hypercall(XEN_HYPERVISOR_SCHED_OP, SCHEDOP_SHUTDOWN, &reason);
}
