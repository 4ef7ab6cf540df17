// SPDX-License-Identifier: BSD-2-Clause
/*
 * Who sees what: the VMM's view of private and shared pages, and accesses that do not fit
 *
 * What the guest has in a shared page is the VMM's to read and write. What it has in a private one
 * is not: the VMM, reading the same address, must never find it, whether the page was always
 * private, has come back, or has been given away. And an access whose C-bit does not fit the state
 * of the page is neither carried out nor lost: the VMM is told the address and the kind of access.
 * It may then change the state of the page, and the access is tried again: a private one finds a
 * page that is not validated (#VC 0x404), a shared one a page without the contents that the private
 * one had.
 *
 * A hypervisor that maps such a page whatever the C-bit says hands private memory to whoever asks.
 *
 * Sources: AMD APM volume 2, 15.36.3, 15.36.10; KVM: arch/x86/kvm/mmu/mmu.c, kvm_mmu_faultin_pfn
 * (fault->is_private against the attributes), kvm_mmu_prepare_memory_fault_exit;
 * Documentation/virt/kvm/api.rst, KVM_EXIT_MEMORY_FAULT: bit 3 of the flags is a private access.
 */
#include <libc/string.h>
#include <sev/ghcb.h>
#include <sev/instructions.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/registers.h>

#define FAULT_PRIVATE	  (1ull << 3)
#define ATTRIBUTE_PRIVATE (1ull << 3)
#define ATTRIBUTE_SHARED  0
#define PRIVATE_WORD	  0x5a69788796a5b4c3ull
#define SHARED_WORD	  0xc3d2e1f00f1e2d3cull
#define WORDS		  (PAGE_SIZE / sizeof(uint64_t))
#define STEP		  37 /* of the words that the VMM looks at: no power of two */
#define PAGES		  4

static void fill(void *page, uint64_t word)
{
	uint64_t *words = page;

	for (unsigned int i = 0; i < WORDS; i++)
		words[i] = word + i;
}

static unsigned int count_words(const void *page, uint64_t word)
{
	const volatile uint64_t *words = page;
	unsigned int count = 0;

	for (unsigned int i = 0; i < WORDS; i++)
		count += words[i] == word + i;
	return count;
}

/* Of the words looked at, those that the VMM reads so. */
static unsigned int vmm_sees(const void *page, uint64_t word)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < WORDS; i += STEP) {
		uint64_t value;

		REQUIRE(vmm_host_read((uintptr_t)page + i * sizeof(value), &value) == 0);
		count += value == word + i;
	}
	return count;
}

#define ALL_SEEN ((WORDS + STEP - 1) / STEP)

TEST("the VMM reads what the guest has in a shared page")
{
	void *page = page_alloc();

	fill(page_share(page), SHARED_WORD);
	EXPECT_EQ(vmm_sees(page, SHARED_WORD), ALL_SEEN);
	page_unshare(page);
	page_free(page);
}

TEST("the guest reads what the VMM writes to a shared page")
{
	uint64_t *page = page_alloc();
	uint64_t *shared = page_share(page);

	memset(shared, 0, PAGE_SIZE);
	for (unsigned int i = 0; i < WORDS; i += STEP)
		REQUIRE(vmm_host_write((uintptr_t)&page[i], SHARED_WORD + i) == 0);
	for (unsigned int i = 0; i < WORDS; i++)
		EXPECT_EQ(shared[i], i % STEP ? 0 : SHARED_WORD + i, "word %u", i);
	page_unshare(page);
	page_free(page);
}

TEST("the VMM reads nothing of a private page")
{
	void *page = page_alloc();

	fill(page, PRIVATE_WORD);
	EXPECT_EQ(vmm_sees(page, PRIVATE_WORD), 0);
	EXPECT_EQ(count_words(page, PRIVATE_WORD), WORDS);
	page_free(page);
}

