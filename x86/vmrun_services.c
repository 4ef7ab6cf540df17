// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmrun: the guest's vCPU as KVM's ioctls show it to the VMM
 *
 * Tests of what a VMM sees and does (an MSR read back, a value refused, an exception injected)
 * stand on the requests of <vmrun/vmm.h>. Here each is held against what the guest sees of the same
 * thing; and KVM against its documentation:
 *
 * - An MSR is the same for the guest and for KVM_GET_MSRS, KVM_SET_MSRS, and KVM_GET_ONE_REG where
 *   there is that (Linux 6.18). What the guest may not write, the VMM may not either, but for a few
 *   (x86.c, __kvm_set_msr and the callers of "host_initiated"): here such are used that have no
 *   exception. A refused value changes nothing.
 * - An exception that was made pending by KVM_SET_VCPU_EVENTS arrives at the next entry, before the
 *   next instruction, with the error code and CR2 that it was given (api.rst,
 *   "KVM_SET_VCPU_EVENTS"). KVM refuses vector 2 and those above 31.
 * - An NMI (KVM_NMI) arrives at once, but waits while another one is handled: Intel SDM volume 3,
 *   "Handling Multiple NMIs".
 * - "exits" counts vmexits: CPUID always makes one (SDM volume 3, "Instructions That Cause VM Exits
 *   Unconditionally"; svm.c, init_vmcb), and reading IA32_SYSENTER_CS none (vmx.c,
 *   vmx_recalc_msr_intercepts; svm.c, svm_recalc_msr_intercepts).
 * - The forced emulation prefix is off unless someone asks for it. (With it: vmrun_emulation.c.)
 */
#include <kvm/abi.h>
#include <kvm/emulate.h>
#include <libc/array.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/cpuid.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/registers.h>
#include <x86/smp.h>

#define MSR_SYSENTER_CS	 0x174
#define MSR_SYSENTER_EIP 0x176
#define NO_MSR		 0xdeadbeef
#define PAT_DEFAULT	 0x0007040600070406ull /* SDM volume 3, "Programming the PAT" */
#define PAT_OTHER	 0x0001040506070406ull
#define PAT_RESERVED	 0x0002040600070406ull /* memory type 2 does not exist */
#define ACCESSES	 1000

/* MSRs that every CPU in question has, with values that each of them can take. */
static const struct {
	uint32_t msr;
	uint64_t value;
} msrs[] = {
	{ MSR_IA32_PAT, PAT_OTHER },
	{ MSR_SYSENTER_CS, 0x1230 },
	{ MSR_SYSENTER_EIP, 0x12345678 },
	{ MSR_STAR, 0x0023001812345678ull },
	{ MSR_LSTAR, 0x00007f1234567890ull },
	{ MSR_SYSCALL_MASK, 0x47700 },
	{ MSR_KERNEL_GS_BASE, 0x00007edcba987654ull },
};

typedef int msr_reader(uint32_t msr, uint64_t *value);
typedef int msr_writer(uint32_t msr, uint64_t value);

static int one_reg_read(uint32_t msr, uint64_t *value)
{
	return vmm_reg_read(KVM_X86_REG_MSR(msr), value);
}

static int one_reg_write(uint32_t msr, uint64_t value)
{
	return vmm_reg_write(KVM_X86_REG_MSR(msr), value);
}

static void skip_without_one_reg(void)
{
	uint64_t value;

	if (vmm_reg_read(KVM_X86_REG_MSR(MSR_IA32_PAT), &value) == VMRUN_EOPNOTSUPP)
		SKIP("this KVM has no KVM_GET_ONE_REG (Linux 6.18)");
}

static void check_msrs(msr_reader *read, msr_writer *write)
{
	for (unsigned int i = 0; i < COUNT_OF(msrs); i++) {
		uint32_t msr = msrs[i].msr;
		uint64_t old = rdmsr(msr), value;

		wrmsr(msr, msrs[i].value);
		EXPECT_EQ(read(msr, &value), 0, "MSR 0x%x", msr);
		EXPECT_EQ(value, msrs[i].value, "MSR 0x%x, written by the guest", msr);
		EXPECT_EQ(write(msr, old), 0, "MSR 0x%x", msr);
		EXPECT_EQ(rdmsr(msr), old, "MSR 0x%x, written by the VMM", msr);
		wrmsr(msr, old);
	}
}

TEST("an MSR written by the guest is read by the VMM, and the other way round")
{
	check_msrs(vmm_msr_read, vmm_msr_write);
}

