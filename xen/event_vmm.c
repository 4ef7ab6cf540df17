// SPDX-License-Identifier: BSD-2-Clause
/*
 * Event channels as KVM's VMM makes and uses them
 *
 * The VMM names the ports that KVM delivers itself (KVM_XEN_HVM_SET_ATTR, KVM_XEN_ATTR_TYPE_EVTCHN): IPIs, which come
 * back at the same port, ends of a channel of the guest's own, which come out at another port, and such as lead to an
 * eventfd. It sends events itself, by KVM_XEN_HVM_EVTCHN_SEND or by an interrupt line that is routed to a port
 * (KVM_IRQ_ROUTING_XEN_EVTCHN). Documentation/virt/kvm/api.rst; xen.c, kvm_xen_setattr_evtchn, kvm_xen_hvm_evtchn_send,
 * kvm_xen_setup_evtchn. A guest has all of that from vmrun (lib/vmrun/xen.h); on Xen it is Xen's and dom0's.
 */
#include <libc/array.h>
#include <test/test.h>
#include <vmrun/abi.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/smp.h>
#include <x86/time.h>
#include <xen/events.h>
#include <xen/page.h>
#include <xen/request.h>
#include <xen/shared.h>

#define VECTOR	0x50
#define WAIT_MS 5000
#define LEVEL2	XEN_PRIORITY_2LEVEL
#define IPI	EVTCHNSTAT_IPI
#define CHANNEL EVTCHNSTAT_INTERDOMAIN

/* xen.c, KVM_XEN_MSR_MIN_INDEX and KVM_XEN_MSR_MAX_INDEX */
#define MSR_FIRST 0x40000000u
#define MSR_LAST  0x4fffffffu

static int set_channel(uint32_t send_port, uint32_t type, uint32_t flags, uint32_t port,
		       uint32_t vcpu, uint32_t priority)
{
	const struct xen_evtchn_attribute channel = {
		send_port, type, flags, port, vcpu, priority
	};

	return xen_set_vm_struct(XEN_VM_EVTCHN, &channel, sizeof(channel));
}

static void expect_pending_alone(uint32_t port, const char *what)
{
	EXPECT_TRUE(xen_port_take(port), "%s", what);
	for (unsigned int word = 0; word < XEN_WORD_BITS; word++)
		EXPECT_EQ(xen_shared_info()->pending[word], 0, "%s, word %u", what, word);
}

TEST("a channel's event comes out at its other end")
{
	xen_events_begin();
	xen_port_unmask(30);
	ASSERT_EQ(set_channel(20, CHANNEL, 0, 30, 0, LEVEL2), 0);
	EXPECT_EQ(xen_send(20), 0);
	expect_pending_alone(30, "from 20");
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 1);
}

TEST("a port that leads to an eventfd is counted there, and pending nowhere")
{
	xen_events_begin();
	xen_vmm_signals();
	ASSERT_EQ(set_channel(20, CHANNEL, 0, 0, 0, 0), 0);
	EXPECT_EQ(xen_vmm_signals(), 0);
	for (unsigned int i = 0; i < 3; i++)
		EXPECT_EQ(xen_send(20), 0);
	EXPECT_EQ(xen_vmm_signals(), 3);
	EXPECT_FALSE(xen_port_pending(20));
	EXPECT_EQ(xen_vcpu_info()->upcall_pending, 0);
}