TEST("the VMM reads nothing private of a page that has become shared")
{
	void *page = page_alloc();

	fill(page, PRIVATE_WORD);
	page_share(page);
	EXPECT_EQ(vmm_sees(page, PRIVATE_WORD), 0);
	page_unshare(page);
	page_free(page);
}

TEST("the VMM reads nothing of a page that has come back to private")
{
	void *page = page_alloc();

	fill(page_share(page), SHARED_WORD);
	page_unshare(page);
	fill(page, PRIVATE_WORD);
	EXPECT_EQ(vmm_sees(page, PRIVATE_WORD), 0);
	EXPECT_EQ(count_words(page, PRIVATE_WORD), WORDS);
	page_free(page);
}

TEST("what the VMM writes to a page that is private is not what the guest reads")
{
	uint64_t *page = page_alloc();

	fill(page, PRIVATE_WORD);
	for (unsigned int i = 0; i < WORDS; i += STEP)
		REQUIRE(vmm_host_write((uintptr_t)&page[i], SHARED_WORD) == 0);
	EXPECT_EQ(count_words(page, PRIVATE_WORD), WORDS);
	page_free(page);
}

static uint8_t read_byte(const volatile void *at)
{
	return *(const volatile uint8_t *)at;
}

static void write_byte(volatile void *at)
{
	*(volatile uint8_t *)at = 1;
}

/* From here on such accesses of this CPU are noted, and their page gets this attribute. */
static void convert_to(uint64_t attribute)
{
	vmm_fault_way(VMRUN_FAULT_CONVERT, attribute);
}

static void expect_told(const void *page, uint64_t flags)
{
	EXPECT_EQ(vmm_record(VMRUN_RECORD_FAULTS), 1);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_FAULT_GPA), (uintptr_t)page);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_FAULT_SIZE), PAGE_SIZE);
	EXPECT_EQ(vmm_record(VMRUN_RECORD_FAULT_FLAGS), flags);
	vmm_fault_way(VMRUN_FAULT_DIE, 0);
}

/* Four pages, of which the second is the one concerned: the others must not notice. */
static uint8_t *get_block(void)
{
	uint8_t *block = pages_alloc(2);

	for (unsigned int i = 0; i < PAGES; i++)
		fill(block + i * PAGE_SIZE, PRIVATE_WORD + i);
	return block;
}

static void expect_neighbours(uint8_t *block)
{
	for (unsigned int i = 0; i < PAGES; i++)
		if (i != 1)
			EXPECT_EQ(count_words(block + i * PAGE_SIZE, PRIVATE_WORD + i), WORDS,
				  "page %u", i);
}

static void validate_and_expect_new(uint8_t *page)
{
	struct rmp_outcome outcome = pvalidate_raw((uintptr_t)page, RMP_4K, 1);

	EXPECT_EQ((uint32_t)outcome.rax, RMP_OK);
	EXPECT_FALSE(outcome.carry);
	EXPECT_EQ(count_words(page, SHARED_WORD), 0);
}

static void check_private_access(void (*access)(uint8_t *page))
{
	uint8_t *block = get_block(), *page = block + PAGE_SIZE;

	fill(page_share(page), SHARED_WORD);
	convert_to(ATTRIBUTE_PRIVATE);
	access(page);
	expect_told(page, FAULT_PRIVATE);
	expect_neighbours(block);
}

static void access_by_read(uint8_t *page)
{
	EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, read_byte(page));
	validate_and_expect_new(page);
}

static void access_by_write(uint8_t *page)
{
	EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, write_byte(page));
	validate_and_expect_new(page);
}

static void call(const void *code)
{
	((void (*)(void))(uintptr_t)code)();
}

static void access_by_fetch(uint8_t *page)
{
	EXPECT_FAULT(VC, VC_PAGE_NOT_VALIDATED, call(page));
	validate_and_expect_new(page);
}

static void access_by_pvalidate(uint8_t *page)
{
	validate_and_expect_new(page);
}

TEST("a private read of a shared page is told as such, and finds it not validated")
{
	check_private_access(access_by_read);
}

