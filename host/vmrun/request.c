// SPDX-License-Identifier: BSD-2-Clause
#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <vmrun/abi.h>

#include "emulation.h"
#include "end.h"
#include "move.h"
#include "pages.h"
#include "say.h"
#include "statistic.h"
#include "vcpu.h"
#include "vm.h"

_Static_assert(VMRUN_ENOENT == -ENOENT && VMRUN_EBUSY == -EBUSY && VMRUN_EINVAL == -EINVAL &&
		       VMRUN_ENOSYS == -ENOSYS && VMRUN_EOPNOTSUPP == -EOPNOTSUPP,
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

static int32_t inject_exception(int fd, const struct vmrun_request *request)
{
	struct kvm_vcpu_events events;

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

	if (vcpu->vm->options->smp == 1 && move(vcpu, request->flags & VMRUN_MOVE_SHADOW, &error))
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

static int32_t serve(struct vcpu *vcpu, struct vmrun_request *request)
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
		return inject_exception(vcpu->fd, request);
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
	default:
		return -ENOSYS;
	}
}

/*
 * The request is copied, as another vCPU may change it at any time. The OUT is completed before it
 * is served: until then the state that KVM hands out is that of a vCPU which has yet to do it
 * (api.rst, "KVM_EXIT_IO").
 */
void request_serve(struct vcpu *vcpu, uint32_t address)
{
	const struct ram *ram = &vcpu->vm->ram;
	struct vmrun_request request;

	if (address > ram->size || ram->size - address < sizeof(request) ||
	    !pages_present(address, sizeof(request))) {
		if (end_claim()) {
			say("the guest's request at 0x%x is not in its RAM", address);
			end_now(vcpu->vm, STATUS_DIED);
		}
		return;
	}
	memcpy(&request, ram->data + address, sizeof(request));
	request.name[sizeof(request.name) - 1] = 0;
	vcpu_complete_exit(vcpu);
	request.status = serve(vcpu, &request);
	/* A guest that has just paged it out does not want to know. */
	if (pages_present(address, sizeof(request)))
		memcpy(ram->data + address, &request, sizeof(request));
}