static const struct refused_case {
	const char *name;
	uint32_t send_port, type, flags, port, priority;
	int status;
} refused_cases[] = {
	{ "port 0", 0, IPI, 0, 0, LEVEL2, VMRUN_EINVAL },
	{ "a port that cannot be", XEN_PORTS, IPI, 0, XEN_PORTS, LEVEL2, VMRUN_EINVAL },
	{ "an IPI to another port", 20, IPI, 0, 21, LEVEL2, VMRUN_EINVAL },
	{ "a channel to a port that cannot be", 20, CHANNEL, 0, XEN_PORTS, LEVEL2, VMRUN_EINVAL },
	{ "an IPI of another ABI", 20, IPI, 0, 20, 0, VMRUN_EINVAL },
	{ "a channel of another ABI", 20, CHANNEL, 0, 30, 1, VMRUN_EINVAL },
	{ "a closed port", 20, EVTCHNSTAT_CLOSED, 0, 20, LEVEL2, VMRUN_EINVAL },
	{ "an unbound port", 20, EVTCHNSTAT_UNBOUND, 0, 20, LEVEL2, VMRUN_EINVAL },
	{ "a physical interrupt", 20, 3, 0, 20, LEVEL2, VMRUN_EINVAL },
	{ "a virtual interrupt", 20, EVTCHNSTAT_VIRQ, 0, 20, LEVEL2, VMRUN_EINVAL },
	{ "type 6", 20, 6, 0, 20, LEVEL2, VMRUN_EINVAL },
	{ "a flag that nobody knows", 20, IPI, 8, 20, LEVEL2, VMRUN_EINVAL },
	{ "two flags at once", 20, IPI, 3, 20, LEVEL2, VMRUN_EINVAL },
	{ "to change one that is not there", 20, IPI, XEN_EVTCHN_UPDATE, 20, LEVEL2, VMRUN_ENOENT },
	{ "to remove one that is not there", 20, IPI, XEN_EVTCHN_DEASSIGN, 20, LEVEL2,
	  VMRUN_ENOENT },
};

TEST("what no port can be is refused, and is no port then")
{
	xen_events_begin();
	for (size_t i = 0; i < COUNT_OF(refused_cases); i++) {
		const struct refused_case *c = &refused_cases[i];

		EXPECT_EQ(set_channel(c->send_port, c->type, c->flags, c->port, 0, c->priority),
			  c->status, "%s", c->name);
		EXPECT_EQ(xen_send(c->send_port), -XEN_ENOSYS, "%s", c->name);
	}
}

TEST("a port is there once")
{
	xen_events_begin();
	ASSERT_EQ(set_channel(20, IPI, 0, 20, 0, LEVEL2), 0);
	EXPECT_EQ(set_channel(20, IPI, 0, 20, 0, LEVEL2), VMRUN_EEXIST);
	EXPECT_EQ(set_channel(20, CHANNEL, 0, 30, 0, LEVEL2), VMRUN_EEXIST);
	EXPECT_EQ(set_channel(20, IPI, XEN_EVTCHN_DEASSIGN, 20, 0, LEVEL2), 0);
	EXPECT_EQ(xen_send(20), -XEN_ENOSYS);
	EXPECT_EQ(set_channel(20, CHANNEL, 0, 30, 0, LEVEL2), 0);
}

static void look(void *info)
{
	*(volatile struct xen_vcpu_info **)info = xen_vcpu_info();
}

TEST("a change moves a port to another vCPU, and can change nothing else")
{
	volatile struct xen_vcpu_info *other;

	xen_events_begin();
	REQUIRE(cpu_count() >= 2);
	on_cpu(1, look, &other);
	other->upcall_pending = 0;
	other->pending_sel = 0;
	xen_port_unmask(20);
	xen_port_unmask(30);
	ASSERT_EQ(set_channel(20, CHANNEL, 0, 30, 0, LEVEL2), 0);
	EXPECT_EQ(xen_send(20), 0);
	EXPECT_EQ(other->upcall_pending, 0);
	xen_port_take(30);
	EXPECT_EQ(set_channel(20, CHANNEL, XEN_EVTCHN_UPDATE, 30, 1, LEVEL2), 0);
	EXPECT_EQ(xen_send(20), 0);
	EXPECT_EQ(other->upcall_pending, 1);
	EXPECT_EQ(set_channel(20, CHANNEL, XEN_EVTCHN_UPDATE, 31, 1, LEVEL2), VMRUN_EINVAL);
	EXPECT_EQ(set_channel(20, IPI, XEN_EVTCHN_UPDATE, 30, 1, LEVEL2), VMRUN_EINVAL);
	EXPECT_EQ(set_channel(20, CHANNEL, XEN_EVTCHN_UPDATE, 30, 1, 0), VMRUN_EINVAL);
	xen_port_take(30);
	EXPECT_EQ(xen_send(20), 0);
	expect_pending_alone(30, "as it was");
}

