// SPDX-License-Identifier: BSD-2-Clause
/*
 * hvm_op: the parameters of an HVM domain, and what else only such a guest can ask
 *
 * Parameters are numbers that the toolstack and the guest leave for each other (public/hvm/params.h): where the console
 * is, how events are to be delivered, what the guest is shown. A guest reads its own, and may change a few
 * (arch/x86/hvm/hvm.c, hvm_allow_get_param and hvm_allow_set_param).
 *
 * KVM answers none of it, and vmrun none either: there the file is skipped as a whole.
 */
#include <test/test.h>
#include <x86/memory.h>
#include <x86/time.h>
#include <xen/hypercall.h>
#include <xen/ops.h>
#include <xen/page.h>

static long hvm_op(unsigned int operation, void *argument)
{
	return xen_hypercall(XEN_HYPERVISOR_HVM_OP, operation, (uintptr_t)argument);
}

static long parameter(unsigned int operation, uint16_t domain, uint32_t index, uint64_t *value)
{
	struct xen_hvm_param param = { .domain = domain, .index = index, .value = *value };
	long result = hvm_op(operation, &param);

	*value = param.value;
	return result;
}

TEST("a guest reads where its console is: a frame and a port")
{
	uint64_t frame = 0, port = 0;

	xen_page_new();
	EXPECT_EQ(parameter(HVMOP_GET_PARAM, XEN_DOMID_SELF, HVM_PARAM_CONSOLE_PFN, &frame), 0);
	EXPECT_EQ(parameter(HVMOP_GET_PARAM, XEN_DOMID_SELF, HVM_PARAM_CONSOLE_EVTCHN, &port), 0);
	EXPECT_NE(frame, 0);
	EXPECT_FALSE(memory_is_ram(frame << PAGE_SHIFT, PAGE_SIZE), "it is not of the map's RAM");
	EXPECT_NE(port, 0);
}

TEST("a guest says how events are to be delivered, and reads it back")
{
	const uint64_t vector = 2ull << 56 | 0x60; /* HVM_PARAM_CALLBACK_TYPE_VECTOR */
	uint64_t value = vector;

	xen_page_new();
	EXPECT_EQ(parameter(HVMOP_SET_PARAM, XEN_DOMID_SELF, HVM_PARAM_CALLBACK_IRQ, &value), 0);
	value = 0;
	EXPECT_EQ(parameter(HVMOP_GET_PARAM, XEN_DOMID_SELF, HVM_PARAM_CALLBACK_IRQ, &value), 0);
	EXPECT_EQ(value, vector);
	value = 0;
	parameter(HVMOP_SET_PARAM, XEN_DOMID_SELF, HVM_PARAM_CALLBACK_IRQ, &value);
}

TEST("what the toolstack decides a guest may not")
{
	uint64_t value = 0;

	xen_page_new();
	EXPECT_EQ(parameter(HVMOP_SET_PARAM, XEN_DOMID_SELF, HVM_PARAM_VIRIDIAN, &value),
		  -XEN_EPERM);
}

TEST("a parameter that there is not is -EINVAL, and a domain that there is not is -ESRCH")
{
	uint64_t value = 0;

	xen_page_new();
	EXPECT_EQ(parameter(HVMOP_GET_PARAM, XEN_DOMID_SELF, HVM_NR_PARAMS, &value), -XEN_EINVAL);
	EXPECT_EQ(parameter(HVMOP_GET_PARAM, XEN_DOMID_SELF, ~0u, &value), -XEN_EINVAL);
	EXPECT_EQ(parameter(HVMOP_GET_PARAM, 0x1234, HVM_PARAM_CONSOLE_PFN, &value), -XEN_ESRCH);
}

TEST("Xen's time goes on")
{
	uint64_t before = 0, after = 0;

	xen_page_new();
	EXPECT_EQ(hvm_op(HVMOP_GET_TIME, &before), 0);
	delay_us(1000);
	EXPECT_EQ(hvm_op(HVMOP_GET_TIME, &after), 0);
	EXPECT_GT(after, before);
}

TEST("the vector of a vCPU's upcall is none below 16, and the vCPU is one that is there")
{
	struct xen_hvm_upcall_vector upcall = { .vcpu = 0, .vector = 15 };

	xen_page_new();
	EXPECT_EQ(hvm_op(HVMOP_SET_EVTCHN_UPCALL_VECTOR, &upcall), -XEN_EINVAL, "vector 15");
	upcall.vector = 0x60;
	EXPECT_EQ(hvm_op(HVMOP_SET_EVTCHN_UPCALL_VECTOR, &upcall), 0, "vector 0x60");
	upcall.vcpu = 100;
	EXPECT_EQ(hvm_op(HVMOP_SET_EVTCHN_UPCALL_VECTOR, &upcall), -XEN_ENOENT, "vCPU 100");
}

TEST("an operation that nobody knows is -ENOSYS")
{
	uint64_t argument[4] = { 0 };

	xen_page_new();
	EXPECT_EQ(hvm_op(60, argument), -XEN_ENOSYS);
}
