// SPDX-License-Identifier: BSD-2-Clause
/*
 * vcpu_op: what a guest can ask of its vCPUs
 *
 * Arguments are the operation, the number of the vCPU, and an address (public/vcpu.h; common/domain.c, do_vcpu_op;
 * arch/x86/hvm/hvm.c, hvm_vcpu_op). Of a vCPU that is not there every operation is -ENOENT, before it is looked which.
 *
 * KVM answers the timers alone, where its VMM has asked for that, and vmrun does not: there the file is skipped as a
 * whole.
 */
#include <test/test.h>
#include <x86/memory.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <xen/hypercall.h>
#include <xen/ops.h>
#include <xen/page.h>

#define NO_VCPU 100
#define WAIT_MS 5000

static long vcpu_op(unsigned int operation, unsigned int vcpu, void *argument)
{
	return xen_hypercall(XEN_HYPERVISOR_VCPU_OP, operation, vcpu, (uintptr_t)argument);
}

static void nothing(void *unused)
{
	(void)unused;
}

TEST("a vCPU is up once the guest has started it")
{
	xen_page_new();
	EXPECT_EQ(vcpu_op(VCPUOP_IS_UP, 0, NULL), 1, "this one");
	REQUIRE(cpu_count() >= 2);
	on_cpu(1, nothing, NULL);
	EXPECT_EQ(vcpu_op(VCPUOP_IS_UP, 1, NULL), 1, "the other one");
}

TEST("of a vCPU that is not there everything is -ENOENT")
{
	struct xen_runstate state;

	xen_page_new();
	EXPECT_EQ(vcpu_op(VCPUOP_IS_UP, NO_VCPU, NULL), -XEN_ENOENT, "is_up");
	EXPECT_EQ(vcpu_op(VCPUOP_GET_RUNSTATE_INFO, NO_VCPU, &state), -XEN_ENOENT, "runstate");
}

TEST("the caller runs, and the time that it has run for grows")
{
	struct xen_runstate before = { 0 }, after = { 0 };

	xen_page_new();
	ASSERT_EQ(vcpu_op(VCPUOP_GET_RUNSTATE_INFO, 0, &before), 0);
	EXPECT_EQ(before.state, RUNSTATE_RUNNING);
	delay_us(2000);
	ASSERT_EQ(vcpu_op(VCPUOP_GET_RUNSTATE_INFO, 0, &after), 0);
	EXPECT_GT(after.time[RUNSTATE_RUNNING], before.time[RUNSTATE_RUNNING]);
}

/* public/vcpu.h: "This may be called only once per vcpu." Xen copies there what was at the old place. */
TEST("vcpu_info is placed where the guest says, once")
{
	uint8_t *page = page_alloc();
	struct xen_register_vcpu_info info = { .mfn = (uintptr_t)page >> PAGE_SHIFT, .offset = 64 };
	struct xen_register_vcpu_info bad = info;

	xen_page_new();
	bad.offset = PAGE_SIZE - 8;
	EXPECT_EQ(vcpu_op(VCPUOP_REGISTER_VCPU_INFO, 0, &bad), -XEN_ENXIO, "across the end");
	EXPECT_EQ(vcpu_op(VCPUOP_REGISTER_VCPU_INFO, 0, &info), 0);
	/* Its time, of which the version is even, and not 0, when it is stable. */
	EXPECT_TRUE(WAIT_FOR(*(volatile uint32_t *)(page + 64 + 32) != 0, WAIT_MS));
	EXPECT_EQ(vcpu_op(VCPUOP_REGISTER_VCPU_INFO, 0, &info), -XEN_EINVAL, "again");
}

/* arch/x86/domain.c, arch_do_vcpu_op: only dom0 is told, and of a vCPU that is pinned. */
TEST("a guest is not told on which physical CPU it runs: -EINVAL")
{
	uint64_t argument[4] = { 0 };

	xen_page_new();
	EXPECT_EQ(vcpu_op(VCPUOP_GET_PHYSID, 0, argument), -XEN_EINVAL);
}

TEST("an operation that nobody knows is -ENOSYS")
{
	uint64_t argument[4] = { 0 };

	xen_page_new();
	EXPECT_EQ(vcpu_op(60, 0, argument), -XEN_ENOSYS);
}
