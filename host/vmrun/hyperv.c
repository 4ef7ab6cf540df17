// SPDX-License-Identifier: BSD-2-Clause
#include "hyperv.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "say.h"

/* Numbers of the Hypervisor Top Level Functional Specification, appendices A and B. */
#define HVCALL_POST_MESSAGE		 0x5c
#define HVCALL_SIGNAL_EVENT		 0x5d
#define HV_STATUS_INVALID_HYPERCALL_CODE 2
#define HV_STATUS_INVALID_CONNECTION_ID	 0x12
#define HYPERCALL_CODE(input)		 ((input)&0xffff)

void hyperv_require(const struct vm *vm)
{
	if (!vm_capability(vm->kvm_fd, KVM_CAP_SYS_HYPERV_CPUID))
		fail("--hyperv: this KVM lacks KVM_CAP_SYS_HYPERV_CPUID: it takes Linux 5.11 or "
		     "newer, from 6.8 on with CONFIG_KVM_HYPERV");
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

static uint64_t answer(uint64_t input)
{
	switch (HYPERCALL_CODE(input)) {
	case HVCALL_POST_MESSAGE:
	case HVCALL_SIGNAL_EVENT:
		return HV_STATUS_INVALID_CONNECTION_ID;
	default:
		return HV_STATUS_INVALID_HYPERCALL_CODE;
	}
}

bool hyperv_exit(struct kvm_hyperv_exit *exit)
{
	switch (exit->type) {
	case KVM_EXIT_HYPERV_HCALL:
		exit->u.hcall.result = answer(exit->u.hcall.input);
		return true;
	case KVM_EXIT_HYPERV_SYNIC:
		/* KVM tells where the guest's SynIC pages are; vmrun sends nothing there. */
		return true;
	case KVM_EXIT_HYPERV_SYNDBG:
		/* No debugger is connected: the status has no bit for data sent or received. */
		exit->u.syndbg.status = 0;
		return true;
	default:
		return false;
	}
}
