// SPDX-License-Identifier: BSD-2-Clause
/*
 * KVM_EXIT_MEMORY_FAULT: an access for which there is no page of the right kind
 *
 * Where a page is private and its slot has no guest_memfd, or one that is closed, or where there is no
 * slot at all, KVM has nothing to give the guest: KVM_RUN is EFAULT with KVM_EXIT_MEMORY_FAULT
 * (Documentation/virt/kvm/api.rst; arch/x86/kvm/mmu/mmu.c, kvm_mmu_faultin_pfn_gmem and
 * kvm_handle_noslot_fault; include/linux/kvm_host.h, kvm_prepare_memory_fault_exit). It names the page: the
 * address rounded down, 4096 bytes, and KVM_MEMORY_EXIT_FLAG_PRIVATE as the only flag; whether the access
 * was a read, a write or a fetch it does not say. Nothing of the instruction has happened: once the VMM
 * has made the page shared, it is done from its start.
 *
 * vmrun raises #MC for such an access, or makes the page shared, as it is told (lib/vmrun/vmm.h).
 */
#include <kvm/area.h>
#include <kvm/hypercall.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/paging.h>
#include <x86/smp.h>
#include <x86/user.h>

#define FLAG_PRIVATE	  (1u << 3) /* KVM_MEMORY_EXIT_FLAG_PRIVATE */
#define ATTRIBUTE_PRIVATE (1u << 3) /* KVM_MEMORY_ATTRIBUTE_PRIVATE */
#define CODE_RET	  0xc3

#define WORD_OF(p)	  (*(volatile uint64_t *)(p))

/* Regions of three pages, of which the middle one is private. */
static uint8_t *region_with_private_page(uint32_t flags)
{
	uint64_t gpa = area_beyond_ram();
	uint8_t *region = (uint8_t *)(uintptr_t)gpa;

	REQUIRE(vmm_region_add(gpa, 3 * PAGE_SIZE, flags) == 0);
	for (unsigned int i = 0; i < 3 * PAGE_SIZE; i++)
		region[i] = CODE_RET;
	REQUIRE(vmm_set_attributes(gpa + PAGE_SIZE, PAGE_SIZE, ATTRIBUTE_PRIVATE) == 0);
	return region + PAGE_SIZE;
}

static void remove_region(const uint8_t *page)
{
	vmm_fault_way(VMRUN_FAULT_DIE, 0);
	EXPECT_EQ(vmm_set_attributes((uintptr_t)page, PAGE_SIZE, 0), 0);
	EXPECT_EQ(vmm_region_remove((uintptr_t)page - PAGE_SIZE), 0);
}

static void expect_fault(const volatile void *at, unsigned int count, const char *what)
{
	EXPECT_EQ(vmm_record(VMRUN_RECORD_FAULTS), count, "%s", what);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_FAULT_FLAGS), FLAG_PRIVATE, "%s", what);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_FAULT_GPA), (uintptr_t)at & PAGE_MASK, "%s", what);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_FAULT_SIZE), PAGE_SIZE, "%s", what);
}

/* A read, a write, both at once, and a fetch, at this address: each is a fault of its page. */
static void check_accesses(uint8_t *at)
{
	void (*function)(void) = (void (*)(void))(uintptr_t)at;

	vmm_fault_way(VMRUN_FAULT_RAISE, 0);
	EXPECT_FAULT(MC, 0, *(volatile uint8_t *)at);
	expect_fault(at, 1, "read");
	vmm_fault_way(VMRUN_FAULT_RAISE, 0);
	EXPECT_FAULT(MC, 0, *(volatile uint8_t *)at = 1);
	expect_fault(at, 1, "write");
	vmm_fault_way(VMRUN_FAULT_RAISE, 0);
	EXPECT_FAULT(MC, 0, __atomic_fetch_add(at, 1, __ATOMIC_SEQ_CST));
	expect_fault(at, 1, "atomic addition");
	vmm_fault_way(VMRUN_FAULT_RAISE, 0);
	EXPECT_FAULT(MC, 0, function());
	expect_fault(at, 1, "fetch");
}

TEST("a private page of a slot without guest_memfd is a fault, wherever in it the access is")
{
	static const unsigned int offsets[] = { 0, 1, 0x7ff, PAGE_SIZE - 1 };
	uint8_t *page = region_with_private_page(0);

	for (unsigned int i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		check_accesses(page + offsets[i]);
	remove_region(page);
}

TEST("a private page of a guest_memfd that was closed is a fault")
{
	uint8_t *page = region_with_private_page(VMRUN_REGION_GMEM | VMRUN_REGION_CLOSED);

	check_accesses(page + 8);
	remove_region(page);
}

TEST("a private page where there is no slot is a fault, and a shared one is empty")
{
	uint8_t *page = (uint8_t *)(uintptr_t)area_beyond_ram();

	EXPECT_EQ(vmm_set_attributes((uintptr_t)page, PAGE_SIZE, ATTRIBUTE_PRIVATE), 0);
	check_accesses(page + 16);
	vmm_fault_way(VMRUN_FAULT_DIE, 0);
	EXPECT_EQ(vmm_set_attributes((uintptr_t)page, PAGE_SIZE, 0), 0);
	EXPECT_EQ(*(volatile uint32_t *)page, 0xffffffff);
}

TEST("the pages beside it are none, and neither is the page once it is shared")
{
	uint8_t *page = region_with_private_page(0);

	vmm_fault_way(VMRUN_FAULT_RAISE, 0);
	EXPECT_NO_FAULT(WORD_OF(page - 8) = 1);
	EXPECT_NO_FAULT(WORD_OF(page + PAGE_SIZE) = 2);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_FAULTS), 0);
	EXPECT_FAULT(MC, 0, WORD_OF(page));
	EXPECT_EQ(kvm_make_shared((uintptr_t)page, PAGE_SIZE), 0);
	EXPECT_NO_FAULT(EXPECT_EQ(WORD_OF(page), 0xc3c3c3c3c3c3c3c3));
	EXPECT_EQ(kvm_make_private((uintptr_t)page, PAGE_SIZE), 0);
	EXPECT_FAULT(MC, 0, WORD_OF(page));
	remove_region(page);
}

