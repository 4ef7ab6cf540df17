// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sources: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; Xen, public/arch-x86/cpuid.h;
 * Linux, Documentation/virt/kvm/x86/cpuid.rst.
 */
#include "cpuid.h"

#include <string.h>
#include <vmrun/abi.h>

#define HYPERVISOR_BASE	       0x40000000u
#define HYPERVISOR_END	       0x50000000u
#define BLOCK		       0x100u

#define LEAF1_ECX_X2APIC       (1u << 21)
#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF1_ECX_HYPERVISOR   (1u << 31)
#define LEAF1_EDX_HTT	       (1u << 28)

#define VENDOR_INTEL_EBX       0x756e6547u /* "Genu" */

#define TOPOLOGY_SMT	       1u
#define TOPOLOGY_CORE	       2u

#define XEN_VCPU_ID_PRESENT    (1u << 3)
/* After the signature leaf: version, hypercall page, time, HVM features with the vCPU's id. */
#define XEN_LEAVES 4u

/* "Timing information", which VMware began and QEMU gives with KVM's leaves. */
#define KVM_LEAF_TIMING 0x10u
#define APIC_BUS_KHZ	1000000u /* KVM's local APIC counts nanoseconds */

static void remove_range(struct cpuid *cpuid, uint32_t first, uint32_t last)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < cpuid->count; i++) {
		uint32_t function = cpuid->entries[i].function;

		if (function < first || function > last)
			cpuid->entries[kept++] = cpuid->entries[i];
	}
	cpuid->count = kept;
}

static struct kvm_cpuid_entry2 *find(struct cpuid *cpuid, uint32_t function, uint32_t index)
{
	for (unsigned int i = 0; i < cpuid->count; i++)
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return &cpuid->entries[i];
	return NULL;
}

static bool add(struct cpuid *cpuid, struct kvm_cpuid_entry2 entry)
{
	if (cpuid->count >= CPUID_CAPACITY)
		return false;
	cpuid->entries[cpuid->count++] = entry;
	return true;
}

static struct kvm_cpuid_entry2 signature(uint32_t base, uint32_t leaves, const char name[12])
{
	struct kvm_cpuid_entry2 entry = { .function = base, .eax = base + leaves };

	memcpy(&entry.ebx, name, 4);
	memcpy(&entry.ecx, name + 4, 4);
	memcpy(&entry.edx, name + 8, 4);
	return entry;
}

static void hide(struct kvm_cpuid_entry2 *entry, const struct hidden_bits *hidden)
{
	uint32_t *const registers[] = { &entry->eax, &entry->ebx, &entry->ecx, &entry->edx };

	for (; hidden && hidden->bits; hidden++)
		if (entry->function == hidden->leaf)
			*registers[hidden->reg] &= ~hidden->bits;
}

static bool add_hyperv(struct cpuid *cpuid, const struct cpuid_wish *wish)
{
	for (unsigned int i = 0; i < wish->hyperv->count; i++) {
		struct kvm_cpuid_entry2 entry = wish->hyperv->entries[i];

		hide(&entry, wish->hide_hyperv);
		if (!add(cpuid, entry))
			return false;
	}
	return true;
}

static bool add_xen(struct cpuid *cpuid, uint32_t base, const struct cpuid_wish *wish)
{
	const struct kvm_cpuid_entry2 leaves[] = {
		signature(base, XEN_LEAVES, "XenVMMXenVMM"),
		{ .function = base + 1, .eax = XEN_VMRUN_VERSION },
		{ .function = base + 2, .eax = 1, .ebx = wish->xen_msr },
		/* KVM fills in the multiplier and shift (1) and the host's frequency (2) itself. */
		{ .function = base + 3,
		  .index = 0,
		  .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		  .ecx = wish->tsc_khz },
		{ .function = base + 3, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX },
		{ .function = base + 3, .index = 2, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX },
		{ .function = base + 4,
		  .index = 0,
		  .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		  .eax = XEN_VCPU_ID_PRESENT },
	};

	for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
		if (!add(cpuid, leaves[i]))
			return false;
	return true;
}

/* KVM finds its own leaves by their signature, wherever they are. */
static bool add_kvm(struct cpuid *cpuid, uint32_t base, uint32_t features, uint32_t hints,
		    uint32_t tsc_khz)
{
	return add(cpuid, signature(base, KVM_LEAF_TIMING, "KVMKVMKVM\0\0")) &&
	       add(cpuid, (struct kvm_cpuid_entry2){ .function = base + 1,
						     .eax = features,
						     .edx = hints }) &&
	       add(cpuid, (struct kvm_cpuid_entry2){ .function = base + KVM_LEAF_TIMING,
						     .eax = tsc_khz,
						     .ebx = APIC_BUS_KHZ });
}

