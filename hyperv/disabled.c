// SPDX-License-Identifier: BSD-2-Clause
/*
 * The hypercall instruction while Hyper-V's hypercalls are not in force
 *
 * Without a guest OS id KVM takes the instruction for a call of its own ABI (x86.c,
 * kvm_emulate_hypercall, and Documentation/virt/kvm/x86/hypercalls.rst), wherever it stands, even
 * in the code of a Hyper-V page: number in rax, result in rax; an unknown number is -KVM_ENOSYS
 * (1000), and at CPL 3 every call -KVM_EPERM (1). In 32-bit code the result is eax alone. Linux
 * 6.12 and 7.2 do the same. Real Hyper-V raises #UD here (TLFS, "Establishing the Hypercall
 * Interface").
 *
 * With Xen's hypercalls in the VM, such a call goes to Xen: see xen/coexist_dispatch.c.
 */
#include <hypercall/instruction.h>
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <test/test.h>
#include <x86/msr.h>
#include <x86/user.h>

/* uapi/linux/kvm_para.h */
#define KVM_ENOSYS 1000
#define KVM_EPERM  1

/* What is left in the result register of either ABI by a call with this code and rax. */
static long call_result(const void *code)
{
	struct registers before, after;

	registers_fill(&before, 0);
	hv_set_call(&before, HV_CODE_UNKNOWN, 0, 0);
	call_with_registers(code, &before, &after);
	expect_registers_kept(&before, &after, REG_BIT(REG_AX), "a call of KVM's");
	return (long)after.value[REG_AX];
}

TEST("before there is an id, the instruction is a call of KVM's")
{
	hv_skip_if_absent();
	EXPECT_EQ(call_result(hypercall_stub()), -KVM_ENOSYS);
}

TEST("while there is an id, it is Hyper-V's")
{
	hv_page_new();
	EXPECT_EQ(hv_hypercall(HV_CODE_UNKNOWN, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
}

TEST("when the id is taken back, the instruction is a call of KVM's again")
{
	hv_page_new();
	hv_disable_hypercalls();
	EXPECT_EQ(call_result(hypercall_stub()), -KVM_ENOSYS);
}

TEST("so it is in the code of the page")
{
	const void *page = hv_page_new();

	hv_disable_hypercalls();
	EXPECT_EQ(call_result(page), -KVM_ENOSYS);
}

TEST("a disabled page with an id in force is still called")
{
	const void *page = hv_page_new();

	wrmsr(HV_X64_MSR_HYPERCALL, (uintptr_t)page);
	EXPECT_EQ(hv_page_call(page, HV_CODE_UNKNOWN, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
}

TEST("a new id brings Hyper-V's calls back, with the page still disabled")
{
	const void *page = hv_page_new();

	hv_disable_hypercalls();
	hv_enable_hypercalls();
	EXPECT_EQ(hv_page_call(page, HV_CODE_UNKNOWN, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE,
		  "page");
	EXPECT_EQ(hv_hypercall(HV_CODE_UNKNOWN, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE, "direct");
}

static uintptr_t call_at_cpl3(uintptr_t code)
{
	struct registers before = { 0 }, after;

	hv_set_call(&before, HV_CODE_UNKNOWN, 0, 0);
	call_with_registers((const void *)code, &before, &after);
	return after.value[REG_AX];
}

TEST("without an id a call at CPL 3 is not permitted, rather than #UD")
{
	struct user_result result;

	hv_page_new();
	hv_disable_hypercalls();
	result = user_call(call_at_cpl3, (uintptr_t)hypercall_stub());
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_TRUE(result.returned);
	EXPECT_EQ((long)result.value, -KVM_EPERM);
}
