// SPDX-License-Identifier: BSD-2-Clause
/*
 * #VC: what a guest cannot do without the hypervisor, seen from the guest's programs
 *
 * x86/runtime_exits.c has what also exits in a plain VM. Here is the rest: MONITOR and MWAIT, which
 * KVM goes over as if they were NOPs; VMMCALL with the privilege level that the GHCB carries; CPUID
 * of the XSAVE area, whose size depends on an XCR0 that the hypervisor cannot see; #DB and #AC that
 * arrive as #VC; and NMIs, of which the second comes only when the guest has said that the first is
 * over.
 *
 * Sources: GHCB specification, table 5, "NMI Complete"; KVM: arch/x86/kvm/x86.c,
 * kvm_emulate_monitor_mwait (no #UD by the quirk KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS, which is on),
 * ____kvm_emulate_hypercall: -KVM_EPERM (-1) but at CPL 0, -KVM_ENOSYS (-1000) for what it does not
 * know; svm.c, svm_inject_nmi, svm_nmi_blocked.
 */
#include <libc/array.h>
#include <sev/ghcb.h>
#include <sev/instructions.h>
#include <sev/sev.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/cpuid.h>
#include <x86/exits.h>
#include <x86/interrupt.h>
#include <x86/msr.h>
#include <x86/registers.h>
#include <x86/time.h>
#include <x86/user.h>
#include <x86/xsave.h>

#define KVM_EPERM      1
#define KVM_ENOSYS     1000
#define HYPERCALL_NONE 0x7777
#define WAIT_MS	       2000
#define CPUID_XSAVE    0xd
#define XSAVE_LEGACY   (512 + 64)
#define EDX_RDTSCP     (1u << 27)
#define NO_MSR	       0x4f000000

/* KVM has the fixed-range MTRRs as values alone (mtrr.c); each byte is a type of 0, 1, 4, 5 or 6. */
#define MSR_MTRR_FIX_64K 0x250

static uintptr_t user_rdmsr(uintptr_t index)
{
	return rdmsr((uint32_t)index);
}

TEST("MONITOR and MWAIT are gone over")
{
	uint64_t line;

	monitor(&line);
	mwait();
}

TEST("an MSR that the hypervisor keeps reads as it was written, in both halves")
{
	static const uint64_t values[] = { 0x0606060606060606, 0, 0x0400050106060000 };
	uint64_t before = rdmsr(MSR_MTRR_FIX_64K);

	for (unsigned int i = 0; i < COUNT_OF(values); i++) {
		wrmsr(MSR_MTRR_FIX_64K, values[i]);
		EXPECT_EQ(rdmsr(MSR_MTRR_FIX_64K), values[i]);
	}
	wrmsr(MSR_MTRR_FIX_64K, before);
}

TEST("an MSR that does not exist raises GP at the instruction, and at CPL 3 any does")
{
	EXPECT_FAULT(GP, 0, rdmsr(NO_MSR));
	EXPECT_FAULT(GP, 0, wrmsr(NO_MSR, 1));
	EXPECT_FAULT_EQ(user_call(user_rdmsr, MSR_MTRR_FIX_64K).fault, GP, 0);
}

TEST("RDTSC and RDTSCP go on, and RDTSCP has what was written to TSC_AUX")
{
	uint64_t first = rdtsc(), second, third;
	uint32_t aux;

	if (!(cpuid(0x80000001, 0).edx & EDX_RDTSCP))
		SKIP("this CPU has no RDTSCP");
	wrmsr(MSR_TSC_AUX, 0x1234567);
	second = rdtscp(&aux);
	third = rdtsc();
	EXPECT_EQ(aux, 0x1234567);
	EXPECT_GE(second, first);
	EXPECT_GE(third, second);
	wrmsr(MSR_TSC_AUX, 0);
	rdtscp(&aux);
	EXPECT_EQ(aux, 0);
}