TEST("the same through KVM_GET_ONE_REG and KVM_SET_ONE_REG")
{
	skip_without_one_reg();
	check_msrs(one_reg_read, one_reg_write);
}

static void check_refused(msr_writer *write)
{
	wrmsr(MSR_IA32_PAT, PAT_DEFAULT);
	EXPECT_EQ(write(MSR_IA32_PAT, PAT_RESERVED), VMRUN_EINVAL);
	EXPECT_EQ(rdmsr(MSR_IA32_PAT), PAT_DEFAULT);
	EXPECT_FAULT(GP, 0, wrmsr(MSR_IA32_PAT, PAT_RESERVED));
	EXPECT_EQ(write(MSR_IA32_PAT, PAT_OTHER), 0);
	EXPECT_EQ(rdmsr(MSR_IA32_PAT), PAT_OTHER);
	wrmsr(MSR_IA32_PAT, PAT_DEFAULT);
}

TEST("a value with a reserved one in it is refused to the VMM as to the guest")
{
	check_refused(vmm_msr_write);
}

TEST("so it is through KVM_SET_ONE_REG")
{
	skip_without_one_reg();
	check_refused(one_reg_write);
}

TEST("an MSR that does not exist is refused, and reads as nothing")
{
	uint64_t value = 1;

	if (FAULT_OF(rdmsr(NO_MSR)).vector == NO_FAULT)
		SKIP("this KVM lets MSRs be read that do not exist (ignore_msrs)");
	EXPECT_EQ(vmm_msr_read(NO_MSR, &value), VMRUN_EINVAL);
	EXPECT_EQ(value, 0);
	EXPECT_EQ(vmm_msr_write(NO_MSR, 0), VMRUN_EINVAL);
}

/* x86.c, kvm_get_set_one_reg() and kvm_translate_kvm_reg() */
TEST("register ids that KVM does not have are refused")
{
	static const uint64_t ids[] = {
		0,
		KVM_X86_REG_MSR(MSR_IA32_PAT) & ~KVM_REG_X86,
		KVM_X86_REG_MSR(MSR_IA32_PAT) ^ 1ull << 52, /* 32 bits wide */
		KVM_X86_REG_MSR(MSR_IA32_PAT) | 1ull << 40,
		KVM_X86_REG_MSR(MSR_IA32_PAT) | 1ull << 48,
		KVM_X86_REG_MSR(MSR_IA32_PAT) ^ 3ull << 32, /* of type 1 */
		KVM_X86_REG_SSP + 1,
	};
	uint64_t value;

	skip_without_one_reg();
	for (unsigned int i = 0; i < COUNT_OF(ids); i++) {
		EXPECT_EQ(vmm_reg_read(ids[i], &value), VMRUN_EINVAL, "id 0x%llx",
			  (unsigned long long)ids[i]);
		EXPECT_EQ(vmm_reg_write(ids[i], PAT_DEFAULT), VMRUN_EINVAL, "id 0x%llx",
			  (unsigned long long)ids[i]);
	}
}

TEST("there is a shadow stack pointer where CPUID has shadow stacks, and else none")
{
	bool shadow_stacks = cpuid_checked(7, 0).ecx & 1u << 7;
	uint64_t value;

	skip_without_one_reg();
	EXPECT_EQ(vmm_reg_read(KVM_X86_REG_SSP, &value), shadow_stacks ? 0 : VMRUN_EINVAL);
}

TEST("an injected exception arrives as itself, with the error code it was given")
{
	static const struct {
		unsigned int vector;
		bool error;
		uint32_t error_code;
	} cases[] = {
		{ DE, false, 0 },   { UD, false, 0 }, { NM, false, 0 }, { TS, true, 0x28 },
		{ NP, true, 0x50 }, { SS, true, 0 },  { GP, true, 0 },	{ GP, true, 0x1234 },
		{ AC, true, 0 },    { MF, false, 0 }, { XM, false, 0 },
	};

	for (unsigned int i = 0; i < COUNT_OF(cases); i++) {
		unsigned int vector = cases[i].vector;
		struct x86_fault fault;

		if (cases[i].error)
			fault = FAULT_OF(vmm_inject_error(vector, cases[i].error_code));
		else
			fault = FAULT_OF(vmm_inject(vector));
		EXPECT_FAULT_EQ(fault, vector, cases[i].error_code, "case %u", i);
	}
}

