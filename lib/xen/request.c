// SPDX-License-Identifier: BSD-2-Clause
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/abi.h>
#include <vmrun/vmm.h>
#include <x86/io.h>
#include <xen/page.h>
#include <xen/request.h>

static int ask(struct vmrun_request *request)
{
	if (xen_itself())
		SKIP("this is about KVM's VMM, and the hypervisor is Xen itself");
	REQUIRE(has_vmm());
	outl(VMRUN_PORT_REQUEST, (uintptr_t)request);
	return request->status;
}

static int set(uint32_t service, unsigned int type, const void *value, size_t size)
{
	struct vmrun_request request = { .service = service, .id = type };

	REQUIRE(size <= sizeof(request.name));
	memcpy(request.name, value, size);
	return ask(&request);
}

static int get(uint32_t service, unsigned int type, void *value, size_t size)
{
	struct vmrun_request request = { .service = service, .id = type };
	int status = ask(&request);

	memset(value, 0, size);
	if (!status)
		memcpy(value, request.name, size);
	return status;
}

int xen_set_vm(unsigned int type, uint64_t value)
{
	return set(VMRUN_XEN_VM_SET, type, &value, sizeof(value));
}

int xen_set_vcpu(unsigned int type, uint64_t value)
{
	return set(VMRUN_XEN_VCPU_SET, type, &value, sizeof(value));
}

int xen_get_vm(unsigned int type, uint64_t *value)
{
	return get(VMRUN_XEN_VM_GET, type, value, sizeof(*value));
}

int xen_get_vcpu(unsigned int type, uint64_t *value)
{
	return get(VMRUN_XEN_VCPU_GET, type, value, sizeof(*value));
}

int xen_set_vm_struct(unsigned int type, const void *value, size_t size)
{
	return set(VMRUN_XEN_VM_SET, type, value, size);
}

int xen_set_vcpu_struct(unsigned int type, const void *value, size_t size)
{
	return set(VMRUN_XEN_VCPU_SET, type, value, size);
}

int xen_get_vcpu_struct(unsigned int type, void *value, size_t size)
{
	return get(VMRUN_XEN_VCPU_GET, type, value, size);
}

int xen_configure(uint32_t flags)
{
	return xen_configure_page(flags, 0, 0);
}

int xen_configure_page(uint32_t flags, uint32_t msr, uint8_t pages)
{
	struct vmrun_request request = {
		.service = VMRUN_XEN_CONFIG, .id = msr, .value = pages, .flags = flags
	};

	return ask(&request);
}

uint32_t xen_offers(void)
{
	struct vmrun_request request = { .service = VMRUN_XEN_OFFERS };

	REQUIRE(ask(&request) == 0);
	return (uint32_t)request.value;
}

void xen_skip_without(uint32_t flag, const char *name)
{
	if (!(xen_offers() & flag))
		SKIP("this KVM lacks %s of KVM_CAP_XEN_HVM", name);
}

static int by_vmm(uint32_t service, uint32_t port, uint32_t vcpu, uint32_t priority)
{
	struct vmrun_request request = {
		.service = service, .id = port, .value = vcpu, .error_code = priority
	};

	return ask(&request);
}

int xen_vmm_send(uint32_t port, uint32_t vcpu, uint32_t priority)
{
	return by_vmm(VMRUN_XEN_SEND, port, vcpu, priority);
}

int xen_vmm_raise(uint32_t port, uint32_t vcpu, uint32_t priority)
{
	return by_vmm(VMRUN_XEN_RAISE, port, vcpu, priority);
}

uint64_t xen_vmm_signals(void)
{
	struct vmrun_request request = { .service = VMRUN_XEN_SIGNALS };

	REQUIRE(ask(&request) == 0);
	return request.value;
}
