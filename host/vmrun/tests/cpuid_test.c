// SPDX-License-Identifier: BSD-2-Clause
/*
 * The CPUID leaves that vmrun makes of what KVM supports: where which hypervisor's leaves are, and
 * that the topology is the guest's own
 */
#include <string.h>
#include <test/test.h>

#include "../cpuid.h"

static struct cpuid cpuid, hyperv;

/* What a KVM on a 16-core AMD host could say. */
static void start(void)
{
	static const struct kvm_cpuid_entry2 supported[] = {
		{ .function = 0, .eax = 0x10, .ebx = 0x68747541 },
		{ .function = 1, .ebx = 0x07100800, .ecx = 1, .edx = 1u << 28 },
		{ .function = 7, .index = 0, .flags = 1, .ecx = 1u << 7, .edx = 1u << 20 },
		{ .function = 0xb, .index = 0, .flags = 1, .eax = 1, .ebx = 2, .ecx = 0x100 },
		{ .function = 0xb, .index = 1, .flags = 1, .eax = 5, .ebx = 32, .ecx = 0x201 },
		{ .function = 0xd, .index = 0, .flags = 1, .eax = 7, .ebx = 576, .ecx = 832 },
		{ .function = 0xd, .index = 1, .flags = 1, .eax = 0xf, .ebx = 616, .ecx = 0x1800 },
		{ .function = 0xd, .index = 11, .flags = 1, .eax = 16, .ecx = 1 },
		{ .function = 0xd, .index = 12, .flags = 1, .eax = 24, .ecx = 1 },
		{ .function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b },
		{ .function = 0x40000001, .eax = 0x1234, .edx = 1 },
		{ .function = 0x80000008, .eax = 0x3028, .ecx = 0x501f },
		{ .function = 0x8000001e, .eax = 7, .ebx = 0x103, .ecx = 0x1 },
	};
	static const struct kvm_cpuid_entry2 enlightened[] = {
		{ .function = 0x40000000, .eax = 0x40000082, .ebx = 0x756e694c },
		{ .function = 0x40000001, .eax = 0x31237648 },
		{ .function = 0x40000082, .eax = 1 },
	};

	memset(&cpuid, 0, sizeof(cpuid));
	memset(&hyperv, 0, sizeof(hyperv));
	memcpy(cpuid.entries, supported, sizeof(supported));
	cpuid.count = sizeof(supported) / sizeof(supported[0]);
	memcpy(hyperv.entries, enlightened, sizeof(enlightened));
	hyperv.count = sizeof(enlightened) / sizeof(enlightened[0]);
}

static struct kvm_cpuid_entry2 leaf(uint32_t function, uint32_t index)
{
	for (unsigned int i = 0; i < cpuid.count; i++)
		if (cpuid.entries[i].function == function && cpuid.entries[i].index == index)
			return cpuid.entries[i];
	return (struct kvm_cpuid_entry2){ .function = 0xdead };
}

static void expect_signature(uint32_t base, const char *name)
{
	struct kvm_cpuid_entry2 entry = leaf(base, 0);
	char text[13] = "";

	memcpy(text, &entry.ebx, 4);
	memcpy(text + 4, &entry.ecx, 4);
	memcpy(text + 8, &entry.edx, 4);
	EXPECT_STR_EQ(text, name, "at %#x", base);
}

TEST("shadow stacks, branch tracking and their XSAVE state are shown as KVM has them")
{
	struct cpuid_wish wish = { .cpus = 2 };

	start();
	ASSERT_TRUE(cpuid_build(&cpuid, &wish));
	cpuid_set_cpu(&cpuid, 1);
	EXPECT_EQ(leaf(7, 0).ecx, 1u << 7);
	EXPECT_EQ(leaf(7, 0).edx, 1u << 20);
	EXPECT_EQ(leaf(0xd, 1).ecx, 0x1800);
	EXPECT_EQ(leaf(0xd, 11).eax, 16);
	EXPECT_EQ(leaf(0xd, 12).eax, 24);
}

TEST("KVM's leaves are alone at 0x40000000, and tell the TSC's frequency")
{
	struct cpuid_wish wish = { .cpus = 1, .tsc_khz = 2000000 };

	start();
	ASSERT_TRUE(cpuid_build(&cpuid, &wish));
	expect_signature(0x40000000, "KVMKVMKVM");
	EXPECT_EQ(leaf(0x40000000, 0).eax, 0x40000010);
	EXPECT_EQ(leaf(0x40000001, 0).eax, 0x1234);
	EXPECT_EQ(leaf(0x40000001, 0).edx, 1);
	EXPECT_EQ(leaf(0x40000010, 0).eax, 2000000);
	EXPECT_EQ(leaf(0x40000100, 0).function, 0xdead);
}

TEST("features of KVM that are to be hidden are not shown, and others are")
{
	struct cpuid_wish wish = { .cpus = 1, .hide_kvm = 0xff };

	start();
	ASSERT_TRUE(cpuid_build(&cpuid, &wish));
	EXPECT_EQ(leaf(0x40000001, 0).eax, 0x1200);
	EXPECT_EQ(leaf(0x40000001, 0).edx, 1);
}

TEST("features of KVM that are to be shown are, if they are not to be hidden")
{
	struct cpuid_wish wish = { .cpus = 1, .show_kvm = 0x18000, .hide_kvm = 0x8000 };

	start();
	ASSERT_TRUE(cpuid_build(&cpuid, &wish));
	EXPECT_EQ(leaf(0x40000001, 0).eax, 0x11234);
}

