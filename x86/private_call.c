// SPDX-License-Identifier: BSD-2-Clause
/*
 * KVM_HC_MAP_GPA_RANGE: what KVM checks itself, and what it hands to the VMM
 *
 * Arguments: the guest-physical address of the first page, how many pages of 4 KiB, and attributes (a
 * page size in bits 0 to 3, private or shared in bit 4, others reserved; Documentation/virt/kvm/x86/
 * hypercalls.rst). KVM refuses by -KVM_EINVAL an address that is not a page's, no pages at all, and
 * pages beyond the last (arch/x86/kvm/x86.c, ____kvm_emulate_hypercall); at CPL 3 everything by
 * -KVM_EPERM. All else is the VMM's business, the attributes altogether: it comes as KVM_EXIT_HYPERCALL,
 * with the arguments as they were, zero-extended from a 32-bit guest, and KVM_EXIT_HYPERCALL_LONG_MODE in
 * the flags from a 64-bit one. What the VMM answers is what the guest gets, and no register but RAX
 * changes.
 *
 * vmrun tells how many calls have come to it, and what the last one looked like.
 */
#include <hypercall/instruction.h>
#include <kvm/area.h>
#include <kvm/hypercall.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>
#include <x86/user.h>

#define LONG_MODE      1 /* KVM_EXIT_HYPERCALL_LONG_MODE */
#define CALL(gpa, ...) kvm_hypercall(KVM_HC_MAP_GPA_RANGE, (uintptr_t)(gpa), __VA_ARGS__)

static uint64_t gpa_of(const volatile void *at)
{
	return (uintptr_t)at;
}

/* A call that KVM refuses itself, and that changes nothing. */
static void check_refused(uintptr_t gpa, uintptr_t pages, const char *what)
{
	uint64_t calls = vmm_record(VMRUN_RECORD_CALLS);

	EXPECT_EQ(CALL(gpa, pages, KVM_MAP_GPA_RANGE_ENCRYPTED), -KVM_EINVAL, "%s", what);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_CALLS), calls, "%s", what);
}

TEST("an address that is not a page's is refused")
{
	static const unsigned int offsets[] = { 1, 8, 0x800, 0xfff };
	uint8_t *page = page_alloc();

	area_fill(page, PAGE_SIZE, 1);
	for (unsigned int i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		check_refused(gpa_of(page) + offsets[i], 1, "an offset");
	EXPECT_EQ(area_changed(page, PAGE_SIZE, 1), 0);
	page_free(page);
}

TEST("no pages at all are refused, at any address")
{
	check_refused(gpa_of(page_alloc()), 0, "RAM");
	check_refused(0, 0, "address 0");
	check_refused(-PAGE_SIZE, 0, "the last page");
}

#ifdef __x86_64__
/* The number of the first page and the count are added up in 64 bits. */
TEST("pages beyond the last that 64 bits can count are refused")
{
	const uintptr_t gfn = 0x1000;

	check_refused(gfn << PAGE_SHIFT, -gfn, "to 2^64 exactly");
	check_refused(gfn << PAGE_SHIFT, -gfn + 1, "to page 0");
	check_refused(gfn << PAGE_SHIFT, -1ul, "to the page before the first");
	check_refused(-PAGE_SIZE, -(-PAGE_SIZE >> PAGE_SHIFT), "from the last page");
}

TEST("pages up to the last that 64 bits can count come to the VMM")
{
	const uintptr_t gfn = 0x1000;
	uint64_t calls = vmm_record(VMRUN_RECORD_CALLS);

	/* Which refuses them, by its own rule. */
	EXPECT_EQ(CALL(gfn << PAGE_SHIFT, -gfn - 1, 0), -KVM_EINVAL);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_CALLS), calls + 1);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_CALL_PAGES), -gfn - 1);
}
#else
TEST("pages beyond 4 GiB come to the VMM: nothing is cut to 32 bits")
{
	uint64_t calls = vmm_record(VMRUN_RECORD_CALLS);

	/* Which refuses them, by its own rule. */
	EXPECT_EQ(CALL(0xfffff000, 2, 0), -KVM_EINVAL);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_CALLS), calls + 1);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_CALL_GPA), 0xfffff000);
	EXPECT_EQ(CALL(PAGE_SIZE, 0xffffffff, 0), -KVM_EINVAL);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_CALLS), calls + 2);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_CALL_PAGES), 0xffffffff);
}
#endif