TEST("a private write to a shared page is told as such, and finds it not validated")
{
	check_private_access(access_by_write);
}

TEST("code in a page that has become shared is fetched as private, and not validated")
{
	check_private_access(access_by_fetch);
}

/* Asks for a page state change by the MSR protocol, and returns: void (uint64_t request). */
static const uint8_t asking_code[] = {
	0xb9, 0x30, 0x01, 0x01, 0xc0, /* mov $MSR_GHCB, %ecx */
	0x48, 0x89, 0xf8,	      /* mov %rdi, %rax */
	0x48, 0x89, 0xfa,	      /* mov %rdi, %rdx */
	0x48, 0xc1, 0xea, 0x20,	      /* shr $32, %rdx */
	0x0f, 0x30,		      /* wrmsr */
	0xf3, 0x0f, 0x01, 0xd9,	      /* vmgexit */
	0xc3,			      /* ret */
};

static struct x86_fault ask_from(uint8_t *page, uint64_t request)
{
	void (*ask)(uint64_t) = (void (*)(uint64_t))(uintptr_t)page;
	uintptr_t flags = read_flags();
	struct x86_fault fault;

	memcpy(page, asking_code, sizeof(asking_code));
	irq_disable();
	fault = FAULT_OF(ask(request));
	/* The runtime must not take what was left in the MSR for its GHCB. */
	ghcb_msr(GHCB_MSR_SEV_INFO_REQ);
	write_flags(flags);
	return fault;
}

/* The fetch behind VMGEXIT is a private one of a shared page, and so all is as if it were called. */
TEST("code that has its own page shared does not run on, and finds it not validated")
{
	uint8_t *block = get_block(), *page = block + PAGE_SIZE;
	struct x86_fault fault;

	convert_to(ATTRIBUTE_PRIVATE);
	fault = ask_from(page, GHCB_MSR_PSC((uintptr_t)page >> PAGE_SHIFT, PSC_SHARED));
	EXPECT_FAULT_EQ(fault, VC, VC_PAGE_NOT_VALIDATED);
	EXPECT_EQ(fault.ip, (uintptr_t)page + sizeof(asking_code) - 1);
	expect_told(page, FAULT_PRIVATE);
	validate_and_expect_new(page);
	EXPECT_NE(memcmp(page, asking_code, sizeof(asking_code)), 0);
	expect_neighbours(block);
}

TEST("code that has its own page private, as it is, runs on in it")
{
	uint8_t *page = page_alloc();

	EXPECT_FAULT_EQ(ask_from(page, GHCB_MSR_PSC((uintptr_t)page >> PAGE_SHIFT, PSC_PRIVATE)),
			NO_FAULT, 0);
	EXPECT_MEM_EQ(page, asking_code, sizeof(asking_code));
	page_free(page);
}

TEST("the validation of a shared page is told as a private access, and changes it")
{
	check_private_access(access_by_pvalidate);
}

static void check_shared_access(void (*access)(volatile void *at))
{
	uint8_t *block = get_block(), *page = block + PAGE_SIZE;
	uint8_t *shared = sev_shared(page);

	convert_to(ATTRIBUTE_SHARED);
	access(shared + PAGE_SIZE - 1);
	expect_told(page, 0);
	EXPECT_EQ(count_words(shared, PRIVATE_WORD + 1), 0);
	EXPECT_EQ(vmm_sees(page, PRIVATE_WORD + 1), 0);
	expect_neighbours(block);
	page_unshare(page);
	fill(page, PRIVATE_WORD);
	EXPECT_EQ(count_words(page, PRIVATE_WORD), WORDS);
}

static void shared_read(volatile void *at)
{
	read_byte(at);
}

TEST("a shared read of a private page is told as such, and never finds what is in it")
{
	check_shared_access(shared_read);
}

TEST("a shared write to a private page is told as such, and never changes what is in it")
{
	check_shared_access(write_byte);
}