TEST("bits of Hyper-V's leaves that are to be hidden are not shown, and others are")
{
	static const struct hidden_bits hidden[] = { { 0x40000001, 0, 0xff },
						     { 0x40000082, 0, 1 },
						     { 0 } };
	struct cpuid_wish wish = { .cpus = 1, .hyperv = &hyperv, .hide_hyperv = hidden };

	start();
	ASSERT_TRUE(cpuid_build(&cpuid, &wish));
	EXPECT_EQ(leaf(0x40000001, 0).eax, 0x31237600);
	EXPECT_EQ(leaf(0x40000082, 0).eax, 0);
	EXPECT_EQ(leaf(0x40000000, 0).ebx, 0x756e694c);
}

TEST("Xen comes before KVM")
{
	struct cpuid_wish wish = { .cpus = 1, .xen = true, .xen_msr = 0x40000000 };

	start();
	ASSERT_TRUE(cpuid_build(&cpuid, &wish));
	expect_signature(0x40000000, "XenVMMXenVMM");
	EXPECT_EQ(leaf(0x40000000, 0).eax, 0x40000004);
	EXPECT_EQ(leaf(0x40000001, 0).eax, 0x00040011);
	EXPECT_EQ(leaf(0x40000002, 0).eax, 1);
	EXPECT_EQ(leaf(0x40000002, 0).ebx, 0x40000000);
	expect_signature(0x40000100, "KVMKVMKVM");
	EXPECT_EQ(leaf(0x40000101, 0).eax, 0x1234);
}

TEST("Hyper-V comes before Xen, and Xen before KVM")
{
	struct cpuid_wish wish = {
		.cpus = 1, .xen = true, .xen_msr = 0x40000200, .hyperv = &hyperv
	};

	start();
	ASSERT_TRUE(cpuid_build(&cpuid, &wish));
	EXPECT_EQ(leaf(0x40000000, 0).ebx, 0x756e694c);
	EXPECT_EQ(leaf(0x40000001, 0).eax, 0x31237648);
	EXPECT_EQ(leaf(0x40000082, 0).eax, 1);
	expect_signature(0x40000100, "XenVMMXenVMM");
	EXPECT_EQ(leaf(0x40000102, 0).ebx, 0x40000200);
	expect_signature(0x40000200, "KVMKVMKVM");
	EXPECT_EQ(leaf(0x40000200, 0).eax, 0x40000210);
}

TEST("the first leaf shows a hypervisor, x2APIC, and the TSC deadline timer if there is one")
{
	struct cpuid_wish wish = { .cpus = 1 };

	start();
	ASSERT_TRUE(cpuid_build(&cpuid, &wish));
	EXPECT_EQ(leaf(1, 0).ecx, 1u << 31 | 1u << 21 | 1);
	start();
	wish.tsc_deadline = true;
	ASSERT_TRUE(cpuid_build(&cpuid, &wish));
	EXPECT_EQ(leaf(1, 0).ecx, 1u << 31 | 1u << 24 | 1u << 21 | 1);
}

TEST("a guest of one CPU is told nothing of the host's cores")
{
	struct cpuid_wish wish = { .cpus = 1 };

	start();
	ASSERT_TRUE(cpuid_build(&cpuid, &wish));
	cpuid_set_cpu(&cpuid, 0);
	EXPECT_EQ(leaf(1, 0).ebx, 0x00010800);
	EXPECT_EQ(leaf(1, 0).edx & 1u << 28, 0);
	EXPECT_EQ(leaf(0xb, 0).ebx, 1);
	EXPECT_EQ(leaf(0xb, 1).eax, 0);
	EXPECT_EQ(leaf(0xb, 1).ebx, 1);
	EXPECT_EQ(leaf(0x80000008, 0).ecx, 0);
	EXPECT_EQ(leaf(0x8000001e, 0).ecx, 0);
}

TEST("each CPU shows its own id in all leaves that have one")
{
	struct cpuid_wish wish = { .cpus = 5, .xen = true, .xen_msr = 0x40000000 };

	start();
	ASSERT_TRUE(cpuid_build(&cpuid, &wish));
	for (unsigned int id = 0; id < 5; id++) {
		cpuid_set_cpu(&cpuid, id);
		EXPECT_EQ(leaf(1, 0).ebx >> 24, id);
		EXPECT_EQ(leaf(1, 0).ebx >> 16 & 0xff, 5);
		EXPECT_EQ(leaf(0xb, 0).edx, id);
		EXPECT_EQ(leaf(0xb, 1).edx, id);
		EXPECT_EQ(leaf(0xb, 1).eax, 3, "bits of the id");
		EXPECT_EQ(leaf(0x8000001e, 0).eax, id);
		EXPECT_EQ(leaf(0x40000004, 0).ebx, id);
	}
	EXPECT_EQ(leaf(0x80000008, 0).ecx, 0x3004);
	EXPECT_NE(leaf(1, 0).edx & 1u << 28, 0);
}

TEST("more leaves than there is room for are refused, not written beyond the end")
{
	struct cpuid_wish wish = { .cpus = 1, .xen = true, .hyperv = &hyperv };

	for (unsigned int room = 0; room < 6; room++) {
		start();
		while (cpuid.count < CPUID_CAPACITY - room)
			cpuid.entries[cpuid.count++].function = 0xd;
		EXPECT_FALSE(cpuid_build(&cpuid, &wish), "%u free", room);
		EXPECT_LE(cpuid.count, CPUID_CAPACITY);
	}
}