TEST("the VMM gets the arguments as they are, and what mode they come from")
{
	static const uintptr_t attributes[] = {
		KVM_MAP_GPA_RANGE_DECRYPTED | KVM_MAP_GPA_RANGE_PAGE_SZ_4K,
		KVM_MAP_GPA_RANGE_ENCRYPTED | KVM_MAP_GPA_RANGE_PAGE_SZ_4K,
		KVM_MAP_GPA_RANGE_ENCRYPTED | KVM_MAP_GPA_RANGE_PAGE_SZ_2M,
		KVM_MAP_GPA_RANGE_ENCRYPTED | KVM_MAP_GPA_RANGE_PAGE_SZ_1G,
		KVM_MAP_GPA_RANGE_DECRYPTED | KVM_MAP_GPA_RANGE_PAGE_SZ_2M,
	};
	uint64_t gpa = gpa_of(pages_alloc(2));

	for (unsigned int i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
		EXPECT_EQ(CALL(gpa, 1 + i % 4, attributes[i]), 0, "case %u", i);
		EXPECT_EQ(vmm_record(VMRUN_RECORD_CALL_GPA), gpa, "case %u", i);
		EXPECT_EQ(vmm_record(VMRUN_RECORD_CALL_PAGES), 1 + i % 4, "case %u", i);
		EXPECT_EQ(vmm_record(VMRUN_RECORD_CALL_ATTRIBUTES), attributes[i], "case %u", i);
		EXPECT_EQ(vmm_record(VMRUN_RECORD_CALL_FLAGS), sizeof(long) == 8 ? LONG_MODE : 0,
			  "case %u", i);
	}
	EXPECT_EQ(kvm_make_shared(gpa, 4 * PAGE_SIZE), 0);
}

TEST("reserved attributes come to the VMM, whose refusal the guest gets")
{
	uint8_t *page = page_alloc();

	area_fill(page, PAGE_SIZE, 2);
	for (unsigned int bit = 5; bit < 8 * sizeof(uintptr_t); bit++) {
		uintptr_t attributes = (uintptr_t)1 << bit | KVM_MAP_GPA_RANGE_ENCRYPTED;

		EXPECT_EQ(CALL(gpa_of(page), 1, attributes), -KVM_EINVAL, "bit %u", bit);
		EXPECT_EQ(vmm_record(VMRUN_RECORD_CALL_ATTRIBUTES), attributes, "bit %u", bit);
	}
	EXPECT_EQ(area_changed(page, PAGE_SIZE, 2), 0);
	page_free(page);
}

TEST("an argument in a register that has none changes nothing")
{
	uint64_t gpa = gpa_of(page_alloc());

	EXPECT_EQ(CALL(gpa, 1, KVM_MAP_GPA_RANGE_ENCRYPTED, ~0ul), 0);
	EXPECT_EQ(CALL(gpa, 1, KVM_MAP_GPA_RANGE_DECRYPTED, 1), 0);
}

static void check_registers(uintptr_t gpa, uintptr_t pages, long result)
{
	const uintptr_t arguments[KVM_ARGUMENTS] = { gpa, pages, KVM_MAP_GPA_RANGE_DECRYPTED, 99 };
	struct registers before, after;

	registers_fill(&before, 3);
	kvm_set_call(&before, KVM_HC_MAP_GPA_RANGE, arguments);
	call_with_registers(hypercall_stub(), &before, &after);
	EXPECT_EQ(after.value[REG_AX], (uintptr_t)result);
	expect_registers_kept(&before, &after, REG_BIT(REG_AX), "the call");
}

TEST("no register changes but RAX, whoever answers")
{
	check_registers(gpa_of(page_alloc()), 1, 0);
	check_registers(1, 1, -KVM_EINVAL);
}

static uintptr_t call_at_cpl_3(uintptr_t gpa)
{
	return (uintptr_t)CALL(gpa, 1, KVM_MAP_GPA_RANGE_ENCRYPTED);
}