TEST("an injected PF brings CR2 with it")
{
	struct x86_fault fault;

	write_cr2(0x1111);
	fault = FAULT_OF(vmm_inject_pf(PF_PRESENT | PF_WRITE, 0x12345678));
	EXPECT_FAULT_EQ(fault, PF, PF_PRESENT | PF_WRITE);
	EXPECT_EQ(fault.cr2, 0x12345678);
}

TEST("vectors that are no exceptions are refused, and nothing arrives")
{
	static const unsigned int vectors[] = { NMI, 32, 0x80, 255, 256 };

	for (unsigned int i = 0; i < COUNT_OF(vectors); i++) {
		int status = 0;

		EXPECT_NO_FAULT(status = vmm_inject(vectors[i]));
		EXPECT_EQ(status, VMRUN_EINVAL, "vector %u", vectors[i]);
	}
}

TEST("an injected NMI arrives at once")
{
	for (unsigned int i = 0; i < 3; i++)
		EXPECT_FAULT(NMI, 0, vmm_inject_nmi());
}

static unsigned int nmis, depth, deepest;

static void ask_for_another(struct x86_frame *frame)
{
	(void)frame;
	depth++;
	if (depth > deepest)
		deepest = depth;
	if (++nmis == 1)
		EXPECT_EQ(vmm_inject_nmi(), 0);
	depth--;
}

TEST("an NMI that is injected while another one is handled waits for its end")
{
	nmis = depth = deepest = 0;
	irq_handler(NMI, ask_for_another);
	EXPECT_EQ(vmm_inject_nmi(), 0);
	EXPECT_EQ(nmis, 2);
	EXPECT_EQ(deepest, 1);
}

static void write_own_lstar(void *argument)
{
	uint64_t value = *(const uint64_t *)argument + cpu_id();

	EXPECT_EQ(vmm_msr_write(MSR_LSTAR, value), 0);
}

static void check_own_lstar(void *argument)
{
	uint64_t value = *(const uint64_t *)argument + cpu_id(), found;

	EXPECT_EQ(rdmsr(MSR_LSTAR), value);
	EXPECT_EQ(vmm_msr_read(MSR_LSTAR, &found), 0);
	EXPECT_EQ(found, value);
	wrmsr(MSR_LSTAR, 0);
}

TEST("a request is about the CPU that makes it")
{
	uint64_t base = 0x12345600;

	if (cpu_count() == 1)
		SKIP("there is only one CPU");
	on_all_cpus(write_own_lstar, &base);
	on_all_cpus(check_own_lstar, &base);
}

TEST("a VM with more than one CPU is not moved, and goes on where it is")
{
	uint64_t before = 0, after = 0;

	if (cpu_count() == 1)
		SKIP("there is only one CPU");
	EXPECT_EQ(vmm_statistic("exits", &before), 0);
	EXPECT_EQ(vmm_move(), VMRUN_EOPNOTSUPP);
	EXPECT_EQ(vmm_statistic("exits", &after), 0);
	EXPECT_GT(after, before);
}

static uint64_t exits(void)
{
	uint64_t value;

	ASSERT_EQ(vmm_statistic("exits", &value), 0);
	return value;
}

TEST("instructions that are intercepted make an exit each, and others make none")
{
	uint64_t start = exits(), middle, end;

	for (unsigned int i = 0; i < ACCESSES; i++)
		cpuid(0, 0);
	middle = exits();
	for (unsigned int i = 0; i < ACCESSES; i++)
		rdmsr(MSR_SYSENTER_CS);
	end = exits();
	EXPECT_GE(middle - start, ACCESSES);
	EXPECT_LT(end - middle, ACCESSES / 2);
}

TEST("a statistic that KVM does not have is refused")
{
	uint64_t value = 1;

	EXPECT_EQ(vmm_statistic("exit", &value), VMRUN_ENOENT);
	EXPECT_EQ(value, 0);
	EXPECT_EQ(vmm_statistic("", &value), VMRUN_ENOENT);
}

TEST("where the forced emulation prefix is off it raises UD itself, and nothing is executed")
{
	static const uint8_t nop = 0x90;
	uint8_t *code = page_alloc();
	struct x86_fault fault;

	if (vmm_forces_emulation())
		SKIP("the forced emulation prefix is on");
	emulated_code(code, &nop, 1);
	fault = FAULT_OF(((void (*)(void))code)());
	EXPECT_FAULT_EQ(fault, UD, 0);
	EXPECT_EQ(fault.ip, (uintptr_t)code);
	page_free(code);
}
