// SPDX-License-Identifier: BSD-2-Clause
/*
 * Memory attributes: KVM_SET_MEMORY_ATTRIBUTES, and which pages then are private
 *
 * The one attribute that there is, KVM_MEMORY_ATTRIBUTE_PRIVATE, belongs to VMs with private memory, of the
 * type KVM_X86_SW_PROTECTED_VM here (virt/kvm/kvm_main.c, kvm_supported_mem_attributes). KVM refuses
 * flags, other attributes, addresses and sizes that are not of whole pages, a size of 0, and a range that
 * wraps (kvm_vm_ioctl_set_mem_attributes; Documentation/virt/kvm/api.rst, KVM_SET_MEMORY_ATTRIBUTES).
 * Attributes are of guest-physical pages, and not of slots: they may be set where no slot is, across the edges
 * of some, and stay when slots come and go (kvm_vm_set_mem_attributes, kvm_mmu_init_memslot_memory_attributes).
 *
 * Which pages are private a guest tells: its slot has no guest_memfd, so that an access to a private
 * page is a memory fault, and one to a shared page is not.
 */
#include "common/machine.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define PRIVATE KVM_MEMORY_ATTRIBUTE_PRIVATE
#define GPA	(16ull << 20)
#define LAST	0xfffffffffffff000ull /* the last page */
#define PAGES	8
#define SET(machine, first, count, attributes) \
	machine_attributes((machine)->vm, GPA + (first)*PAGE, (count)*PAGE, attributes)

static struct machine machine(void)
{
	struct machine machine = machine_new(KVM_X86_SW_PROTECTED_VM);

	machine_memory(&machine, GPA, PAGES, -1);
	return machine;
}

/* The pages of a set (bit n: page n) are private, and the others of the slot are not. */
static void expect_private(const struct machine *machine, unsigned int set)
{
	for (unsigned int page = 0; page < PAGES; page++)
		if (set & 1u << page)
			machine_expect_fault(machine, GPA + page * PAGE + 8);
		else
			machine_expect_byte(machine, GPA + page * PAGE + 16, MACHINE_BYTE);
}

static int capability(int file)
{
	return ioctl(file, KVM_CHECK_EXTENSION, KVM_CAP_MEMORY_ATTRIBUTES);
}

TEST("a software-protected VM has the attribute private, and only that")
{
	EXPECT_EQ(capability(gmem_vm(KVM_X86_SW_PROTECTED_VM)), PRIVATE);
}

TEST("a VM of the default type has no attributes, and takes none")
{
	int protected = gmem_vm(KVM_X86_SW_PROTECTED_VM), vm = gmem_vm(KVM_X86_DEFAULT_VM);

	EXPECT_EQ(capability(protected), PRIVATE);
	EXPECT_EQ(capability(vm), 0);
	EXPECT_EQ(machine_attributes(vm, GPA, PAGE, PRIVATE), -EINVAL);
	EXPECT_EQ(machine_attributes(vm, GPA, PAGE, 0), 0, "none");
}

TEST("addresses and sizes that are not of whole pages are refused, and so are empty ranges")
{
	static const struct {
		uint64_t address, size;
	} cases[] = {
		{ GPA + 1, PAGE }, { GPA + PAGE / 2, PAGE }, { GPA + PAGE - 1, PAGE },	{ GPA, 1 },
		{ GPA, PAGE - 1 }, { GPA, PAGE + 1 },	     { GPA + 8, 2 * PAGE - 8 }, { GPA, 0 },
		{ 0, 0 },
	};
	struct machine m = machine();

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		EXPECT_EQ(machine_attributes(m.vm, cases[i].address, cases[i].size, PRIVATE),
			  -EINVAL, "case %zu", i);
	expect_private(&m, 0);
}

TEST("a range that wraps is refused, one that ends with the last page but one is not")
{
	static const struct {
		uint64_t address, size;
		int result;
	} cases[] = {
		{ LAST, 2 * PAGE, -EINVAL },
		{ GPA, 0 - GPA, -EINVAL },
		{ LAST, PAGE, -EINVAL },
		{ PAGE, LAST, -EINVAL },
		{ LAST - PAGE, 4 * PAGE, -EINVAL },
		{ LAST - PAGE, PAGE, 0 },
	};
	struct machine m = machine();

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		EXPECT_EQ(machine_attributes(m.vm, cases[i].address, cases[i].size, PRIVATE),
			  cases[i].result, "case %zu", i);
	expect_private(&m, 0);
}

TEST("attributes that there are not are refused, alone and beside private")
{
	struct machine m = machine();

	for (unsigned int bit = 0; bit < 64; bit++) {
		uint64_t attribute = 1ull << bit;

		if (attribute == PRIVATE)
			continue;
		EXPECT_EQ(SET(&m, 0, 1, attribute), -EINVAL, "bit %u", bit);
		EXPECT_EQ(SET(&m, 0, 1, attribute | PRIVATE), -EINVAL, "bit %u", bit);
	}
	expect_private(&m, 0);
}

TEST("flags are refused, as there are none")
{
	struct machine m = machine();

	for (unsigned int bit = 0; bit < 64; bit++) {
		struct kvm_memory_attributes set = {
			.address = GPA, .size = PAGE, .attributes = PRIVATE, .flags = 1ull << bit
		};

		EXPECT_EQ(ioctl(m.vm, KVM_SET_MEMORY_ATTRIBUTES, &set), -1, "bit %u", bit);
		EXPECT_EQ(errno, EINVAL, "bit %u", bit);
	}
	expect_private(&m, 0);
}

