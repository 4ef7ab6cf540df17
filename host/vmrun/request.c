// SPDX-License-Identifier: BSD-2-Clause
#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <vmrun/abi.h>

#include "conversion.h"
#include "emulation.h"
#include "end.h"
#include "hyperv.h"
#include "memory.h"
#include "move.h"
#include "pages.h"
#include "psc.h"
#include "say.h"
#include "statistic.h"
#include "swap.h"
#include "synic.h"
#include "vcpu.h"
#include "vm.h"
#include "xen_state.h"

_Static_assert(VMRUN_ENOENT == -ENOENT && VMRUN_EFAULT == -EFAULT && VMRUN_EBUSY == -EBUSY &&
		       VMRUN_EEXIST == -EEXIST && VMRUN_EINVAL == -EINVAL &&
		       VMRUN_ENOSPC == -ENOSPC && VMRUN_ENOSYS == -ENOSYS &&
		       VMRUN_EOPNOTSUPP == -EOPNOTSUPP,
	       "the errors of the ABI are Linux's");

/* The number of entries that KVM did, of one, or -1. */
static int32_t msr_status(int done)
{
	return done < 0 ? -errno : done == 1 ? 0 : -EINVAL;
}

static int32_t status_of(int result)
{
	return result < 0 ? -errno : 0;
}

static int32_t access_msr(int fd, unsigned long operation, struct vmrun_request *request)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = {
		.head.nmsrs = 1,
		.entry = { .index = (uint32_t)request->id, .data = request->value },
	};
	int32_t status = msr_status(ioctl(fd, operation, &msrs));

	request->value = msrs.entry.data;
	return status;
}

static int32_t access_register(const struct vcpu *vcpu, unsigned long operation,
			       struct vmrun_request *request)
{
	struct kvm_one_reg reg = { .id = request->id, .addr = (uintptr_t)&request->value };

	if (!vm_capability(vcpu->vm->kvm_fd, KVM_CAP_ONE_REG))
		return -EOPNOTSUPP;
	return status_of(ioctl(vcpu->fd, operation, &reg));
}