TEST("a reset takes all ports away")
{
	xen_events_begin();
	for (uint32_t port = 20; port < 28; port++)
		ASSERT_EQ(set_channel(port, port % 2 ? CHANNEL : IPI, 0, port % 2 ? 0 : port, 0,
				      LEVEL2),
			  0);
	EXPECT_EQ(set_channel(0, 0, XEN_EVTCHN_RESET, 0, 0, 0), 0);
	for (uint32_t port = 20; port < 28; port++)
		EXPECT_EQ(xen_send(port), -XEN_ENOSYS, "port %u", port);
	EXPECT_EQ(set_channel(0, 0, XEN_EVTCHN_RESET, 0, 0, 0), 0, "none to take away");
}

TEST("a port of a vCPU that is not there is left to the VMM")
{
	xen_events_begin();
	ASSERT_EQ(set_channel(20, IPI, 0, 20, 100, LEVEL2), 0);
	EXPECT_EQ(xen_send(20), -XEN_ENOSYS);
	EXPECT_FALSE(xen_port_pending(20));
}

/* The two ways of the VMM's own. */
static const struct way {
	const char *name;
	int (*send)(uint32_t port, uint32_t vcpu, uint32_t priority);
} ways[] = {
	{ "KVM_XEN_HVM_EVTCHN_SEND", xen_vmm_send },
	{ "an eventfd and KVM_IRQ_ROUTING_XEN_EVTCHN", xen_vmm_raise },
};

#define FOR_EACH_WAY(way) for (const struct way *way = ways; way < ways + COUNT_OF(ways); way++)

TEST("the VMM's events need no port to be named, at any number")
{
	const uint32_t ports[] = { 1, 31, 32, 63, 64, 1023, XEN_PORTS - 1 };

	FOR_EACH_WAY(way)
	{
		for (size_t i = 0; i < COUNT_OF(ports); i++) {
			xen_events_begin();
			xen_port_unmask(ports[i]);
			EXPECT_EQ(way->send(ports[i], 0, LEVEL2), 0, "%s, port %u", way->name,
				  ports[i]);
			EXPECT_TRUE(WAIT_FOR(xen_port_pending(ports[i]), WAIT_MS), "%s, port %u",
				    way->name, ports[i]);
			expect_pending_alone(ports[i], way->name);
			EXPECT_EQ(xen_vcpu_info()->pending_sel, 1ul << ports[i] / XEN_WORD_BITS);
			EXPECT_EQ(xen_vcpu_info()->upcall_pending, 1);
		}
	}
}

static volatile unsigned int taken;

static void take(struct x86_frame *frame)
{
	(void)frame;
	taken++;
	xen_upcall_take();
	apic_eoi();
}

TEST("they interrupt, are masked, and are pending once like the guest's own")
{
	xen_events_begin();
	irq_handler(VECTOR, take);
	ASSERT_EQ(xen_upcall_vector(VECTOR), 0);
	irq_window();
	FOR_EACH_WAY(way)
	{
		taken = 0;
		xen_port_mask(20);
		EXPECT_EQ(way->send(20, 0, LEVEL2), 0, "%s", way->name);
		EXPECT_TRUE(WAIT_FOR(xen_port_take(20), WAIT_MS), "%s", way->name);
		irq_window();
		EXPECT_EQ(taken, 0, "%s, masked", way->name);
		xen_port_unmask(20);
		for (unsigned int i = 0; i < 2; i++) {
			EXPECT_EQ(way->send(20, 0, LEVEL2), 0, "%s", way->name);
			EXPECT_TRUE(WAIT_FOR((irq_window(), taken == 1), WAIT_MS), "%s", way->name);
		}
		delay_us(2000);
		irq_window();
		EXPECT_EQ(taken, 1, "%s, pending already", way->name);
		xen_port_take(20);
	}
	EXPECT_EQ(xen_upcall_vector(0), 0);
}

TEST("of another ABI, to a port that cannot be, or to no vCPU they are refused")
{
	xen_events_begin();
	FOR_EACH_WAY(way)
	EXPECT_EQ(way->send(20, 0, 0), VMRUN_EINVAL, "%s", way->name);
	EXPECT_EQ(xen_vmm_send(XEN_PORTS, 0, LEVEL2), VMRUN_EINVAL);
	EXPECT_EQ(xen_vmm_send(20, 100, LEVEL2), VMRUN_EINVAL);
	/* A route may lead anywhere: what comes is lost. */
	EXPECT_EQ(xen_vmm_raise(XEN_PORTS, 0, LEVEL2), 0);
	EXPECT_EQ(xen_vmm_raise(20, 100, LEVEL2), 0);
	EXPECT_FALSE(xen_port_pending(20));
}