TEST("the pages of the range become private, and no others")
{
	static const struct {
		unsigned int first, count, set;
	} cases[] = {
		{ 0, 1, 0x01 }, { 7, 1, 0x80 }, { 2, 3, 0x1c }, { 0, 8, 0xff }, { 1, 6, 0x7e }
	};
	struct machine m = machine();

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		EXPECT_EQ(SET(&m, cases[i].first, cases[i].count, PRIVATE), 0);
		expect_private(&m, cases[i].set);
		EXPECT_EQ(SET(&m, cases[i].first, cases[i].count, 0), 0);
		expect_private(&m, 0);
	}
}

TEST("ranges add up and are taken apart, page by page")
{
	struct machine m = machine();

	EXPECT_EQ(SET(&m, 0, 4, PRIVATE), 0);
	EXPECT_EQ(SET(&m, 2, 4, PRIVATE), 0);
	expect_private(&m, 0x3f);
	EXPECT_EQ(SET(&m, 0, 6, PRIVATE), 0, "once more");
	expect_private(&m, 0x3f);
	EXPECT_EQ(SET(&m, 1, 2, 0), 0);
	expect_private(&m, 0x39);
	EXPECT_EQ(SET(&m, 0, 8, 0), 0);
	expect_private(&m, 0);
}

TEST("a range may reach over the edges of slots, and over what no slot has")
{
	struct machine m = machine();

	EXPECT_EQ(machine_attributes(m.vm, GPA - 4 * PAGE, 6 * PAGE, PRIVATE), 0);
	expect_private(&m, 0x03);
	machine_expect_fault(&m, GPA - PAGE);
	EXPECT_EQ(SET(&m, 6, 4, PRIVATE), 0);
	expect_private(&m, 0xc3);
	machine_expect_fault(&m, GPA + PAGES * PAGE);
	EXPECT_EQ(machine_attributes(m.vm, GPA - 4 * PAGE, 16 * PAGE, 0), 0);
	expect_private(&m, 0);
}

TEST("what was set before there was a slot holds for it")
{
	struct machine m = machine_new(KVM_X86_SW_PROTECTED_VM);

	EXPECT_EQ(SET(&m, 1, 2, PRIVATE), 0);
	machine_memory(&m, GPA, PAGES, -1);
	expect_private(&m, 0x06);
}

TEST("attributes stay when the slot is deleted, and hold for the next one")
{
	struct machine m = machine();

	EXPECT_EQ(SET(&m, 3, 2, PRIVATE), 0);
	expect_private(&m, 0x18);
	EXPECT_EQ(gmem_unbind(m.vm, 1), 0);
	machine_expect_fault(&m, GPA + 3 * PAGE);
	machine_memory(&m, GPA, PAGES, -1);
	expect_private(&m, 0x18);
	EXPECT_EQ(SET(&m, 3, 2, 0), 0);
	expect_private(&m, 0);
}

TEST("a slot that is moved leaves attributes where they are")
{
	struct machine m = machine();
	struct kvm_userspace_memory_region region = {
		.slot = 1,
		.guest_phys_addr = GPA + 2 * PAGE,
		.memory_size = PAGES * PAGE,
		.userspace_addr = (uintptr_t)m.shared,
	};

	EXPECT_EQ(SET(&m, 3, 1, PRIVATE), 0);
	expect_private(&m, 0x08);
	EXPECT_EQ(ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &region), 0);
	machine_expect_fault(&m, GPA + 3 * PAGE);
	machine_expect_byte(&m, GPA + 2 * PAGE, MACHINE_BYTE);
	machine_expect_byte(&m, GPA + 5 * PAGE, MACHINE_BYTE);
}

TEST("attributes are of one VM")
{
	struct machine m = machine(), other = machine();

	EXPECT_EQ(SET(&m, 0, PAGES, PRIVATE), 0);
	expect_private(&m, 0xff);
	expect_private(&other, 0);
}

TEST("a page of 2 MiB becomes private alone")
{
	struct machine m = machine_new(KVM_X86_SW_PROTECTED_VM);

	machine_memory(&m, GPA, 1024, -1);
	machine_expect_byte(&m, GPA, MACHINE_BYTE);
	EXPECT_EQ(SET(&m, 300, 1, PRIVATE), 0);
	machine_expect_byte(&m, GPA + 299 * PAGE, MACHINE_BYTE);
	machine_expect_fault(&m, GPA + 300 * PAGE);
	machine_expect_byte(&m, GPA + 301 * PAGE, MACHINE_BYTE);
	EXPECT_EQ(SET(&m, 0, 1024, PRIVATE), 0);
	machine_expect_fault(&m, GPA);
	machine_expect_fault(&m, GPA + 1023 * PAGE);
	EXPECT_EQ(SET(&m, 511, 2, 0), 0);
	machine_expect_fault(&m, GPA + 510 * PAGE);
	machine_expect_byte(&m, GPA + 511 * PAGE, MACHINE_BYTE);
	machine_expect_byte(&m, GPA + 512 * PAGE, MACHINE_BYTE);
	machine_expect_fault(&m, GPA + 513 * PAGE);
}
