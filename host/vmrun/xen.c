// SPDX-License-Identifier: BSD-2-Clause
#include "xen.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <vmrun/abi.h>

#include "say.h"
#include "vcpu.h"

/* Numbers of Xen's own (public/xen.h, public/version.h). */
#define XEN_VERSION_CALL 17
#define XENVER_VERSION	 0

#define XEN_EINVAL	 ((uint64_t)-22)
#define XEN_ENOSYS	 ((uint64_t)-38)

void xen_enable(const struct vm *vm)
{
	unsigned int flags = vm_capability(vm->kvm_fd, KVM_CAP_XEN_HVM);
	struct kvm_xen_hvm_config config = {
		.flags = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL,
		.msr = vm->options->xen_msr,
	};

	if (!(flags & KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL))
		fail("--xen: this KVM lacks KVM_CAP_XEN_HVM with KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL "
		     "(it says %#x): it takes Linux 5.12 or newer with CONFIG_KVM_XEN",
		     flags);
	if (ioctl(vm->fd, KVM_XEN_HVM_CONFIG, &config) < 0)
		fail("--xen: KVM_XEN_HVM_CONFIG with MSR %#x: %s", config.msr, strerror(errno));
}

static void record(struct vcpu *vcpu, const struct kvm_xen_exit *exit)
{
	vcpu->xen_record[XEN_RECORD_NUMBER] = exit->u.hcall.input;
	for (unsigned int i = 0; i < 6; i++)
		vcpu->xen_record[XEN_RECORD_PARAM0 + i] = exit->u.hcall.params[i];
	vcpu->xen_record[XEN_RECORD_CPL] = exit->u.hcall.cpl;
	vcpu->xen_record[XEN_RECORD_LONGMODE] = exit->u.hcall.longmode;
}

static uint64_t latched_longmode(const struct vm *vm)
{
	struct kvm_xen_hvm_attr attribute = { .type = KVM_XEN_ATTR_TYPE_LONG_MODE };

	if (ioctl(vm->fd, KVM_XEN_HVM_GET_ATTR, &attribute) < 0)
		return XEN_EINVAL;
	return attribute.u.long_mode;
}

static uint64_t answer(struct vcpu *vcpu, const struct kvm_xen_exit *exit)
{
	uint64_t number = exit->u.hcall.input, first = exit->u.hcall.params[0];

	switch (number) {
	case XEN_VERSION_CALL:
		return first == XENVER_VERSION ? XEN_VMRUN_VERSION : XEN_ENOSYS;
	case XEN_VMRUN_ECHO ... XEN_VMRUN_ECHO + 5:
		return exit->u.hcall.params[number - XEN_VMRUN_ECHO];
	case XEN_VMRUN_RECORD:
		if (first == XEN_RECORD_LATCHED)
			return latched_longmode(vcpu->vm);
		return first < XEN_RECORD_WORDS ? vcpu->xen_record[first] : XEN_EINVAL;
	case XEN_VMRUN_COUNT:
		return atomic_load(&vcpu->vm->xen_calls);
	default:
		return XEN_ENOSYS;
	}
}

bool xen_exit(struct vcpu *vcpu, struct kvm_xen_exit *exit)
{
	if (exit->type != KVM_EXIT_XEN_HCALL)
		return false;
	if (exit->u.hcall.input != XEN_VMRUN_RECORD) {
		record(vcpu, exit);
		if (exit->u.hcall.input != XEN_VMRUN_COUNT)
			atomic_fetch_add(&vcpu->vm->xen_calls, 1);
	}
	exit->u.hcall.result = answer(vcpu, exit);
	return true;
}