static int32_t inject_exception(const struct vcpu *vcpu, const struct vmrun_request *request)
{
	struct kvm_vcpu_events events;
	int fd = vcpu->fd;

	/* Its registers are not KVM's, and the CPU takes no exception for it (APM volume 2, 15.35.5). */
	if (vcpu->vm->options->sev.kind != SEV_NONE)
		return -EOPNOTSUPP;
	if (request->id > UINT8_MAX)
		return -EINVAL;
	if (ioctl(fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return -errno;
	events.exception.pending = 1;
	events.exception.injected = 0;
	events.exception.nr = (uint8_t)request->id;
	events.exception.has_error_code = !!(request->flags & VMRUN_EXCEPTION_ERROR_CODE);
	events.exception.error_code = request->error_code;
	events.exception_has_payload = !!(request->flags & VMRUN_EXCEPTION_PAYLOAD);
	events.exception_payload = request->value;
	return status_of(ioctl(fd, KVM_SET_VCPU_EVENTS, &events));
}

static int32_t move_vm(struct vcpu *vcpu, struct vmrun_request *request)
{
	struct saved_error error = { .step = "more than one vCPU", .number = EOPNOTSUPP };
	const struct options *options = vcpu->vm->options;

	if (options->sev.kind != SEV_NONE)
		snprintf(error.step, sizeof(error.step), "--%s",
			 sev_options_name(options->sev.kind));
	/* A guest_memfd is one VM's for good. */
	else if (options->ram != RAM_ANONYMOUS)
		snprintf(error.step, sizeof(error.step), "--ram %s",
			 options_ram_name(options->ram));
	else if (options->smp == 1 && move(vcpu, request->flags & VMRUN_MOVE_SHADOW, &error))
		return 0;
	snprintf(request->name, sizeof(request->name), "%s", error.step);
	return -error.number;
}

static int32_t read_force_emulation(struct vmrun_request *request)
{
	struct message why;
	long value = emulation_value(EMULATION_PARAMETER, &why);

	if (value < 0)
		return -ENOENT;
	request->value = (uint64_t)value;
	return 0;
}

static int32_t serve_psc(struct vcpu *vcpu, struct vmrun_request *request)
{
	switch (request->service) {
	case VMRUN_MAP_RECORD:
		return psc_record(vcpu, request->id, &request->value, &request->error_code,
				  &request->flags);
	case VMRUN_MAP_FAIL:
		return psc_fail(vcpu, request->id);
	case VMRUN_MAP_CAPABILITY:
		return psc_capability(vcpu, request->id);
	case VMRUN_PRIVATE_PAGES:
		return psc_private_pages(vcpu, request->id, request->value, &request->value);
	default:
		return -ENOSYS;
	}
}

static int32_t serve_hyperv(struct vcpu *vcpu, struct vmrun_request *request)
{
	switch (request->service) {
	case VMRUN_EXPECT_EVENT:
		return hyperv_expect_event(vcpu, request->id, &request->value);
	case VMRUN_HYPERV_EXIT:
		return hyperv_recorded(vcpu, request->id, &request->value);
	case VMRUN_SINT_ACKS:
		return synic_acks(vcpu->vm, request->id, &request->value);
	case VMRUN_CONNECTION_SIGNALS:
		return synic_signals(&request->value);
	default:
		return -ENOSYS;
	}
}

static int32_t serve_memory(struct vcpu *vcpu, struct vmrun_request *request)
{
	const struct vm *vm = vcpu->vm;
	uint64_t gpa = request->id, size = request->value;

	switch (request->service) {
	case VMRUN_HOST_READ:
		return memory_read(gpa, &request->value);
	case VMRUN_HOST_WRITE:
		return memory_write(gpa, request->value);
	case VMRUN_HOST_UNMAP:
		return memory_unmap(vm, gpa, size);
	case VMRUN_HOST_MAP:
		return memory_map(vm, gpa, size);
	case VMRUN_PUNCH:
		return memory_punch(gpa, size);
	case VMRUN_REGION_ADD:
		return memory_add(vm, gpa, size, request->flags);
	case VMRUN_REGION_REMOVE:
		return memory_remove(vm, gpa);
	case VMRUN_ATTRIBUTES:
		return conversion_set(vm, gpa, size, request->flags);
	case VMRUN_FAULT_WAY:
		return conversion_fault_way(vcpu, request->id, request->value);
	case VMRUN_RECORD:
		return conversion_record(vcpu, request->id, &request->value);
	default:
		return -ENOSYS;
	}
}

static int32_t serve_vcpu(struct vcpu *vcpu, struct vmrun_request *request)
{
	switch (request->service) {
	case VMRUN_MSR_READ:
		return access_msr(vcpu->fd, KVM_GET_MSRS, request);
	case VMRUN_MSR_WRITE:
		return access_msr(vcpu->fd, KVM_SET_MSRS, request);
	case VMRUN_REG_READ:
		return access_register(vcpu, KVM_GET_ONE_REG, request);
	case VMRUN_REG_WRITE:
		return access_register(vcpu, KVM_SET_ONE_REG, request);
	case VMRUN_INJECT_EXCEPTION:
		return inject_exception(vcpu, request);
	case VMRUN_INJECT_NMI:
		return status_of(ioctl(vcpu->fd, KVM_NMI));
	case VMRUN_MOVE:
		return move_vm(vcpu, request);
	case VMRUN_STATISTIC:
		return statistic_of_vcpu(vcpu->fd, request->name, &request->value);
	case VMRUN_FORCE_EMULATION:
		return read_force_emulation(request);
	case VMRUN_PAGE_OUT:
		return pages_out(vcpu->vm, request->id, request->value);
	case VMRUN_PAGE_IN:
		return pages_in(vcpu->vm, request->id);
	case VMRUN_PAGE_WAITING:
		return pages_waiting(vcpu->vm, request->id, &request->value);
	case VMRUN_PAGE_SWAP:
		return swap_out(vcpu->vm, request->id);
	default:
		return -ENOSYS;
	}
}

/* The first that knows the service serves it. */
static int32_t serve(struct vcpu *vcpu, struct vmrun_request *request)
{
	static int32_t (*const servers[])(struct vcpu *, struct vmrun_request *) = {
		serve_vcpu, serve_memory, serve_hyperv, serve_psc, xen_state_serve,
	};
	int32_t status = -ENOSYS;

	for (size_t i = 0; status == -ENOSYS && i < sizeof(servers) / sizeof(servers[0]); i++)
		status = servers[i](vcpu, request);
	return status;
}

/*
 * The request is copied, as another vCPU may change it at any time. The OUT is completed before it
 * is served: until then the state that KVM hands out is that of a vCPU which has yet to do it
 * (api.rst, "KVM_EXIT_IO").
 */
void request_serve(struct vcpu *vcpu, uint32_t address)
{
	struct vmrun_request request;
	void *at = memory_at(vcpu->vm, address, sizeof(request));

	if (!at) {
		if (end_claim()) {
			say("the guest's request at 0x%x is not in its RAM", address);
			end_now(vcpu->vm, STATUS_DIED);
		}
		return;
	}
	memcpy(&request, at, sizeof(request));
	request.name[sizeof(request.name) - 1] = 0;
	vcpu_complete_exit(vcpu);
	request.status = serve(vcpu, &request);
	/* A guest that has just taken it out of vmrun's reach does not want to know. */
	at = memory_at(vcpu->vm, address, sizeof(request));
	if (at)
		memcpy(at, &request, sizeof(request));
}
