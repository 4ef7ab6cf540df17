// SPDX-License-Identifier: BSD-2-Clause
#include <test/test.h>
#include <x86/memory.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/request.h>
#include <xen/shared.h>

#define ATTEMPTS 100

static volatile struct xen_shared_info *shared;
static volatile struct xen_vcpu_info *placed[CPU_MAX];

int xen_place_shared_info(volatile void *page)
{
	struct xen_add_to_physmap map = {
		.domid = XEN_DOMID_SELF,
		.space = XENMAPSPACE_SHARED_INFO,
		.gpfn = (uintptr_t)page >> PAGE_SHIFT,
	};

	if (xen_itself())
		return (int)xen_hypercall(XEN_HYPERVISOR_MEMORY_OP, XENMEM_ADD_TO_PHYSMAP,
					  (uintptr_t)&map);
	return xen_set_vm(XEN_VM_SHARED_INFO, (uintptr_t)page >> PAGE_SHIFT);
}

volatile struct xen_shared_info *xen_shared_info(void)
{
	if (!shared) {
		volatile struct xen_shared_info *page;

		xen_page_new();
		page = page_alloc();
		REQUIRE(xen_place_shared_info(page) == 0);
		shared = page;
	}
	return shared;
}

int xen_place_vcpu_info(volatile struct xen_vcpu_info *info)
{
	struct xen_register_vcpu_info place = { .mfn = (uintptr_t)info >> PAGE_SHIFT,
						.offset = (uintptr_t)info & ~PAGE_MASK };
	int status;

	if (xen_itself())
		status = (int)xen_hypercall(XEN_HYPERVISOR_VCPU_OP, VCPUOP_REGISTER_VCPU_INFO,
					    cpu_id(), (uintptr_t)&place);
	else
		status = xen_set_vcpu(XEN_VCPU_INFO, (uintptr_t)info);
	if (!status)
		placed[cpu_id()] = info;
	return status;
}

volatile struct xen_vcpu_info *xen_vcpu_info(void)
{
	volatile struct xen_vcpu_info *own = &xen_shared_info()->vcpu[cpu_id()];

	if (!placed[cpu_id()] && xen_itself())
		placed[cpu_id()] = own;
	if (!placed[cpu_id()])
		REQUIRE(xen_place_vcpu_info(own) == 0);
	return placed[cpu_id()];
}

static int place_area(unsigned int operation, volatile void *at)
{
	struct xen_register_area area = { .address = (uintptr_t)at };

	return (int)xen_hypercall(XEN_HYPERVISOR_VCPU_OP, operation, cpu_id(), (uintptr_t)&area);
}

int xen_place_time(volatile struct xen_time *time)
{
	if (xen_itself())
		return place_area(VCPUOP_REGISTER_VCPU_TIME_AREA, time);
	return xen_set_vcpu(XEN_VCPU_TIME_INFO, time ? (uintptr_t)time : XEN_NOWHERE);
}

int xen_place_runstate(volatile void *runstate)
{
	if (xen_itself())
		return place_area(VCPUOP_REGISTER_RUNSTATE_AREA, runstate);
	return xen_set_vcpu(XEN_VCPU_RUNSTATE_ADDR, runstate ? (uintptr_t)runstate : XEN_NOWHERE);
}

int xen_runstate_update_flag(bool on)
{
	if (xen_itself())
		return (int)xen_hypercall(XEN_HYPERVISOR_VM_ASSIST,
					  on ? VMASST_CMD_ENABLE : VMASST_CMD_DISABLE,
					  VMASST_TYPE_RUNSTATE_UPDATE_FLAG);
	return xen_set_vm(XEN_VM_RUNSTATE_UPDATE_FLAG, on);
}

struct xen_time xen_time_read(const volatile struct xen_time *time)
{
	struct xen_time copy;
	uint32_t version;

	for (unsigned int i = 0; i < ATTEMPTS; i++) {
		version = __atomic_load_n(&time->version, __ATOMIC_ACQUIRE);
		copy = *time;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (version && !(version & 1) && version == time->version)
			return copy;
		cpu_relax();
	}
	test_error(TEST_SITE("time", true), "version %u does not become stable", time->version);
}

uint64_t xen_time_at(const struct xen_time *time, uint64_t tsc)
{
	uint64_t delta = tsc - time->tsc_timestamp, low, high;

	if (time->tsc_shift < 0)
		delta >>= -time->tsc_shift;
	else
		delta <<= time->tsc_shift;
	/* (delta * mul) >> 32, of 96 bits */
	low = (delta & 0xffffffff) * time->tsc_to_system_mul;
	high = (delta >> 32) * time->tsc_to_system_mul;
	return time->system_time + high + (low >> 32);
}

uint64_t xen_now(void)
{
	struct xen_time time = xen_time_read(&xen_vcpu_info()->time);

	return xen_time_at(&time, rdtsc());
}