TEST("CPUID with a subleaf has that of the hypervisor, and leaves no upper halves")
{
	struct cpuid zero = cpuid(CPUID_XSAVE, 0), one = cpuid(CPUID_XSAVE, 1);

	EXPECT_NE(zero.ebx, 0);
	EXPECT_EQ(one.edx, 0);
	EXPECT_EQ(ghcb_msr(GHCB_MSR_CPUID(0x80000000, GHCB_CPUID_EBX)) >> 32,
		  cpuid(0x80000000, 0).ebx);
}

static uintptr_t hypercall(uintptr_t number)
{
	return vmmcall(number);
}

TEST("an unknown hypercall says so at CPL 0, and is refused at CPL 3")
{
	EXPECT_EQ((int64_t)hypercall(HYPERCALL_NONE), -KVM_ENOSYS);
	EXPECT_EQ((int64_t)user_call(hypercall, HYPERCALL_NONE).value, -KVM_EPERM);
}

TEST("the size of the XSAVE area is that of XCR0 as it is")
{
	struct cpuid leaf;

	if (!(xcr0_supported() & XSTATE_AVX))
		SKIP("this CPU has no state beyond SSE");
	write_cr4(read_cr4() | CR4_OSXSAVE);
	xsetbv(0, XSTATE_X87);
	EXPECT_EQ(cpuid(CPUID_XSAVE, 0).ebx, XSAVE_LEGACY);
	xsetbv(0, XSTATE_X87 | XSTATE_SSE | XSTATE_AVX);
	leaf = cpuid(CPUID_XSAVE, 2);
	EXPECT_EQ(cpuid(CPUID_XSAVE, 0).ebx, leaf.ebx + leaf.eax);
}

static unsigned int nmis;

static void count_nmi(struct x86_frame *frame)
{
	(void)frame;
	__atomic_add_fetch(&nmis, 1, __ATOMIC_SEQ_CST);
}

TEST("an NMI arrives, and the one after it, and many")
{
	irq_handler(NMI, count_nmi);
	for (unsigned int i = 1; i <= 20; i++) {
		apic_icr_write(ICR_NMI | ICR_ASSERT, apic_id());
		if (!EXPECT_TRUE(WAIT_FOR(__atomic_load_n(&nmis, __ATOMIC_SEQ_CST) == i, WAIT_MS),
				 "NMI %u", i))
			break;
	}
}

/* Its handler raises #VC itself, wherever it has come in between: the GHCB's user must not notice. */
static void exit_in_nmi(struct x86_frame *frame)
{
	(void)frame;
	cpuid(0, 0);
	ghcb_msr(GHCB_MSR_SEV_INFO_REQ);
	__atomic_add_fetch(&nmis, 1, __ATOMIC_SEQ_CST);
}

static void send_nmis(void *argument)
{
	unsigned int target = *(unsigned int *)argument;

	for (unsigned int i = 0; i < 200; i++) {
		apic_icr_write(ICR_NMI | ICR_ASSERT, target);
		delay_us(500);
	}
}

TEST("NMIs whose handler raises #VC disturb no #VC of what they interrupt")
{
	unsigned int self = apic_id();
	struct cpuid zero = cpuid(0, 0), one = cpuid(0x80000001, 0);

	if (cpu_count() < 2)
		SKIP("needs 2 CPUs, and there is one");
	nmis = 0;
	irq_handler(NMI, exit_in_nmi);
	on_cpu_start(1, send_nmis, &self);
	for (unsigned int i = 0; i < 300; i++) {
		if (!EXPECT_EQ(cpuid(0, 0).ebx, zero.ebx) ||
		    !EXPECT_EQ(cpuid(0x80000001, 0).edx, one.edx) ||
		    !EXPECT_EQ(ghcb_msr(GHCB_MSR_FEATURES_REQ) & 0xfff, GHCB_MSR_FEATURES_RESP))
			break;
	}
	on_cpu_wait(1);
	EXPECT_GT(__atomic_load_n(&nmis, __ATOMIC_SEQ_CST), 0);
}