TEST("an access across two pages is a fault of the one that is private")
{
	uint8_t *page = region_with_private_page(0), *end = page + PAGE_SIZE;

	vmm_fault_way(VMRUN_FAULT_RAISE, 0);
	EXPECT_FAULT(MC, 0, *(volatile uint32_t *)(page - 2));
	expect_fault(page, 1, "its first bytes");
	EXPECT_FAULT(MC, 0, *(volatile uint32_t *)(end - 2));
	expect_fault(page, 2, "its last bytes");
	EXPECT_FAULT(MC, 0, *(volatile uint32_t *)(page - 2) = 0);
	expect_fault(page, 3, "its first bytes, written");
	EXPECT_EQ(page[-1], CODE_RET, "nothing was written");
	remove_region(page);
}

TEST("the fault tells where the instruction is, and that nothing of it has happened")
{
	uint8_t *page = region_with_private_page(0);
	struct x86_fault fault;

	vmm_fault_way(VMRUN_FAULT_RAISE, 0);
	fault = FAULT_OF(((void (*)(void))(uintptr_t)(page + 32))());
	EXPECT_FAULT_EQ(fault, MC, 0);
	EXPECT_EQ(fault.ip, (uintptr_t)page + 32);
	fault = FAULT_OF(((void (*)(void))(uintptr_t)(page - 1))());
	EXPECT_FAULT_EQ(fault, NO_FAULT, 0, "a RET in the last byte before");
	remove_region(page);
}

TEST("once the VMM has made the page shared, the access is done, once")
{
	uint8_t *page = region_with_private_page(0);

	vmm_fault_way(VMRUN_FAULT_CONVERT, 0);
	EXPECT_EQ(WORD_OF(page), 0xc3c3c3c3c3c3c3c3);
	expect_fault(page, 1, "read");
	EXPECT_EQ(WORD_OF(page), 0xc3c3c3c3c3c3c3c3);
	expect_fault(page, 1, "read again");
	EXPECT_EQ(kvm_make_private((uintptr_t)page, PAGE_SIZE), 0);
	__atomic_fetch_add((uint32_t *)page, 1, __ATOMIC_SEQ_CST);
	expect_fault(page, 2, "atomic addition");
	EXPECT_EQ(*(volatile uint32_t *)page, 0xc3c3c3c4);
	EXPECT_EQ(kvm_make_private((uintptr_t)page, PAGE_SIZE), 0);
	((void (*)(void))(uintptr_t)(page + 8))();
	expect_fault(page, 3, "fetch");
	remove_region(page);
}

static uintptr_t read_byte(uintptr_t at)
{
	return *(volatile uint8_t *)at;
}

TEST("so it is at CPL 3")
{
	uint8_t *page = region_with_private_page(0);
	struct user_result result;

	vmm_fault_way(VMRUN_FAULT_CONVERT, 0);
	result = user_call(read_byte, (uintptr_t)page + 5);
	EXPECT_TRUE(result.returned);
	EXPECT_EQ(result.value, CODE_RET);
	expect_fault(page, 1, "at CPL 3");
	remove_region(page);
}

TEST("a page table that is private and has no page is a fault of the page table")
{
	uint8_t *page = region_with_private_page(0);
	uint64_t *table, above, *entry;

	map_page(VA_FREE, (uintptr_t)page - PAGE_SIZE, LEVEL_4K, PTE_RAM);
	table = (uint64_t *)((uintptr_t)pte_at(VA_FREE, 1) & PAGE_MASK);
	entry = pte_at(VA_FREE, 2);
	above = *entry;
	pte_write(VA_FREE, 2, (above & ~PTE_ADDRESS) | (uintptr_t)page);
	vmm_fault_way(VMRUN_FAULT_RAISE, 0);
	EXPECT_FAULT(MC, 0, WORD_OF(VA_FREE));
	expect_fault(page, 1, "the CPU's read of the entry");
	vmm_fault_way(VMRUN_FAULT_DIE, 0);
	pte_write(VA_FREE, 2, above);
	EXPECT_EQ(WORD_OF(VA_FREE), 0xc3c3c3c3c3c3c3c3);
	table[0] = 0;
	invlpg(VA_FREE);
	remove_region(page);
}

static void check_on_other_cpu(void *argument)
{
	uint8_t *page = argument;

	vmm_fault_way(VMRUN_FAULT_RAISE, 0);
	EXPECT_FAULT(MC, 0, WORD_OF(page));
	expect_fault(page, 1, "on CPU 1");
	vmm_fault_way(VMRUN_FAULT_DIE, 0);
}

TEST("a fault is the affair of the CPU that has it")
{
	uint8_t *page = region_with_private_page(0);

	vmm_fault_way(VMRUN_FAULT_RAISE, 0);
	on_cpu(1, check_on_other_cpu, page);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_FAULTS), 0);
	remove_region(page);
}
