// SPDX-License-Identifier: BSD-2-Clause
/*
 * The vCPU of an SNP VM: what the host may do with it before its launch is finished, and after
 *
 * Until SNP_LAUNCH_FINISH the VMM sets registers as those of any vCPU: they become the VMSA. From then on they are the
 * guest's alone, and KVM refuses each ioctl that would read or write them (arch/x86/kvm/regs.c and x86.c,
 * guest_state_protected), rather than answer with values that mean nothing. A vCPU does not run before that.
 *
 * Sources: Documentation/virt/kvm/api.rst, KVM_GET_REGS and the others: -EINVAL "if the guest's register state is
 * protected"; arch/x86/kvm/svm/sev.c, snp_launch_update_vmsa, sev_es_prevent_msr_access, pre_sev_run; APM volume 2,
 * 15.36.5: VMRUN fails if the VMSA's page is none.
 */
#include "common/guest.h"

#include <errno.h>
#include <sys/ioctl.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define MSR_STAR	0xc0000081

/* Read before they are written, so that what is written is what was there. */
static const struct {
	unsigned long get, set;
	const char *name;
} registers[] = {
	{ KVM_GET_REGS, KVM_SET_REGS, "KVM_GET_REGS, KVM_SET_REGS" },
	{ KVM_GET_SREGS, KVM_SET_SREGS, "KVM_GET_SREGS, KVM_SET_SREGS" },
	{ KVM_GET_SREGS2, KVM_SET_SREGS2, "KVM_GET_SREGS2, KVM_SET_SREGS2" },
	{ KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, "KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS" },
	{ KVM_GET_XCRS, KVM_SET_XCRS, "KVM_GET_XCRS, KVM_SET_XCRS" },
};

static int call(int vcpu, unsigned long request, void *data)
{
	return ioctl(vcpu, request, data) ? -errno : 0;
}

/* How many of one MSR were written, by KVM's word. */
static int set_star(int vcpu)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = { .index = MSR_STAR } };

	return ioctl(vcpu, KVM_SET_MSRS, &msrs);
}

static void expect_registers(int vcpu, int result, const char *when)
{
	static union {
		struct kvm_xcrs xcrs;
		uint8_t room[4096];
	} data;
	struct kvm_guest_debug debug = { 0 };

	for (size_t i = 0; i < COUNT_OF(registers); i++) {
		EXPECT_EQ(call(vcpu, registers[i].get, &data), result, "%s, the first, %s",
			  registers[i].name, when);
		EXPECT_EQ(call(vcpu, registers[i].set, &data), result, "%s, the second, %s",
			  registers[i].name, when);
	}
	EXPECT_EQ(call(vcpu, KVM_SET_GUEST_DEBUG, &debug), result, "KVM_SET_GUEST_DEBUG %s", when);
}

TEST("registers can be read and set until the launch is finished, and not after it")
{
	struct guest guest = guest_new();

	expect_registers(guest.vcpu, 0, "before");
	EXPECT_EQ(set_star(guest.vcpu), 1, "before");
	guest_finish(&guest);
	expect_registers(guest.vcpu, -EINVAL, "after");
	EXPECT_EQ(set_star(guest.vcpu), 0, "after");
}

TEST("what was set before is what the guest starts with, and what the host tried later is nothing to it")
{
	struct kvm_regs regs = { .rip = 0x1234000, .rflags = 2 };
	struct guest guest = guest_new();

	guest_finish(&guest);
	EXPECT_EQ(call(guest.vcpu, KVM_SET_REGS, &regs), -EINVAL);
	EXPECT_EQ(guest_pvalidate(&guest, PRIVATE(GUEST_STACK_END - PAGE), false, true).carry,
		  true);
}

TEST("a vCPU does not run before its launch is finished, and does then")
{
	struct guest guest = guest_new();

	EXPECT_EQ(call(guest.vcpu, KVM_RUN, NULL), 0);
	EXPECT_EQ(guest.run->exit_reason, KVM_EXIT_FAIL_ENTRY);
	guest_finish(&guest);
}