TEST("at CPL 3 the call is refused, be its arguments right or wrong")
{
	uint64_t calls = vmm_record(VMRUN_RECORD_CALLS);
	uint8_t *page = page_alloc();

	area_fill(page, PAGE_SIZE, 4);
	for (unsigned int offset = 0; offset < 2; offset++) {
		struct user_result result = user_call(call_at_cpl_3, gpa_of(page) + offset);

		EXPECT_TRUE(result.returned, "offset %u", offset);
		EXPECT_EQ(result.value, (uintptr_t)-KVM_EPERM, "offset %u", offset);
	}
	EXPECT_EQ(vmm_record(VMRUN_RECORD_CALLS), calls);
	EXPECT_EQ(area_changed(page, PAGE_SIZE, 4), 0);
	page_free(page);
}

TEST("a range may have holes, and reach over the end of RAM: KVM keeps attributes, not pages")
{
	uint64_t end = area_beyond_ram();

	EXPECT_EQ(kvm_make_private(end, 4 * PAGE_SIZE), 0);
	EXPECT_EQ(kvm_make_shared(end, 4 * PAGE_SIZE), 0);
	EXPECT_EQ(vmm_region_add(end + PAGE_SIZE, PAGE_SIZE, VMRUN_REGION_GMEM), 0);
	area_fill((void *)(uintptr_t)(end + PAGE_SIZE), PAGE_SIZE, 5);
	EXPECT_EQ(kvm_make_private(end, 4 * PAGE_SIZE), 0);
	EXPECT_EQ(area_not_zero((void *)(uintptr_t)(end + PAGE_SIZE), PAGE_SIZE), 0);
	EXPECT_EQ(kvm_make_shared(end, 4 * PAGE_SIZE), 0);
	EXPECT_EQ(area_changed((void *)(uintptr_t)(end + PAGE_SIZE), PAGE_SIZE, 5), 0);
	EXPECT_EQ(vmm_region_remove(end + PAGE_SIZE), 0);
}

TEST("one call converts pages of several slots")
{
	uint64_t start = area_beyond_ram();
	uint8_t *area = (uint8_t *)(uintptr_t)start;

	for (unsigned int i = 0; i < 3; i++)
		EXPECT_EQ(
			vmm_region_add(start + i * 2 * PAGE_SIZE, 2 * PAGE_SIZE, VMRUN_REGION_GMEM),
			0);
	area_fill(area, 6 * PAGE_SIZE, 6);
	EXPECT_EQ(kvm_make_private(start + PAGE_SIZE, 4 * PAGE_SIZE), 0);
	EXPECT_EQ(area_changed(area, PAGE_SIZE, 6), 0, "the first page");
	EXPECT_EQ(area_not_zero(area + PAGE_SIZE, 4 * PAGE_SIZE), 0);
	EXPECT_EQ(area_changed(area + 5 * PAGE_SIZE, PAGE_SIZE, 6), 0, "the last page");
	EXPECT_EQ(kvm_make_shared(start + PAGE_SIZE, 4 * PAGE_SIZE), 0);
	EXPECT_EQ(area_changed(area, 6 * PAGE_SIZE, 6), 0);
	for (unsigned int i = 0; i < 3; i++)
		EXPECT_EQ(vmm_region_remove(start + i * 2 * PAGE_SIZE), 0);
}

TEST("attributes stay when a region goes, and hold for the next one there")
{
	uint64_t start = area_beyond_ram();
	uint8_t *area = (uint8_t *)(uintptr_t)start;
	uint64_t seen;

	EXPECT_EQ(vmm_region_add(start, 2 * PAGE_SIZE, VMRUN_REGION_GMEM), 0);
	EXPECT_EQ(kvm_make_private(start, PAGE_SIZE), 0);
	EXPECT_EQ(vmm_region_remove(start), 0);
	EXPECT_EQ(vmm_region_add(start, 2 * PAGE_SIZE, VMRUN_REGION_GMEM), 0);
	area_fill(area, 2 * PAGE_SIZE, 7);
	EXPECT_EQ(vmm_host_read(start, &seen), 0);
	EXPECT_EQ(seen, 0, "the first page is private");
	EXPECT_EQ(area_changed_for_host(area + PAGE_SIZE, PAGE_SIZE, 7), 0, "the second is not");
	EXPECT_EQ(kvm_make_shared(start, PAGE_SIZE), 0);
	EXPECT_EQ(area_not_zero(area, PAGE_SIZE), 0);
	EXPECT_EQ(vmm_region_remove(start), 0);
}
