// SPDX-License-Identifier: BSD-2-Clause
#include "hyperv.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "say.h"
#include "synic.h"

/* Numbers of the Hypervisor Top Level Functional Specification, appendices A and B. */
#define HVCALL_POST_MESSAGE		 0x5c
#define HVCALL_SIGNAL_EVENT		 0x5d
#define HV_STATUS_INVALID_HYPERCALL_CODE 2
#define HYPERCALL_CODE(input)		 ((input)&0xffff)

void hyperv_require(const struct vm *vm)
{
	if (!vm_capability(vm->kvm_fd, KVM_CAP_SYS_HYPERV_CPUID))
		fail("--hyperv: this KVM lacks KVM_CAP_SYS_HYPERV_CPUID: it takes Linux 5.11 or "
		     "newer, from 6.8 on with CONFIG_KVM_HYPERV");
	if (vm->options->synic)
		synic_require(vm);
	if (vm->options->enforce_cpuid && !vm_capability(vm->kvm_fd, KVM_CAP_HYPERV_ENFORCE_CPUID))
		fail("--enforce-cpuid: this KVM lacks KVM_CAP_HYPERV_ENFORCE_CPUID: it takes Linux "
		     "5.14 or newer");
}

void hyperv_get_cpuid(const struct vm *vm, struct cpuid *cpuid)
{
	cpuid->count = CPUID_CAPACITY;
	if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_HV_CPUID, cpuid) < 0)
		fail("--hyperv: KVM_GET_SUPPORTED_HV_CPUID: %s", strerror(errno));
}

void hyperv_enforce_cpuid(int vcpu_fd)
{
	struct kvm_enable_cap enable = { .cap = KVM_CAP_HYPERV_ENFORCE_CPUID, .args = { 1 } };

	if (ioctl(vcpu_fd, KVM_ENABLE_CAP, &enable) < 0)
		fail("--enforce-cpuid: KVM_ENABLE_CAP(KVM_CAP_HYPERV_ENFORCE_CPUID): %s",
		     strerror(errno));
}

static uint64_t answer(struct vm *vm, const struct kvm_hyperv_exit *exit)
{
	uint64_t parameter = exit->u.hcall.params[0];

	switch (HYPERCALL_CODE(exit->u.hcall.input)) {
	case HVCALL_POST_MESSAGE:
		return synic_post_message(vm, parameter);
	case HVCALL_SIGNAL_EVENT:
		return synic_signal_event(vm, parameter);
	default:
		return HV_STATUS_INVALID_HYPERCALL_CODE;
	}
}

/* VMRUN_HYPERV_EXIT tells of it. */
static void record(uint64_t *words, const struct kvm_hyperv_exit *exit)
{
	uint64_t count = words[HYPERV_EXIT_COUNT] + 1;

	memset(words, 0, HYPERV_EXIT_WORDS * sizeof(*words));
	words[HYPERV_EXIT_COUNT] = count;
	words[HYPERV_EXIT_TYPE] = exit->type;
	switch (exit->type) {
	case KVM_EXIT_HYPERV_HCALL:
		words[HYPERV_EXIT_INPUT] = exit->u.hcall.input;
		words[HYPERV_EXIT_PARAM0] = exit->u.hcall.params[0];
		words[HYPERV_EXIT_PARAM1] = exit->u.hcall.params[1];
		break;
	case KVM_EXIT_HYPERV_SYNIC:
		words[HYPERV_EXIT_MSR] = exit->u.synic.msr;
		words[HYPERV_EXIT_CONTROL] = exit->u.synic.control;
		words[HYPERV_EXIT_EVENT_PAGE] = exit->u.synic.evt_page;
		words[HYPERV_EXIT_MESSAGE_PAGE] = exit->u.synic.msg_page;
		break;
	case KVM_EXIT_HYPERV_SYNDBG:
		words[HYPERV_EXIT_MSR] = exit->u.syndbg.msr;
		words[HYPERV_EXIT_CONTROL] = exit->u.syndbg.control;
		words[HYPERV_EXIT_SEND_PAGE] = exit->u.syndbg.send_page;
		words[HYPERV_EXIT_RECEIVE_PAGE] = exit->u.syndbg.recv_page;
		words[HYPERV_EXIT_PENDING_PAGE] = exit->u.syndbg.pending_page;
		break;
	default:
		break;
	}
}

bool hyperv_exit(struct vcpu *vcpu, struct kvm_hyperv_exit *exit)
{
	record(vcpu->hyperv_record, exit);
	switch (exit->type) {
	case KVM_EXIT_HYPERV_HCALL:
		exit->u.hcall.result = answer(vcpu->vm, exit);
		return true;
	case KVM_EXIT_HYPERV_SYNIC:
		synic_moved(vcpu, exit);
		return true;
	case KVM_EXIT_HYPERV_SYNDBG:
		/* No debugger is connected: the status has no bit for data sent or received. */
		exit->u.syndbg.status = 0;
		return true;
	default:
		return false;
	}
}

bool hyperv_event(struct vcpu *vcpu, uint32_t type)
{
	if (!vcpu->expected_event || vcpu->expected_event != type)
		return false;
	vcpu->events++;
	vcpu->memory_record[VMRUN_RECORD_EVENT_DATA] = vcpu->run->system_event.data[0];
	return true;
}

int32_t hyperv_expect_event(struct vcpu *vcpu, uint64_t type, uint64_t *value)
{
	if (type != 0 && type != KVM_SYSTEM_EVENT_RESET && type != KVM_SYSTEM_EVENT_CRASH &&
	    type != KVM_SYSTEM_EVENT_SEV_TERM)
		return -EINVAL;
	*value = vcpu->events;
	vcpu->events = 0;
	vcpu->expected_event = (uint32_t)type;
	return 0;
}

int32_t hyperv_recorded(const struct vcpu *vcpu, uint64_t word, uint64_t *value)
{
	if (word >= HYPERV_EXIT_WORDS)
		return -EINVAL;
	*value = vcpu->hyperv_record[word];
	return 0;
}
