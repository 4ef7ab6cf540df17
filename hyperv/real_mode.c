// SPDX-License-Identifier: BSD-2-Clause
/*
 * Hyper-V hypercalls in real mode
 *
 * A call is legal in protected mode alone, and at CPL 0: elsewhere the instruction raises #UD (TLFS, "Legal Hypercall
 * Environments"; hyperv.c, kvm_hv_hypercall). Without a guest OS id the instruction is not Hyper-V's: KVM takes it for a
 * call of its own ABI (x86.c, ____kvm_emulate_hypercall), which knows no modes but that of 64-bit code, and CPL 0.
 */
#include <hypercall/real_mode.h>
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <libc/array.h>
#include <test/test.h>
#include <x86/smp.h>
#include <xen/page.h>

/* uapi/linux/kvm_para.h */
#define KVM_ENOSYS 1000

static uint32_t mark(void)
{
	return xen_present() ? HV_DISPATCH_BIT : 0;
}

static void refuse(void)
{
	static const uint32_t controls[] = {
		HVCALL_NOTIFY_LONG_SPIN_WAIT,
		HV_CODE_UNKNOWN,
		HVCALL_SIGNAL_EVENT | HV_HYPERCALL_FAST,
		(uint32_t)HV_CONTROL_REFUSED,
	};

	for (size_t i = 0; i < COUNT_OF(controls); i++) {
		struct real_mode_call call = call_in_real_mode(1, controls[i] | mark());

		EXPECT_EQ(call.end, REAL_MODE_UD, "control value 0x%x", controls[i]);
		EXPECT_EQ(call.ip, 0, "at the instruction, control value 0x%x", controls[i]);
	}
}

TEST("in real mode a call raises #UD at the instruction, whatever it asks for")
{
	hv_skip_if_absent();
	REQUIRE(cpu_count() >= 2);
	hv_enable_hypercalls();
	refuse();
}

TEST("so it does while there is a page")
{
	hv_page_new();
	REQUIRE(cpu_count() >= 2);
	refuse();
}

TEST("without a guest OS id the instruction is a call of KVM's in real mode as well")
{
	struct real_mode_call call;

	hv_skip_if_absent();
	if (xen_present())
		SKIP("beside Xen's hypercalls it is a call of Xen's");
	REQUIRE(cpu_count() >= 2);
	hv_disable_hypercalls();
	call = call_in_real_mode(1, HV_CODE_UNKNOWN);
	EXPECT_EQ(call.end, REAL_MODE_RETURNED);
	EXPECT_EQ((int32_t)call.result, -KVM_ENOSYS);
}

static void call_unknown(void *result)
{
	*(uint64_t *)result = hv_hypercall(HV_CODE_UNKNOWN, 0, 0);
}

TEST("back in protected mode the same CPU is answered")
{
	uint64_t result = 0;

	hv_skip_if_absent();
	REQUIRE(cpu_count() >= 2);
	hv_enable_hypercalls();
	call_in_real_mode(1, HV_CODE_UNKNOWN | mark());
	on_cpu(1, call_unknown, &result);
	EXPECT_EQ(result, HV_STATUS_INVALID_HYPERCALL_CODE);
}