static bool add_hypervisors(struct cpuid *cpuid, const struct cpuid_wish *wish)
{
	struct kvm_cpuid_entry2 *kvm = find(cpuid, HYPERVISOR_BASE + 1, 0);
	uint32_t features = kvm ? kvm->eax : 0, hints = kvm ? kvm->edx : 0;
	uint32_t base = HYPERVISOR_BASE;

	features = (features | wish->show_kvm) & ~wish->hide_kvm;
	remove_range(cpuid, HYPERVISOR_BASE, HYPERVISOR_END - 1);
	if (wish->hyperv) {
		if (!add_hyperv(cpuid, wish))
			return false;
		base += BLOCK;
	}
	if (wish->xen) {
		if (!add_xen(cpuid, base, wish))
			return false;
		base += BLOCK;
	}
	return add_kvm(cpuid, base, features, hints, wish->tsc_khz);
}

/* The number of APIC id bits that the cores take. */
static unsigned int id_bits(unsigned int cpus)
{
	unsigned int bits = 0;

	while ((1u << bits) < cpus)
		bits++;
	return bits;
}

/* Leaf 0xb, and 0x1f, which has the same form: one thread a core, all cores in the one package. */
static bool add_topology(struct cpuid *cpuid, uint32_t function, unsigned int cpus)
{
	remove_range(cpuid, function, function);
	return add(cpuid, (struct kvm_cpuid_entry2){ .function = function,
						     .index = 0,
						     .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
						     .eax = 0,
						     .ebx = 1,
						     .ecx = TOPOLOGY_SMT << 8 }) &&
	       add(cpuid, (struct kvm_cpuid_entry2){ .function = function,
						     .index = 1,
						     .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
						     .eax = id_bits(cpus),
						     .ebx = cpus,
						     .ecx = TOPOLOGY_CORE << 8 | 1 }) &&
	       add(cpuid, (struct kvm_cpuid_entry2){ .function = function,
						     .index = 2,
						     .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
						     .ecx = 2 });
}

/* KVM passes on how many cores share the host's caches and package; the guest's are its own. */
static bool set_topology(struct cpuid *cpuid, unsigned int cpus)
{
	struct kvm_cpuid_entry2 *vendor = find(cpuid, 0, 0);
	bool extended = find(cpuid, 0x1f, 0);
	bool intel = vendor && vendor->ebx == VENDOR_INTEL_EBX;

	for (unsigned int i = 0; i < cpuid->count; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		switch (entry->function) {
		case 1:
			entry->ebx = (entry->ebx & 0x0000ffff) | cpus << 16;
			entry->edx &= ~LEAF1_EDX_HTT;
			if (cpus > 1)
				entry->edx |= LEAF1_EDX_HTT;
			break;
		case 4: /* caches (Intel): shared by one thread, cores in the package */
			if (entry->eax & 0x1f)
				entry->eax = (entry->eax & 0x3fff) | ((1u << id_bits(cpus)) - 1)
									     << 26;
			break;
		case 0x80000008: /* size of the id, number of cores less one (AMD) */
			if (!intel)
				entry->ecx = id_bits(cpus) << 12 | (cpus - 1);
			break;
		case 0x8000001d: /* caches (AMD): shared by one thread */
			entry->eax &= 0x3fff;
			break;
		case 0x8000001e: /* one thread a core, one node */
			entry->ebx = 0;
			entry->ecx = 0;
			break;
		default:
			break;
		}
	}
	return add_topology(cpuid, 0xb, cpus) && (!extended || add_topology(cpuid, 0x1f, cpus));
}

bool cpuid_build(struct cpuid *cpuid, const struct cpuid_wish *wish)
{
	struct kvm_cpuid_entry2 *first = find(cpuid, 1, 0);

	if (first) {
		/* KVM leaves these for the VMM to set, and implements them all. */
		first->ecx |= LEAF1_ECX_X2APIC | LEAF1_ECX_HYPERVISOR;
		if (wish->tsc_deadline)
			first->ecx |= LEAF1_ECX_TSC_DEADLINE;
	}
	return add_hypervisors(cpuid, wish) && set_topology(cpuid, wish->cpus);
}

static uint32_t find_xen(struct cpuid *cpuid)
{
	const struct kvm_cpuid_entry2 xen = signature(0, 0, "XenVMMXenVMM");

	for (uint32_t base = HYPERVISOR_BASE; base <= HYPERVISOR_BASE + BLOCK; base += BLOCK) {
		struct kvm_cpuid_entry2 *entry = find(cpuid, base, 0);

		if (entry && entry->ebx == xen.ebx)
			return base;
	}
	return 0;
}

void cpuid_set_cpu(struct cpuid *cpuid, unsigned int id)
{
	uint32_t xen = find_xen(cpuid);

	for (unsigned int i = 0; i < cpuid->count; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		switch (entry->function) {
		case 1:
			entry->ebx = (entry->ebx & 0x00ffffff) | id << 24;
			break;
		case 0xb:
		case 0x1f:
			entry->edx = id;
			break;
		case 0x8000001e:
			entry->eax = id;
			entry->ebx = id;
			break;
		default:
			if (xen && entry->function == xen + XEN_LEAVES)
				entry->ebx = id;
			break;
		}
	}
}