TEST("configurations that KVM does not take are refused, and change nothing")
{
	static const uint32_t refused[] = { KVM_XEN_FLAG_SHARED_INFO,
					    KVM_XEN_FLAG_RUNSTATE,
					    KVM_XEN_FLAG_EVTCHN_2LEVEL,
					    KVM_XEN_FLAG_RUNSTATE_UPDATE_FLAG,
					    KVM_XEN_FLAG_SHARED_INFO_HVA,
					    1u << 0,
					    1u << 9,
					    1u << 31 };

	xen_events_begin();
	ASSERT_EQ(set_channel(20, IPI, 0, 20, 0, LEVEL2), 0);
	for (size_t i = 0; i < COUNT_OF(refused); i++)
		EXPECT_EQ(xen_configure(KVM_XEN_FLAG_INTERCEPT | refused[i]), VMRUN_EINVAL,
			  "flag 0x%x", refused[i]);
	EXPECT_EQ(xen_send(20), 0);
}

TEST("a page of the VMM's own beside KVM's is refused, and changes nothing")
{
	xen_events_begin();
	for (unsigned int bit = 0; bit < 8; bit++)
		EXPECT_EQ(xen_configure_page(KVM_XEN_FLAG_INTERCEPT, 0, 1u << bit), VMRUN_EINVAL,
			  "%u pages", 1u << bit);
	EXPECT_EQ(xen_configure_page(KVM_XEN_FLAG_INTERCEPT, MSR_FIRST, 1), VMRUN_EINVAL);
	ASSERT_EQ(set_channel(20, IPI, 0, 20, 0, LEVEL2), 0);
	EXPECT_EQ(xen_send(20), 0);
}

TEST("the page's MSR is one of 0x40000000 to 0x4fffffff, and another is refused")
{
	static const uint32_t refused[] = { 1, MSR_FIRST - 1, MSR_LAST + 1, 0xc0000080, ~0u };
	static const uint32_t taken[] = { MSR_FIRST, MSR_LAST };
	static uint8_t expected[PAGE_SIZE];

	xen_events_begin();
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		EXPECT_EQ(xen_configure_page(KVM_XEN_FLAG_INTERCEPT, refused[i], 0), VMRUN_EINVAL,
			  "MSR 0x%x", refused[i]);
		/* Else the guest has lost what it needs. */
		ASSERT_EQ(xen_configure(KVM_XEN_FLAG_INTERCEPT), 0);
	}
	xen_page_expected(expected);
	for (size_t i = 0; i < COUNT_OF(taken); i++) {
		const uint8_t *page = page_alloc();

		ASSERT_EQ(xen_configure_page(KVM_XEN_FLAG_INTERCEPT, taken[i], 0), 0, "MSR 0x%x",
			  taken[i]);
		EXPECT_TRUE(wrmsr_safe(taken[i], (uintptr_t)page), "MSR 0x%x", taken[i]);
		EXPECT_MEM_EQ(page, expected, PAGE_SIZE, "MSR 0x%x", taken[i]);
		if (taken[i] != xen_hypercall_msr())
			EXPECT_FALSE(wrmsr_safe(xen_hypercall_msr(), (uintptr_t)page),
				     "its own beside 0x%x", taken[i]);
		ASSERT_EQ(xen_configure(KVM_XEN_FLAG_INTERCEPT), 0);
	}
}

TEST("attributes that KVM does not know are refused as such")
{
	uint64_t value;

	xen_events_begin();
	EXPECT_EQ(xen_set_vm(0x1000, 0), VMRUN_ENOENT);
	EXPECT_EQ(xen_get_vm(0x1000, &value), VMRUN_ENOENT);
	EXPECT_EQ(xen_get_vm(XEN_VM_EVTCHN, &value), VMRUN_ENOENT, "it cannot be read");
	EXPECT_EQ(xen_set_vcpu(0x1000, 0), VMRUN_ENOENT);
	EXPECT_EQ(xen_get_vcpu(0x1000, &value), VMRUN_ENOENT);
	EXPECT_EQ(xen_get_vcpu(XEN_VCPU_RUNSTATE_ADJUST, &value), VMRUN_EINVAL, "nor can this");
}
